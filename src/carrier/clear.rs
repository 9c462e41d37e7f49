//! The calling side of a stream in the clear, which notices that the other side expects TLS.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::BoxByteStream;

/// A stream that looks at the first bytes that come: who expects TLS answers what is no TLS with an
/// alert (RFC 8446, section 6), or hangs up.
pub(super) struct Clear {
    io: BoxByteStream,
    /// Whether anything has come.
    heard: bool,
}

/// The first byte of an alert and of a handshake message, and the second of both.
const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;
const VERSION: u8 = 0x03;

impl Clear {
    pub(super) fn over(io: BoxByteStream) -> BoxByteStream {
        Box::new(Self { io, heard: false })
    }

    /// Looks at the `read` bytes that have come first.
    fn look(&mut self, read: usize, start: [u8; 2]) -> io::Result<usize> {
        self.heard = true;
        if read >= 2 && matches!(start, [ALERT | HANDSHAKE, VERSION]) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "TLS: the plugin speaks it, and this host does not; if the plugin has TLS of its own, \
                 give the host the same (Host::tls)",
            ));
        }
        if read == 0 {
            return Err(hung_up(io::ErrorKind::UnexpectedEof));
        }
        Ok(read)
    }

    /// Why a write failed, where the other side has said so before it hung up: whether that is read first
    /// is a matter of who is faster.
    fn explain(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        if self.heard {
            return error;
        }
        let mut start = [0; 2];
        match Pin::new(&mut self.io).poll_read(cx, &mut start) {
            Poll::Ready(Ok(read)) => self.look(read, start).err().unwrap_or(error),
            Poll::Ready(Err(_)) | Poll::Pending => cut_off(error),
        }
    }
}

/// What an error may mean that comes before anything has.
fn cut_off(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ (io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted) => hung_up(kind),
        _ => error,
    }
}

fn hung_up(kind: io::ErrorKind) -> io::Error {
    let text = format!(
        "the plugin hung up before it sent anything ({kind}); if it expects TLS, give the host the same \
         (Host::tls)"
    );
    io::Error::new(kind, text)
}

impl AsyncRead for Clear {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        let read = read.map_err(|error| if self.heard { error } else { cut_off(error) })?;
        if self.heard || buf.is_empty() {
            return Poll::Ready(Ok(read));
        }
        let first = |at| buf.get(at).copied().unwrap_or_default();
        Poll::Ready(self.look(read, [first(0), first(1)]))
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.heard {
            return Pin::new(&mut self.io).poll_read_vectored(cx, bufs);
        }
        match bufs.iter_mut().find(|buf| !buf.is_empty()) {
            Some(buf) => self.poll_read(cx, buf),
            None => Poll::Ready(Ok(0)),
        }
    }
}

impl AsyncWrite for Clear {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes));
        Poll::Ready(written.map_err(|error| self.explain(cx, error)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices));
        Poll::Ready(written.map_err(|error| self.explain(cx, error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.io).poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| self.explain(cx, error)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _, Cursor};

    use super::*;

    fn first(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut io = Clear::over(Box::new(Cursor::new(bytes.to_vec())));
        let mut all = Vec::new();
        let read = io.read_to_end(&mut all).now_or_never();
        read.expect("it never waits").map(|_| all)
    }

    /// Nothing can be written to it any more, and it has said this, or what it said is lost.
    struct Broken(Option<Cursor<Vec<u8>>>);

    impl AsyncRead for Broken {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            match &mut self.0 {
                Some(said) => Pin::new(said).poll_read(cx, buf),
                None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
    }

    impl AsyncWrite for Broken {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_write_that_fails_says_what_the_other_side_has_said() {
        for (said, word) in [
            (Some(&[ALERT, VERSION, 3, 0, 2, 2, 40][..]), "TLS: "),
            (Some(b""), "expects TLS"),
            (Some(b"HTTP"), "broken pipe"),
            (None, "expects TLS"),
        ] {
            let said = || said.map(|said| Cursor::new(said.to_vec()));
            let broken = || Clear::over(Box::new(Broken(said())));
            let written = broken().write(b"hello").now_or_never();
            let flushed = broken().flush().now_or_never();
            let errors = [
                written.expect("it never waits").err(),
                flushed.expect("it never waits").err(),
            ];
            for error in errors {
                let error = error.expect("it is broken").to_string();
                assert!(error.contains(word), "{word}: {error}");
            }
        }
        let read = Clear::over(Box::new(Broken(None)))
            .read(&mut [0])
            .now_or_never();
        let error = read.expect("it never waits").expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(error.to_string().contains("expects TLS"), "{error}");
    }

    #[test]
    fn whoever_expects_tls_is_found_out_by_the_first_bytes() {
        let error = first(&[ALERT, VERSION, 3, 0, 2, 2, 40]).expect_err("an alert");
        assert!(error.to_string().starts_with("TLS: "), "{error}");
        let error = first(b"").expect_err("it hung up");
        assert!(error.to_string().contains("expects TLS"), "{error}");
        // An empty SETTINGS frame.
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        assert_eq!(first(&settings).expect("HTTP/2"), settings);
    }
}
