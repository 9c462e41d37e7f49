//! What happens between two turns of a connection's task. Both sides have an executor of their own
//! that runs only where a test says so.

mod support;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_executor::Executor;
use bytes::Bytes;
use futures_channel::oneshot;
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::stream;
use outboard_core::rpc::{
    Call, CallHead, Connection, ConnectionConfig, OutMessage, ServerConfig, Serving, Status,
    Transport,
};
use outboard_transport_stdio::Stdio;
use outboard_transport_stdio::wire::Settings;
use outboard_transport_stdio::wire::frame::{Body, Frame, OpenHead, UNNUMBERED};
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

fn poll_message(call: &mut Box<dyn Call>) -> Poll<Option<Result<Bytes, Status>>> {
    call.poll_message(&mut Context::from_waker(Waker::noop()))
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

/// A stream of bytes whose peer answers and is gone in the moment in which this side writes: from
/// then on writes fail, and only then is there something to read.
struct Parting {
    end: End,
    parting: Arc<AtomicBool>,
    parted: bool,
    reader: Option<Waker>,
}

impl AsyncRead for Parting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.parting.load(Ordering::SeqCst) && !self.parted {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.end).poll_read(cx, target)
    }
}

impl AsyncWrite for Parting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.parting.load(Ordering::SeqCst) {
            self.parted = true;
            self.reader.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.end).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_close(cx)
    }
}

#[test]
fn answers_are_read_also_after_a_write_has_failed() {
    let (near, far) = pipe(10_000);
    let parting = Arc::new(AtomicBool::new(false));
    let (serving, _echo, servers) = serve(far);
    let io = Parting {
        end: near,
        parting: Arc::clone(&parting),
        parted: false,
        reader: None,
    };
    let (connection, clients) = connect(io, ConnectionConfig::default());
    settle(clients);
    settle(servers);
    settle(clients);
    let mut answered = connection.unary(head("Echo"), out("x"));
    assert!(poll(&mut answered).is_pending());
    parting.store(true, Ordering::SeqCst);
    settle(servers);
    serving.abort();
    settle(servers);
    // Written by the connection's task, after it has found nothing to read.
    let late = stream::iter([Ok(out("late"))]);
    let mut late = connection.open(head("Each"), Box::pin(late));
    settle(clients);
    let Poll::Ready(reply) = poll(&mut answered) else {
        panic!("the answer is there");
    };
    assert_eq!(reply.expect("answered").message, "x");
    let Poll::Ready(Some(Err(status))) = poll_message(&mut late) else {
        panic!("the connection is lost");
    };
    assert!(status.is_connection_lost(), "{status}");
}

#[test]
fn a_call_that_begins_while_the_loss_is_being_explained_is_told_too() {
    let (near, far) = pipe(1_000);
    let (explain, explained) = oneshot::channel::<Status>();
    let explained = Mutex::new(Some(explained));
    let config = ConnectionConfig {
        lost: Some(Arc::new(move |status| {
            let explained = explained.lock().expect("no panic").take();
            let explained = explained.expect("asked once");
            Box::pin(async move { explained.await.unwrap_or(status) })
        })),
        ..ConnectionConfig::default()
    };
    let (connection, clients) = connect(near, config);
    settle(clients);
    drop(far);
    settle(clients);
    let request = stream::iter([Ok(out("x"))]);
    let mut streamed = connection.open(head("Each"), Box::pin(request));
    let mut unary = connection.unary(head("Echo"), out("x"));
    settle(clients);
    assert!(poll_message(&mut streamed).is_pending());
    assert!(poll(&mut unary).is_pending());
    let expected = Status::connection_lost("the plugin exited with status 3");
    explain.send(expected.clone()).expect("it is waited for");
    settle(clients);
    assert_eq!(
        poll_message(&mut streamed),
        Poll::Ready(Some(Err(expected.clone())))
    );
    assert_eq!(poll_message(&mut streamed), Poll::Ready(None));
    let Poll::Ready(Err(status)) = poll(&mut unary) else {
        panic!("explained");
    };
    assert_eq!(status, expected);
}

/// Messages of which none ever comes. Asking for the first ends the call they belong to.
struct Ending {
    call: Arc<Mutex<Option<Box<dyn Call>>>>,
    _alive: Arc<()>,
}

impl Stream for Ending {
    type Item = Result<OutMessage, Status>;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let call = self.call.lock().expect("no panic").take();
        drop(call);
        Poll::Pending
    }
}

#[test]
fn a_call_that_ends_while_its_messages_are_asked_for_lets_go_of_them() {
    let (near, _far) = pipe(1_000);
    let (connection, clients) = connect(near, ConnectionConfig::default());
    settle(clients);
    let call = Arc::new(Mutex::new(None));
    let alive = Arc::new(());
    let messages = Ending {
        call: Arc::clone(&call),
        _alive: Arc::clone(&alive),
    };
    let opened = connection.open(head("Each"), Box::pin(messages));
    *call.lock().expect("no panic") = Some(opened);
    settle(clients);
    assert!(call.lock().expect("no panic").is_none(), "it was asked");
    assert_eq!(Arc::strong_count(&alive), 1, "the messages were dropped");
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
                method: UNNUMBERED,
                path: Some("/test.Echo/Hang"),
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
