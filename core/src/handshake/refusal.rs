//! What a plugin prints in place of its handshake line if it cannot serve.

use std::fmt;

use super::error::QUOTED;
use crate::text::{excerpt, trim};

/// How the line begins; hosts that do not know it quote the whole.
const PREFIX: &str = "this plugin cannot serve: ";

/// The longest reason, in bytes.
const MAX_REASON: usize = 1024;

/// A plugin's word on stdout that it cannot serve, and why.
///
/// go-plugin's hosts quote the first line of a plugin in their error, whatever it is, and say of a
/// plugin without one that it may be built for another architecture. So the reason goes there, too.
/// The line cannot be mistaken for a handshake: it holds no bar.
///
/// ```
/// use outboard_core::handshake::Refusal;
///
/// let refusal = Refusal::new("no port is free\nin 1000|2000");
/// let line = refusal.to_bytes();
/// assert_eq!(line, b"this plugin cannot serve: no port is free\\nin 1000\\u{7c}2000\n");
/// assert_eq!(Refusal::parse(&line), Some(refusal));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: String,
}

impl Refusal {
    /// A refusal for this reason. Line ends, bars and control characters are escaped as in Rust,
    /// and what is beyond 1 KiB is left out.
    #[must_use]
    pub fn new(reason: impl AsRef<str>) -> Self {
        let mut escaped = String::new();
        for character in reason.as_ref().trim().chars() {
            if escaped.len() >= MAX_REASON {
                escaped.push('…');
                break;
            }
            match character {
                '|' => escaped.extend(character.escape_unicode()),
                _ if character.is_control() => escaped.extend(character.escape_default()),
                _ => escaped.push(character),
            }
        }
        Self { reason: escaped }
    }

    /// Reads a line of a plugin; `None` if it is something else.
    #[must_use]
    pub fn parse(line: impl AsRef<[u8]>) -> Option<Self> {
        let reason = trim(line.as_ref()).strip_prefix(PREFIX.trim_end().as_bytes())?;
        Some(Self {
            reason: excerpt(trim(reason), 2 * QUOTED),
        })
    }

    /// The reason, in one line.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The line as a plugin writes it, with the LF.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{PREFIX}{}\n", self.reason).into_bytes()
    }
}

/// The reason.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HandshakeError, HandshakeLine};
    use super::*;

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "1|1|unix|/p|grpc|",
            "this plugin",
            "a this plugin cannot serve: x",
        ] {
            assert_eq!(Refusal::parse(line), None, "{line:?}");
        }
        let silent = Refusal::parse("this plugin cannot serve:\r\n").expect("it is one");
        assert_eq!(silent.reason(), "");
    }

    proptest! {
        #[test]
        fn any_reason_is_one_bounded_line_and_no_handshake(reason: String) {
            let line = Refusal::new(&reason).to_bytes();
            let text = line.strip_suffix(b"\n").expect("an LF");
            prop_assert!(!text.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'|')));
            prop_assert!(line.len() < MAX_REASON + 64);
            let read = Refusal::parse(&line);
            prop_assert!(read.is_some());
            prop_assert_eq!(
                HandshakeLine::parse(&line),
                Err(HandshakeError::Refused(read.expect("checked")))
            );
        }

        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            let line = [PREFIX.as_bytes(), &bytes].concat();
            let refusal = Refusal::parse(&line).expect("it begins so");
            prop_assert!(refusal.reason().len() <= 6 * QUOTED + 48);
        }
    }
}
