//! How much of what a plugin printed and logged nobody will ever get, and the record that says so.

use std::fmt;

use serde_json::{Map, Value};

use super::Source;
use crate::hclog::{Entry, Level, Record, UnixTime};

/// The logger of the record, as of all that outboard logs by itself.
const MODULE: &str = "outboard";

/// How much of one source is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Lost {
    /// Bytes.
    pub bytes: u64,
    /// Lines of which all, or a part, is missing.
    pub lines: u64,
}

impl Lost {
    /// So many bytes of so many lines.
    #[must_use]
    pub const fn new(bytes: u64, lines: u64) -> Self {
        Self { bytes, lines }
    }

    /// Whether nothing is missing.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.bytes == 0
    }
}

/// What a host that attaches to a plugin does not get of what that printed and logged before: it was more
/// than a plugin keeps while no host takes it.
///
/// A host is told in a record of the plugin's log, at WARN, from which [`of`](Self::of) reads this; one that
/// gets the log as output (any but outboard's) has the line there. What is missing came before what follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Missing {
    /// Of what it printed on stdout.
    pub stdout: Lost,
    /// Of what it printed on stderr.
    pub stderr: Lost,
    /// Of its log.
    pub log: Lost,
}

impl Missing {
    /// Whether nothing is missing.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.stdout.is_nothing() && self.stderr.is_nothing() && self.log.is_nothing()
    }

    /// What a record of a plugin's log says is missing; `None` if it is about something else.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        if record.module() != Some(MODULE) {
            return None;
        }
        let mut missing = Self::default();
        for (source, bytes, lines) in KEYS {
            let number = |key| record.fields.get(key).and_then(Value::as_u64);
            if let (Some(bytes), Some(lines)) = (number(bytes), number(lines)) {
                *missing.get_mut(source) = Lost { bytes, lines };
            }
        }
        (!missing.is_nothing()).then_some(missing)
    }

    /// The record, as a line of a plugin's log with its LF.
    #[must_use]
    pub fn to_line(&self, time: UnixTime) -> String {
        let mut fields = Map::new();
        for (source, bytes, lines) in KEYS {
            let lost = self.get(source);
            if !lost.is_nothing() {
                fields.insert(bytes.to_owned(), lost.bytes.into());
                fields.insert(lines.to_owned(), lost.lines.into());
            }
        }
        let message = self.to_string();
        let entry = Entry {
            level: Level::Warn,
            message: &message,
            module: Some(MODULE),
            time,
            fields: &fields,
        };
        entry.to_line()
    }

    pub(super) const fn get(&self, source: Source) -> &Lost {
        match source {
            Source::Stdout => &self.stdout,
            Source::Stderr => &self.stderr,
            Source::Log => &self.log,
        }
    }

    pub(super) const fn get_mut(&mut self, source: Source) -> &mut Lost {
        match source {
            Source::Stdout => &mut self.stdout,
            Source::Stderr => &mut self.stderr,
            Source::Log => &mut self.log,
        }
    }
}

/// The pairs of the record.
const KEYS: [(Source, &str, &str); 3] = [
    (Source::Stdout, "lost_stdout_bytes", "lost_stdout_lines"),
    (Source::Stderr, "lost_stderr_bytes", "lost_stderr_lines"),
    (Source::Log, "lost_log_bytes", "lost_log_lines"),
];

/// The message of the record.
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no host took in time what this plugin printed and logged, and it keeps the newest alone; missing are")?;
        let mut separator = " ";
        for (source, name) in [
            (Source::Stdout, "stdout"),
            (Source::Stderr, "stderr"),
            (Source::Log, "the log"),
        ] {
            let Lost { bytes, lines } = self.get(source);
            if *bytes > 0 {
                write!(f, "{separator}{bytes} bytes ({lines} lines) of {name}")?;
                separator = ", ";
            }
        }
        if separator == " " {
            f.write_str(" 0 bytes")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hclog::parse;

    #[test]
    fn a_host_reads_what_a_plugin_has_written() {
        let missing = Missing {
            stdout: Lost::new(1 << 50, 7),
            stderr: Lost::default(),
            log: Lost::new(300, 2),
        };
        let line = missing.to_line(UnixTime::from(std::time::Duration::ZERO));
        let record = parse(line.trim_end().as_bytes());
        assert_eq!(record.level, Level::Warn);
        assert_eq!(Missing::of(&record), Some(missing));
        for part in ["300 bytes (2 lines) of the log", "of stdout"] {
            assert!(record.message.contains(part), "{line}");
        }
        assert!(!record.message.contains("stderr"), "{line}");
    }

    #[test]
    fn other_records_are_about_something_else() {
        for line in [
            r#"{"@level":"warn","@message":"x","@module":"outboard"}"#,
            r#"{"@level":"warn","@message":"x","@module":"mine","lost_log_bytes":1,"lost_log_lines":1}"#,
            r#"{"@level":"warn","@message":"x","@module":"outboard","lost_log_bytes":"1","lost_log_lines":1}"#,
            r#"{"@level":"warn","@message":"x","@module":"outboard","lost_log_bytes":0,"lost_log_lines":0}"#,
            "lost_log_bytes",
        ] {
            assert_eq!(Missing::of(&parse(line.as_bytes())), None, "{line}");
        }
    }
}
