//! Sessions with their drivers, over streams of bytes of several kinds.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_kit::{TestRuntime, pipe, run};
use outboard_yamux::{Config, Incoming, Opener, Role, SessionError, Stream, session};

type Side = (Opener, Incoming);

fn side(runtime: &SharedRuntime, io: BoxByteStream, role: Role) -> Side {
    let (opener, incoming, driver) = session(runtime, io, Config::new(role));
    runtime.spawn(Box::pin(driver));
    (opener, incoming)
}

fn pair(runtime: &SharedRuntime, room: usize) -> (Side, Side) {
    let (near, far) = pipe(room);
    (
        side(runtime, Box::new(near), Role::Client),
        side(runtime, Box::new(far), Role::Server),
    )
}

async fn accept(incoming: &mut Incoming) -> Result<Stream, SessionError> {
    poll_fn(|cx| incoming.poll_accept(cx)).await
}

fn pattern(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(next).collect()
}

#[test]
fn bytes_go_both_ways_and_end() {
    for room in [1, 100, 64 * 1024] {
        let runtime = TestRuntime::shared();
        let ((opener, _in), (_out, mut incoming)) = pair(&runtime, room);
        let len = if room == 1 { 1_000 } else { 1_000_000 };
        run(async {
            let mut near = opener.open().await.expect("opens");
            let mut far = accept(&mut incoming).await.expect("comes");
            assert_eq!((near.id(), far.id()), (1, 1));
            let (there, back) = (pattern(1, len), pattern(2, len));
            // Each side writes more than the window before it reads.
            let (mut near_reads, mut near_writes) = (&mut near).split();
            let (mut far_reads, mut far_writes) = (&mut far).split();
            let near = async {
                near_writes.write_all(&there).await.expect("writes");
                near_writes.close().await.expect("closes");
            };
            let far = async {
                far_writes.write_all(&back).await.expect("writes");
                far_writes.close().await.expect("closes");
            };
            let mut came = (Vec::new(), Vec::new());
            let reads = join(
                near_reads.read_to_end(&mut came.0),
                far_reads.read_to_end(&mut came.1),
            );
            let (_, (first, second)) = join(join(near, far), reads).await;
            first.and(second).expect("both end");
            assert!(came.0 == back && came.1 == there);
        });
    }
}

#[test]
fn many_streams_at_once() {
    let runtime = TestRuntime::shared();
    let ((opener, _in), (_out, mut incoming)) = pair(&runtime, 64 * 1024);
    const STREAMS: u32 = 1_000;
    let serving = async {
        for _ in 0..STREAMS {
            let mut stream = accept(&mut incoming).await.expect("comes");
            runtime.spawn(Box::pin(async move {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.expect("reads");
                stream.write_all(&all).await.expect("writes");
                stream.close().await.expect("closes");
            }));
        }
    };
    let asking = (0..STREAMS).map(|number| {
        let opener = &opener;
        async move {
            let mut stream = opener.open().await.expect("opens");
            let sent = pattern(number, 3_000);
            stream.write_all(&sent).await.expect("writes");
            stream.close().await.expect("closes");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("reads");
            assert!(all == sent);
        }
    });
    run(join(serving, join_all(asking)));
}

#[test]
fn what_waits_fails_at_once_with_the_reason_given() {
    let (runtime, tasks) = TestRuntime::on_this_thread();
    // Nobody reads at the other end.
    let (near, _far) = pipe(1);
    let (opener, mut incoming, driver) =
        session(&runtime, Box::new(near), Config::new(Role::Client));
    runtime.spawn(Box::pin(driver));
    run(tasks.run(async {
        let mut stream = opener.open().await.expect("does not wait");
        let (mut reads, mut writes) = (&mut stream).split();
        let mut all = Vec::new();
        let big = vec![0; 1_000_000];
        let waiting = async {
            let waits = join(reads.read_to_end(&mut all), writes.write_all(&big));
            let ((read, wrote), accepted) = join(waits, accept(&mut incoming)).await;
            for error in [read.expect_err("over"), wrote.expect_err("over")] {
                assert_eq!(error.to_string(), "the plugin was killed");
            }
            assert_eq!(
                accepted.expect_err("over").to_string(),
                "the plugin was killed"
            );
        };
        let closing = async {
            futures_util::future::ready(()).await;
            assert!(!opener.is_closed());
            opener.close(SessionError::ended("the plugin was killed"));
            assert!(opener.is_closed());
        };
        join(waiting, closing).await;
        for error in [
            opener.open().await.expect_err("over"),
            opener.closed().await,
        ] {
            assert_eq!(error.to_string(), "the plugin was killed");
        }
    }));
}

#[test]
fn the_end_of_the_connection_is_noticed() {
    let runtime = TestRuntime::shared();
    let ((opener, _in), (out, mut incoming)) = pair(&runtime, 1_000);
    run(async {
        let mut stream = opener.open().await.expect("opens");
        let mut far = accept(&mut incoming).await.expect("comes");
        far.write_all(b"last").await.expect("writes");
        out.close(SessionError::ended("enough"));
        let mut all = Vec::new();
        let error = stream.read_to_end(&mut all).await.expect_err("lost");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(all, b"last", "what came is read first");
        assert!(matches!(opener.closed().await, SessionError::Closed { .. }));
        opener.close(SessionError::ended("exit status 1"));
        let error = opener.open().await.expect_err("over");
        assert_eq!(error.to_string(), "exit status 1");
    });
}

#[test]
fn a_session_without_handles_ends() {
    let runtime = TestRuntime::shared();
    let ((opener, incoming), (out, mut theirs)) = pair(&runtime, 1_000);
    run(async {
        let mut stream = opener.open().await.expect("opens");
        let mut far = accept(&mut theirs).await.expect("comes");
        drop((opener, incoming));
        stream
            .write_all(b"one stream is enough")
            .await
            .expect("writes");
        let mut bytes = [0; 20];
        far.read_exact(&mut bytes).await.expect("reads");
        drop(stream);
        let mut all = Vec::new();
        let error = far.read_to_end(&mut all).await.expect_err("reset");
        assert!(
            error.to_string().contains("reset yamux stream 1"),
            "{error}"
        );
        assert!(matches!(
            out.closed().await,
            SessionError::Closed {
                within_frame: false
            }
        ));
    });
}

/// A connection that breaks when so many bytes were written, and on which nothing comes.
struct Breaks(usize);

impl futures_util::AsyncRead for Breaks {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Pending
    }
}

impl futures_util::AsyncWrite for Breaks {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let count = bytes.len().min(self.0);
        if count == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        self.0 -= count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A write that fails half way leaves no reader and no writer waiting.
#[test]
fn a_connection_that_breaks_while_it_is_written_ends_all_that_waits() {
    // In the middle of the frame that opens a stream, between two, and within data.
    for after in [5, 12, 24, 36, 1000] {
        let runtime = TestRuntime::shared();
        let (opener, mut incoming, driver) =
            session(&runtime, Box::new(Breaks(after)), Config::new(Role::Client));
        runtime.spawn(Box::pin(driver));
        run(async {
            let streams = async {
                let mut first = opener.open().await?;
                let mut second = opener.open().await?;
                let mut byte = [0];
                let reading = second.read(&mut byte);
                let writing = async {
                    loop {
                        first.write_all(&[7; 500]).await?;
                        first.flush().await?;
                    }
                };
                let (read, wrote): (_, std::io::Result<()>) = join(reading, writing).await;
                for error in [read.map(drop), wrote] {
                    let error = error.expect_err("it broke");
                    assert!(error.to_string().contains("broke"), "{after}: {error}");
                }
                Ok::<(), SessionError>(())
            };
            if let Err(error) = streams.await {
                assert!(matches!(error, SessionError::Io(_)), "{after}: {error}");
            }
            let error = opener.closed().await;
            assert!(matches!(error, SessionError::Io(_)), "{after}: {error}");
            accept(&mut incoming)
                .await
                .map(drop)
                .expect_err("nothing comes");
        });
    }
}

/// The driver keeps the time: on a clock that the test moves, over a connection whose other end nobody
/// reads.
#[test]
fn a_peer_that_is_silent_is_given_up() {
    let (runtime, tasks, clock) = TestRuntime::with_clock();
    let (near, _far) = pipe(1_000);
    let (opener, mut incoming, driver) =
        session(&runtime, Box::new(near), Config::new(Role::Server));
    runtime.spawn(Box::pin(driver));
    run(tasks.run(async {
        let time = async {
            for _ in 0..39 {
                clock.advance(Duration::from_secs(1));
                settle().await;
                assert!(!opener.is_closed());
            }
            clock.advance(Duration::from_secs(1));
        };
        let (ended, ()) = join(accept(&mut incoming), time).await;
        let error = ended.expect_err("over");
        assert!(matches!(error, SessionError::PingTimeout { .. }), "{error}");
    }));
}

/// A stream that is opened while the driver sleeps brings its own limit.
#[test]
fn a_stream_that_is_not_acknowledged_is_given_up() {
    let (runtime, tasks, clock) = TestRuntime::with_clock();
    let (near, _far) = pipe(1_000);
    let mut config = Config::new(Role::Client);
    config.ping_interval = None;
    let (opener, _incoming, driver) = session(&runtime, Box::new(near), config);
    runtime.spawn(Box::pin(driver));
    run(tasks.run(async {
        settle().await;
        clock.advance(Duration::from_secs(1_000));
        settle().await;
        let mut stream = opener.open().await.expect("opens");
        let time = async {
            clock.advance(Duration::from_secs(74));
            settle().await;
            assert!(!opener.is_closed());
            clock.advance(Duration::from_secs(1));
        };
        let mut byte = [0];
        let (read, ()) = join(stream.read(&mut byte), time).await;
        let error = read.expect_err("over");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }));
}

/// As many streams as may be unacknowledged are; the next ones come up in turn.
#[test]
fn opening_waits_for_acknowledgements() {
    let runtime = TestRuntime::shared();
    let ((opener, _in), (_out, mut incoming)) = pair(&runtime, 64 * 1024);
    run(async {
        let mut streams = Vec::new();
        for _ in 0..256 {
            streams.push(opener.open().await.expect("does not wait"));
        }
        let (mut first, mut second) = (opener.open(), opener.open());
        let third = opener.open();
        for next in [&mut first, &mut second] {
            assert!(futures_util::poll!(next).is_pending());
        }
        // One that gives up lets the next go on.
        drop(first);
        let mut taken = vec![accept(&mut incoming).await.expect("comes")];
        let opened = second.await.expect("is acknowledged");
        assert_eq!(opened.id(), 513);
        taken.push(accept(&mut incoming).await.expect("comes"));
        assert_eq!(third.await.expect("is acknowledged").id(), 515);
    });
}

/// Lets everything else that can run do so.
async fn settle() {
    for _ in 0..20 {
        let mut first = true;
        poll_fn(|cx| {
            if std::mem::take(&mut first) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

#[test]
fn a_stream_is_acknowledged_when_it_is_taken_or_never_will_be() {
    let runtime = TestRuntime::shared();
    let ((opener, _in), (_out, mut incoming)) = pair(&runtime, 64 * 1024);
    run(async {
        let [first, second, third] = [opener.open(), opener.open(), opener.open()];
        let first = first.await.expect("opens");
        let second = second.await.expect("opens");
        let third = third.await.expect("opens");
        let mut of = [first.acknowledged(), second.acknowledged()].map(Some);
        let mut late = third.acknowledged();
        let mut told = |at: usize| {
            let taken = of[at].as_mut().expect("told once").now_or_never();
            of[at].take_if(|_| taken.is_some()).is_some()
        };
        // What the peer has to say has come with what it says afterwards.
        let mut taken = accept(&mut incoming).await.expect("comes");
        assert!(!told(1), "the second is not taken yet");
        taken.write_all(b"!").await.expect("writes");
        let mut first = first;
        let mut byte = [0];
        first.read_exact(&mut byte).await.expect("reads");
        assert!(told(0) && !told(1));
        // One that is let go of, and one whose session ends, will not be taken any more.
        drop(second);
        assert!(told(1));
        assert!(late.as_mut().now_or_never().is_none());
        opener.close(SessionError::ended("enough"));
        late.await;
        third.acknowledged().await;
    });
}

#[test]
fn a_stream_that_is_dropped_at_once_comes_all_the_same_and_in_its_place() {
    let runtime = TestRuntime::shared();
    let ((opener, _in), (_out, mut incoming)) = pair(&runtime, 64 * 1024);
    run(async {
        let mut first = opener.open().await.expect("opens");
        let mut second = opener.open().await.expect("opens");
        first.write_all(b"first").await.expect("writes");
        second.write_all(b"second").await.expect("writes");
        drop(first);
        drop(opener.open().await.expect("opens"));
        second.close().await.expect("closes");
        let mut came = Vec::new();
        for _ in 0..3 {
            came.push(accept(&mut incoming).await.expect("comes"));
        }
        assert_eq!(
            came.iter().map(Stream::id).collect::<Vec<_>>(),
            [1, 3, 5],
            "whoever goes by their order misses none"
        );
        let mut text = String::new();
        came[1].read_to_string(&mut text).await.expect("reads");
        assert_eq!(text, "second");
        for (at, said) in [(0, &b"first"[..]), (2, b"")] {
            let mut found = Vec::new();
            let error = came[at].read_to_end(&mut found).await;
            let error = error.expect_err("it was reset").to_string();
            assert!(error.contains("reset"), "{error}");
            assert_eq!(found, said);
            came[at].write_all(b"?").await.expect_err("nobody is there");
        }
    });
}

#[test]
fn a_session_is_closed_with_the_ends_of_streams_before_its_own() {
    for room in [1, 64 * 1024] {
        let runtime = TestRuntime::shared();
        let ((opener, _in), (_out, mut incoming)) = pair(&runtime, room);
        run(async {
            let mut ours = Vec::new();
            for _ in 0..4 {
                ours.push(opener.open().await.expect("opens"));
            }
            let mut theirs = Vec::new();
            for _ in 0..4 {
                theirs.push(accept(&mut incoming).await.expect("comes"));
            }
            ours[0].write_all(b"bye").await.expect("writes");
            // One is finished already, and one is gone.
            ours[1].close().await.expect("closes");
            drop(ours.remove(2));
            let ids = [1, 3, 5];
            opener.finish_and_close(&ids, SessionError::ended("enough"));
            assert!(opener.is_closed(), "it waits for nothing");
            let error = ours[0].write_all(b"!").await.expect_err("it is over");
            assert_eq!(error.to_string(), "enough");
            for (at, said) in [(0, &b"bye"[..]), (1, b"")] {
                let mut found = Vec::new();
                theirs[at].read_to_end(&mut found).await.expect("an end");
                assert_eq!(found, said);
            }
            for at in [2, 3] {
                let mut found = Vec::new();
                let cut = theirs[at].read_to_end(&mut found).await;
                cut.expect_err("this one was not finished");
            }
        });
    }
}
