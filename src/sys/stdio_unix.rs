//! The plugin's claim on its standard streams.
//!
//! A plugin's stdout carries the handshake line and its stderr the log, and both must stay clean
//! of whatever the program, its threads, its children and C libraries print. So the descriptors
//! are duplicated to private ones, and 1 and 2 are made the writing ends of pipes of our own.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use outboard_core::rt::{BoxByteStream, BoxReader, BoxWriter, SharedRuntime};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::joined::Joined;
use super::threaded;
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

/// Takes stdin and the claimed stdout as a stream of bytes, for a transport that runs over them.
/// The program reads an empty input on descriptor 0 from now on.
///
/// # Errors
/// The system's error; stdin is then as it was.
pub(crate) fn take_pipes(claim: &Claim, runtime: &SharedRuntime) -> io::Result<BoxByteStream> {
    let stdin = fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    let stdout = claim.stdout.try_clone()?;
    let reader: BoxReader = match open_anew(&stdin, OFlags::RDONLY) {
        Some(own) => runtime.pipe_reader(own.into())?,
        None => Box::new(threaded::Reader::new(File::from(stdin))?),
    };
    let writer: BoxWriter = match open_anew(&stdout, OFlags::WRONLY) {
        Some(own) => runtime.pipe_writer(own.into())?,
        None => Box::new(threaded::Writer::new(stdout)?),
    };
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(Box::new(Joined::new(Vec::new(), reader, writer)))
}

/// The same pipe under an open file description of our own: it may be set non-blocking without
/// touching those of whoever shares the inherited one. Only Linux can do this, and only for pipes,
/// with `/proc` in place.
fn open_anew(fd: &impl AsFd, access: OFlags) -> Option<OwnedFd> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return None;
    }
    let fd = fd.as_fd();
    let kind = FileType::from_raw_mode(fstat(fd).ok()?.st_mode);
    if kind != FileType::Fifo {
        return None;
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    open(path, access | OFlags::CLOEXEC, Mode::empty()).ok()
}
