//! Any bytes from the peer during a handshake, in either role, cut anywhere: an error of bounded size, no
//! hang, no answer without end, and nobody let in.
#![no_main]

use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use futures_io::{AsyncRead, AsyncWrite};
use libfuzzer_sys::fuzz_target;
use outboard_tls::{Identity, KeyKind, Pinned, Tls};

/// Says what it was given, in pieces, and then ends.
struct Peer {
    said: Vec<u8>,
    at: usize,
    cut: usize,
    heard: usize,
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let rest = &self.said[self.at..];
        let count = rest.len().min(buf.len()).min(self.cut);
        buf[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.heard += buf.len();
        // A handshake's messages and alerts, which do not grow with what comes.
        assert!(self.heard < 16 * 1024, "{} bytes in answer", self.heard);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One configuration for all inputs: making keys is what takes the time.
fn tls() -> &'static Tls {
    static TLS: OnceLock<Tls> = OnceLock::new();
    TLS.get_or_init(|| {
        let made = Identity::generate(KeyKind::P256, SystemTime::now()).expect("a certificate");
        let peer = Pinned::from_der(made.der()).expect("a certificate");
        Tls::pinned(&made, &peer).expect("a configuration")
    })
}

fuzz_target!(|input: (bool, bool, u8, &[u8])| {
    let (connects, alpn, cut, said) = input;
    let peer = Box::new(Peer {
        said: said.to_vec(),
        at: 0,
        cut: usize::from(cut).max(1),
        heard: 0,
    });
    let alpn = alpn.then_some("h2");
    let mut secured = match connects {
        true => tls().connect(peer, alpn),
        false => tls().accept(peer, alpn),
    };
    let mut cx = Context::from_waker(Waker::noop());
    // The peer never makes anybody wait, and nobody can sign for the pinned key but us.
    match secured.as_mut().poll(&mut cx) {
        Poll::Ready(Err(error)) => assert!(error.to_string().len() < 1_000),
        Poll::Ready(Ok(_)) => panic!("a stranger is let in"),
        Poll::Pending => panic!("nothing to wait for"),
    }
});
