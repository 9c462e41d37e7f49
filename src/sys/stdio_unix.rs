//! The plugin's claim on its standard streams.
//!
//! A plugin's stdout carries the handshake line and its stderr the log, and both must stay clean
//! of whatever the program, its threads, its children and C libraries print. So the descriptors
//! are duplicated to private ones, and 1 and 2 are made the writing ends of other pipes: of those that
//! the host has made for it, where it has (see [`direct`]), otherwise of our own.

use std::fs::File;
use std::io::{self, IsTerminal as _, PipeWriter, Write as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Condvar, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rt::{BoxByteStream, BoxReader, BoxWriter, Joined, SharedRuntime};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{fcntl_dupfd_cloexec, ioctl_fionbio};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::anew::open_anew;
use super::events::Events;
use super::log_pipe::Log;
use super::watcher::{Watched, Watcher};
use super::{direct, last_words, sigpipe, threaded};

/// The original standard streams of a process whose descriptors 1 and 2 are captured. Dropping it
/// gives them back.
#[derive(Debug)]
pub(crate) struct Claim(Arc<Captured>);

#[derive(Debug)]
struct Captured {
    stdout: File,
    held: bool,
    state: Mutex<State>,
    /// Told when the streams were given back.
    restored: Condvar,
}

#[derive(Debug)]
struct State {
    watcher: Option<Watcher>,
    /// The pipe that descriptor 2 is to become the end of.
    stderr: Option<PipeWriter>,
    releasing: bool,
    /// The original stdout is a transport's: it is not given back.
    stdout_taken: bool,
}

/// How long the standard library's buffer may take to be written. The lock on stdout is all that can
/// hold it up, and a thread of the program may hold that for ever. (A choice: far more than any
/// print takes, and a small part of the time that a host waits for a plugin's end.)
pub(crate) const FLUSH_PATIENCE: Duration = Duration::from_millis(200);

/// The original stderr, for logs and panics; set once, since loggers keep using it.
static LOG: OnceLock<Log> = OnceLock::new();

/// Captures the descriptors 1 and 2 of this process until [`Claim::release`], for the pipes in
/// `output` if the host has made some there. Without them descriptor 2 follows only with
/// [`Claim::capture_stderr`]: as long as nobody can be sent what the program writes there, the
/// original one is the better place for it.
///
/// # Errors
/// The system's error if descriptors or the watching thread cannot be made; the streams are then
/// as they were.
pub(crate) fn claim(events: Arc<dyn Events>, output: Option<&Path>) -> io::Result<Claim> {
    let held = can_hang_up(io::stdout()) && !io::stderr().is_terminal();
    // Past the three standard numbers, also if some of those are closed.
    let private = |fd: rustix::fd::BorrowedFd<'_>| fcntl_dupfd_cloexec(fd, 3);
    let stdout = private(io::stdout().as_fd())?;
    let stderr = private(io::stderr().as_fd())?;
    let direct = output.and_then(|dir| direct::take(dir).ok());
    let (is_direct, [out, err]) = match direct {
        Some(taken) => (true, taken.map(|pipe| (pipe.reader, pipe.writer))),
        None => (false, [io::pipe()?, io::pipe()?]),
    };
    let err_rest = if is_direct {
        None
    } else {
        // Two read from it: what one has seen the other may have taken.
        ioctl_fionbio(&err.0, true)?;
        Some(err.0.try_clone()?)
    };
    let watcher = Watcher::start(
        Watched {
            captured: [out.0, err.0],
            direct: is_direct,
            stdout: stdout.try_clone()?,
            stderr: stderr.try_clone()?,
        },
        Arc::clone(&events),
    )?;
    let log = LOG.get_or_init(|| Log::new(File::from(stderr)));
    log.kept_by(Arc::clone(&events));
    // What stands in the standard library's buffer belongs to the time before.
    let _flushed = sigpipe::without(|| io::stdout().flush());
    let own_stdout = stdout.try_clone()?.into();
    dup2_stdout(&out.1)?;
    // Whoever has made them reads them from the start.
    let later = if is_direct && dup2_stderr(&err.1).is_ok() {
        None
    } else {
        Some(err.1)
    };
    last_words::begin(own_stdout, err_rest, events);
    Ok(Claim(Arc::new(Captured {
        stdout: stdout.into(),
        held,
        state: Mutex::new(
            Rank::Process,
            State {
                watcher: Some(watcher),
                stderr: later,
                releasing: false,
                stdout_taken: false,
            },
        ),
        restored: Condvar::new(),
    })))
}

/// Appends one whole line to the log stream: the original stderr once the streams were captured,
/// the present one before that. Lines of several threads do not mix. One that is not `lasting` is of no use
/// to a host that comes later.
pub(crate) fn write_log(line: &[u8], lasting: bool) -> io::Result<()> {
    match LOG.get() {
        Some(log) => log.write_line(line, lasting),
        None => sigpipe::without(|| io::stderr().lock().write_all(line)),
    }
}

/// The host is gone, and with it who reads the log.
pub(crate) fn log_is_unread() {
    if let Some(log) = LOG.get() {
        log.host_gone();
    }
}

/// Whether this stream tells when who holds its other end is gone: files and terminals do not.
pub(super) fn can_hang_up(stream: impl AsFd) -> bool {
    fstat(stream).is_ok_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::Fifo | FileType::Socket
        )
    })
}

impl Claim {
    /// Whether a host seems to hold the other ends of the streams. At a terminal, or with the
    /// output in a file, it is somebody who started the program by hand.
    pub(crate) fn is_held(&self) -> bool {
        self.0.held
    }

    /// Writes the handshake line to the original stdout.
    pub(crate) fn announce(&self, line: &[u8]) -> io::Result<()> {
        last_words::announced();
        sigpipe::without(|| (&self.0.stdout).write_all(line))
    }

    /// Captures descriptor 2 as well, if it is not yet. If that fails, it stays as it is.
    pub(crate) fn capture_stderr(&self) {
        let mut state = self.0.lock();
        if let Some(writer) = state.stderr.take()
            && !state.releasing
        {
            let _as_it_is = dup2_stderr(&writer);
        }
    }

    /// Begins to give descriptors 1 and 2 back, and returns at once. When that is done,
    /// [`Events::released`] is called. A second call does nothing.
    ///
    /// After [`take_pipes`] descriptor 1 becomes the original stderr: the transport has frames to
    /// send to the very end, and whatever still prints must not get between them.
    pub(crate) fn release(&self) {
        {
            let mut state = self.0.lock();
            if std::mem::replace(&mut state.releasing, true) {
                return;
            }
        }
        let captured = Arc::clone(&self.0);
        // Not on this thread, which may be all that the runtime has, nor on the watching one, which
        // must read on: the lock may be held by who waits for room in the pipe.
        let releasing = thread::Builder::new()
            .name("outboard-release".to_owned())
            .spawn(move || {
                let _flushed = io::stdout().flush();
                if let Some(log) = LOG.get() {
                    log.flush();
                }
                captured.restore();
            });
        if releasing.is_err() {
            self.0.restore();
        }
    }

    /// Gives the descriptors back although the standard library's buffer is not written yet; for
    /// when [`FLUSH_PATIENCE`] is over.
    pub(crate) fn release_now(&self) {
        self.0.restore();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
        let captured = &self.0;
        let waits = |state: &mut State| state.watcher.is_some();
        drop(captured.lock().wait(|state| {
            let limit = FLUSH_PATIENCE;
            let waited = captured.restored.wait_timeout_while(state, limit, waits);
            waited.unwrap_or_else(PoisonError::into_inner).0
        }));
        captured.restore();
    }
}

impl Captured {
    fn restore(&self) {
        let mut state = self.lock();
        let Some(watcher) = state.watcher.take() else {
            return;
        };
        // If this fails the streams stay captured and unread, which harms nobody at the end.
        let log = LOG.get();
        let stdout = if state.stdout_taken {
            log.map(Log::file)
        } else {
            Some(&self.stdout)
        };
        if let Some(stdout) = stdout {
            let _back = dup2_stdout(stdout);
        }
        if let Some(log) = log {
            let _back = dup2_stderr(log.file());
        }
        drop(state);
        drop(watcher);
        self.restored.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Takes stdin and the claimed stdout as a stream of bytes, for a transport that runs over them.
/// The program reads an empty input on descriptor 0 from now on.
///
/// # Errors
/// The system's error; stdin is then as it was.
pub(crate) fn take_pipes(claim: &Claim, runtime: &SharedRuntime) -> io::Result<BoxByteStream> {
    let stdin = fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    let stdout = claim.0.stdout.try_clone()?;
    let reader: BoxReader = match open_anew(&stdin, OFlags::RDONLY) {
        Some(own) => runtime.descriptors()?.pipe_reader(own.into())?,
        None => Box::new(threaded::Reader::new(File::from(stdin))?),
    };
    let writer: BoxWriter = match open_anew(&stdout, OFlags::WRONLY) {
        Some(own) => runtime.descriptors()?.pipe_writer(own.into())?,
        None => Box::new(threaded::Writer::new(stdout)?),
    };
    dup2_stdin(File::open("/dev/null")?)?;
    claim.0.lock().stdout_taken = true;
    Ok(Box::new(Joined::new(reader, writer)))
}
