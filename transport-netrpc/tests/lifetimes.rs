//! What ends with what, and that nothing waits for ever.

mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use outboard_core::rt::BoxByteStream;
use outboard_core::told::Teller;
use outboard_gob::{Limits, Marshal, MarshalKind, Value};
use outboard_kit::{TestRuntime, pipe, run};
use outboard_transport_netrpc::{
    BrokerError, CallError, HostSession, Make, Methods, MuxBroker, PluginSession, Provided,
    RpcClient, Service, Services, serve,
};

use self::support::{accept, raw_plugin};

/// Counts how many are there.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A service whose one method never returns, and how many of its calls run.
fn stuck() -> (Services, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let service: Arc<dyn Service> = Arc::new(Methods::new().with("Wait", move |_: Value| {
        let there = Counted::new(&counted);
        async move {
            std::future::pending::<()>().await;
            drop(there);
            Ok::<bool, String>(true)
        }
    }));
    (Arc::new([("Plugin".to_owned(), service)].into()), count)
}

/// Lets the other threads and tasks have their turns until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        let mut given = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut given, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        std::thread::yield_now();
    }
}

#[test]
fn calls_end_with_what_serves_them() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, far) = pipe(64 * 1024);
        let (services, count) = stuck();
        let (stop, stopped) = futures_util::future::abortable(serve(
            Arc::clone(&runtime),
            Box::new(far),
            services,
            Limits::default(),
        ));
        runtime.spawn(Box::pin(async move {
            let _ended = stop.await;
        }));
        let client = RpcClient::new(&runtime, Box::new(near), Limits::default());
        let calling = client.call::<_, bool>("Plugin.Wait", &Value::Nil);
        let stopping = async {
            until(|| count.load(Ordering::Relaxed) == 1).await;
            stopped.abort();
        };
        let (called, ()) = futures_util::future::join(calling, stopping).await;
        assert!(matches!(called, Err(CallError::Lost { .. })), "{called:?}");
        until(|| count.load(Ordering::Relaxed) == 0).await;
    });
}
/// A plugin that ends at once still answers who has asked for that, and the calls that run end with it.
#[test]
fn an_abort_answers_the_request_to_quit() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, far) = pipe(64 * 1024);
        let (asked, granted) = (Arc::new(Teller::new()), Teller::new());
        let make: Make = Arc::new(|_| {
            let stuck = |_: Value| std::future::pending::<Result<bool, String>>();
            Ok(Arc::new(Methods::new().with("Wait", stuck)) as Arc<dyn Service>)
        });
        let mut provided = Provided::default();
        provided.plugins.insert("stuck".to_owned(), make);
        let (of_quit, told) = (Arc::clone(&asked), granted.told());
        provided.quit = Arc::new(move || {
            of_quit.tell(());
            told.clone().map(drop).boxed()
        });
        let plugin = PluginSession::begin(&runtime, Box::new(far), provided);
        let begun = HostSession::begin(&runtime, Box::new(near), Limits::default());
        let (host, _printed) = begun.expect("a session");
        let limit = Duration::from_secs(30);
        let stuck = host.dispense("stuck", limit).await.expect("it is provided");
        let waits = stuck.call::<_, bool>("Plugin.Wait", &Value::Nil);
        let aborts = async {
            let _told = asked.told().await;
            granted.tell(());
            plugin.abort();
        };
        let ends = futures_util::future::join3(waits, host.quit(limit), aborts);
        let (waits, quits, ()) = ends.await;
        quits.expect("it is answered");
        assert!(matches!(waits, Err(CallError::Lost { .. })), "{waits:?}");
        plugin.ended().await.expect("an end in good order");
    });
}

#[test]
fn what_is_offered_ends_with_its_handle_and_with_the_connection() {
    for by_handle in [true, false] {
        run(async {
            let runtime = TestRuntime::shared();
            let (near, (opener, mut incoming)) = raw_plugin(&runtime);
            let begun = HostSession::begin(&runtime, near, Limits::default());
            let (host, _printed) = begun.expect("a session");
            let mut standing = Vec::new();
            for _ in 0..3 {
                standing.push(accept(&mut incoming).await);
            }
            let (services, count) = stuck();
            let service = Arc::clone(services.get("Plugin").expect("it is there"));
            let offered = host.broker().offer(service).expect("it can be");
            let mut io: BoxByteStream = Box::new(opener.open().await.expect("opens"));
            let mut id = offered.id().to_le_bytes();
            futures_util::AsyncWriteExt::write_all(&mut io, &id)
                .await
                .expect("writes");
            futures_util::AsyncReadExt::read_exact(&mut io, &mut id)
                .await
                .expect("reads");
            let client = RpcClient::new(&runtime, io, Limits::default());
            let calling = client.call::<_, bool>("Plugin.Wait", &Value::Nil);
            let ending = async {
                until(|| count.load(Ordering::Relaxed) == 1).await;
                if by_handle {
                    drop(offered);
                } else {
                    host.close("enough");
                }
            };
            let (called, ()) = futures_util::future::join(calling, ending).await;
            assert!(matches!(called, Err(CallError::Lost { .. })), "{called:?}");
            until(|| count.load(Ordering::Relaxed) == 0).await;
        });
    }
}

#[test]
fn whoever_waits_for_a_stream_learns_that_the_connection_was_dropped() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, (_opener, _incoming)) = raw_plugin(&runtime);
        let begun = HostSession::begin(&runtime, near, Limits::default());
        let (host, _printed) = begun.expect("a session");
        let waiting = host.broker().accept(7);
        drop(host);
        let error = waiting.await.map(drop).expect_err("nobody dials");
        assert!(matches!(error, BrokerError::Lost { id: 7, .. }), "{error}");
    });
}

#[test]
fn an_accept_that_is_given_up_late_leaves_the_next_one_alone() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, (opener, mut incoming)) = raw_plugin(&runtime);
        let begun = HostSession::begin(&runtime, near, Limits::default());
        let (host, _printed) = begun.expect("a session");
        let mut standing = Vec::new();
        for _ in 0..3 {
            standing.push(accept(&mut incoming).await);
        }
        let broker: &MuxBroker = host.broker();
        let first = broker.accept(5);
        let dial = || async {
            let mut io = opener.open().await.expect("opens");
            let id = 5_u32.to_le_bytes();
            futures_util::AsyncWriteExt::write_all(&mut io, &id)
                .await
                .expect("writes");
            io
        };
        let _first_stream = dial().await;
        // It is fulfilled, as nobody waits on the id any more, and nobody has looked.
        until(|| !format!("{broker:?}").contains("accepting: [5]")).await;
        let second = broker.accept(5);
        drop(first);
        let _second_stream = dial().await;
        second.await.expect("its own stream");
    });
}

#[test]
fn a_call_that_nobody_polls_keeps_the_stream_from_nobody() {
    run(async {
        let runtime = TestRuntime::shared();
        // The peer takes next to nothing, so the outbox is full soon.
        let (near, mut far) = pipe(16);
        let client = RpcClient::new(&runtime, Box::new(near), Limits::default());
        let large = vec![0_u8; 1 << 20];
        let mut first = Box::pin(client.call::<_, bool>("Plugin.Take", &large));
        assert!((&mut first).now_or_never().is_none());
        let mut waits = Box::pin(client.call::<_, bool>("Plugin.Take", &large));
        assert!((&mut waits).now_or_never().is_none(), "it waits for room");
        let mut last = Box::pin(client.call_within::<_, bool>(
            "Plugin.Last",
            &Value::Nil,
            Duration::from_secs(3600),
        ));
        assert!((&mut last).now_or_never().is_none());
        let mut all = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        let reading = async {
            while !String::from_utf8_lossy(&all).contains("Plugin.Last") {
                let read = futures_util::AsyncReadExt::read(&mut far, &mut piece);
                let count = read.await.expect("reads");
                let from = all.len().saturating_sub(64);
                all.drain(..from);
                all.extend_from_slice(&piece[..count]);
            }
        };
        // `waits` came first and is not polled here.
        match futures_util::future::select(last, Box::pin(reading)).await {
            futures_util::future::Either::Left(_) => panic!("nobody answers"),
            futures_util::future::Either::Right(_) => {}
        }
        drop(waits);
    });
}

/// A stream whose peer neither reads nor writes.
struct Stuck(#[expect(dead_code, reason = "its drop is what counts")] Counted);

impl futures_util::AsyncRead for Stuck {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Pending
    }
}

impl futures_util::AsyncWrite for Stuck {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

#[test]
fn a_peer_that_reads_nothing_does_not_keep_a_stream_that_was_let_go_of() {
    run(async {
        let (runtime, clock) = TestRuntime::shared_with_clock();
        let streams = Arc::new(AtomicUsize::new(0));
        let stuck = Stuck(Counted::new(&streams));
        let client = RpcClient::new(&runtime, Box::new(stuck), Limits::default());
        let mut call = Box::pin(client.call::<_, bool>("Plugin.Take", &Value::Nil));
        assert!((&mut call).now_or_never().is_none());
        drop(call);
        drop(client);
        assert_eq!(streams.load(Ordering::Relaxed), 1, "it has its time");
        until(|| {
            clock.advance(Duration::from_secs(1));
            streams.load(Ordering::Relaxed) == 0
        })
        .await;
    });
}

#[test]
fn calls_fail_when_their_runtime_is_shut_down() {
    run(async {
        let (runtime, tasks) = TestRuntime::that_drops(&TestRuntime::shared());
        let streams = Arc::new(AtomicUsize::new(0));
        let stuck = Stuck(Counted::new(&streams));
        let client = RpcClient::new(&runtime, Box::new(stuck), Limits::default());
        let mut call = Box::pin(client.call::<_, bool>("Plugin.Take", &Value::Nil));
        assert!((&mut call).now_or_never().is_none());
        tasks.drop_since(0);
        let error = call.await.expect_err("nobody is there any more");
        assert!(
            error.to_string().contains("runtime was shut down"),
            "{error}"
        );
        assert_eq!(streams.load(Ordering::Relaxed), 0);
    });
}

/// Encoding it panics if it holds that, and decoding it if it holds the other.
#[derive(Debug, Default, Clone, PartialEq)]
struct Bomb(u8);

const AT_SENDING: u8 = 1;
const AT_TAKING: u8 = 2;

impl Marshal for Bomb {
    const KIND: MarshalKind = MarshalKind::Binary;
    const NAME: &'static str = "Bomb";

    fn zero() -> Self {
        Self::default()
    }

    fn is_left_out(&self) -> bool {
        false
    }

    fn marshal(&self, out: &mut Vec<u8>) -> Result<(), String> {
        assert_ne!(self.0, AT_SENDING, "it went off");
        out.push(self.0);
        Ok(())
    }

    fn unmarshal(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.0 = *bytes.first().ok_or("no byte")?;
        assert_ne!(self.0, AT_TAKING, "it went off");
        Ok(())
    }
}

outboard_gob::marshal!(Bomb);

#[test]
fn values_that_panic_cost_their_call_and_no_other() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, far) = pipe(64 * 1024);
        let methods = Methods::new()
            .with(
                "Give",
                |what: u8| async move { Ok::<_, String>(Bomb(what)) },
            )
            .with("Echo", |it: Bomb| async move { Ok::<_, String>(it) });
        let service: Arc<dyn Service> = Arc::new(methods);
        let services: Services = Arc::new([("Plugin".to_owned(), service)].into());
        let of = Arc::clone(&runtime);
        runtime.spawn(Box::pin(async move {
            let _ended = serve(of, Box::new(far), services, Limits::default()).await;
        }));
        let client = RpcClient::new(&runtime, Box::new(near), Limits::default());
        // The server cannot encode its reply.
        let error = client.call::<_, Bomb>("Plugin.Give", &AT_SENDING).await;
        let error = error.expect_err("it panics").to_string();
        assert!(
            error.contains("Plugin.Give") && error.contains("it went off"),
            "{error}"
        );
        // The client cannot decode it.
        let error = client.call::<_, Bomb>("Plugin.Give", &AT_TAKING).await;
        let error = error.expect_err("it panics");
        assert!(matches!(error, CallError::Panicked { .. }), "{error}");
        // The server cannot decode its argument.
        let error = client
            .call::<_, Bomb>("Plugin.Echo", &Bomb(AT_TAKING))
            .await;
        let error = error.expect_err("it panics").to_string();
        assert!(
            error.contains("Plugin.Echo") && error.contains("it went off"),
            "{error}"
        );
        // The client cannot encode its argument: the panic is the caller's.
        let bomb = Bomb(AT_SENDING);
        let call = std::panic::AssertUnwindSafe(client.call::<_, Bomb>("Plugin.Echo", &bomb));
        call.catch_unwind().await.expect_err("it panics");
        let echoed = client.call::<_, Bomb>("Plugin.Echo", &Bomb(7)).await;
        assert_eq!(echoed.expect("the stream goes on"), Bomb(7));
        assert!(format!("{client:?}").contains("waiting: 0"), "{client:?}");
    });
}
