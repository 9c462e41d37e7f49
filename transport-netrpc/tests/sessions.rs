//! A host's and a plugin's session, over streams of several kinds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_gob::{Gob, Limits, Value};
use outboard_kit::{TestRuntime, pipe, run};
use outboard_transport_netrpc::{
    BrokerError, CallError, DispenseError, HostSession, Instance, Make, Methods, MuxBroker,
    PluginSession, Printed, Provided, Service, Services, serve,
};

const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default, PartialEq, Gob)]
struct Point {
    x: i64,
    y: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Gob)]
struct Stranger {
    name: String,
}

/// What the tests call.
fn service(broker: &MuxBroker) -> Methods {
    let broker = broker.clone();
    Methods::new()
        .with("Greet", |nothing: Value| async move {
            assert!(nothing.is_nil(), "{nothing:?}");
            Ok::<_, String>("Hello!".to_owned())
        })
        .with("Double", |number: i64| async move {
            number.checked_mul(2).ok_or("it is too large")
        })
        .with("Mirror", |point: Point| async move {
            Ok::<_, String>(Point {
                x: -point.x,
                y: -point.y,
            })
        })
        .with(
            "Echo",
            |bytes: Vec<u8>| async move { Ok::<_, String>(bytes) },
        )
        .with("Panic", |_: i64| async move {
            if true {
                panic!("as it was told");
            }
            Ok::<i64, String>(0)
        })
        .with("Unsendable", |_: i64| async move {
            Ok::<Option<i64>, String>(None)
        })
        .with("Dial", move |id: u32| {
            let broker = broker.clone();
            async move {
                let mut io = broker.dial(id).await.map_err(|error| error.to_string())?;
                io.write_all(b"from the plugin")
                    .await
                    .map_err(|error| error.to_string())?;
                io.close().await.map_err(|error| error.to_string())?;
                Ok::<bool, String>(true)
            }
        })
}

struct Rig {
    runtime: SharedRuntime,
    host: HostSession,
    printed: [Printed; 2],
    quits: Arc<AtomicUsize>,
    output: Arc<Mutex<Option<[BoxByteStream; 2]>>>,
    /// How the plugin's side ended.
    ended: Arc<Mutex<Option<Result<(), String>>>>,
}

async fn rig(room: usize) -> Rig {
    let runtime = TestRuntime::shared();
    let (near, far) = pipe(room);
    let quits = Arc::new(AtomicUsize::new(0));
    let output = Arc::new(Mutex::new(None));
    let ended = Arc::new(Mutex::new(None));
    let (counted, kept) = (Arc::clone(&quits), Arc::clone(&output));
    let make: Make = Arc::new(|broker| Ok(Arc::new(service(broker)) as Arc<dyn Service>));
    let broken: Make = Arc::new(|_| Err("it cannot be made".to_owned()));
    let provided = Provided {
        plugins: [("greeter".to_owned(), make), ("broken".to_owned(), broken)].into(),
        quit: Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::ready(()))
        }),
        output: Arc::new(move |streams| *kept.lock().expect("no panic") = Some(streams)),
        limits: Limits::default(),
    };
    let plugin = PluginSession::begin(&runtime, Box::new(far), provided);
    let how = Arc::clone(&ended);
    runtime.spawn(Box::pin(async move {
        let end = plugin.ended().await.map_err(|fault| fault.to_string());
        *how.lock().expect("no panic") = Some(end);
    }));
    let begun = HostSession::begin(&runtime, Box::new(near), Limits::default());
    let (host, printed) = begun.expect("a session");
    Rig {
        runtime,
        host,
        printed,
        quits,
        output,
        ended,
    }
}

#[test]
fn instances_are_dispensed_called_and_ended() {
    for room in [1, 100, 64 * 1024] {
        run(async {
            let rig = rig(room).await;
            rig.host.ping(SOON).await.expect("it is there");
            let first = rig
                .host
                .dispense("greeter", SOON)
                .await
                .expect("it is provided");
            let second = rig
                .host
                .dispense("greeter", SOON)
                .await
                .expect("and once more");
            for client in [&first, &second, &first] {
                let greeting: String = client
                    .call("Plugin.Greet", &Value::Nil)
                    .await
                    .expect("a greeting");
                assert_eq!(greeting, "Hello!");
            }
            let point = Point { x: 1, y: 0 };
            let mirrored: Point = first.call("Plugin.Mirror", &point).await.expect("a point");
            assert_eq!(mirrored, Point { x: -1, y: 0 });
            drop(first);
            let doubled: i64 = second
                .call("Plugin.Double", &21_i32)
                .await
                .expect("a number");
            assert_eq!(doubled, 42);
            rig.host.quit(SOON).await.expect("it answers");
            assert_eq!(rig.quits.load(Ordering::Relaxed), 1);
        });
    }
}

#[test]
fn what_goes_wrong_with_a_call_leaves_the_stream_usable() {
    run(async {
        let rig = rig(4096).await;
        let client = rig
            .host
            .dispense("greeter", SOON)
            .await
            .expect("it is provided");
        let answered = |error: Result<i64, CallError>| match error {
            Err(CallError::Answered { text, .. }) => text,
            other => panic!("{other:?}"),
        };
        let text = answered(client.call("Plugin.Double", &i64::MAX).await);
        assert_eq!(text, "it is too large");
        let text = answered(client.call("Plugin.Nope", &Value::Nil).await);
        assert_eq!(text, "rpc: can't find method Plugin.Nope");
        let text = answered(client.call("Nobody.Nope", &Value::Nil).await);
        assert_eq!(text, "rpc: can't find service Nobody.Nope");
        let text = answered(client.call("Nope", &1).await);
        assert_eq!(text, "rpc: service/method request ill-formed: Nope");
        let text = answered(client.call("Plugin.Double", "twenty-one").await);
        assert!(
            text.contains("Plugin.Double") && text.contains("string"),
            "{text}"
        );
        let text = answered(client.call("Plugin.Panic", &1).await);
        assert!(text.contains("as it was told"), "{text}");
        let text = answered(client.call("Plugin.Unsendable", &1).await);
        assert!(text.contains("Option<i64>"), "{text}");
        let error = client.call::<_, i64>("Plugin.Double", &None::<i64>).await;
        let error = error.expect_err("nothing cannot be sent").to_string();
        assert!(
            error.contains("Plugin.Double") && error.contains("Option<i64>"),
            "{error}"
        );
        let error = client
            .call::<_, Stranger>("Plugin.Mirror", &Point::default())
            .await;
        let Err(CallError::Reply { method, sent, .. }) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(method, "Plugin.Mirror");
        assert!(sent.contains('X'), "{sent}");
        let doubled: i64 = client.call("Plugin.Double", &4).await.expect("it goes on");
        assert_eq!(doubled, 8);
    });
}

#[test]
fn what_is_not_provided_is_not_dispensed() {
    run(async {
        let rig = rig(4096).await;
        let error = rig
            .host
            .dispense("nothing", SOON)
            .await
            .expect_err("it is not provided");
        assert!(matches!(error, DispenseError::Refused { .. }));
        let text = error.to_string();
        assert!(text.contains("unknown plugin type: nothing"), "{text}");
        assert!(text.contains("greeter"), "{text}");
        let error = rig
            .host
            .dispense("broken", SOON)
            .await
            .expect_err("it cannot be made");
        assert!(error.to_string().contains("it cannot be made"), "{error}");
        rig.host
            .dispense("greeter", SOON)
            .await
            .expect("it goes on");
    });
}

#[test]
fn many_calls_of_every_size_are_made_at_once() {
    run(async {
        let rig = rig(1000).await;
        let client = rig
            .host
            .dispense("greeter", SOON)
            .await
            .expect("it is provided");
        let calls = (0..200_usize).map(|number| {
            let client = client.clone();
            async move {
                let bytes = vec![number as u8; number * 1000];
                let echoed: Vec<u8> = client.call("Plugin.Echo", &bytes).await.expect("an echo");
                assert!(echoed == bytes, "{number}");
            }
        });
        join_all(calls).await;
    });
}

#[test]
fn the_broker_connects_in_both_directions() {
    run(async {
        let rig = rig(4096).await;
        let client = rig
            .host
            .dispense("greeter", SOON)
            .await
            .expect("it is provided");
        // The plugin dials what the host accepts on.
        let id = rig.host.broker().next_id();
        let accepted = async {
            let mut io = rig.host.broker().accept(id).await.expect("it is dialled");
            let mut text = String::new();
            io.read_to_string(&mut text).await.expect("a text");
            text
        };
        let (text, dialled) = join(accepted, client.call::<_, bool>("Plugin.Dial", &id)).await;
        assert_eq!(
            (text.as_str(), dialled.expect("it dials")),
            ("from the plugin", true)
        );
        // Services behind an id, for as long as it is served.
        let services: Services = Arc::new(
            [(
                "Plugin".to_owned(),
                Arc::new(service(rig.host.broker())) as Arc<dyn Service>,
            )]
            .into(),
        );
        let runtime = Arc::clone(&rig.runtime);
        let id = rig.host.broker().next_id();
        let serving = rig.host.broker().serve(id, move |io| {
            let (of, services) = (Arc::clone(&runtime), Arc::clone(&services));
            runtime.spawn(Box::pin(async move {
                let _ended = serve(of, io, services, Limits::default()).await;
            }));
        });
        let serving = serving.expect("a fresh id");
        assert_eq!(serving.id(), id);
        let error = rig
            .host
            .broker()
            .accept(id)
            .await
            .map(drop)
            .expect_err("it is taken");
        assert!(
            matches!(error, BrokerError::AlreadyAccepting { .. }),
            "{error}"
        );
    });
}

#[test]
fn what_is_printed_comes_on_its_own_streams() {
    run(async {
        let mut rig = rig(4096).await;
        rig.host.ping(SOON).await.expect("it is there");
        let streams = rig.output.lock().expect("no panic").take();
        let [mut stdout, mut stderr] = streams.expect("it has them");
        stdout.write_all(b"out1\n").await.expect("writes");
        stderr.write_all(b"err1\n").await.expect("writes");
        let mut line = [0; 5];
        rig.printed[1].read_exact(&mut line).await.expect("reads");
        assert_eq!(&line, b"err1\n");
        rig.printed[0].read_exact(&mut line).await.expect("reads");
        assert_eq!(&line, b"out1\n");
    });
}

#[test]
fn the_end_of_the_connection_ends_what_waits() {
    run(async {
        let rig = rig(4096).await;
        let client = rig
            .host
            .dispense("greeter", SOON)
            .await
            .expect("it is provided");
        let id = rig.host.broker().next_id();
        let waiting = rig.host.broker().accept(id);
        rig.host.close("the plugin has crashed");
        let error = client
            .call::<_, i64>("Plugin.Double", &1)
            .await
            .expect_err("it is over");
        assert!(
            error.to_string().contains("the plugin has crashed"),
            "{error}"
        );
        let error = waiting.await.map(drop).expect_err("nobody dials");
        assert!(
            error.to_string().contains("the plugin has crashed"),
            "{error}"
        );
        let error = rig
            .host
            .broker()
            .dial(1)
            .await
            .map(drop)
            .expect_err("nobody is there");
        assert!(
            error.to_string().contains("the plugin has crashed"),
            "{error}"
        );
        let ended = client.client().ended().expect("it is over").to_string();
        assert!(ended.contains("the plugin has crashed"), "{ended}");
    });
}

#[test]
fn an_instance_ends_with_its_client() {
    run(async {
        let rig = rig(4096).await;
        let client: Instance = rig
            .host
            .dispense("greeter", SOON)
            .await
            .expect("it is provided");
        let other = client.clone();
        drop(client);
        let _: i64 = other.call("Plugin.Double", &1).await.expect("one is left");
        drop(other);
        drop(rig.host);
        while rig.ended.lock().expect("no panic").is_none() {
            futures_util::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                std::task::Poll::Ready(())
            })
            .await;
            std::thread::yield_now();
        }
    });
}
