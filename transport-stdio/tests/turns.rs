//! What happens between two turns of a connection's task. Both sides have an executor of their own
//! that runs only where a test says so.

mod support;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_executor::Executor;
use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rpc::{
    CallHead, Connection, ConnectionConfig, ServerConfig, Serving, Transport,
};
use outboard_transport_stdio::Stdio;
use outboard_transport_stdio::wire::Settings;
use outboard_transport_stdio::wire::frame::{Body, Frame, OpenHead};
use support::pipe::End;
use support::service::{out, router};
use support::{Echo, Event, TestRuntime, pipe};

type Tasks = &'static Executor<'static>;

/// Lets every task run until it waits.
fn settle(tasks: Tasks) {
    while tasks.try_tick() {}
}

fn serve(io: End) -> (Arc<dyn Serving>, Arc<Echo>, Tasks) {
    let (runtime, tasks) = TestRuntime::on_this_thread();
    let (echo, router) = router();
    let serving = Stdio::new().serve(&runtime, Box::new(io), router, ServerConfig::default());
    (serving, echo, tasks)
}

fn connect(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    config: ConnectionConfig,
) -> (Arc<dyn Connection>, Tasks) {
    let (runtime, tasks) = TestRuntime::on_this_thread();
    let connection = Stdio::new().connect(&runtime, Box::new(io), config);
    (connection, tasks)
}

/// A client and a server that have greeted each other, each with its tasks.
fn greeted() -> (Arc<dyn Connection>, Tasks, Arc<dyn Serving>, Tasks) {
    let (near, far) = pipe(1_000);
    let (serving, _echo, servers) = serve(far);
    let (connection, clients) = connect(near, ConnectionConfig::default());
    settle(clients);
    settle(servers);
    settle(clients);
    (connection, clients, serving, servers)
}

fn head(method: &str) -> CallHead {
    CallHead::new(format!("/test.Echo/{method}"))
}

/// Counts how often it is woken; no task of an executor.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn the_only_caller_reads_its_answer_and_need_not() {
    let (connection, clients, _serving, servers) = greeted();
    for reads in [true, false, true] {
        let counted = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&counted));
        let mut cx = Context::from_waker(&waker);
        let mut call = connection.unary(head("Echo"), out("x"));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        settle(servers);
        let woken = counted.0.load(Ordering::SeqCst);
        assert_eq!(woken, 1, "by the stream of bytes, as its task has not run");
        if !reads {
            settle(clients);
        }
        let Poll::Ready(reply) = call.as_mut().poll(&mut cx) else {
            panic!("the answer has come, reads: {reads}");
        };
        assert_eq!(reply.expect("answered").message, "x");
        settle(clients);
        assert_eq!(counted.0.load(Ordering::SeqCst), 1 + usize::from(!reads));
    }
}

#[test]
fn of_several_callers_none_reads() {
    let (connection, clients, _serving, servers) = greeted();
    let mut calls = [(); 2].map(|()| {
        let counted = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&counted));
        let mut call = connection.unary(head("Hang"), out(""));
        assert!(
            call.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        (call, counted, waker)
    });
    // The second was never alone, and the first is not any more when it is asked again.
    let (call, _, waker) = &mut calls[0];
    let mut cx = Context::from_waker(waker);
    assert!(call.as_mut().poll(&mut cx).is_pending());
    let mut third = connection.unary(head("Echo"), out(""));
    assert!(poll(&mut third).is_pending());
    settle(clients);
    settle(servers);
    assert!(poll(&mut third).is_pending(), "nobody has read");
    settle(clients);
    assert!(poll(&mut third).is_ready());
    assert_eq!(calls[1].1.0.load(Ordering::SeqCst), 0);
}

#[test]
fn calls_given_up_before_their_turn_start_no_handlers() {
    let (near, far) = pipe(1 << 20);
    let (serving, echo, servers) = serve(far);
    let mut events = echo.events();
    let mut bytes = Vec::new();
    Settings::LEAST.encode(&mut bytes);
    for stream in 0..100 {
        Frame::Open {
            stream,
            end: true,
            head: OpenHead {
                path: "/test.Echo/Hang",
                ..OpenHead::default()
            },
            body: Body::Inline(b""),
        }
        .encode(&mut bytes);
    }
    for stream in 0..100 {
        Frame::Cancel { stream }.encode(&mut bytes);
    }
    let mut near = near;
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(written)) = Pin::new(&mut near).poll_write(&mut cx, &bytes) else {
        panic!("there is room");
    };
    assert_eq!(written, bytes.len());
    settle(servers);
    serving.abort();
    settle(servers);
    drop((serving, echo));
    let started = std::iter::from_fn(|| events.try_recv().ok())
        .filter(|event| matches!(event, Event::Started(_)))
        .count();
    assert_eq!(started, 0);
}

#[test]
fn a_connection_that_looks_again_answers_and_comes_to_rest() {
    let spinning = Stdio::new().spin(Duration::from_micros(20));
    let (near, far) = pipe(1_000);
    let (runtime, servers) = TestRuntime::on_this_thread();
    let (_echo, router) = router();
    let _serving = spinning.serve(&runtime, Box::new(far), router, ServerConfig::default());
    let (runtime, clients) = TestRuntime::on_this_thread();
    let connection = spinning.connect(&runtime, Box::new(near), ConnectionConfig::default());
    for _ in 0..3 {
        // It would never settle if it looked for ever.
        settle(clients);
        settle(servers);
        settle(clients);
        let mut call = connection.unary(head("Echo"), out("x"));
        assert!(poll(&mut call).is_pending());
        settle(servers);
        settle(clients);
        assert!(poll(&mut call).is_ready());
    }
}

/// A peer that sends without end, as fast as it is read.
struct Flood {
    preface: Vec<u8>,
    frame: &'static [u8],
    at: usize,
    read: Arc<AtomicUsize>,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = if self.preface.is_empty() {
            for byte in &mut *buf {
                *byte = self.frame[self.at % self.frame.len()];
                self.at += 1;
            }
            buf.len()
        } else {
            let count = self.preface.len().min(buf.len());
            buf[..count].copy_from_slice(&self.preface[..count]);
            self.preface.drain(..count);
            count
        };
        self.read.fetch_add(count, Ordering::SeqCst);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Counted in bytes and not in time: one poll of a connection's task takes a few thousand small
/// frames, however many there are.
#[test]
fn a_flood_of_frames_ends_each_poll_soon() {
    // One to be skipped, a ping, credit for a stream that is gone, and one to cancel the same.
    let frames: [&[u8]; 4] = [
        &[3, 0, 0, 0xf0, 0, 0, 0, 0, 1, 2, 3],
        &[8, 0, 0, 0x20, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[4, 0, 0, 8, 1, 0, 0, 1, 1, 0, 0, 0],
        &[0, 0, 0, 7, 1, 0, 0, 1],
    ];
    for frame in frames {
        for serves in [false, true] {
            let read = Arc::new(AtomicUsize::new(0));
            let mut preface = Vec::new();
            Settings::LEAST.encode(&mut preface);
            let io = Flood {
                preface,
                frame,
                at: 0,
                read: Arc::clone(&read),
            };
            let (runtime, tasks) = TestRuntime::on_this_thread();
            let (_echo, router) = router();
            let (stdio, io) = (Stdio::new(), Box::new(io));
            let (mut serving, mut connection) = (None, None);
            if serves {
                serving = Some(stdio.serve(&runtime, io, router, ServerConfig::default()));
            } else {
                connection = Some(stdio.connect(&runtime, io, ConnectionConfig::default()));
            }
            for turn in 1..20 {
                assert!(tasks.try_tick(), "it goes on");
                // A read is at most 32 KiB, and ends what went before it.
                let most = turn * 2 * 32 * 1024;
                let read = read.load(Ordering::SeqCst);
                assert!(read <= most, "{frame:?}: {read} bytes in {turn} polls");
            }
            drop((serving, connection));
        }
    }
}

/// A peer that takes a large message as fast as it is written.
struct Eager {
    written: Arc<AtomicUsize>,
    reader: Arc<Mutex<Option<Waker>>>,
    preface: Option<Vec<u8>>,
    /// What it says once more was written than a preface.
    grant: Option<Vec<u8>>,
}

impl AsyncRead for Eager {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let announced = self.written.load(Ordering::SeqCst) > 60;
        let bytes = match self.preface.take() {
            Some(preface) => Some(preface),
            None if announced => self.grant.take(),
            None => None,
        };
        let Some(bytes) = bytes else {
            let waker = cx.waker().clone();
            *self.reader.lock().expect("no panic under the lock") = Some(waker);
            return Poll::Pending;
        };
        buf[..bytes.len()].copy_from_slice(&bytes);
        Poll::Ready(Ok(bytes.len()))
    }
}

impl AsyncWrite for Eager {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.fetch_add(buf.len(), Ordering::SeqCst);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_peer_that_reads_without_end_ends_each_poll_soon() {
    const LEN: usize = 16 << 20;
    let (written, reader) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let mut preface = Vec::new();
    Settings::LEAST.encode(&mut preface);
    let mut grant = Vec::new();
    Frame::Grant {
        stream: 0,
        opener: false,
    }
    .encode(&mut grant);
    let io = Eager {
        written: Arc::clone(&written),
        reader: Arc::clone(&reader),
        preface: Some(preface),
        grant: Some(grant),
    };
    let (connection, tasks) = connect(io, ConnectionConfig::default());
    settle(tasks);
    let mut call = connection.unary(head("Echo"), out(vec![7; LEN]));
    assert!(poll(&mut call).is_pending());
    settle(tasks);
    assert!(written.load(Ordering::SeqCst) < 1_000, "announced only");
    let waker = reader.lock().expect("no panic under the lock").clone();
    waker.expect("it waits to read").wake();
    let (mut before, mut turns) = (written.load(Ordering::SeqCst), 0);
    while tasks.try_tick() {
        let now = written.load(Ordering::SeqCst);
        assert!(
            now - before <= 1 << 20,
            "{} bytes in one poll",
            now - before
        );
        (before, turns) = (now, turns + 1);
    }
    assert!(
        before > LEN && turns >= 16,
        "{before} bytes in {turns} polls"
    );
}
