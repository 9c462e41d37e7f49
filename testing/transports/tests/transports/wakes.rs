//! Whom a transport wakes who waits at the other end of its stream: under no lock.

use std::io::{self, IoSlice};
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt as _;
use futures_util::io::{AsyncRead, AsyncWrite};
use outboard_core::lock::assert_unlocked;
use outboard_core::memory;
use outboard_core::rpc::{Connection, ConnectionConfig, ServerConfig};
use outboard_kit::echo::{self, out};
use outboard_transports::{Bench, On, Stream, Wire};

use crate::support::{head, works};

/// What is known of the wake-ups at both ends.
#[derive(Default)]
struct Seen {
    woken: AtomicUsize,
    under_a_lock: AtomicUsize,
    /// Done in the next one, if it is under no lock, as an executor might that drops a task whose
    /// future has calls.
    next: Mutex<Option<Arc<dyn Connection>>>,
    used: AtomicUsize,
}

struct Waits {
    waker: Waker,
    seen: Arc<Seen>,
}

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        let Self { waker, seen } = &*self;
        seen.woken.fetch_add(1, Ordering::SeqCst);
        if catch_unwind(|| assert_unlocked("a waker")).is_ok() {
            let connection = seen.next.lock().expect("no panic").take();
            if let Some(connection) = connection {
                let call = connection.unary(head("Hang"), out("x"));
                assert!(call.now_or_never().is_none(), "it hangs");
                seen.used.fetch_add(1, Ordering::SeqCst);
            }
        } else {
            seen.under_a_lock.fetch_add(1, Ordering::SeqCst);
        }
        waker.wake_by_ref();
    }
}

/// An end at which [`Waits`] waits for whoever does.
struct End {
    io: memory::Duplex,
    seen: Arc<Seen>,
}

impl End {
    fn with<T>(
        &mut self,
        cx: &Context<'_>,
        poll: impl FnOnce(Pin<&mut memory::Duplex>, &mut Context<'_>) -> T,
    ) -> T {
        let waker = Waker::from(Arc::new(Waits {
            waker: cx.waker().clone(),
            seen: Arc::clone(&self.seen),
        }));
        poll(Pin::new(&mut self.io), &mut Context::from_waker(&waker))
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.with(cx, |io, cx| io.poll_read(cx, target))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(cx, |io, cx| io.poll_write_vectored(cx, slices))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(cx, |io, cx| io.poll_close(cx))
    }
}

async fn who_waits_at_the_other_end_is_woken_under_no_lock(bench: Bench) {
    let seen = Arc::new(Seen::default());
    let (near, far) = memory::pair();
    let [near, far] = [near, far].map(|io| {
        let seen = Arc::clone(&seen);
        Box::new(End { io, seen })
    });
    let transport = bench.transport(None);
    let (_echo, router) = echo::router();
    let serving = transport.serve(&bench.runtime, far, router, ServerConfig::default());
    let connection = transport.connect(&bench.runtime, near, ConnectionConfig::default());
    for _ in 0..20 {
        *seen.next.lock().expect("no panic") = Some(Arc::clone(&connection));
        works(&*connection).await;
    }
    seen.next.lock().expect("no panic").take();
    serving.drain();
    drop(connection);
    serving.closed().await;
    let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    assert_eq!(count(&seen.under_a_lock), 0, "of {}", count(&seen.woken));
    assert!(count(&seen.used) > 9, "{}", count(&seen.used));
}

fn over(wire: Wire) {
    let stream = Stream::Memory;
    outboard_transports::run(
        On { wire, stream },
        who_waits_at_the_other_end_is_woken_under_no_lock,
    );
}

#[test]
fn who_waits_for_h2_at_the_other_end_is_woken_under_no_lock() {
    over(Wire::H2);
}

#[test]
fn who_waits_for_stdio_at_the_other_end_is_woken_under_no_lock() {
    over(Wire::Stdio);
}
