//! Sessions over sockets, on each runtime.
#![cfg(unix)]

use std::future::{Future, poll_fn};
use std::time::Duration;

use futures_util::future::{join, join_all, select};
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_yamux::{Config, Incoming, Opener, Role, SessionError, Stream, session};

type Case = fn(SharedRuntime) -> BoxFuture<'static, ()>;

/// Only a watchdog.
const LIMIT: Duration = Duration::from_secs(60);

async fn guarded(runtime: SharedRuntime, case: Case) {
    let mut limit = runtime.timer(runtime.now() + LIMIT);
    let limit = poll_fn(move |cx| limit.as_mut().poll_expired(cx));
    let limit = std::pin::pin!(limit);
    let ended = select(case(runtime), limit).await;
    let in_time = matches!(ended, futures_util::future::Either::Left(_));
    assert!(in_time, "the case hangs");
}

fn on_tokio(mut builder: ::tokio::runtime::Builder, case: Case) {
    let runtime = builder.enable_all().build().expect("a runtime");
    let handle = runtime.handle().clone();
    let tokio = outboard_runtime_tokio::Tokio::from_handle(handle);
    runtime.block_on(guarded(tokio.into(), case));
}

fn tokio(case: Case) {
    on_tokio(::tokio::runtime::Builder::new_current_thread(), case);
}

fn tokio_threads(case: Case) {
    let mut builder = ::tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2);
    on_tokio(builder, case);
}

fn smol(case: Case) {
    outboard_runtime_smol::Smol::block_on(|smol| guarded(smol.into(), case));
}

/// A case on each runtime.
macro_rules! cases {
    ($($case:ident)*) => {
        cases!(@ tokio: $($case)*);
        cases!(@ tokio_threads: $($case)*);
        cases!(@ smol: $($case)*);
    };
    (@ $runtime:ident: $($case:ident)*) => {
        mod $runtime {
            $(#[test]
            fn $case() {
                super::$runtime(|runtime| Box::pin(super::$case(runtime)));
            })*
        }
    };
}

cases! {
    bulk_in_both_directions_of_many_streams
    a_slow_reader_holds_up_nobody
    closing_does_not_wait_for_a_peer_that_does_not_read
    what_is_written_before_closing_arrives
    the_end_of_a_runtime_is_the_end_of_its_session
}

async fn sockets(runtime: &SharedRuntime) -> (BoxByteStream, BoxByteStream) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let local = Endpoint::Unix(path);
    let listener = runtime.listener(socket.into(), local.clone());
    let mut listener = listener.expect("listens");
    let accepted = poll_fn(|cx| listener.poll_accept(cx));
    let (near, far) = join(runtime.connect(&local), accepted).await;
    (near.expect("connects"), far.expect("comes").io)
}

type Side = (Opener, Incoming);

fn side(runtime: &SharedRuntime, io: BoxByteStream, role: Role) -> Side {
    let (opener, incoming, driver) = session(runtime, io, Config::new(role));
    runtime.spawn(Box::pin(driver));
    (opener, incoming)
}

async fn pair(runtime: &SharedRuntime) -> (Side, Side) {
    let (near, far) = sockets(runtime).await;
    (
        side(runtime, near, Role::Client),
        side(runtime, far, Role::Server),
    )
}

async fn accept(incoming: &mut Incoming) -> Stream {
    let accepted = poll_fn(|cx| incoming.poll_accept(cx)).await;
    accepted.expect("a stream comes")
}

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at + seed) % 251) as u8).collect()
}

/// Sends and receives at once, more than any window.
async fn exchange(stream: Stream, ours: usize, theirs: usize, len: usize) {
    let (mut reads, mut writes) = stream.split();
    let sends = async {
        let all = bytes(ours, len);
        writes.write_all(&all).await.expect("writes");
        writes.close().await.expect("closes");
    };
    let mut came = Vec::new();
    let (_, read) = join(sends, reads.read_to_end(&mut came)).await;
    read.expect("ends");
    assert!(came == bytes(theirs, len));
}

fn spawn(runtime: &SharedRuntime, task: impl Future<Output = ()> + Send + 'static) {
    runtime.spawn(Box::pin(task));
}

async fn bulk_in_both_directions_of_many_streams(runtime: SharedRuntime) {
    const LEN: usize = 700_000;
    let ((opener, _in), (_out, mut incoming)) = pair(&runtime).await;
    let serves = async {
        for _ in 0..8 {
            let stream = accept(&mut incoming).await;
            spawn(&runtime, exchange(stream, 2, 1, LEN));
        }
    };
    let opens = (0..8).map(|_| async {
        let stream = opener.open().await.expect("opens");
        exchange(stream, 1, 2, LEN).await;
    });
    join(serves, join_all(opens)).await;
}

async fn a_slow_reader_holds_up_nobody(runtime: SharedRuntime) {
    let ((opener, _in), (_out, mut incoming)) = pair(&runtime).await;
    let mut slow = opener.open().await.expect("opens");
    let mut held = accept(&mut incoming).await;
    // More than its windows: this waits for the reader.
    spawn(&runtime, async move {
        held.write_all(&bytes(0, 3_000_000)).await.expect("writes");
        held.close().await.expect("closes");
    });
    let mut first = [0; 1];
    slow.read_exact(&mut first).await.expect("reads");
    for _ in 0..20 {
        let stream = opener.open().await.expect("opens");
        let far = accept(&mut incoming).await;
        let both = exchange(stream, 1, 2, 300_000);
        join(both, exchange(far, 2, 1, 300_000)).await;
    }
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.expect("ends");
    assert!(rest == bytes(0, 3_000_000)[1..]);
}

async fn closing_does_not_wait_for_a_peer_that_does_not_read(runtime: SharedRuntime) {
    // The other end of the connection is held and not read.
    let (near, far) = sockets(&runtime).await;
    let (opener, mut incoming, driver) = session(&runtime, near, Config::new(Role::Client));
    let (ended, mut end) = futures_channel::oneshot::channel();
    spawn(&runtime, async move {
        driver.await;
        ended.send(()).expect("somebody waits");
    });
    let mut writers = Vec::new();
    for _ in 0..8 {
        let mut stream = opener.open().await.expect("opens");
        writers.push(async move { stream.write_all(&vec![0; 262_145]).await });
    }
    let closes = async {
        // The others are at it by then.
        futures_util::future::ready(()).await;
        opener.close(SessionError::ended("killed by signal 9"));
        assert!(opener.is_closed());
    };
    let accepts = poll_fn(|cx| incoming.poll_accept(cx));
    let ((wrote, accepted), ()) = join(join(join_all(writers), accepts), closes).await;
    for error in wrote {
        let error = error.expect_err("it is over");
        assert_eq!(error.to_string(), "killed by signal 9");
    }
    let error = accepted.expect_err("it is over");
    assert_eq!(error.to_string(), "killed by signal 9");
    assert!(
        end.try_recv().is_ok_and(|ended| ended.is_none()),
        "it tries to write"
    );
    end.await.expect("and gives up");
    drop(far);
}

async fn what_is_written_before_closing_arrives(runtime: SharedRuntime) {
    let ((opener, incoming), (out, mut theirs)) = pair(&runtime).await;
    let mut stream = opener.open().await.expect("opens");
    let mut far = accept(&mut theirs).await;
    stream.write_all(&bytes(3, 200_000)).await.expect("writes");
    stream.close().await.expect("closes");
    opener.close(SessionError::ended("enough"));
    let mut all = Vec::new();
    far.read_to_end(&mut all).await.expect("ends in order");
    assert!(all == bytes(3, 200_000));
    let how = out.closed().await;
    let whole = matches!(
        how,
        SessionError::Closed {
            within_frame: false
        }
    );
    assert!(whole, "{how}");
    drop(incoming);
}

async fn the_end_of_a_runtime_is_the_end_of_its_session(runtime: SharedRuntime) {
    let (near, _far) = sockets(&runtime).await;
    let (opener, mut incoming, driver) = session(&runtime, near, Config::new(Role::Client));
    let mut stream = opener.open().await.expect("opens");
    // As a runtime that shuts down drops it.
    let drops = async { drop(driver) };
    let mut byte = [0];
    let waits = join(
        stream.read(&mut byte),
        poll_fn(|cx| incoming.poll_accept(cx)),
    );
    let ((read, accepted), ()) = join(waits, drops).await;
    let error = read.expect_err("over");
    assert!(error.to_string().contains("runtime"), "{error}");
    accepted.expect_err("over");
    opener.open().await.expect_err("over");
}
