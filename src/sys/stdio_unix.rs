//! The plugin's claim on its standard streams.
//!
//! A plugin's stdout carries the handshake line and its stderr the log, and both must stay clean
//! of whatever the program, its threads, its children and C libraries print. So the descriptors
//! are duplicated to private ones, and 1 and 2 are made the writing ends of pipes of our own.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::watcher::{Watched, Watcher};

/// Who is told what the watching thread sees. Called on that thread.
pub(crate) trait Events: Send + Sync + 'static {
    /// The program printed. The call may wait a bounded time: the printing waits with it.
    fn printed(&self, stream: Stream, bytes: &[u8]);
    /// The host is gone. If the process still watches five seconds later, it is ended.
    fn host_gone(&self);
}

/// Which stream was printed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The original standard streams of a process whose descriptors 1 and 2 are captured.
#[derive(Debug)]
pub(crate) struct Claim {
    stdout: File,
    watcher: Mutex<Option<Watcher>>,
}

/// The original stderr, for logs and panics; set once, since loggers keep using it.
static LOG: OnceLock<File> = OnceLock::new();

/// Captures descriptors 1 and 2 of this process until [`Claim::release`].
///
/// # Errors
/// The system's error if descriptors or the watching thread cannot be made; the streams are then
/// as they were.
pub(crate) fn claim(events: Arc<dyn Events>) -> io::Result<Claim> {
    // Past the three standard numbers, also if some of those are closed.
    let private = |fd: rustix::fd::BorrowedFd<'_>| fcntl_dupfd_cloexec(fd, 3);
    let stdout = private(io::stdout().as_fd())?;
    let stderr = private(io::stderr().as_fd())?;
    let (out_reader, out_writer) = io::pipe()?;
    let (err_reader, err_writer) = io::pipe()?;
    let watcher = Watcher::start(
        Watched {
            captured: [out_reader, err_reader],
            stdout: stdout.try_clone()?,
            stderr: stderr.try_clone()?,
        },
        events,
    )?;
    let log = LOG.get_or_init(|| File::from(stderr));
    // What stands in the standard library's buffer belongs to the time before.
    let _flushed = io::stdout().flush();
    if let Err(error) = dup2_stdout(&out_writer).and_then(|()| dup2_stderr(&err_writer)) {
        let _back = dup2_stdout(&stdout).and_then(|()| dup2_stderr(log));
        return Err(error.into());
    }
    Ok(Claim {
        stdout: stdout.into(),
        watcher: Mutex::new(Some(watcher)),
    })
}

/// Appends one whole line to the log stream: the original stderr while the streams are captured,
/// the present one otherwise. One write call, so lines of several threads do not mix.
pub(crate) fn write_log(line: &[u8]) -> io::Result<()> {
    match LOG.get() {
        Some(mut log) => log.write_all(line),
        None => io::stderr().lock().write_all(line),
    }
}

impl Claim {
    /// The original stdout.
    pub(crate) fn stdout(&self) -> &File {
        &self.stdout
    }

    /// Gives descriptors 1 and 2 back. What was printed until now has been handed to
    /// [`Events::printed`] when this returns. A second call does nothing.
    pub(crate) fn release(&self) {
        let watcher = self
            .watcher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(watcher) = watcher else { return };
        let _flushed = io::stdout().flush();
        // If this fails the streams stay captured and unread, which harms nobody at the end.
        let _back = dup2_stdout(&self.stdout);
        if let Some(log) = LOG.get() {
            let _back = dup2_stderr(log);
        }
        watcher.stop();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

/// Takes descriptor 0 away from the program: it reads an empty input from now on.
///
/// # Errors
/// The system's error; stdin is then as it was.
#[allow(dead_code)]
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let stdin = fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(stdin)
}
