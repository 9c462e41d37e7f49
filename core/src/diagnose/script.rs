//! Reading the first line of a script, as the system does when it executes one.

use std::fmt;

use crate::text::excerpt;

/// How much of a script's first line is quoted, in bytes. Linux reads no more than 256 of them.
const QUOTED: usize = 256;

/// What a script's first line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Script {
    /// The interpreter, shortened; as text, where the path may be any bytes.
    pub interpreter: String,
    /// Its one argument: the rest of the line, shortened.
    pub argument: Option<String>,
    /// Whether the line ends with CR and LF, as on Windows: the system takes the CR for a part of the
    /// last word, which then names what does not exist.
    pub carriage_return: bool,
}

impl Script {
    /// Reads the first bytes of a file. `None` if they are not those of a script, or name no
    /// interpreter.
    #[must_use]
    pub fn detect(header: &[u8]) -> Option<Self> {
        let (interpreter, argument) = words(header)?;
        let carriage_return = argument.unwrap_or(interpreter).ends_with(b"\r");
        let text = |word: &[u8]| excerpt(word.strip_suffix(b"\r").unwrap_or(word), QUOTED);
        Some(Self {
            interpreter: text(interpreter),
            argument: argument.map(text),
            carriage_return,
        })
    }

    /// The command that it has `env` look up in `PATH`, if that is its interpreter. None where `env` is
    /// given options.
    #[must_use]
    pub fn looked_up(&self) -> Option<&str> {
        let by_env = self.interpreter.rsplit('/').next() == Some("env");
        let command = self.argument.as_deref().filter(|_| by_env)?;
        (!command.starts_with('-') && !command.contains(['/', '=', ' ', '\t'])).then_some(command)
    }
}

/// The line without `#!`.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.interpreter)?;
        match &self.argument {
            Some(argument) => write!(f, " {argument}"),
            None => Ok(()),
        }
    }
}

/// The interpreter and its argument, as Linux reads them: blanks and tabs are white space, and
/// nothing else is.
pub(super) fn words(header: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = header.strip_prefix(b"#!")?;
    let line = line.split(|byte| matches!(byte, b'\n' | 0)).next()?;
    let start = line.iter().position(|byte| !is_space(byte))?;
    let end = line.iter().rposition(|byte| !is_space(byte))?;
    let line = line.get(start..=end)?;
    let Some(end) = line.iter().position(is_space) else {
        return Some((line, None));
    };
    let (interpreter, rest) = line.split_at(end);
    let start = rest.iter().position(|byte| !is_space(byte))?;
    Some((interpreter, Some(&rest[start..])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<(String, Option<String>, bool)> {
        let script = Script::detect(text.as_bytes())?;
        Some((script.interpreter, script.argument, script.carriage_return))
    }

    #[test]
    fn first_lines_are_read_as_the_system_does() {
        let expected = |interpreter: &str, argument: Option<&str>, cr| {
            Some((interpreter.to_owned(), argument.map(str::to_owned), cr))
        };
        for (text, found) in [
            ("#!/bin/sh\nexit", expected("/bin/sh", None, false)),
            ("#! /bin/sh", expected("/bin/sh", None, false)),
            ("#!/bin/sh -e  \n", expected("/bin/sh", Some("-e"), false)),
            ("#!/bin/a \t b c\n", expected("/bin/a", Some("b c"), false)),
            ("#!/bin/sh\r\n", expected("/bin/sh", None, true)),
            (
                "#!/usr/bin/env python3\r\n",
                expected("/usr/bin/env", Some("python3"), true),
            ),
            ("#!", None),
            ("#! \n/bin/sh", None),
            ("/bin/sh", None),
            ("", None),
        ] {
            assert_eq!(read(text), found, "{text:?}");
        }
    }

    #[test]
    fn what_env_looks_up_is_told() {
        let of = |text: &str| {
            let script = Script::detect(text.as_bytes()).expect("a script");
            script.looked_up().map(str::to_owned)
        };
        assert_eq!(of("#!/usr/bin/env fish\n").as_deref(), Some("fish"));
        for none in [
            "#!/bin/fish",
            "#!/usr/bin/env",
            "#!/usr/bin/env -S fish -i",
            "#!/usr/bin/env A=b",
            "#!/bin/other fish",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_and_its_words_are_in_it(
            rest in proptest::collection::vec(
                prop_oneof![Just(b' '), Just(b'\t'), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..400,
            ),
        ) {
            let header = [&b"#!"[..], &rest].concat();
            if let Some((interpreter, argument)) = words(&header) {
                prop_assert!(!interpreter.is_empty());
                prop_assert!(!interpreter.contains(&b' ') && !interpreter.contains(&b'\n'));
                prop_assert!(argument.is_none_or(|argument| !argument.is_empty()));
                let script = Script::detect(&header);
                prop_assert!(script.is_some_and(|script| script.to_string().len() < 8 * QUOTED));
            }
        }
    }
}
