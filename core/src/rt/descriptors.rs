//! Descriptors of the system that somebody else has made.

use std::fmt;
use std::io;

#[cfg(unix)]
use super::BoxFuture;
use super::{BoxReader, BoxWriter};

/// What a [`Runtime`](super::Runtime) does with descriptors of the system that others have made: its
/// reactor tells when they are ready.
///
/// A plugin needs it for the pipes that it prints into, a host for the pipes of the processes that it
/// launches. All methods may be called from any thread for as long as the runtime lives.
pub trait Descriptors: Send + Sync + fmt::Debug {
    /// Takes over the reading end of a pipe that no other process reads from.
    ///
    /// The adapter may set it non-blocking, which also touches every other descriptor of the same
    /// end: hand over only pipes of one's own making.
    ///
    /// # Errors
    /// The system's error if the pipe cannot be registered with the runtime's reactor.
    fn pipe_reader(&self, pipe: io::PipeReader) -> io::Result<BoxReader>;

    /// Takes over the writing end of a pipe; see [`pipe_reader`](Self::pipe_reader). Closing the
    /// writer closes the descriptor, so that the reader sees the end.
    ///
    /// # Errors
    /// The system's error if the pipe cannot be registered with the runtime's reactor.
    fn pipe_writer(&self, pipe: io::PipeWriter) -> io::Result<BoxWriter>;

    /// Resolves when `fd` becomes readable or its other end is gone (hang-up, error).
    ///
    /// The descriptor's flags stay as they are and nothing is read: this is for descriptors that
    /// are watched and not used, such as a pidfd or the writing end of a pipe whose reader may die.
    ///
    /// # Errors
    /// The system's error if the descriptor cannot be watched (a regular file, for example).
    #[cfg(unix)]
    fn watch(&self, fd: std::os::fd::OwnedFd) -> io::Result<BoxFuture<'static, io::Result<()>>>;
}
