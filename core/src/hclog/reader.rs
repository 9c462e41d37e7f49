//! stderr in, records and raw bytes out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::record::{TextLine, parse_json};
use super::{DEFAULT_BUFFER, Kind, Level, LineAssembler, Piece, Record};

/// A panic block is complete when nothing was added to it for this long. A guess: a dying program
/// writes its stack at once, in well under a millisecond.
const QUIET: Duration = Duration::from_millis(100);

/// A panic block is handed out this long after its first line, whatever follows, so that a program
/// that talks on after a panic is not held up.
const LONGEST: Duration = Duration::from_secs(1);

/// The most bytes in one panic block; what follows starts another record. As long as the longest
/// line, so that no record is longer than any other.
const MAX_BLOCK: usize = DEFAULT_BUFFER;

/// What a [`LogReader`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogOptions {
    /// The buffer in bytes that a line must fit to be parsed: [`DEFAULT_BUFFER`], at least
    /// [`MIN_BUFFER`](super::MIN_BUFFER).
    pub buffer: usize,
    /// Whether records are made. Without it nothing is parsed.
    pub records: bool,
    /// Whether the raw bytes are handed out.
    pub raw: bool,
    /// Whether the lines of a panic are gathered into one record. Without it each is a record of
    /// its own, at error level, as in go-plugin.
    pub gather_panics: bool,
}

/// Records, with panics gathered, and no raw bytes.
impl Default for LogOptions {
    fn default() -> Self {
        Self {
            buffer: DEFAULT_BUFFER,
            records: true,
            raw: false,
            gather_panics: true,
        }
    }
}

impl LogOptions {
    /// Raw bytes only: nothing is parsed.
    #[must_use]
    pub fn raw_only() -> Self {
        Self {
            records: false,
            raw: true,
            ..Self::default()
        }
    }

    /// Hands out the raw bytes, too.
    #[must_use]
    pub fn with_raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// Sets the buffer.
    #[must_use]
    pub fn with_buffer(mut self, buffer: usize) -> Self {
        self.buffer = buffer;
        self
    }

    /// Gathers panics, or does not.
    #[must_use]
    pub fn gathering_panics(mut self, gather: bool) -> Self {
        self.gather_panics = gather;
        self
    }
}

/// Turns a plugin's stderr into records.
///
/// `handle_*` methods take what comes from outside; after each, drain
/// [`poll_record`](Self::poll_record) and [`poll_raw`](Self::poll_raw), and arm a timer for
/// [`poll_timeout`](Self::poll_timeout). Not draining costs memory and nothing else.
///
/// Lines get their level as go-plugin gives it: a line that begins `panic: ` or `fatal error: `
/// starts panic mode, in which all further plain lines are errors, up to the end of the stream.
/// On top of that, plain lines of a panic that follow each other are gathered into one record. It
/// is complete when a line comes that is not part of it, after 100 ms without another line, after
/// one second in all, at 64 KiB, on [`flush`](Self::flush), and at the end of the stream. No line
/// is lost or put in another place.
#[derive(Debug)]
pub struct LogReader {
    assembler: LineAssembler,
    sorter: Sorter,
}

/// What becomes of the pieces.
#[derive(Debug)]
struct Sorter {
    options: LogOptions,
    panicking: bool,
    block: Option<Block>,
    records: VecDeque<Record>,
    raw: Vec<u8>,
}

/// Lines of a panic that wait for more.
#[derive(Debug)]
struct Block {
    text: String,
    first: Instant,
    last: Instant,
}

impl Block {
    fn deadline(&self) -> Instant {
        (self.last + QUIET).min(self.first + LONGEST)
    }
}

impl LogReader {
    /// A reader at the beginning of a stream.
    #[must_use]
    pub fn new(options: LogOptions) -> Self {
        Self {
            assembler: LineAssembler::new(options.buffer),
            sorter: Sorter {
                options,
                panicking: false,
                block: None,
                records: VecDeque::new(),
                raw: Vec::new(),
            },
        }
    }

    /// Takes the next bytes of stderr, in portions of any size.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        let Self { assembler, sorter } = self;
        assembler.push(bytes, |piece| sorter.take(now, piece));
    }

    /// Tells that stderr ended. What is held comes out.
    pub fn handle_closed(&mut self, now: Instant) {
        let Self { assembler, sorter } = self;
        assembler.finish(|piece| sorter.take(now, piece));
        sorter.flush();
    }

    /// Tells that time passed. Completes a panic block that has waited long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.sorter.flush();
        }
    }

    /// Completes a panic block that waits for more, for example when the process has ended and its
    /// stderr is still held open by another.
    pub fn flush(&mut self) {
        self.sorter.flush();
    }

    /// The next record.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.sorter.records.pop_front()
    }

    /// The raw bytes since the last call, if there are any: what the plugin wrote, except a CR
    /// before an LF, and an LF is added to a last line without one. A line appears when it is
    /// complete or fills the buffer.
    pub fn poll_raw(&mut self) -> Option<Vec<u8>> {
        if self.sorter.raw.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.sorter.raw))
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sorter.block.as_ref().map(Block::deadline)
    }

    /// The beginning of a line whose end has not come.
    #[must_use]
    pub fn partial_line(&self) -> &[u8] {
        self.assembler.partial_line()
    }
}

impl Default for LogReader {
    fn default() -> Self {
        Self::new(LogOptions::default())
    }
}

impl Sorter {
    fn take(&mut self, now: Instant, piece: Piece<'_>) {
        if self.options.raw {
            piece.write_raw(&mut self.raw);
        }
        if !self.options.records {
            return;
        }
        let text = String::from_utf8_lossy(piece.bytes);
        if !piece.whole {
            // The end of a long line may be empty; there is nothing to show then.
            if !text.is_empty() {
                self.push(Record::text(Level::Debug, text, Kind::Piece));
            }
            return;
        }
        if let Some(record) = parse_json(&text) {
            self.push(record);
            return;
        }
        match TextLine::of(&text) {
            TextLine::Prefixed(level) => self.push(Record::text(level, text, Kind::Text)),
            TextLine::PanicStart => {
                self.panicking = true;
                self.flush();
                self.gather(now, &text);
            }
            TextLine::Plain if self.panicking => self.gather(now, &text),
            TextLine::Plain => self.push(Record::text(Level::Debug, text, Kind::Text)),
        }
    }

    /// Adds a record behind what was gathered before it.
    fn push(&mut self, record: Record) {
        self.flush();
        self.records.push_back(record);
    }

    fn gather(&mut self, now: Instant, line: &str) {
        if !self.options.gather_panics {
            self.push(Record::text(Level::Error, line, Kind::Panic));
            return;
        }
        // Time decides the same whether or not the caller came back for the timeout.
        let ended = self.block.as_ref().is_some_and(|block| {
            block.deadline() <= now || block.text.len() + 1 + line.len() > MAX_BLOCK
        });
        if ended {
            self.flush();
        }
        if let Some(block) = &mut self.block {
            block.text.push('\n');
            block.text.push_str(line);
            block.last = now;
        } else {
            self.block = Some(Block {
                text: line.to_owned(),
                first: now,
                last: now,
            });
        }
    }

    fn flush(&mut self) {
        if let Some(block) = self.block.take() {
            self.records
                .push_back(Record::text(Level::Error, block.text, Kind::Panic));
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
