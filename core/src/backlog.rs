//! What a plugin has printed and logged and nobody has taken yet: what is kept of it in bounded memory, what
//! is dropped and counted, and in which order it is given to whom.

mod missing;

use std::collections::VecDeque;

use bytes::Bytes;

pub use missing::{Lost, Missing};

/// Where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "whoever hands it on must know them all"
)]
pub enum Source {
    /// What was printed on stdout.
    Stdout,
    /// What was printed on stderr.
    Stderr,
    /// What was logged, in whole lines.
    Log,
}

/// The backlog of a plugin: the newest of what it printed and of what it logged, oldest first.
///
/// One takes at a time, the last to [begin](Self::begin): two would get random halves. Whatever comes when
/// there is no room pushes out the oldest of its kind: a flood of prints none of the log, and a
/// flood of the log no print. What was pushed out is [counted](Missing), and whoever takes is told of it first; but of
/// prints only once the host that has launched the plugin [is gone](Self::leave): as long as that lives, whoever
/// [pushes](Self::push) says so in the log at once.
///
/// ```text
///  nobody takes ── begin ──▶ taken ── nothing is taken, and something dropped ──▶ stalled
///       ▲                      │ ▲                                                   │
///       └──────── end ─────────┘ └───────────────────── take ────────────────────────┘
/// ```
///
/// Where somebody takes, a print had better wait for room ([`is_waited_for`](Self::is_waited_for)), but for
/// one that has stalled. What is logged waits for nobody.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// Bytes of each kind, with what their pieces cost.
    limit: usize,
    output: Share,
    log: Share,
    /// Of the next piece.
    number: i64,
    missing: Missing,
    /// Whether the last byte that was dropped of a source, and after which nothing was taken of it, ended
    /// no line. By [`index`].
    cut: [bool; 3],
    dropped: u64,
    /// What is being given.
    current: Option<Current>,
    taker: Option<u64>,
    takers: u64,
    apart: bool,
    /// Whether what the taker got of stderr ended no line.
    in_line: bool,
    stalled: bool,
    left: bool,
}

#[derive(Clone, Debug, Default)]
struct Share {
    pieces: VecDeque<Piece>,
    cost: usize,
}

#[derive(Clone, Debug)]
struct Piece {
    number: i64,
    source: Source,
    bytes: Bytes,
}

#[derive(Clone, Debug)]
struct Current {
    source: Source,
    bytes: Bytes,
    /// How much of it was given.
    given: usize,
}

/// What a piece costs beside its bytes, so that many tiny pieces are bounded too.
const PIECE: usize = 64;

const fn index(source: Source) -> usize {
    match source {
        Source::Stdout => 0,
        Source::Stderr => 1,
        Source::Log => 2,
    }
}

impl Backlog {
    /// The limit unless another is chosen: 1 MiB, enough that nothing printed before a host connects is
    /// lost in practice, little enough to lose in a plugin's memory. (A choice; go-plugin blocks the program
    /// after about 64 KiB instead.)
    pub const DEFAULT_LIMIT: usize = 1 << 20;

    /// The least limit: what is on its way to somebody who takes all needs some room. (A choice.)
    pub const MIN_LIMIT: usize = 4096;

    /// An empty one that keeps about `limit` bytes of what is printed, and as many of what is logged; at
    /// least [`MIN_LIMIT`](Self::MIN_LIMIT).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(Self::MIN_LIMIT),
            output: Share::default(),
            log: Share::default(),
            number: 0,
            missing: Missing::default(),
            cut: [false; 3],
            dropped: 0,
            current: None,
            taker: None,
            takers: 0,
            apart: false,
            in_line: false,
            stalled: false,
            left: false,
        }
    }

    /// Changes the limit. What is beyond it is dropped.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(Self::MIN_LIMIT);
        self.shrink(Source::Stdout);
        self.shrink(Source::Log);
    }

    /// How many bytes a print is best cut into: a fraction of the limit, and at least a kibibyte.
    #[must_use]
    pub const fn portion(&self) -> usize {
        self.limit / 4
    }

    /// The host that has launched the plugin is gone: from now on whoever takes is told what is missing.
    pub fn leave(&mut self) {
        self.left = true;
    }

    /// Whether [`leave`](Self::leave) was called.
    #[must_use]
    pub const fn is_left(&self) -> bool {
        self.left
    }

    /// Adds what was printed, or whole lines of what was logged. Gives how many bytes were dropped for that.
    pub fn push(&mut self, source: Source, bytes: &[u8]) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        if source == Source::Log && bytes.last() != Some(&b'\n') {
            return self.push(source, &ended(bytes));
        }
        let before = self.dropped;
        let number = self.number;
        self.number += 1;
        // What cannot stay is not copied, but what is older goes first.
        let most = self.limit - PIECE;
        let kept = if bytes.len() <= most {
            bytes
        } else {
            self.clear(source);
            let at = match source {
                // A part of a record is of no use.
                Source::Log => bytes.len(),
                Source::Stdout | Source::Stderr => cut_after(bytes, bytes.len() - most),
            };
            self.drop_of(source, &bytes[..at]);
            &bytes[at..]
        };
        if !kept.is_empty() {
            let share = self.share(source);
            share.cost += kept.len() + PIECE;
            share.pieces.push_back(Piece {
                number,
                source,
                bytes: Bytes::copy_from_slice(kept),
            });
            self.shrink(source);
            // The line may have been begun by what is gone.
            self.drop_rest_of_line(source);
        }
        let dropped = self.dropped - before;
        if dropped > 0 && source != Source::Log {
            self.stalled = true;
        }
        dropped
    }

    /// Adds lines of the log that are older than all there is.
    pub fn push_before_all(&mut self, lines: &[u8]) {
        let mut end = lines.len();
        while end > 0 {
            let begin = memchr::memrchr(b'\n', &lines[..end - 1]).map_or(0, |at| at + 1);
            let line = &lines[begin..end];
            if self.log.cost + line.len() + 1 + PIECE > self.limit {
                break;
            }
            let line = if line.last() == Some(&b'\n') {
                Bytes::copy_from_slice(line)
            } else {
                ended(line).into()
            };
            self.log.cost += line.len() + PIECE;
            // Those of what was pushed behind are never below zero.
            let first = self.log.pieces.front().map_or(0, |piece| piece.number);
            self.log.pieces.push_front(Piece {
                number: first.min(0) - 1,
                source: Source::Log,
                bytes: line,
            });
            end = begin;
        }
        // What is missing already is not older than this: it is one gap all the same.
        self.drop_of(Source::Log, &lines[..end]);
        // Nothing goes on with the line that this may have cut.
        self.cut[index(Source::Log)] = false;
    }

    /// Whether what was printed can be added without dropping anything.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.output.cost + bytes + PIECE <= self.limit
    }

    /// Whether a print that finds no room should wait: somebody takes, and has not stalled.
    #[must_use]
    pub const fn is_waited_for(&self) -> bool {
        self.taker.is_some() && !self.stalled
    }

    /// Somebody takes from now on, in place of whoever did. `apart` says whether lines of the log come as
    /// those, or on stderr. A line of the log that the one before got a part of comes as a whole.
    pub fn begin(&mut self, apart: bool) -> u64 {
        self.takers += 1;
        self.taker = Some(self.takers);
        self.apart = apart;
        self.stalled = false;
        self.in_line = false;
        if let Some(current) = &mut self.current
            && current.source == Source::Log
        {
            current.given = 0;
        }
        self.takers
    }

    /// Who began as `taker` takes no more. False if another has taken over.
    pub fn end(&mut self, taker: u64) -> bool {
        self.taker.take_if(|present| *present == taker).is_some()
    }

    /// Who takes, if anybody does.
    #[must_use]
    pub const fn taker(&self) -> Option<u64> {
        self.taker
    }

    /// Takes the oldest piece, of at most `most` bytes. `tell` makes the line that says what is missing.
    pub fn take(
        &mut self,
        most: usize,
        tell: impl FnOnce(&Missing) -> String,
    ) -> Option<(Source, Bytes)> {
        self.stalled = false;
        if self.current.is_none() {
            self.current = self.next(tell);
        }
        let current = self.current.as_mut()?;
        let mixed = current.source == Source::Log && !self.apart;
        if mixed && current.given == 0 && std::mem::take(&mut self.in_line) {
            // A record that begins in the midst of a line is none.
            return Some((Source::Stderr, Bytes::from_static(b"\n")));
        }
        let end = current.bytes.len().min(current.given + most.max(1));
        let bytes = current.bytes.slice(current.given..end);
        let source = if mixed {
            Source::Stderr
        } else {
            current.source
        };
        current.given = end;
        if end == current.bytes.len() {
            self.current = None;
        }
        if source == Source::Stderr {
            self.in_line = bytes.last() != Some(&b'\n');
        }
        Some((source, bytes))
    }

    fn next(&mut self, tell: impl FnOnce(&Missing) -> String) -> Option<Current> {
        let mut missing = std::mem::take(&mut self.missing);
        self.cut = [false; 3];
        if !self.left {
            // They were told of in the log.
            (missing.stdout, missing.stderr) = Default::default();
        }
        if !missing.is_nothing() {
            return Some(Current {
                source: Source::Log,
                bytes: tell(&missing).into(),
                given: 0,
            });
        }
        let number = |share: &Share| share.pieces.front().map(|piece| piece.number);
        let share = match (number(&self.output), number(&self.log)) {
            (Some(output), Some(log)) if log < output => &mut self.log,
            (Some(_), _) => &mut self.output,
            (None, _) => &mut self.log,
        };
        let piece = share.pieces.pop_front()?;
        share.cost -= piece.bytes.len() + PIECE;
        Some(Current {
            source: piece.source,
            bytes: piece.bytes,
            given: 0,
        })
    }

    /// The oldest line of the log, for the host that has launched the plugin and reads it after all; with its
    /// number for [`logged`](Self::logged), and before it the line of `tell` that says what is missing there.
    #[must_use]
    pub fn first_logged(
        &self,
        tell: impl FnOnce(&Missing) -> String,
    ) -> Option<(Option<String>, i64, Bytes)> {
        let first = self.log.pieces.front()?;
        let missing = Missing {
            log: self.missing.log,
            ..Missing::default()
        };
        let told = (!missing.is_nothing()).then(|| tell(&missing));
        Some((told, first.number, first.bytes.clone()))
    }

    /// That host was told what is missing before it.
    pub fn told_logged(&mut self) {
        self.missing.log = Lost::default();
        self.cut[index(Source::Log)] = false;
    }

    /// That line is with the host.
    pub fn logged(&mut self, number: i64) {
        if let Some(first) = self.log.pieces.front()
            && first.number == number
        {
            self.log.cost -= first.bytes.len() + PIECE;
            self.log.pieces.pop_front();
        }
    }

    /// Takes all that was printed on stderr.
    pub fn take_stderr(&mut self) -> Vec<u8> {
        let mut taken = Vec::new();
        if let Some(current) = &self.current
            && current.source == Source::Stderr
        {
            taken.extend_from_slice(&current.bytes[current.given..]);
            self.current = None;
        }
        let mut freed = 0;
        self.output.pieces.retain(|piece| {
            if piece.source != Source::Stderr {
                return true;
            }
            taken.extend_from_slice(&piece.bytes);
            freed += piece.bytes.len() + PIECE;
            false
        });
        self.output.cost -= freed;
        taken
    }

    const fn share(&mut self, source: Source) -> &mut Share {
        match source {
            Source::Stdout | Source::Stderr => &mut self.output,
            Source::Log => &mut self.log,
        }
    }

    /// Drops the oldest of what shares its room with `source` until that fits.
    fn shrink(&mut self, source: Source) {
        let limit = self.limit;
        loop {
            let share = self.share(source);
            let excess = share.cost.saturating_sub(limit);
            if excess == 0 {
                return;
            }
            let Some(front) = share.pieces.front_mut() else {
                return;
            };
            let at = match front.source {
                Source::Log => front.bytes.len(),
                Source::Stdout | Source::Stderr => cut_after(&front.bytes, excess),
            };
            let dropped = front.bytes.split_to(at);
            let (of, emptied) = (front.source, front.bytes.is_empty());
            share.cost -= at;
            if emptied {
                share.pieces.pop_front();
                share.cost -= PIECE;
            }
            self.drop_of(of, &dropped);
            self.drop_rest_of_line(of);
        }
    }

    /// Drops what is left of a line whose beginning was dropped, once its end is there and near: lines may be
    /// printed in parts.
    fn drop_rest_of_line(&mut self, source: Source) {
        /// Pieces that are looked at.
        const NEAR: usize = 16;
        if source == Source::Log || !self.cut[index(source)] {
            return;
        }
        let near = self.output.pieces.iter().take(NEAR).enumerate();
        let mut own = near.filter(|(_, piece)| piece.source == source);
        let Some((last, end)) =
            own.find_map(|(at, piece)| Some((at, memchr::memchr(b'\n', &piece.bytes)? + 1)))
        else {
            return;
        };
        for at in (0..=last).rev() {
            let Some(piece) = self.output.pieces.get_mut(at) else {
                continue;
            };
            if piece.source != source {
                continue;
            }
            let length = if at == last { end } else { piece.bytes.len() };
            let _dropped = piece.bytes.split_to(length);
            self.output.cost -= length;
            self.missing.get_mut(source).bytes += length as u64;
            self.dropped += length as u64;
            if piece.bytes.is_empty() {
                self.output.pieces.remove(at);
                self.output.cost -= PIECE;
            }
        }
        // The line was counted with its beginning.
        self.cut[index(source)] = false;
    }

    /// Drops all that shares its room with `source`.
    fn clear(&mut self, source: Source) {
        let share = std::mem::take(self.share(source));
        for piece in share.pieces {
            self.drop_of(piece.source, &piece.bytes);
        }
    }

    fn drop_of(&mut self, source: Source, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let ends = memchr::memchr_iter(b'\n', bytes).count() as u64;
        let begun = u64::from(*last != b'\n');
        let counted = u64::from(self.cut[index(source)]);
        self.cut[index(source)] = begun > 0;
        let lost = self.missing.get_mut(source);
        lost.bytes += bytes.len() as u64;
        lost.lines += ends + begun - counted;
        self.dropped += bytes.len() as u64;
    }
}

/// A line that was cut, with an end.
fn ended(line: &[u8]) -> Vec<u8> {
    [line, b"\n"].concat()
}

/// Where to cut so that at least so many bytes go: behind the end of a line, if there is one.
fn cut_after(bytes: &[u8], least: usize) -> usize {
    if least >= bytes.len() {
        return bytes.len();
    }
    let from = least.saturating_sub(1);
    memchr::memchr(b'\n', &bytes[from..]).map_or(least, |at| from + at + 1)
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
