//! One line in, one record out.

use serde_json::{Map, Value};

use super::{Level, Timestamp};

/// A record of a plugin's log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// How important it is.
    pub level: Level,
    /// The message, or the whole line if it had no structure. Bytes that are not UTF-8 are shown
    /// as U+FFFD; the raw sink has them as they were.
    pub message: String,
    /// When the plugin logged it, if it said so.
    pub timestamp: Option<Timestamp>,
    /// All other pairs of a structured line, among them `@module` and `@caller`. Integers are
    /// exact in the range of `i64` and `u64`.
    pub fields: Map<String, Value>,
    /// What kind of line it came from.
    pub kind: Kind,
}

/// What a record was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A JSON object with a level.
    Structured,
    /// A JSON object, or `null`, without a level hclog knows: shown as it stood, at debug.
    Unlevelled,
    /// Any other line, its level told by a prefix or else debug.
    Text,
    /// What a Go program prints when it dies: the line that begins `panic: ` or `fatal error: `
    /// and the plain lines after it. Always at error level.
    Panic,
    /// A piece of a line longer than the reader's buffer: shown as it stood, at debug.
    Piece,
}

impl Record {
    /// A record with nothing but a level and a message.
    #[must_use]
    pub fn text(level: Level, message: impl Into<String>, kind: Kind) -> Self {
        Self {
            level,
            message: message.into(),
            timestamp: None,
            fields: Map::new(),
            kind,
        }
    }

    /// The name of the plugin's logger, `@module`, if it is text.
    #[must_use]
    pub fn module(&self) -> Option<&str> {
        self.fields.get("@module").and_then(Value::as_str)
    }

    /// Where in the plugin it was logged, `@caller`, if it is text.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        self.fields.get("@caller").and_then(Value::as_str)
    }
}

/// Reads one whole line, without its line end, as go-plugin's host does before any panic.
///
/// Total on any bytes. A line whose `@message`, `@level` or `@timestamp` is not text, or whose
/// timestamp is not in hclog's form, counts as text, so nothing of it is lost. The first line of a
/// panic gives [`Kind::Panic`]; for the lines after it use [`LogReader`](super::LogReader).
#[must_use]
pub fn parse(line: &[u8]) -> Record {
    let text = String::from_utf8_lossy(line);
    if let Some(record) = parse_json(&text) {
        return record;
    }
    let (level, kind) = match TextLine::of(&text) {
        TextLine::Prefixed(level) => (level, Kind::Text),
        TextLine::PanicStart => (Level::Error, Kind::Panic),
        TextLine::Plain => (Level::Debug, Kind::Text),
    };
    Record::text(level, text, kind)
}

/// What the beginning of an unstructured line tells.
pub(super) enum TextLine {
    Prefixed(Level),
    PanicStart,
    Plain,
}

impl TextLine {
    pub(super) fn of(line: &str) -> Self {
        if let Some(level) = Level::from_prefix(line) {
            Self::Prefixed(level)
        } else if line.starts_with("panic: ") || line.starts_with("fatal error: ") {
            Self::PanicStart
        } else {
            Self::Plain
        }
    }
}

/// `None` if the line counts as text.
pub(super) fn parse_json(line: &str) -> Option<Record> {
    // Most lines that are not JSON show it at once.
    if !matches!(
        line.trim_ascii_start().as_bytes().first(),
        Some(b'{' | b'n')
    ) {
        return None;
    }
    let mut fields: Map<String, Value> = serde_json::from_str::<Option<_>>(line)
        .ok()?
        .unwrap_or_default();

    let message = take_text(&mut fields, "@message")?;
    let level = take_text(&mut fields, "@level")?;
    let timestamp = match take_text(&mut fields, "@timestamp")? {
        Some(text) => Some(Timestamp::parse(&text)?),
        None => None,
    };
    let Some(level) = level.as_deref().and_then(Level::from_name) else {
        return Some(Record::text(Level::Debug, line, Kind::Unlevelled));
    };
    Some(Record {
        level,
        message: message.unwrap_or_default(),
        timestamp,
        fields,
        kind: Kind::Structured,
    })
}

/// Takes a pair out: `Some(None)` if there is none, `None` if it is there and not text.
fn take_text(fields: &mut Map<String, Value>, key: &str) -> Option<Option<String>> {
    match fields.remove(key) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn as_text(line: &str) -> (Level, Kind) {
        let record = parse(line.as_bytes());
        assert_eq!(record.message, line, "the line must not be lost");
        assert!(record.fields.is_empty() && record.timestamp.is_none());
        (record.level, record.kind)
    }

    #[test]
    fn structured_lines_keep_everything() {
        let record = parse(
            br#" {"@level":"warn","@message":"m","@module":"kv","@caller":"a.go:1",
                "@timestamp":"2026-11-20T17:26:56.193979Z","n":18446744073709551615,
                "i":-9007199254740993,"o":{"x":[1,null]},"timestamp":"mine"} "#,
        );
        assert_eq!(record.level, Level::Warn);
        assert_eq!(record.message, "m");
        assert_eq!(record.module(), Some("kv"));
        assert_eq!(record.caller(), Some("a.go:1"));
        let stamp = record.timestamp.expect("is there");
        assert_eq!(stamp.as_str(), "2026-11-20T17:26:56.193979Z");
        assert_eq!(record.fields["n"], json!(u64::MAX));
        assert_eq!(record.fields["i"], json!(-9_007_199_254_740_993_i64));
        assert_eq!(record.fields["o"], json!({"x": [1, null]}));
        assert_eq!(record.fields["timestamp"], json!("mine"));
        assert_eq!(record.fields.len(), 6);
        assert_eq!(record.kind, Kind::Structured);
    }

    #[test]
    fn missing_keys_are_fine() {
        let record = parse(br#"{"@level":" Info "}"#);
        assert_eq!((record.level, record.message.as_str()), (Level::Info, ""));
        assert_eq!(record.timestamp, None);
        assert_eq!(record.kind, Kind::Structured);
    }

    #[test]
    fn objects_without_a_level_are_shown_raw_at_debug() {
        for line in [
            "{}",
            "null",
            r#"{"@message":"x"}"#,
            r#"{"@level":""}"#,
            r#"{"@level":"off","@message":"x"}"#,
            r#"{"@level":"fatal"}"#,
            r#"{"level":"info"}"#,
        ] {
            assert_eq!(as_text(line), (Level::Debug, Kind::Unlevelled), "{line}");
        }
    }

    #[test]
    fn other_json_is_text() {
        for line in [
            "[1]",
            "1",
            "\"x\"",
            "true",
            "{",
            "{}x",
            "{\"a\":1}{}",
            "",
            "nul",
        ] {
            assert_eq!(as_text(line), (Level::Debug, Kind::Text), "{line}");
        }
    }

    #[test]
    fn at_keys_that_are_not_text_make_the_line_text() {
        for key in ["@message", "@level", "@timestamp"] {
            for value in ["null", "1", "true", "{}", "[]"] {
                let line = format!(r#"{{"@level":"info","@message":"m","{key}":{value}}}"#);
                assert_eq!(as_text(&line), (Level::Debug, Kind::Text), "{line}");
            }
        }
        let record = parse(br#"{"@level":"info","@module":1}"#);
        assert_eq!((record.kind, record.module()), (Kind::Structured, None));
    }

    #[test]
    fn bad_timestamps_make_the_line_text() {
        for stamp in ["", "2026-11-20T17:26:56.193Z", "yesterday"] {
            let line = format!(r#"{{"@level":"error","@timestamp":"{stamp}"}}"#);
            assert_eq!(as_text(&line), (Level::Debug, Kind::Text), "{line}");
        }
    }

    #[test]
    fn prefixes_set_the_level_and_stay() {
        assert_eq!(as_text("[WARN] x"), (Level::Warn, Kind::Text));
        assert_eq!(as_text("[TRACE]"), (Level::Trace, Kind::Text));
        assert_eq!(as_text("[ERR] x"), (Level::Debug, Kind::Text));
        assert_eq!(as_text("panic: x"), (Level::Error, Kind::Panic));
        assert_eq!(as_text("fatal error: x"), (Level::Error, Kind::Panic));
        assert_eq!(as_text(" panic: x"), (Level::Debug, Kind::Text));
        assert_eq!(as_text("panic:x"), (Level::Debug, Kind::Text));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_as_go_does() {
        let record = parse(b"{\"@level\":\"info\",\"@message\":\"a\xffb\"}");
        assert_eq!(
            (record.level, &*record.message),
            (Level::Info, "a\u{fffd}b")
        );
        assert_eq!(parse(b"\xfe").message, "\u{fffd}");
    }

    #[test]
    fn deep_nesting_is_text() {
        let line = format!("{{\"@level\":\"info\",\"x\":{}", "[".repeat(60_000));
        assert_eq!(as_text(&line), (Level::Debug, Kind::Text));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(line: Vec<u8>) {
            let _ = parse(&line);
        }

        #[test]
        fn anything_like_json_is_read(
            line in r#"\{("@(level|message|timestamp)":("info"|null|1|"x"),?){0,4}\}"#,
        ) {
            let record = parse(line.as_bytes());
            if record.kind != Kind::Structured {
                prop_assert_eq!(record.message, line);
            }
        }
    }
}
