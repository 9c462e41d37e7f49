//! What a stream said last, in bounded memory.

use std::collections::VecDeque;

use crate::hclog::{self, Kind};

/// Lines at the head of a panic that are kept beside the last ones: the message, where it happened,
/// and where a Go program's stack begins.
const HEAD_LINES: usize = 6;

/// The places of what has not ended in [`Tail::partial`].
const LOG: usize = 0;
const PRINTED: usize = 1;

/// Keeps the last lines of the bytes pushed into it, and the first ones of the last panic, which the
/// stack behind it would push out.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// Complete lines, without line ends, oldest first.
    lines: VecDeque<Vec<u8>>,
    /// The lines that have not ended yet, of the log and of what was printed beside it. Each is cut to
    /// a quarter of `max_bytes`, so that one long line does not push out all others.
    partial: [Vec<u8>; 2],
    /// Bytes in `lines` and `partial`.
    held: usize,
    /// Lines that are not blank so far.
    count: u64,
    head: Option<Head>,
    max_lines: usize,
    max_bytes: usize,
}

/// How a panic began.
#[derive(Clone, Debug)]
struct Head {
    lines: Vec<Vec<u8>>,
    /// The number of the first of them.
    first: u64,
    /// Bytes in `lines`.
    held: usize,
    /// Log records since: a program that writes these has survived.
    records: usize,
}

impl Tail {
    pub(super) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            partial: Default::default(),
            held: 0,
            count: 0,
            head: None,
            max_lines,
            max_bytes,
        }
    }

    /// Bytes of the stream that carries the log.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.push_on(LOG, bytes);
    }

    /// Bytes that were printed beside it: their lines do not mix with those of the log.
    pub(super) fn push_printed(&mut self, bytes: &[u8]) {
        self.push_on(PRINTED, bytes);
    }

    fn push_on(&mut self, stream: usize, mut bytes: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.extend(stream, &bytes[..end]);
            self.end_line(stream);
            bytes = &bytes[end + 1..];
        }
        self.extend(stream, bytes);
    }

    /// The lines, bytes that are not UTF-8 replaced: those at the head of a panic, how many are left
    /// out, and the last ones. Blank lines are left out: they say nothing and would push out lines
    /// that do.
    pub(super) fn lines(&self) -> Vec<String> {
        let last = || {
            let unended = self.partial.iter().map(|line| trim(line));
            unended.filter(|line| !line.is_empty() && !is_of_outboard(line))
        };
        let unended = last().count();
        let skip = (self.lines.len() + unended).saturating_sub(self.max_lines);
        let lines = self.lines.iter().map(Vec::as_slice).chain(last());
        let shown: Vec<String> = lines.skip(skip).map(readable).collect();
        let Some(head) = &self.head else {
            return shown;
        };
        // The number of the first line shown.
        let from = self.count + unended as u64 - shown.len() as u64;
        let before = from.saturating_sub(head.first);
        let missing = before.saturating_sub(head.lines.len() as u64);
        let of_head = usize::try_from(before).unwrap_or(usize::MAX);
        let mut text: Vec<String> = head
            .lines
            .iter()
            .take(of_head)
            .map(|l| readable(l))
            .collect();
        if missing > 0 {
            text.push(format!("[{missing} lines are left out]"));
        }
        text.extend(shown);
        text
    }

    /// What the last panic said, unless so much was logged since that it cannot be why the program
    /// ended.
    pub(super) fn panic(&self) -> Option<String> {
        let head = self.head.as_ref()?;
        let first = head.lines.first()?;
        let text = match (first.strip_prefix(b"panic: "), is_rust_panic(first)) {
            (Some(message), _) => message,
            // "fatal error: …" of Go's runtime.
            (None, false) => first,
            (None, true) => head.lines.get(1)?,
        };
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn extend(&mut self, stream: usize, bytes: &[u8]) {
        // The beginning of an overlong line says more than its end: that is where the reason stands.
        let longest = self.longest();
        let partial = &mut self.partial[stream];
        let room = longest.saturating_sub(partial.len());
        let taken = &bytes[..bytes.len().min(room)];
        partial.extend_from_slice(taken);
        self.held += taken.len();
        self.shrink();
    }

    fn longest(&self) -> usize {
        self.max_bytes / 4
    }

    fn end_line(&mut self, stream: usize) {
        let partial = &mut self.partial[stream];
        let line = trim(partial).to_vec();
        self.held -= partial.len();
        partial.clear();
        if !line.is_empty() && !is_of_outboard(&line) {
            self.keep_head(&line);
            self.count += 1;
            self.held += line.len();
            self.lines.push_back(line);
            self.shrink();
        }
    }

    fn keep_head(&mut self, line: &[u8]) {
        if is_panic(line) || is_rust_panic(line) {
            self.head = Some(Head {
                lines: Vec::new(),
                first: self.count,
                held: 0,
                records: 0,
            });
        }
        let (longest, max_lines) = (self.longest(), self.max_lines);
        let Some(head) = &mut self.head else {
            return;
        };
        if is_record(line) {
            head.records += 1;
            if head.records > max_lines {
                self.head = None;
            }
        } else if head.records == 0
            && head.lines.len() < HEAD_LINES
            && head.first + head.lines.len() as u64 == self.count
        {
            let room = longest.saturating_sub(head.held);
            let kept = &line[..line.len().min(room)];
            head.held += kept.len();
            head.lines.push(kept.to_vec());
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
    const MODULE: &[u8] = br#""@module":"outboard"#;
    /// What runs in a plugin. Crates of others may have such names, too.
    const CRATES: [&str; 7] = [
        "outboard",
        "outboard_core",
        "outboard_transport_h2",
        "outboard_transport_stdio",
        "outboard_runtime_tokio",
        "outboard_runtime_smol",
        "outboard_unix",
    ];
    if line.first() != Some(&b'{') || memchr::memmem::find(line, MODULE).is_none() {
        return false;
    }
    let record = hclog::parse(line);
    let of = record.module().and_then(|module| module.split("::").next());
    record.kind == Kind::Structured
        && of.is_some_and(|of| CRATES.contains(&of))
        && record.level < hclog::Level::Error
}

/// How Go's runtime begins, and outboard's plugins.
fn is_panic(line: &[u8]) -> bool {
    // Most lines need no closer look.
    matches!(line, [b'p' | b'f', ..]) && hclog::parse(line).kind == Kind::Panic
}

fn is_record(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start(), [b'{', ..]) && hclog::parse(line).kind == Kind::Structured
}

/// How a Rust program without a hook of its own begins to tell of a panic; the message is on the
/// next line. Newer compilers put the thread's number before the verb.
fn is_rust_panic(line: &[u8]) -> bool {
    line.starts_with(b"thread '") && memchr::memmem::find(line, b" panicked at ").is_some()
}

/// A line as people read it: of a log record the level, the message's first line and the pairs,
/// and anything else as it is.
fn readable(line: &[u8]) -> String {
    let record = hclog::parse(line);
    if record.kind != Kind::Structured {
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
#[path = "tail_tests.rs"]
mod tests;
