//! How a host ends its connection, and streams that it lets go of at once.

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::AsyncReadExt as _;
use outboard_gob::{Limits, Value};
use outboard_kit::{TestRuntime, pipe, run_with};
use outboard_transport_netrpc::{HostSession, Make, Methods, PluginSession, Provided, Service};
use outboard_yamux::SessionError;

use self::support::{accept, hex, raw_plugin};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn the_last_bytes_of_a_host_are_the_ends_of_its_three_streams() {
    for by_drop in [true, false] {
        let (runtime, tasks) = TestRuntime::without_time();
        let (near, mut far) = pipe(64 * 1024);
        let begun = HostSession::begin(&runtime, Box::new(near), Limits::default());
        let (host, _printed) = begun.expect("a session");
        if by_drop {
            drop(host);
        } else {
            host.close("enough");
            host.close("once more");
        }
        let mut sent = Vec::new();
        run_with(tasks, far.read_to_end(&mut sent)).expect("an end");
        // As go-plugin's host, which sends no go-away either.
        let expected = "00 01 0001 00000001 00000000 00 01 0001 00000003 00000000 \
            00 01 0001 00000005 00000000 00 01 0004 00000001 00000000 \
            00 01 0004 00000003 00000000 00 01 0004 00000005 00000000";
        assert_eq!(sent, hex(expected));
    }
}

#[test]
fn the_end_does_not_wait_for_a_plugin_that_reads_nothing() {
    let (runtime, tasks, clock) = TestRuntime::with_clock();
    // What is not even room for the first frame.
    let (near, far) = pipe(5);
    let begun = HostSession::begin(&runtime, Box::new(near), Limits::default());
    let (host, _printed) = begun.expect("a session");
    outboard_kit::settle(tasks);
    let closed = host.closed();
    drop(host);
    let ended = run_with(tasks, closed);
    assert!(matches!(ended, SessionError::Ended(_)), "{ended}");
    // The connection is let go of after a second.
    outboard_kit::settle(tasks);
    clock.advance(Duration::from_secs(1));
    let mut far = far;
    let mut sent = Vec::new();
    run_with(tasks, far.read_to_end(&mut sent)).expect("an end");
}

#[test]
fn a_plugin_reads_the_ends_of_the_three_before_that_of_the_connection() {
    let (runtime, tasks) = TestRuntime::without_time();
    let (near, (opener, mut incoming)) = raw_plugin(&runtime);
    run_with(tasks, async {
        let begun = HostSession::begin(&runtime, near, Limits::default());
        let (host, _printed) = begun.expect("a session");
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(accept(&mut incoming).await);
        }
        drop(host);
        for stream in &mut streams {
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.expect("an end");
            assert!(said.is_empty());
        }
        let ended = opener.closed().await;
        let whole = matches!(
            ended,
            SessionError::Closed {
                within_frame: false
            }
        );
        assert!(whole, "{ended}");
    });
}

/// A plugin that greets, on a stream of its own.
fn plugin(provided: Provided) -> Provided {
    let make: Make = Arc::new(|_| {
        let greet = |_: Value| async { Ok::<_, String>("Hello!".to_owned()) };
        Ok(Arc::new(Methods::new().with("Greet", greet)) as Arc<dyn Service>)
    });
    Provided {
        plugins: [("greeter".to_owned(), make)].into(),
        ..provided
    }
}

#[test]
fn a_host_that_wants_no_output_and_says_so_at_once_is_served() {
    for before_the_first_await in [true, false] {
        let (runtime, tasks) = TestRuntime::without_time();
        let (near, far) = pipe(64 * 1024);
        let session = PluginSession::begin(&runtime, Box::new(far), plugin(Provided::default()));
        run_with(tasks, async {
            let begun = HostSession::begin(&runtime, Box::new(near), Limits::default());
            let (host, printed) = begun.expect("a session");
            if before_the_first_await {
                drop(printed);
            } else {
                host.ping(SOON).await.expect("it is there");
                drop(printed);
            }
            let greeter = host.dispense("greeter", SOON).await.expect("an instance");
            let text: String = greeter
                .call("Plugin.Greet", &Value::Nil)
                .await
                .expect("a text");
            assert_eq!(text, "Hello!");
            drop(host);
            session.ended().await.expect("an end in order");
        });
    }
}

#[test]
fn a_plugin_that_has_no_output_and_says_so_at_once_is_used() {
    let (runtime, tasks) = TestRuntime::without_time();
    let (near, far) = pipe(64 * 1024);
    let provided = Provided {
        output: Arc::new(drop),
        ..Provided::default()
    };
    let _session = PluginSession::begin(&runtime, Box::new(far), plugin(provided));
    run_with(tasks, async {
        let begun = HostSession::begin(&runtime, Box::new(near), Limits::default());
        let (host, mut printed) = begun.expect("a session");
        for stream in &mut printed {
            stream.read(&mut [0]).await.expect_err("it was reset");
        }
        let greeter = host.dispense("greeter", SOON).await.expect("an instance");
        let _: String = greeter
            .call("Plugin.Greet", &Value::Nil)
            .await
            .expect("a text");
    });
}
