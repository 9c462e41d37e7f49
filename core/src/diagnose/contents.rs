//! What kind of file a program's first bytes make it.

use std::fmt;

use super::{Executable, Script};
use crate::text::excerpt;

/// How much of the beginning of a file of no known kind is quoted, in bytes.
const QUOTED: usize = 16;

/// The kind of a program's file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contents {
    /// A program in machine code.
    Executable(Executable),
    /// A script that names its interpreter.
    Script(Script),
    /// Nothing at all.
    Empty,
    /// Something else.
    Other {
        /// How it begins, shortened.
        start: String,
    },
}

impl Contents {
    /// Reads the first bytes of a file, [`HEADER_BYTES`](super::HEADER_BYTES) of them if there are so
    /// many.
    #[must_use]
    pub fn detect(header: &[u8]) -> Self {
        if let Some(executable) = Executable::detect(header) {
            return Self::Executable(executable);
        }
        match Script::detect(header) {
            Some(script) => Self::Script(script),
            None if header.is_empty() => Self::Empty,
            None => Self::Other {
                start: excerpt(&header[..header.len().min(QUOTED)], QUOTED),
            },
        }
    }

    /// The program in machine code, if it is one.
    #[must_use]
    pub const fn executable(&self) -> Option<&Executable> {
        match self {
            Self::Executable(executable) => Some(executable),
            Self::Script(_) | Self::Empty | Self::Other { .. } => None,
        }
    }

    /// The script, if it is one.
    #[must_use]
    pub const fn script(&self) -> Option<&Script> {
        match self {
            Self::Script(script) => Some(script),
            Self::Executable(_) | Self::Empty | Self::Other { .. } => None,
        }
    }
}

/// A phrase that completes "it is …".
impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executable(executable) => write!(f, "a program ({executable})"),
            Self::Script(script) => write!(f, "a script for {script}"),
            Self::Empty => f.write_str("empty"),
            Self::Other { start } => write!(f, "a file that begins with {start:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds_of_files_are_told_apart() {
        for (header, told) in [
            (&b""[..], "empty"),
            (b"#!/bin/sh -e\n", "a script for /bin/sh -e"),
            (b"#!\n", "a file that begins with \"#!\\n\""),
            (
                b"\xcf\xfa\xed\xfe\x0c\0\0\x01",
                "a program (MachO architecture: arm64)",
            ),
            (
                b"echo no line that names a shell",
                "a file that begins with \"echo no line tha\"",
            ),
        ] {
            assert_eq!(Contents::detect(header).to_string(), told);
        }
    }

    proptest! {
        #[test]
        fn any_file_is_of_a_kind(header: Vec<u8>) {
            prop_assert!(Contents::detect(&header).to_string().len() < 16 * 256);
        }
    }
}
