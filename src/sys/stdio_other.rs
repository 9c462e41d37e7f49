//! The plugin's claim on its standard streams, where descriptors cannot be redirected: the streams
//! stay as they are, and only the first line on stdout matters.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::windows::io::AsHandle as _;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use outboard_core::rt::{BoxByteStream, SharedRuntime};

/// There is nothing to wait for.
pub(crate) const FLUSH_PATIENCE: Duration = Duration::ZERO;

/// Who is told what the watching thread sees.
#[allow(dead_code)]
pub(crate) trait Events: Send + Sync + 'static {
    /// The program printed.
    fn printed(&self, stream: Stream, bytes: &[u8]);
    /// The host is gone. Gives the time that the process may take to end by itself, or `None` if
    /// it need not.
    fn host_gone(&self) -> Option<Duration>;
    /// That time is over.
    fn orphaned(&self);
    /// The streams were given back, and all that was printed before that was told. Gives whether
    /// the host's death still matters.
    fn released(&self) -> bool;
    /// What was printed on stderr and will not be sent any more.
    fn unsent_stderr(&self) -> Vec<u8>;
    /// Whether lines of the log that the host does not take are kept; see the other functions.
    fn keeps_log(&self) -> bool {
        false
    }
    /// Keeps a line. Gives whom to wake once no lock is held.
    fn log(&self, _line: &[u8]) -> Option<Waker> {
        None
    }
    /// Keeps lines that are older than all that is kept.
    fn log_before_all(&self, _lines: &[u8]) {}
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
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The original standard streams.
#[derive(Debug)]
pub(crate) struct Claim {
    stdout: File,
    events: EventsOf,
}

/// Whom to tell.
struct EventsOf(Arc<dyn Events>);

impl std::fmt::Debug for EventsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

pub(crate) fn claim(events: Arc<dyn Events>, _output: Option<&Path>) -> io::Result<Claim> {
    let stdout = io::stdout().as_handle().try_clone_to_owned()?;
    Ok(Claim {
        stdout: stdout.into(),
        events: EventsOf(events),
    })
}

pub(crate) fn write_log(line: &[u8], _lasting: bool) -> io::Result<()> {
    io::stderr().lock().write_all(line)
}

/// Nobody tells.
pub(crate) fn log_is_unread() {}

impl Claim {
    /// Not told apart.
    pub(crate) fn is_held(&self) -> bool {
        true
    }

    pub(crate) fn announce(&self, line: &[u8]) -> io::Result<()> {
        (&self.stdout).write_all(line)
    }

    /// It stays as it is.
    pub(crate) fn capture_stderr(&self) {}

    pub(crate) fn release(&self) {
        let _unwatched = self.events.0.released();
    }

    /// Nothing is left to do.
    pub(crate) fn release_now(&self) {}
}

/// Not implemented where descriptors cannot be redirected.
pub(crate) fn take_pipes(_claim: &Claim, _runtime: &SharedRuntime) -> io::Result<BoxByteStream> {
    Err(io::ErrorKind::Unsupported.into())
}
