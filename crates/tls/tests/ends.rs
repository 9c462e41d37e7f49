//! How secured streams end, and what a fault in the middle does.

mod support;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::future::join;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_util::{AsyncRead, AsyncWrite};
use outboard_core::rt::BoxByteStream;
use outboard_kit::run;
use outboard_tls::rustls::{AlertDescription, SupportedProtocolVersion};
use outboard_tls::{KeyKind, TlsError};

use support::{Limits, Tap, VERSIONS, Wakes, pair, sides};

struct Pair {
    client: BoxByteStream,
    server: BoxByteStream,
    /// From the client to the server.
    out: Tap,
    /// From the server to the client.
    back: Tap,
}

async fn connected(versions: &[&'static SupportedProtocolVersion], limits: Limits) -> Pair {
    let (host, plugin) = sides(KeyKind::P256, versions);
    let (one, other) = pair(limits);
    let (out, back) = (one.outgoing(), other.outgoing());
    let (client, server) = join(
        host.connect(one.boxed(), Some("h2")),
        plugin.accept(other.boxed(), Some("h2")),
    )
    .await;
    Pair {
        client: client.expect("connected"),
        server: server.expect("accepted"),
        out,
        back,
    }
}

fn of(error: &io::Error) -> &TlsError {
    TlsError::of(error).unwrap_or_else(|| panic!("{error:?} is none of TLS"))
}

#[test]
fn an_end_without_notice_is_a_fault_and_one_with_notice_is_none() {
    for versions in VERSIONS {
        for closes in [true, false] {
            run(async {
                let Pair {
                    mut client,
                    mut server,
                    ..
                } = connected(versions, Limits::WIDE).await;
                client.write_all(b"all of it").await.expect("written");
                client.flush().await.expect("flushed");
                if closes {
                    client.close().await.expect("closed");
                }
                drop(client);
                let mut heard = Vec::new();
                let read = server.read_to_end(&mut heard).await;
                assert_eq!(heard, b"all of it");
                match read {
                    Ok(_) => assert!(closes),
                    Err(error) => {
                        assert!(!closes);
                        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                        assert!(matches!(of(&error), TlsError::Truncated), "{error:?}");
                        // It stays so.
                        let again = server.read(&mut [0]).await.expect_err("still");
                        assert!(matches!(of(&again), TlsError::Truncated), "{again:?}");
                    }
                }
            });
        }
    }
}

#[test]
fn a_handshake_cut_anywhere_ends_on_both_sides() {
    for versions in VERSIONS {
        let (host, plugin) = sides(KeyKind::P521, versions);
        // What each side says in a whole handshake.
        let said = run(async {
            let whole = connected(versions, Limits::WIDE).await;
            [whole.out.total(), whole.back.total()]
        });
        for (side, said) in said.into_iter().enumerate() {
            for at in (0..said + 200).step_by(7) {
                run(async {
                    let (one, other) = pair(Limits::WIDE);
                    let taps = [one.outgoing(), other.outgoing()];
                    taps[side].cut_after(at);
                    let connect = async {
                        let mut stream = host.connect(one.boxed(), None).await?;
                        stream.write_all(&[1; 300]).await?;
                        stream.close().await?;
                        stream.read_to_end(&mut Vec::new()).await?;
                        Ok::<(), TlsError>(())
                    };
                    let accept = async {
                        let mut stream = plugin.accept(other.boxed(), None).await?;
                        stream.write_all(&[2; 300]).await?;
                        stream.close().await?;
                        stream.read_to_end(&mut Vec::new()).await?;
                        Ok::<(), TlsError>(())
                    };
                    let (one, other) = join(connect, accept).await;
                    let reader = [&other, &one][side];
                    assert!(
                        matches!(
                            reader,
                            Err(TlsError::Ended { .. } | TlsError::Truncated | TlsError::Io(_))
                        ),
                        "cut after {at} of side {side}: {reader:?}"
                    );
                });
            }
        }
    }
}

/// A stream that takes all that is written, and whose other side answers with this.
struct Answering(io::ErrorKind, Arc<AtomicBool>);

impl AsyncRead for Answering {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::Error::new(self.0, "it went away")))
    }
}

impl AsyncWrite for Answering {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// As of a stream inside another connection, which is taken back with all that it said if it is dropped
/// before it is closed.
#[test]
fn a_handshake_that_fails_closes_its_stream_and_a_reset_is_an_end() {
    let (host, plugin) = sides(KeyKind::P256, VERSIONS[0]);
    for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::Other] {
        let closed: [Arc<AtomicBool>; 2] = Default::default();
        let [one, other] = closed
            .clone()
            .map(|closed| Box::new(Answering(kind, closed)));
        let (connected, accepted) = run(join(host.connect(one, None), plugin.accept(other, None)));
        for (failed, closed) in [connected, accepted].into_iter().zip(closed) {
            assert!(closed.load(Ordering::Relaxed), "{kind}");
            let error = failed.err().expect("it went away");
            match (kind, &error) {
                (io::ErrorKind::ConnectionReset, TlsError::Ended { received: 0 }) => {}
                (io::ErrorKind::Other, TlsError::Io(_)) => {
                    let text = outboard_core::report::chain(&error);
                    assert_eq!(text.matches("it went away").count(), 1, "{text}");
                }
                _ => panic!("{kind}: {error:?}"),
            }
        }
    }
}

#[test]
fn a_stranger_s_bytes_in_between_end_it_for_both() {
    for versions in VERSIONS {
        for bytes in [
            &[
                23, 3, 3, 0, 40, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
                7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
            ][..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            run(async {
                let mut made = connected(versions, Limits::WIDE).await;
                made.client.write_all(b"before").await.expect("written");
                made.client.flush().await.expect("flushed");
                made.out.inject(bytes);
                let mut heard = [0; 6];
                made.server
                    .read_exact(&mut heard)
                    .await
                    .expect("what came before");
                assert_eq!(&heard, b"before");
                let error = made.server.read(&mut [0]).await.expect_err("not ours");
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(matches!(of(&error), TlsError::Other(_)), "{error:?}");
                let error = made.server.write(b"after").await.expect_err("it has ended");
                assert!(matches!(of(&error), TlsError::Other(_)), "{error:?}");
                // The other side is told, and not with a silence.
                let error = made.client.read(&mut [0]).await.expect_err("told");
                assert!(
                    matches!(
                        of(&error),
                        TlsError::Refused {
                            alert: AlertDescription::BadRecordMac | AlertDescription::DecodeError
                        }
                    ),
                    "{error:?}"
                );
                made.server.close().await.expect("closed");
            });
        }
    }
}

#[test]
fn nothing_is_written_after_closing() {
    for versions in VERSIONS {
        run(async {
            let mut made = connected(versions, Limits::WIDE).await;
            made.client.close().await.expect("closed");
            let total = made.out.total();
            made.client.close().await.expect("closed again");
            let error = made.client.write(b"late").await.expect_err("closed");
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(made.out.total(), total);
            // Reading goes on.
            made.server.write_all(b"still").await.expect("written");
            made.server.close().await.expect("closed");
            let mut heard = Vec::new();
            made.client
                .read_to_end(&mut heard)
                .await
                .expect("a clean end");
            assert_eq!(heard, b"still");
        });
    }
}

#[test]
fn a_write_that_is_given_up_has_taken_nothing() {
    for versions in VERSIONS {
        run(async {
            let mut made = connected(
                versions,
                Limits {
                    holds: 2_000,
                    at_once: 900,
                },
            )
            .await;
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(Arc::clone(&wakes));
            let mut cx = Context::from_waker(&waker);
            let mut taken = Vec::new();
            let mut refused = 0;
            for round in 0..50_u8 {
                let piece = [round; 5_000];
                match Pin::new(&mut made.client).poll_write(&mut cx, &piece) {
                    Poll::Ready(count) => {
                        taken.extend_from_slice(&piece[..count.expect("written")]);
                    }
                    // Given up: what comes next is something else.
                    Poll::Pending => refused += 1,
                }
                if round % 3 == 2 {
                    let mut some = [0; 700];
                    let mut read = Vec::new();
                    while let Poll::Ready(count) =
                        Pin::new(&mut made.server).poll_read(&mut cx, &mut some)
                    {
                        read.extend_from_slice(&some[..count.expect("read")]);
                    }
                    assert!(taken.starts_with(&read));
                    taken.drain(..read.len());
                }
            }
            assert!(refused > 0);
            let mut rest = Vec::new();
            let close = async { made.client.close().await.expect("closed") };
            let (read, ()) = join(made.server.read_to_end(&mut rest), close).await;
            read.expect("a clean end");
            assert_eq!(rest, taken);
        });
    }
}

#[test]
fn a_reader_leaves_a_waiting_writer_its_place() {
    run(async {
        let mut made = connected(
            VERSIONS[0],
            Limits {
                holds: 100,
                at_once: 100,
            },
        )
        .await;
        let [writer, reader] = [(); 2].map(|()| Arc::new(Wakes::default()));
        let wakers = [&writer, &reader].map(|wakes| Waker::from(Arc::clone(wakes)));
        // The way out is full, and the writer waits.
        let mut cx = Context::from_waker(&wakers[0]);
        let first = Pin::new(&mut made.client).poll_write(&mut cx, &[1; 1_000]);
        assert!(matches!(first, Poll::Ready(Ok(1_000))));
        assert!(Pin::new(&mut made.client).poll_flush(&mut cx).is_pending());
        // A fault makes the reader have something to say.
        made.back.inject(b"no TLS at all");
        let mut cx = Context::from_waker(&wakers[1]);
        let read = Pin::new(&mut made.client).poll_read(&mut cx, &mut [0; 10]);
        assert!(matches!(read, Poll::Ready(Err(_))), "{read:?}");
        // Room in the way out wakes the writer, and nobody else.
        let mut cx = Context::from_waker(Waker::noop());
        let read = Pin::new(&mut made.server).poll_read(&mut cx, &mut [0; 10]);
        assert!(read.is_pending(), "{read:?}");
        assert!(writer.count() > 0);
        assert_eq!(reader.count(), 0);
    });
}
