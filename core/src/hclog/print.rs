//! One record in, one line of JSON out.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::{Level, UnixTime};

/// The longest line, in bytes without its LF, that a host with go-plugin's default buffer reads as
/// one: 64 KiB with the LF.
pub const MAX_LINE: usize = 65_535;

/// A record that a plugin logs.
///
/// Its line keeps what a Go host needs: the three `@` keys are always text, the time has six
/// fractional digits, there are no raw line breaks, and it is at most [`MAX_LINE`] bytes long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// How important it is.
    pub level: Level,
    /// What happened.
    pub message: &'a str,
    /// The name of the logger, shown as `@module`.
    pub module: Option<&'a str>,
    /// When.
    pub time: UnixTime,
    /// Further pairs. Names with a meaning of their own (`@message`, `@level`, `@timestamp`,
    /// `timestamp`, and `@module` beside [`module`](Self::module)) get an underscore in front.
    /// Integers too large for a 64-bit float become text, as Go hosts read numbers as floats.
    pub fields: &'a Map<String, Value>,
}

/// What stays for the message when the pairs alone would fill a line: half of it.
const MESSAGE_SHARE: usize = MAX_LINE / 2;

/// The longest name of a logger in a line that has to be shortened.
const MODULE_SHARE: usize = 1024;

/// Kept free for the pair that counts those left out.
const LEFT_OUT_SHARE: usize = 64;

impl Entry<'_> {
    /// The line, with its LF: to be written with one `write`, so that no other line gets into it.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = String::new();
        self.write(&mut line, usize::MAX);
        if line.len() > MAX_LINE {
            line.clear();
            self.write(&mut line, MAX_LINE);
        }
        line.push('\n');
        line
    }

    /// Writes the object in at most `limit` bytes, of which there must be enough for the shares
    /// above.
    fn write(&self, line: &mut String, limit: usize) {
        let share = |share| if limit == usize::MAX { limit } else { share };

        let _ = write!(
            line,
            "{{\"@level\":\"{}\",\"@timestamp\":\"{}\"",
            self.level, self.time
        );
        if let Some(module) = self.module {
            line.push_str(",\"@module\":");
            push_text(line, module, share(MODULE_SHARE));
        }

        // What the message does not need is the pairs', and the other way round.
        let message_name = ",\"@message\":";
        let around_message = message_name.len() + "}".len();
        let message = text_len(self.message).min(share(MESSAGE_SHARE));
        let for_fields = limit
            .saturating_sub(line.len() + around_message + message)
            .saturating_sub(LEFT_OUT_SHARE);
        self.write_fields(line, for_fields);

        let for_message = limit.saturating_sub(line.len() + around_message);
        line.push_str(message_name);
        push_text(line, self.message, for_message);
        line.push('}');
    }

    fn write_fields(&self, line: &mut String, limit: usize) {
        let mut budget = limit;
        let mut left_out = 0_usize;
        for (index, (key, value)) in self.fields.iter().enumerate() {
            let start = line.len();
            // Each gets an equal part of what those before it left over.
            let share = budget / (self.fields.len() - index);
            line.push(',');
            push_text(line, &self.name(key), usize::MAX);
            line.push(':');
            let name = line.len() - start;
            // A cut name could be taken for another.
            if name + SHORTEST_TEXT > share {
                line.truncate(start);
                left_out += 1;
                continue;
            }
            push_value(line, value, share - name);
            budget -= line.len() - start;
        }
        if left_out > 0 {
            let _ = write!(line, ",\"fields_left_out\":{left_out}");
        }
    }

    /// The name under which a pair is printed.
    fn name<'k>(&self, key: &'k str) -> Cow<'k, str> {
        let reserved = match key {
            "@message" | "@level" | "@timestamp" | "timestamp" => true,
            "@module" => self.module.is_some(),
            _ => false,
        };
        if !reserved {
            return Cow::Borrowed(key);
        }
        let mut name = format!("_{key}");
        while self.fields.contains_key(&name) {
            name.insert(0, '_');
        }
        Cow::Owned(name)
    }
}

/// Above this, not every integer has a 64-bit float of its own (2^53).
const LARGEST_EXACT: u64 = 1 << 53;

fn is_exact(number: &Number) -> bool {
    match (number.as_i64(), number.as_u64()) {
        (Some(number), _) => number.unsigned_abs() <= LARGEST_EXACT,
        (None, Some(number)) => number <= LARGEST_EXACT,
        // A float is one already.
        (None, None) => true,
    }
}

/// Writes a value in at most `limit` bytes, at least [`SHORTEST_TEXT`]. One that is longer becomes
/// text that is cut.
fn push_value(line: &mut String, value: &Value, limit: usize) {
    if let Value::String(text) = value {
        push_text(line, text, limit);
        return;
    }
    let start = line.len();
    push_json(line, value);
    if line.len() - start > limit {
        let json = line.split_off(start);
        push_text(line, &json, limit);
    }
}

fn push_json(line: &mut String, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) => {
            let _ = write!(line, "{value}");
        }
        Value::Number(number) if is_exact(number) => {
            let _ = write!(line, "{number}");
        }
        Value::Number(number) => {
            let _ = write!(line, "\"{number}\"");
        }
        Value::String(text) => push_text(line, text, usize::MAX),
        Value::Array(items) => {
            line.push('[');
            for (index, item) in items.iter().enumerate() {
                line.push_str(if index == 0 { "" } else { "," });
                push_json(line, item);
            }
            line.push(']');
        }
        Value::Object(pairs) => {
            line.push('{');
            for (index, (key, item)) in pairs.iter().enumerate() {
                line.push_str(if index == 0 { "" } else { "," });
                push_text(line, key, usize::MAX);
                line.push(':');
                push_json(line, item);
            }
            line.push('}');
        }
    }
}

/// Room for a cut text: the quotes, and a note with a length of up to twenty digits.
const SHORTEST_TEXT: usize = 2 + "… ( bytes in all)".len() + 20;

/// Writes a JSON string in at most `limit` bytes, at least [`SHORTEST_TEXT`] or the length of the
/// text. A longer one is cut at a character, with a note of its whole length.
fn push_text(line: &mut String, text: &str, limit: usize) {
    line.push('"');
    if text_len(text) <= limit {
        for c in text.chars() {
            push_char(line, c);
        }
    } else {
        let mut room = limit.saturating_sub(SHORTEST_TEXT);
        for c in text.chars() {
            let length = char_len(c);
            if length > room {
                break;
            }
            room -= length;
            push_char(line, c);
        }
        let _ = write!(line, "… ({} bytes in all)", text.len());
    }
    line.push('"');
}

/// How long a text is as a JSON string, with its quotes.
fn text_len(text: &str) -> usize {
    2 + text.chars().map(char_len).sum::<usize>()
}

fn char_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        '\0'..='\x1f' => "\\u0000".len(),
        c => c.len_utf8(),
    }
}

fn push_char(line: &mut String, c: char) {
    match c {
        '"' => line.push_str("\\\""),
        '\\' => line.push_str("\\\\"),
        '\n' => line.push_str("\\n"),
        '\r' => line.push_str("\\r"),
        '\t' => line.push_str("\\t"),
        '\0'..='\x1f' => {
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        }
        c => line.push(c),
    }
}

/// The last character boundary at or before `index`.
pub(super) fn floor_char_boundary(text: &str, index: usize) -> usize {
    if index >= text.len() {
        return text.len();
    }
    let mut end = index;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
#[path = "print_tests.rs"]
mod tests;
