//! Finding the handshake line in the bytes a plugin writes to stdout.

use std::collections::VecDeque;

use super::error::QUOTED;
use super::{HandshakeError, Refusal, StrayEnd, line};
use crate::text::excerpt;

/// The longest line by default, in bytes without the LF. go-plugin's host reads lines up to this
/// size (Go's `bufio.Scanner`), so no plugin that works with it prints a longer one; a real line
/// with certificate has about 800 bytes.
const DEFAULT_LIMIT: usize = 64 * 1024;

/// Takes stdout in any pieces and returns the handshake line when it is complete.
///
/// The first line decides, whatever it is: that is go-plugin's rule. With
/// [`tolerate`](Self::tolerate) lines before it that do not look like a handshake are skipped and
/// reported. Memory is bounded by the line limit and, with tolerance, its byte limit.
///
/// An error is final: the reader keeps returning it, and the rest of stdout is the caller's.
///
/// ```
/// use outboard_core::handshake::{HandshakeReader, Progress};
///
/// let mut reader = HandshakeReader::new();
/// assert_eq!(reader.push(b"1|1|unix|/tmp/p|gr"), Ok(Progress::NeedMore));
/// assert_eq!(
///     reader.push(b"pc|\nhello"),
///     Ok(Progress::Line { line: b"1|1|unix|/tmp/p|grpc|".to_vec(), rest: b"hello" })
/// );
/// ```
#[derive(Clone, Debug)]
pub struct HandshakeReader {
    state: State,
    limit: usize,
    tolerance: Option<StrayTolerance>,
    seen: Strays,
    stray: VecDeque<Vec<u8>>,
}

/// How much output before the handshake line a reader puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StrayTolerance {
    /// The most lines.
    pub lines: usize,
    /// The most bytes in these lines, counted without line ends.
    pub bytes: usize,
}

impl StrayTolerance {
    /// So many lines with so many bytes in them.
    #[must_use]
    pub const fn new(lines: usize, bytes: usize) -> Self {
        Self { lines, bytes }
    }
}

/// What a piece of stdout brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The line is not complete; all bytes were taken.
    NeedMore,
    /// The handshake line, without its line end.
    Line {
        /// The line: go on with [`HostExpectation::check`](super::HostExpectation::check).
        line: Vec<u8>,
        /// What followed it in this piece: ordinary output, to be drained.
        rest: &'a [u8],
    },
    /// The line was returned before; nothing was taken.
    AfterLine(&'a [u8]),
}

#[derive(Clone, Debug)]
enum State {
    Reading(Vec<u8>),
    Done,
    Failed(HandshakeError),
}

#[derive(Clone, Debug, Default)]
struct Strays {
    lines: usize,
    bytes: usize,
    first: String,
}

impl HandshakeReader {
    /// A reader for lines up to 64 KiB, without tolerance for other lines.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Reading(Vec::new()),
            limit: DEFAULT_LIMIT,
            tolerance: None,
            seen: Strays::default(),
            stray: VecDeque::new(),
        }
    }

    /// Sets another limit for the length of a line, in bytes without the LF.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Puts up with lines before the handshake that do not look like one, for plugins that print a
    /// banner. go-plugin's hosts refuse such plugins, so this is off unless asked for.
    #[must_use]
    pub fn tolerate(mut self, tolerance: StrayTolerance) -> Self {
        self.tolerance = Some(tolerance);
        self
    }

    /// Takes a piece of stdout. Call [`poll_stray`](Self::poll_stray) afterwards if strays are
    /// tolerated.
    ///
    /// # Errors
    /// [`HandshakeError::LineTooLong`], or [`HandshakeError::OnlyStrayLines`] when the tolerance
    /// is used up.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> Result<Progress<'a>, HandshakeError> {
        let mut rest = bytes;
        loop {
            let line = match &mut self.state {
                State::Done => return Ok(Progress::AfterLine(rest)),
                State::Failed(error) => return Err(error.clone()),
                State::Reading(line) => line,
            };
            // One byte more than the limit is looked at, so that a line of just this length still
            // finds its LF, and the verdict does not depend on how the bytes were cut.
            let room = self.limit.saturating_add(1).saturating_sub(line.len());
            let room = room.min(rest.len());
            let Some(end) = memchr::memchr(b'\n', &rest[..room]) else {
                line.extend_from_slice(&rest[..room]);
                if line.len() > self.limit {
                    let error = HandshakeError::LineTooLong {
                        limit: self.limit,
                        start: excerpt(&line[..line.len().min(QUOTED)], QUOTED),
                    };
                    return Err(self.fail(error));
                }
                return Ok(Progress::NeedMore);
            };
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(line);
            if let Some(line) = self.judge(line)? {
                return Ok(Progress::Line { line, rest });
            }
        }
    }

    /// Tells the reader that stdout ended. A last line without LF counts as a line, as in
    /// go-plugin.
    ///
    /// Returns `None` if the line was returned before.
    ///
    /// # Errors
    /// [`HandshakeError::NoLine`] if nothing was printed, [`HandshakeError::OnlyStrayLines`] if
    /// nothing but strays was.
    pub fn finish(&mut self) -> Result<Option<Vec<u8>>, HandshakeError> {
        match &mut self.state {
            State::Done => return Ok(None),
            State::Failed(error) => return Err(error.clone()),
            State::Reading(line) if !line.is_empty() => {
                let line = std::mem::take(line);
                if let Some(line) = self.judge(line)? {
                    return Ok(Some(line));
                }
            }
            State::Reading(_) => {}
        }
        let error = if self.seen.lines == 0 {
            HandshakeError::NoLine
        } else {
            self.only_strays(StrayEnd::Closed)
        };
        Err(self.fail(error))
    }

    /// The next line that came before the handshake and was skipped, without its line end.
    pub fn poll_stray(&mut self) -> Option<Vec<u8>> {
        self.stray.pop_front()
    }

    /// What has been read of an unfinished line, for errors about plugins that hang.
    #[must_use]
    pub fn partial_line(&self) -> &[u8] {
        match &self.state {
            State::Reading(line) => line,
            State::Done | State::Failed(_) => &[],
        }
    }

    /// Returns a complete line if it is the one, else counts it among the strays.
    fn judge(&mut self, mut line: Vec<u8>) -> Result<Option<Vec<u8>>, HandshakeError> {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let Some(tolerance) = self.tolerance else {
            self.state = State::Done;
            return Ok(Some(line));
        };
        if line::looks_like_handshake(&line) || Refusal::parse(&line).is_some() {
            self.state = State::Done;
            return Ok(Some(line));
        }
        if self.seen.lines == 0 {
            self.seen.first = excerpt(&line, QUOTED);
        }
        self.seen.lines += 1;
        self.seen.bytes += line.len();
        // Even the line that is one too many is reported: it may explain the failure.
        self.stray.push_back(line);
        let why = if self.seen.lines > tolerance.lines {
            StrayEnd::TooManyLines(tolerance.lines)
        } else if self.seen.bytes > tolerance.bytes {
            StrayEnd::TooManyBytes(tolerance.bytes)
        } else {
            return Ok(None);
        };
        let error = self.only_strays(why);
        Err(self.fail(error))
    }

    fn only_strays(&self, why: StrayEnd) -> HandshakeError {
        HandshakeError::OnlyStrayLines {
            lines: self.seen.lines,
            first: self.seen.first.clone(),
            why,
        }
    }

    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        self.state = State::Failed(error.clone());
        error
    }
}

impl Default for HandshakeReader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
