//! Peers that do not keep the protocol: each gets a clear end, and nobody waits for ever.

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_gob::{Encoder, Limits, Value};
use outboard_kit::{TestRuntime, pipe, run, run_with, settle};
use outboard_transport_netrpc::wire::{Request, Response};
use outboard_transport_netrpc::{
    BrokerError, CallError, HostSession, Methods, RpcClient, Service, Services, serve,
};

use self::support::{accept, hex, raw_plugin};

/// A client, and the stream that a test answers on.
fn client() -> (SharedRuntime, RpcClient, BoxByteStream) {
    let runtime = TestRuntime::shared();
    let (near, far) = pipe(64 * 1024);
    let client = RpcClient::new(&runtime, Box::new(near), Limits::default());
    (runtime, client, Box::new(far))
}

/// A server of one method, and the stream that a test calls on; how serving ends.
fn server() -> (
    BoxByteStream,
    futures_util::future::BoxFuture<'static, Result<(), String>>,
) {
    let runtime = TestRuntime::shared();
    let (near, far) = pipe(64 * 1024);
    let double = |number: i64| async move { Ok::<_, String>(2 * number) };
    let service: Arc<dyn Service> = Arc::new(Methods::new().with("Double", double));
    let services: Services = Arc::new([("Plugin".to_owned(), service)].into());
    let (tell, ended) = futures_channel_oneshot();
    let of = Arc::clone(&runtime);
    runtime.spawn(Box::pin(async move {
        let ended = serve(of, Box::new(far), services, Limits::default()).await;
        tell(ended.map_err(|fault| fault.to_string()));
    }));
    (Box::new(near), ended)
}

type Tell<T> = Box<dyn FnOnce(T) + Send>;

/// A value that is told once, from a task to the test.
fn futures_channel_oneshot<T: Send + Clone + 'static>()
-> (Tell<T>, futures_util::future::BoxFuture<'static, T>) {
    let teller = outboard_core::told::Teller::new();
    let told = teller.told();
    let tell: Tell<T> = Box::new(move |value| teller.tell(value));
    let wait = async move { told.await.expect("it is told") };
    (tell, wait.boxed())
}

async fn say(io: &mut (impl futures_util::AsyncWrite + Unpin), bytes: impl AsRef<[u8]>) {
    io.write_all(bytes.as_ref()).await.expect("writes");
    io.flush().await.expect("flushes");
}

fn response(seq: u64) -> Response {
    Response {
        service_method: "Plugin.Double".to_owned(),
        seq,
        error: String::new(),
    }
}

fn request(method: &str, seq: u64) -> Request {
    Request {
        service_method: method.to_owned(),
        seq,
    }
}

#[test]
fn answers_to_calls_that_nobody_made_end_the_stream() {
    run(async {
        let (_runtime, client, mut peer) = client();
        let call = client.call::<_, i64>("Plugin.Double", &1);
        let answer = async {
            let mut bytes = Vec::new();
            Encoder::new()
                .encode(&response(7), &mut bytes)
                .expect("encodes");
            bytes.extend(hex("03 04 00 02"));
            say(&mut peer, &bytes).await;
        };
        let (called, ()) = futures_util::future::join(call, answer).await;
        let error = called.expect_err("it has no answer");
        assert!(matches!(error, CallError::Lost { .. }), "{error}");
        assert!(
            error.to_string().contains("nobody made: number 7"),
            "{error}"
        );
    });
}

#[test]
fn numbers_that_repeat_and_late_answers_are_skipped() {
    run(async {
        let (_runtime, client, mut peer) = client();
        let mut encoder = Encoder::new();
        for round in 0..3_u64 {
            let call = client.call::<_, i64>("Plugin.Double", &1);
            let answer = async {
                let mut bytes = Vec::new();
                for earlier in 0..=round {
                    encoder
                        .encode(&response(earlier), &mut bytes)
                        .expect("encodes");
                    encoder
                        .encode(&(earlier as i64), &mut bytes)
                        .expect("encodes");
                }
                say(&mut peer, &bytes).await;
            };
            let (called, ()) = futures_util::future::join(call, answer).await;
            assert_eq!(called.expect("its own answer"), round as i64);
        }
    });
}

#[test]
fn calls_that_are_given_up_leave_the_stream_usable() {
    run(async {
        let (_runtime, client, mut peer) = client();
        for _ in 0..100_000 {
            let given_up = client.call::<_, i64>("Plugin.Double", &1).now_or_never();
            assert!(given_up.is_none());
            // Whoever has begun a call has written it, so the peer reads.
            let mut some = [0; 16];
            peer.read_exact(&mut some).await.expect("reads");
        }
        assert!(format!("{client:?}").contains("waiting: 0"), "{client:?}");
    });
}

#[test]
fn bytes_that_are_no_gob_end_a_client() {
    for garbage in [
        "00",
        "ff",
        "05 01 02 03 04 05",
        "f8 ff ff ff ff ff ff ff ff",
    ] {
        run(async {
            let (_runtime, client, mut peer) = client();
            let call = client.call::<_, i64>("Plugin.Double", &1);
            let answer = async {
                say(&mut peer, &hex(garbage)).await;
                // It may have hung up by now.
                let _broken = peer.close().await;
            };
            let (called, ()) = futures_util::future::join(call, answer).await;
            let error = called.expect_err("it has no answer");
            assert!(
                matches!(error, CallError::Lost { .. }),
                "{garbage}: {error}"
            );
        });
    }
}

#[test]
fn bytes_that_are_no_gob_end_a_server() {
    for garbage in [
        "00 00",
        "05 01 02 03 04 05",
        "f8 ff ff ff ff ff ff ff ff",
        "03 04 00 02",
    ] {
        run(async {
            let (mut peer, ended) = server();
            say(&mut peer, &hex(garbage)).await;
            // It may have hung up by now.
            let _broken = peer.close().await;
            let why = ended.await.expect_err("it is no net/rpc");
            assert!(!why.is_empty(), "{garbage}");
        });
    }
}

#[test]
fn a_nil_interface_for_an_unknown_method_is_skipped() {
    run(async {
        let (mut peer, ended) = server();
        let mut encoder = Encoder::new();
        let mut bytes = Vec::new();
        encoder
            .encode(&request("Plugin.Nope", 0), &mut bytes)
            .expect("encodes");
        encoder.encode(&Value::Nil, &mut bytes).expect("encodes");
        encoder
            .encode(&request("Plugin.Double", 1), &mut bytes)
            .expect("encodes");
        encoder.encode(&21_i64, &mut bytes).expect("encodes");
        say(&mut peer, &bytes).await;
        peer.close().await.expect("closes");
        let mut answers = Vec::new();
        peer.read_to_end(&mut answers).await.expect("reads");
        let mut decoder = outboard_gob::Decoder::new();
        let mut left = &answers[..];
        let mut errors = Vec::new();
        let mut doubled = None;
        let mut header: Option<Response> = None;
        while let Some(mut received) = decoder.next(&mut left).expect("gob") {
            match header.take() {
                None => header = Some(received.decode().expect("a header")),
                Some(header) if header.error.is_empty() => {
                    doubled = Some(received.decode::<i64>().expect("a number"));
                }
                Some(header) => errors.push((header.seq, header.error)),
            }
        }
        let nope = "rpc: can't find method Plugin.Nope".to_owned();
        assert_eq!(errors, [(0, nope)]);
        assert_eq!(doubled, Some(42));
        ended.await.expect("an end in order");
    });
}

#[test]
fn a_plugin_that_takes_no_streams_fails_what_waits_when_it_goes() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, (opener, incoming)) = raw_plugin(&runtime);
        let begun = HostSession::begin(&runtime, near, Limits::default());
        let (host, _printed) = begun.expect("streams are open as soon as they are announced");
        let ping = host.ping(Duration::from_secs(5));
        drop((opener, incoming));
        let error = ping.await.expect_err("nobody answers");
        assert!(matches!(error, CallError::Lost { .. }), "{error}");
    });
}

#[test]
fn a_dial_that_is_answered_with_another_id_or_none_fails() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, (_opener, mut incoming)) = raw_plugin(&runtime);
        let begun = HostSession::begin(&runtime, near, Limits::default());
        let (host, _printed) = begun.expect("a session");
        let mut standing = Vec::new();
        for _ in 0..3 {
            standing.push(accept(&mut incoming).await);
        }
        let dial = host.broker().dial(5);
        let answer = async {
            let mut io = accept(&mut incoming).await;
            let mut id = [0; 4];
            io.read_exact(&mut id).await.expect("reads");
            assert_eq!(id, [5, 0, 0, 0]);
            say(&mut io, &[6, 0, 0, 0]).await;
            io
        };
        let (dialled, _io) = futures_util::future::join(dial, answer).await;
        let error = dialled.map(drop).expect_err("it is another's");
        assert!(
            matches!(error, BrokerError::WrongId { id: 5, found: 6 }),
            "{error}"
        );
        let dial = host.broker().dial(7);
        let closing = async { drop(accept(&mut incoming).await) };
        let (dialled, ()) = futures_util::future::join(dial, closing).await;
        dialled.map(drop).expect_err("nobody accepts");
    });
}

#[test]
fn a_stream_that_says_nothing_holds_up_nobody() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, (opener, mut incoming)) = raw_plugin(&runtime);
        let begun = HostSession::begin(&runtime, near, Limits::default());
        let (host, _printed) = begun.expect("a session");
        let mut standing = Vec::new();
        for _ in 0..3 {
            standing.push(accept(&mut incoming).await);
        }
        let mut silent = Vec::new();
        for _ in 0..10 {
            silent.push(opener.open().await.expect("opens"));
        }
        let accepted = host.broker().accept(9);
        let dialled = async {
            let mut io = opener.open().await.expect("opens");
            say(&mut io, &[9, 0, 0, 0]).await;
            let mut id = [0; 4];
            io.read_exact(&mut id).await.expect("reads");
            assert_eq!(id, [9, 0, 0, 0]);
        };
        let (accepted, ()) = futures_util::future::join(accepted, dialled).await;
        accepted.expect("its own stream");
    });
}

#[test]
fn what_nobody_accepts_or_dials_ends_after_five_seconds() {
    let (runtime, tasks, clock) = TestRuntime::with_clock();
    run_with(tasks, async {
        let (near, (opener, mut incoming)) = raw_plugin(&runtime);
        let begun = HostSession::begin(&runtime, near, Limits::default());
        let (host, _printed) = begun.expect("a session");
        let mut standing = Vec::new();
        for _ in 0..3 {
            standing.push(accept(&mut incoming).await);
        }
        // A stream for an id that nobody accepts on is closed, and an id that nobody dials is given up.
        let mut io = opener.open().await.expect("opens");
        say(&mut io, &[3, 0, 0, 0]).await;
        let accepting = host.broker().accept(4);
        // It has arrived, and its time has begun.
        settle(tasks);
        clock.advance(Duration::from_secs(5));
        let error = accepting.await.map(drop).expect_err("nobody dials");
        assert!(
            matches!(error, BrokerError::NotDialled { id: 4, .. }),
            "{error}"
        );
        assert_eq!(io.read(&mut [0; 4]).await.expect("an end"), 0);
    });
}
