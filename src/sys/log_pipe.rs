//! The original stderr of a plugin, which takes its log, and what becomes of lines that nobody takes there.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use outboard_core::lock::{Mutex, Rank};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pipe::PIPE_BUF;

use super::anew::open_anew;
use super::events::{Events, PATIENCE};
use super::sigpipe;

/// A stream of whole lines: the log.
///
/// A plugin that goes with its host waits for it, as any program does whose stderr is not read. One that
/// outlives it does neither wait nor break: what the pipe does not take is kept with what was printed, for whoever
/// takes that, or for this pipe if its host reads after all.
///
/// ```text
///  Taking ── a line has waited for PATIENCE ──▶ Stalled (nothing waits) ── there is room ──▶ Taking, the
///     │                                            │                                kept lines first
///     └──────────── the host is gone ──────────────┴──▶ Gone (all is kept)
/// ```
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Held for a line: a pipe takes one that is longer than its free room in pieces.
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    keeper: Option<Arc<dyn Events>>,
    state: State,
    /// The last line that was written has no end.
    cut: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Taking,
    Stalled,
    Gone,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Why something was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unwritten {
    Full,
    Gone,
}

impl Log {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            line: Mutex::new(Rank::Process, Line::default()),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Who keeps what is not taken.
    pub(super) fn kept_by(&self, keeper: Arc<dyn Events>) {
        let before = self.line.lock().keeper.replace(keeper);
        drop(before);
    }

    /// Writes one whole line. Lines of several threads do not mix. One that is not `lasting` is of no use to
    /// a later host.
    ///
    /// # Errors
    /// The system's, where nobody keeps the line.
    pub(super) fn write_line(&self, line: &[u8], lasting: bool) -> io::Result<()> {
        let mut state = self.line.lock();
        let keeper = state.keeper.clone().filter(|keeper| keeper.keeps_log());
        let Some(keeper) = keeper else {
            return sigpipe::without(|| (&self.file).write_all(line));
        };
        let waker = self.write_or_keep(&mut state, &*keeper, line, lasting);
        drop(state);
        // Neither under the lock: both may be the last of something.
        drop(keeper);
        wake(waker);
        Ok(())
    }

    /// The host is gone, whoever may hold the other end of the pipe.
    pub(super) fn host_gone(&self) {
        self.with_keeper(|state, keeper| self.gone(state, keeper));
    }

    /// Writes what was kept, as far as its host takes that by now. Waits for [`PATIENCE`] at most.
    pub(super) fn flush(&self) {
        self.with_keeper(|state, keeper| {
            if state.state == State::Gone {
                return None;
            }
            match self.catch_up(state, keeper, Instant::now() + PATIENCE) {
                Err(Unwritten::Gone) => self.gone(state, keeper),
                Ok(()) | Err(Unwritten::Full) => None,
            }
        });
    }

    /// Does something under the lock, if somebody keeps lines, and wakes who is to be woken afterwards.
    fn with_keeper(&self, work: impl FnOnce(&mut Line, &dyn Events) -> Option<Waker>) {
        let mut state = self.line.lock();
        let keeper = state.keeper.clone().filter(|keeper| keeper.keeps_log());
        let waker = match &keeper {
            Some(keeper) => work(&mut state, &**keeper),
            None => None,
        };
        drop(state);
        drop(keeper);
        wake(waker);
    }

    fn write_or_keep(
        &self,
        state: &mut Line,
        keeper: &dyn Events,
        line: &[u8],
        lasting: bool,
    ) -> Option<Waker> {
        let mut waker = None;
        if state.state != State::Gone {
            let until = Instant::now() + PATIENCE;
            let written = self.catch_up(state, keeper, until);
            match written.and_then(|()| self.write(state, line, until)) {
                Ok(()) => return None,
                Err(Unwritten::Full) => state.state = State::Stalled,
                Err(Unwritten::Gone) => waker = self.gone(state, keeper),
            }
        }
        if lasting {
            waker = keeper.log(line).or(waker);
        }
        waker
    }

    /// Writes what was kept for want of room.
    fn catch_up(
        &self,
        state: &mut Line,
        keeper: &dyn Events,
        until: Instant,
    ) -> Result<(), Unwritten> {
        while let Some((missing, number, line)) = keeper.first_logged() {
            if let Some(missing) = missing {
                self.write(state, missing.as_bytes(), until)?;
                keeper.told_logged();
            }
            self.write(state, &line, until)?;
            keeper.logged(number);
        }
        Ok(())
    }

    fn write(&self, state: &mut Line, line: &[u8], until: Instant) -> Result<(), Unwritten> {
        if state.cut {
            self.write_some(state, b"\n", until)?;
            state.cut = false;
        }
        let mut left = line;
        while !left.is_empty() {
            match self.write_some(state, left, until) {
                Ok(count) => left = &left[count..],
                Err(unwritten) => {
                    // It is kept as a whole.
                    state.cut = left.len() < line.len();
                    return Err(unwritten);
                }
            }
        }
        Ok(())
    }

    /// Writes what fits for certain: a pipe that has room at all has some for so much.
    fn write_some(
        &self,
        state: &mut Line,
        bytes: &[u8],
        until: Instant,
    ) -> Result<usize, Unwritten> {
        loop {
            let wait = match state.state {
                State::Taking => until.saturating_duration_since(Instant::now()),
                State::Stalled | State::Gone => Duration::ZERO,
            };
            let wait = Timespec::try_from(wait).ok();
            let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
            match poll(&mut fds, wait.as_ref()) {
                Ok(0) => return Err(Unwritten::Full),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                // The system refuses to wait, most likely for want of memory.
                Err(_) => return Err(Unwritten::Full),
            }
            // Which of them it is depends on the system.
            let hung_up = PollFlags::ERR | PollFlags::HUP;
            if fds[0].revents().intersects(hung_up) {
                return Err(Unwritten::Gone);
            }
            let some = &bytes[..bytes.len().min(PIPE_BUF)];
            match sigpipe::without(|| (&self.file).write(some)) {
                Ok(0) => return Err(Unwritten::Full),
                Ok(count) => {
                    state.state = State::Taking;
                    return Ok(count);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                        return Err(Unwritten::Gone);
                    }
                    // A file system that is full, say: it has its time, and may be the next host's luck.
                    _ => return Err(Unwritten::Full),
                },
            }
        }
    }

    /// From now on all is kept, and before it what the host has not read.
    fn gone(&self, state: &mut Line, keeper: &dyn Events) -> Option<Waker> {
        if state.state == State::Gone {
            return None;
        }
        state.state = State::Gone;
        let mut unread = self.take_unread();
        if std::mem::take(&mut state.cut) {
            // The line that has begun there is kept as a whole.
            let whole = unread.iter().rposition(|byte| *byte == b'\n');
            unread.truncate(whole.map_or(0, |end| end + 1));
        }
        keeper.log_before_all(&unread)
    }

    /// What is in the pipe and nobody will read. (Linux; elsewhere it is lost.)
    fn take_unread(&self) -> Vec<u8> {
        /// What a pipe holds at most, unless somebody privileged asks for more.
        const MOST: usize = 1 << 20;
        let mut unread = Vec::new();
        let Some(own) = open_anew(&self.file, OFlags::RDONLY) else {
            return unread;
        };
        let mut own = File::from(own);
        let mut buffer = [0; 16 * 1024];
        while unread.len() < MOST {
            match own.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nothing more is there.
                Ok(0) | Err(_) => break,
                Ok(count) => unread.extend_from_slice(&buffer[..count]),
            }
        }
        unread
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
#[path = "log_pipe_tests.rs"]
mod tests;
