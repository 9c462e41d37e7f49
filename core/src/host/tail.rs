//! The last lines of a stream, in bounded memory.

use std::collections::VecDeque;

use crate::hclog;

/// Keeps the last lines of the bytes pushed into it.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// Complete lines, without line ends, oldest first.
    lines: VecDeque<Vec<u8>>,
    /// The line that has not ended yet, cut to a quarter of `max_bytes`, so that one long line does
    /// not push out all others.
    partial: Vec<u8>,
    /// Bytes in `lines` and `partial`.
    held: usize,
    max_lines: usize,
    max_bytes: usize,
}

impl Tail {
    pub(super) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            partial: Vec::new(),
            held: 0,
            max_lines,
            max_bytes,
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.extend(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// The lines, bytes that are not UTF-8 replaced. Blank lines are left out: they say nothing and
    /// would push out lines that do.
    pub(super) fn lines(&self) -> Vec<String> {
        let partial = trim(&self.partial);
        let last = (!partial.is_empty() && !is_of_outboard(partial)).then_some(partial);
        let skip = (self.lines.len() + usize::from(last.is_some())).saturating_sub(self.max_lines);
        let lines = self.lines.iter().map(Vec::as_slice).chain(last);
        lines.skip(skip).map(readable).collect()
    }

    fn extend(&mut self, bytes: &[u8]) {
        // The beginning of an overlong line says more than its end: that is where the reason stands.
        let room = (self.max_bytes / 4).saturating_sub(self.partial.len());
        let taken = &bytes[..bytes.len().min(room)];
        self.partial.extend_from_slice(taken);
        self.held += taken.len();
        self.shrink();
    }

    fn end_line(&mut self) {
        let line = trim(&self.partial).to_vec();
        self.held -= self.partial.len();
        self.partial.clear();
        if !line.is_empty() && !is_of_outboard(&line) {
            self.held += line.len();
            self.lines.push_back(line);
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        while self.lines.len() > self.max_lines || self.held > self.max_bytes {
            let Some(line) = self.lines.pop_front() else {
                break;
            };
            self.held -= line.len();
        }
    }
}

/// Whether it is a record that outboard itself wrote on the way, as those on connections: it says
/// nothing of the program, and would push out what does. Its errors do, as panics of handlers.
fn is_of_outboard(line: &[u8]) -> bool {
    /// As outboard's own plugins print it; others need no look.
    const MODULE: &[u8] = br#""@module":"outboard""#;
    if line.first() != Some(&b'{') || memchr::memmem::find(line, MODULE).is_none() {
        return false;
    }
    let record = hclog::parse(line);
    record.kind == hclog::Kind::Structured
        && record.module() == Some("outboard")
        && record.level < hclog::Level::Error
}

/// A line as people read it: of a log record the level, the message's first line and the pairs,
/// and anything else as it is.
fn readable(line: &[u8]) -> String {
    let record = hclog::parse(line);
    if record.kind != hclog::Kind::Structured {
        return record.message;
    }
    let message = record.message.lines().next().unwrap_or_default();
    let mut text = format!("[{}] {message}", record.level.name().to_uppercase());
    for (name, value) in record
        .fields
        .iter()
        .filter(|(name, _)| !name.starts_with('@'))
    {
        text.push_str(&format!(" {name}={value}"));
    }
    text
}

fn trim(line: &[u8]) -> &[u8] {
    line.trim_ascii_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_any_split() {
        let text = b"one\r\ntwo\n\n \nthree\nfour";
        for size in 1..text.len() {
            let mut tail = Tail::new(3, 100);
            for chunk in text.chunks(size) {
                tail.push(chunk);
            }
            assert_eq!(tail.lines(), ["two", "three", "four"], "split by {size}");
        }
    }

    #[test]
    fn log_records_are_shown_as_text() {
        let mut tail = Tail::new(3, 4000);
        tail.push(br#"{"@level":"error","@message":"it broke\nat x","@module":"m","n":3}"#);
        tail.push(b"\nplain\n");
        assert_eq!(tail.lines(), ["[ERROR] it broke n=3", "plain"]);
    }

    #[test]
    fn what_outboard_itself_logs_on_the_way_is_no_evidence() {
        let mut tail = Tail::new(3, 4000);
        tail.push(b"fatal: no cheese\n");
        tail.push(b"{\"@level\":\"error\",\"@message\":\"a handler\",\"@module\":\"outboard\"}\n");
        tail.push(b"{\"@level\":\"debug\",\"@message\":\"on\",\"@module\":\"outboardx\"}\n");
        for level in ["trace", "debug", "info", "warn"] {
            let message = format!("{{\"@level\":\"{level}\",\"@message\":\"on\"");
            tail.push(format!("{message},\"@module\":\"outboard\"}}\n").as_bytes());
        }
        tail.push(b"{\"@level\":\"debug\",\"@message\":\"stopping\",\"@module\":\"outboard\"}");
        let expected = ["fatal: no cheese", "[ERROR] a handler", "[DEBUG] on"];
        assert_eq!(tail.lines(), expected);
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut tail = Tail::new(4, 64);
        for _ in 0..1000 {
            tail.push(&[b'x'; 50]);
            assert!(tail.held <= 64);
        }
        tail.push(b"\nlast\n");
        // A quarter of the bytes is all that one line gets.
        assert_eq!(tail.lines(), ["x".repeat(16).as_str(), "last"]);
        for _ in 0..1000 {
            tail.push(b"line\n");
        }
        assert_eq!(tail.lines().len(), 4);
        assert_eq!(tail.held, 16);
    }

    #[test]
    fn other_bytes_than_text_are_replaced() {
        let mut tail = Tail::new(4, 64);
        tail.push(b"a\xffb\n");
        assert_eq!(tail.lines(), ["a\u{fffd}b"]);
    }
}
