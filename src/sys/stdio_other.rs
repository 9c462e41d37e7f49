//! The plugin's claim on its standard streams, where descriptors cannot be redirected: the streams
//! stay as they are, and only the first line on stdout matters.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::windows::io::AsHandle as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outboard_core::rt::{BoxByteStream, SharedRuntime};

use super::events::Events;

/// There is nothing to wait for.
pub(crate) const FLUSH_PATIENCE: Duration = Duration::ZERO;

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
