//! What is dispensed by its name, before, while and after the peer tells the names it provides.

mod support;

use std::sync::Arc;

use futures_util::{AsyncWriteExt as _, poll};
use outboard_core::rpc::{
    CallHead, Channel, Connection, ConnectionConfig, DispenseFailure, Router, ServerConfig,
    Serving, Status, Transport as _,
};
use outboard_transport_stdio::Stdio;
use outboard_transport_stdio::wire::frame::Frame;
use outboard_transport_stdio::wire::{MAX_NAME, Preface, Settings};
use support::service::{self, out};
use support::{TestRuntime, pipe, run};

/// What a dispense gives, without the channel.
fn told(dispensed: Result<Option<Channel>, DispenseFailure>) -> Result<(), DispenseFailure> {
    let own = dispensed?;
    assert!(own.is_none(), "all that is provided shares the connection");
    Ok(())
}

fn not_provided(provided: &[&str]) -> Result<(), DispenseFailure> {
    let provided = provided.iter().map(|&name| name.to_owned()).collect();
    Err(DispenseFailure::NotProvided { provided })
}

fn served(router: Router) -> (Arc<dyn Connection>, Arc<dyn Serving>) {
    let runtime = TestRuntime::shared();
    let (near, far) = pipe(64 * 1024);
    let config = ServerConfig::default();
    let serving = Stdio::new().serve(&runtime, Box::new(far), Arc::new(router), config);
    let config = ConnectionConfig::default();
    let connection = Stdio::new().connect(&runtime, Box::new(near), config);
    (connection, serving)
}

fn provided(name: &str) -> Router {
    let mut router = Router::new();
    let (echo, _) = service::router();
    router.provide(name, echo).expect("the only one");
    router.extensions_mut().insert("extension");
    router
}

#[test]
fn a_name_that_is_not_provided_is_refused_with_those_that_are() {
    run(async {
        let (connection, _serving) = served(provided("echo"));
        assert_eq!(told(connection.dispense("echo").await), Ok(()));
        for missing in ["missing", "", "Echo", "echo "] {
            let dispensed = connection.dispense(missing).await;
            assert_eq!(told(dispensed), not_provided(&["echo"]), "{missing:?}");
        }
        let (connection, _serving) = served(Router::new());
        let dispensed = connection.dispense("echo").await;
        assert_eq!(told(dispensed), not_provided(&[]));
    });
}

#[test]
fn what_is_known_is_known_after_the_end_too() {
    run(async {
        let (connection, serving) = served(provided("echo"));
        assert_eq!(told(connection.dispense("echo").await), Ok(()));
        serving.abort();
        connection.closed().await;
        assert_eq!(told(connection.dispense("echo").await), Ok(()));
        let dispensed = connection.dispense("missing").await;
        assert_eq!(told(dispensed), not_provided(&["echo"]));
    });
}

#[test]
fn names_that_cannot_be_told_are_all_dispensed() {
    run(async {
        let long = "x".repeat(MAX_NAME + 1);
        let (connection, _serving) = served(provided(&long));
        for name in [&long, "missing"] {
            assert_eq!(told(connection.dispense(name).await), Ok(()));
        }
    });
}

#[test]
fn a_brokered_channel_has_no_names() {
    run(async {
        let (connection, serving) = served(provided("echo"));
        let channels = serving.sub_channels().expect("in the connection");
        let _brokered = channels
            .accept(7, Arc::new(provided("brokered")))
            .expect("free");
        let channels = connection.sub_channels().expect("in the connection");
        let brokered = channels.dial(7, ConnectionConfig::default());
        for name in ["brokered", "echo", "missing"] {
            assert_eq!(told(brokered.dispense(name).await), Ok(()));
        }
        let head = CallHead::new("/test.Echo/Echo");
        let reply = brokered.unary(head, out("x")).await.expect("served");
        assert_eq!(reply.message, "x");
    });
}

/// What a peer sends that tells these names, as they travel, or says nothing of them.
fn peer(names: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Preface {
        settings: Settings::LEAST,
        names: names.is_some(),
    }
    .encode(&mut bytes);
    if let Some(names) = names {
        Frame::Names { names }.encode(&mut bytes);
    }
    bytes
}

#[test]
fn who_dispenses_early_waits_for_the_names_and_for_nothing_else() {
    run(async {
        let cases: [(Option<&[u8]>, _); 4] = [
            (None, Ok(())),
            (Some(b""), not_provided(&[])),
            (Some(b"\x04echo"), Ok(())),
            (Some(b"\x02kv\x01 "), not_provided(&["kv", " "])),
        ];
        for (names, expected) in cases {
            // What is written has been read but for one byte.
            let (near, mut far) = pipe(1);
            let runtime = TestRuntime::shared();
            let config = ConnectionConfig::default();
            let connection = Stdio::new().connect(&runtime, Box::new(near), config);
            let mut early = [connection.dispense("echo"), connection.dispense("echo")];
            let bytes = peer(names);
            let (last, before) = bytes.split_last().expect("a preface");
            for byte in before {
                for early in &mut early {
                    assert!(poll!(early).is_pending());
                }
                far.write_all(&[*byte]).await.expect("written");
                far.flush().await.expect("written");
            }
            far.write_all(&[*last]).await.expect("written");
            far.flush().await.expect("written");
            for early in early {
                assert_eq!(told(early.await), expected);
            }
            assert_eq!(told(connection.dispense("echo").await), expected);
        }
    });
}

#[test]
fn who_waits_for_names_learns_how_the_connection_ended() {
    run(async {
        let bytes = peer(Some(b"\x02kv"));
        for sent in [0, 5, bytes.len() - 1] {
            let (near, mut far) = pipe(64 * 1024);
            let mut config = ConnectionConfig::default();
            let expected = Status::connection_lost("the plugin exited with status 3");
            let explained = expected.clone();
            config.lost = Some(Arc::new(move |_| {
                let explained = explained.clone();
                Box::pin(async { explained })
            }));
            let runtime = TestRuntime::shared();
            let connection = Stdio::new().connect(&runtime, Box::new(near), config);
            let early = connection.dispense("kv");
            far.write_all(&bytes[..sent]).await.expect("written");
            far.flush().await.expect("written");
            drop(far);
            let refused = || Err(DispenseFailure::Refused(expected.clone()));
            assert_eq!(told(early.await), refused());
            assert_eq!(told(connection.dispense("kv").await), refused());
        }
        // It does not hold the connection.
        let (near, _far) = pipe(64 * 1024);
        let config = ConnectionConfig::default();
        let connection = Stdio::new().connect(&TestRuntime::shared(), Box::new(near), config);
        let mut early = connection.dispense("kv");
        assert!(poll!(&mut early).is_pending());
        drop(connection);
        let Err(DispenseFailure::Refused(status)) = early.await else {
            panic!("nobody told names");
        };
        assert!(status.is_connection_lost());
    });
}
