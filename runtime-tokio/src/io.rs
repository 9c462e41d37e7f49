//! futures-io streams over tokio's.

use std::io::{IoSlice, PipeReader, PipeWriter, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::{BoxReader, BoxWriter};
use tokio::io::ReadBuf;

/// A tokio stream as a futures-io stream. Vectored writes stay vectored.
pub(crate) struct Compat<T>(pub(crate) T);

impl<T: tokio::io::AsyncRead + Unpin> AsyncRead for Compat<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl<T: tokio::io::AsyncWrite + Unpin> AsyncWrite for Compat<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(unix)]
pub(crate) fn pipe_reader(pipe: PipeReader) -> Result<BoxReader> {
    use tokio::net::unix::pipe::Receiver;

    let pipe = Receiver::from_owned_fd(pipe.into())?;
    Ok(Box::new(Compat(pipe)))
}

#[cfg(unix)]
pub(crate) fn pipe_writer(pipe: PipeWriter) -> Result<BoxWriter> {
    use tokio::net::unix::pipe::Sender;

    let pipe = Sender::from_owned_fd(pipe.into())?;
    Ok(Box::new(Closing(Some(Compat(pipe)))))
}

/// Windows' anonymous pipes have no asynchronous mode; tokio's blocking threads do the work.
#[cfg(windows)]
pub(crate) fn pipe_reader(pipe: PipeReader) -> Result<BoxReader> {
    let file = std::fs::File::from(std::os::windows::io::OwnedHandle::from(pipe));
    Ok(Box::new(Compat(tokio::fs::File::from_std(file))))
}

#[cfg(windows)]
pub(crate) fn pipe_writer(pipe: PipeWriter) -> Result<BoxWriter> {
    let file = std::fs::File::from(std::os::windows::io::OwnedHandle::from(pipe));
    let file = tokio::fs::File::from_std(file);
    Ok(Box::new(Closing(Some(Compat(file)))))
}

/// Writes to a pipe without a SIGPIPE if its reader is gone.
#[cfg(unix)]
fn quietly(write: impl FnOnce() -> Poll<Result<usize>>) -> Poll<Result<usize>> {
    use outboard_unix::{is_broken, without_sigpipe};

    without_sigpipe(
        write,
        |poll| matches!(poll, Poll::Ready(written) if is_broken(written)),
    )
}

/// There are no signals.
#[cfg(windows)]
fn quietly(write: impl FnOnce() -> Poll<Result<usize>>) -> Poll<Result<usize>> {
    write()
}

/// A pipe has no half-close of its own: closing it closes the descriptor, so that the reader sees
/// the end.
pub(crate) struct Closing<T>(pub(crate) Option<T>);

impl<T: AsyncWrite + Unpin> Closing<T> {
    fn open(self: Pin<&mut Self>) -> Result<Pin<&mut T>> {
        match &mut self.get_mut().0 {
            Some(pipe) => Ok(Pin::new(pipe)),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Closing<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let pipe = self.open()?;
        quietly(|| pipe.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let pipe = self.open()?;
        quietly(|| pipe.poll_write_vectored(cx, bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.open()?.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(pipe) = &mut self.0 {
            ready!(Pin::new(pipe).poll_flush(cx))?;
            self.0 = None;
        }
        Poll::Ready(Ok(()))
    }
}
