//! The five levels.

use std::fmt;

/// How important a record is. `Trace < Error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "hclog has these five")]
pub enum Level {
    /// `trace`
    Trace,
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
}

impl Level {
    /// Every level, the least important first.
    pub const ALL: [Self; 5] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
    ];

    /// The name in a JSON line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Reads a name as hclog does: in any case, with white space around it. `off`, `fatal` and all
    /// others are no level.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim();
        Self::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name))
    }

    /// The level a line of text begins with: `[TRACE]`, `[DEBUG]`, `[INFO]`, `[WARN]`, `[ERROR]`,
    /// in this spelling and from the first character on.
    pub(super) fn from_prefix(line: &str) -> Option<Self> {
        let (name, _) = line.strip_prefix('[')?.split_once(']')?;
        match name {
            "TRACE" => Some(Self::Trace),
            "DEBUG" => Some(Self::Debug),
            "INFO" => Some(Self::Info),
            "WARN" => Some(Self::Warn),
            "ERROR" => Some(Self::Error),
            _ => None,
        }
    }
}

/// The name in a JSON line.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_trimmed() {
        for level in Level::ALL {
            assert_eq!(Level::from_name(level.name()), Some(level));
            let shouted = format!(" {}\t", level.name().to_uppercase());
            assert_eq!(Level::from_name(&shouted), Some(level));
        }
        for bad in ["", "off", "fatal", "warning", "err", "in fo"] {
            assert_eq!(Level::from_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn prefixes_are_read_exactly() {
        assert_eq!(Level::from_prefix("[WARN] x"), Some(Level::Warn));
        assert_eq!(Level::from_prefix("[ERROR]x"), Some(Level::Error));
        for bad in [
            "[ERR] x",
            "[WARNING] x",
            " [INFO] x",
            "[info] x",
            "2024 [INFO]",
            "[INFO",
            "",
        ] {
            assert_eq!(Level::from_prefix(bad), None, "{bad:?}");
        }
    }
}
