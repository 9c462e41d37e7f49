//! Streams in memory, and sides to put at their ends.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod strangers;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::SystemTime;

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::BoxByteStream;
use outboard_tls::rustls::SupportedProtocolVersion;
use outboard_tls::rustls::version::{TLS12, TLS13};
use outboard_tls::{Identity, KeyKind, Pinned, Tls};

pub(crate) const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&TLS13], &[&TLS12]];
pub(crate) const KINDS: [KeyKind; 4] = [
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::P521,
    KeyKind::Ed25519,
];

/// One direction.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    reads: usize,
    writes: usize,
    total: u64,
    /// How many bytes pass before the direction ends.
    passes: Option<u64>,
}

/// What a direction holds and how much one call moves.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) holds: usize,
    pub(crate) at_once: usize,
}

impl Limits {
    pub(crate) const WIDE: Self = Self {
        holds: 1 << 20,
        at_once: usize::MAX,
    };
    pub(crate) const BYTE: Self = Self {
        holds: 1,
        at_once: 1,
    };
    pub(crate) const NARROW: Self = Self {
        holds: 777,
        at_once: 333,
    };
}

/// One end of a stream in memory. Dropped, it ends both directions without a word.
pub(crate) struct End {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
    limits: Limits,
}

/// Looks at one direction and cuts it.
#[derive(Clone)]
pub(crate) struct Tap(Arc<Mutex<Pipe>>);

impl Tap {
    /// Lets `count` bytes pass and ends the direction then.
    pub(crate) fn cut_after(&self, count: u64) {
        self.0.lock().expect("no panic").passes = Some(count);
    }

    /// Puts bytes into it that nobody has written.
    pub(crate) fn inject(&self, bytes: &[u8]) {
        let mut pipe = self.0.lock().expect("no panic");
        pipe.bytes.extend(bytes);
        wake(&mut pipe.reader);
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.lock().expect("no panic").total
    }

    pub(crate) fn calls(&self) -> (usize, usize) {
        let pipe = self.0.lock().expect("no panic");
        (pipe.reads, pipe.writes)
    }
}

pub(crate) fn pair(limits: Limits) -> (End, End) {
    let [one, other] = [(); 2].map(|()| Arc::new(Mutex::new(Pipe::default())));
    let end = |incoming: &Arc<Mutex<Pipe>>, outgoing: &Arc<Mutex<Pipe>>| End {
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
        limits,
    };
    (end(&one, &other), end(&other, &one))
}

impl End {
    pub(crate) fn outgoing(&self) -> Tap {
        Tap(Arc::clone(&self.outgoing))
    }

    pub(crate) fn boxed(self) -> BoxByteStream {
        Box::new(self)
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.incoming.lock().expect("no panic");
        if pipe.bytes.is_empty() {
            if pipe.ended {
                return Poll::Ready(Ok(0));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.reads += 1;
        let count = buf.len().min(pipe.bytes.len()).min(self.limits.at_once);
        for byte in &mut buf[..count] {
            *byte = pipe.bytes.pop_front().expect("counted");
        }
        wake(&mut pipe.writer);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.outgoing.lock().expect("no panic");
        if pipe.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = self.limits.holds.saturating_sub(pipe.bytes.len());
        let count = buf.len().min(room).min(self.limits.at_once);
        if count == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.writes += 1;
        let passes = pipe.passes.map_or(count as u64, |most| {
            most.min(pipe.total + count as u64) - pipe.total.min(most)
        });
        pipe.total += count as u64;
        pipe.bytes
            .extend(&buf[..usize::try_from(passes).expect("below a count")]);
        if pipe.passes.is_some_and(|most| pipe.total >= most) {
            // The writer is not told at once, as with sockets.
            pipe.ended = true;
        }
        wake(&mut pipe.reader);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.outgoing.lock().expect("no panic");
        pipe.ended = true;
        wake(&mut pipe.reader);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for pipe in [&self.incoming, &self.outgoing] {
            let mut pipe = pipe.lock().expect("no panic");
            pipe.ended = true;
            wake(&mut pipe.reader);
            wake(&mut pipe.writer);
        }
    }
}

pub(crate) fn identity(kind: KeyKind) -> Identity {
    Identity::generate(kind, SystemTime::now()).expect("a certificate")
}

pub(crate) fn pinned(identity: &Identity) -> Pinned {
    Pinned::from_der(identity.der()).expect("a certificate")
}

/// Host and plugin that know each other.
pub(crate) fn sides(kind: KeyKind, versions: &[&'static SupportedProtocolVersion]) -> (Tls, Tls) {
    let (host, plugin) = (identity(kind), identity(kind));
    (
        Tls::pinned_with(&host, &pinned(&plugin), versions).expect("a configuration"),
        Tls::pinned_with(&plugin, &pinned(&host), versions).expect("a configuration"),
    )
}

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
