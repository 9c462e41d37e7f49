//! What the claim on the standard streams, and the thread that watches them, tell whoever has claimed them.

use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

/// How long a print, or a line of the log of a plugin that outlives its host, may wait for a host that lives and does
/// not read before something is dropped or kept. Long for a live reader, short for a handler that holds up the very
/// thread that would send. (A choice.)
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Who is told what the watching thread sees, on that thread, and who keeps lines of the log. Those functions are called
/// by whichever thread logs, under the log's lock: they take no lock but the backlog's.
pub(crate) trait Events: Send + Sync + 'static {
    /// The program printed. The call may wait a bounded time: the printing waits with it.
    fn printed(&self, stream: Stream, bytes: &[u8]);
    /// The host is gone. Gives the time that the process may take to end by itself, or `None` if
    /// it need not.
    fn host_gone(&self) -> Option<Duration>;
    /// That time is over, and the process still runs.
    fn orphaned(&self);
    /// The streams were given back, and all that was printed before that was told. Gives whether
    /// the host's death still matters.
    fn released(&self) -> bool;
    /// What was printed on stderr and will not be sent any more, since the process is ending. Waits
    /// for no lock.
    fn unsent_stderr(&self) -> Vec<u8>;
    /// Whether lines of the log that the host does not take are kept; see the other functions.
    fn keeps_log(&self) -> bool {
        false
    }
    /// Keeps a line. Gives whom to wake once no lock is held.
    fn log(&self, _line: &[u8]) -> Option<Waker> {
        None
    }
    /// Keeps lines that are older than all that is kept. Gives whom to wake, as [`log`](Self::log) does.
    fn log_before_all(&self, _lines: &[u8]) -> Option<Waker> {
        None
    }
    /// The oldest line that is kept and its number, and a line that says what is missing before it.
    fn first_logged(&self) -> Option<(Option<String>, i64, Bytes)> {
        None
    }
    /// The host has been told of what is missing.
    fn told_logged(&self) {}
    /// The host has that line.
    fn logged(&self, _number: i64) {}
}

/// Which stream was printed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}
