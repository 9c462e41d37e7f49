//! What does not go together: protocols, versions, sizes, and peers that keep no protocol.

use std::time::{Duration, Instant};

use outboard::netrpc::{CallError, Instance, Value};
use outboard::{
    DispenseError, Dispensed, ExitReason, H2, Host, HostError, Protocol, StartError, StartFailure,
};

use super::case::{Case, Running, Subject};
use crate::proto::examples::{AddHelper as _, AddHelperClient, SumRequest};

async fn not_started(case: &Case<'_>, host: Host) -> Box<StartError> {
    match host.start(case.runtime.clone()).await {
        Err(HostError::Start { error, .. }) => error,
        other => panic!("{case:?}: {other:?}"),
    }
}

/// A host of one protocol does not start a plugin that speaks the other one, and says which they are.
///
/// # Panics
/// If not.
pub fn other_protocols(subject: &Subject) {
    subject.each(async |case| {
        let hosts = [
            // gRPC alone is what a host speaks unless told otherwise.
            case.bare_host("plain"),
            case.bare_host("plain").transport(H2::new()),
            case.host("versions").versions([2]),
            case.host("versions").versions([1, 2]),
        ];
        for host in hosts {
            let error = not_started(case, host).await;
            let refused = matches!(error.failure, StartFailure::Handshake(_));
            assert!(refused, "{case:?}: {error:?}");
            let text = error.to_string();
            let text = text.to_lowercase();
            let names_both = text.contains("grpc") && text.contains("netrpc");
            assert!(names_both, "{case:?}: {text}");
        }
    });
}

async fn speaks_net_rpc(running: Running) {
    assert_eq!(running.plugin.protocol(), Protocol::NetRpc);
    assert_eq!(running.plugin.negotiated_version(), 1);
    let other = running.plugin.dispense::<AddHelperClient>("greeter").await;
    let Err(DispenseError::OtherProtocol { misfit, .. }) = other else {
        panic!("a client of gRPC");
    };
    assert_eq!((misfit.found, misfit.expected), ("Go's net/rpc", "gRPC"));
    let either = running.plugin.dispense::<Dispensed>("greeter").await;
    assert!(matches!(either, Ok(Dispensed::Instance(_))), "{either:?}");
    let greeter = running.greeter().await;
    let text: Result<String, _> = greeter.call("Plugin.Greet", &Value::Nil).await;
    assert_eq!(text.expect("a text"), "Hello!");
    running.end().await;
}

async fn speaks_grpc(running: Running) {
    assert_eq!(running.plugin.protocol(), Protocol::Grpc);
    assert_eq!(running.plugin.negotiated_version(), 2);
    let other = running.plugin.dispense::<Instance>("greeter").await;
    let Err(DispenseError::OtherProtocol { misfit, .. }) = other else {
        panic!("{other:?}");
    };
    assert_eq!((misfit.found, misfit.expected), ("gRPC", "Go's net/rpc"));
    let either = running.plugin.dispense::<Dispensed>("greeter").await;
    assert!(matches!(either, Ok(Dispensed::Channel(_))), "{either:?}");
    let adder: AddHelperClient = running.plugin.dispense("greeter").await.expect("a client");
    let sum = adder.sum(SumRequest { a: 40, b: 2 }).await.expect("a sum");
    assert_eq!(sum.r, 42);
    running.end().await;
}

/// A plugin with version 1 over net/rpc and version 2 over gRPC, and hosts that speak both: the protocol
/// is that of the version.
///
/// # Panics
/// If not.
pub fn versions(subject: &Subject) {
    subject.each(async |case| {
        let host = || case.host("versions").transport(H2::new());
        speaks_net_rpc(case.started(host().versions([1])).await).await;
        speaks_grpc(case.started(host().versions([2])).await).await;
        speaks_grpc(case.started(host().versions([1, 2])).await).await;
        // One that speaks net/rpc alone and offers that version.
        speaks_net_rpc(case.started(case.host("versions").versions([1])).await).await;
        // And one that has gRPC alone.
        let host = case.bare_host("versions").transport(H2::new());
        speaks_grpc(case.started(host.versions([1, 2])).await).await;
        let error = not_started(case, host_of_three(case)).await;
        assert!(error.to_string().contains('3'), "{error}");
    });
}

fn host_of_three(case: &Case<'_>) -> Host {
    case.host("versions").transport(H2::new()).versions([3])
}

/// A plugin that cannot serve what it provides says so to its host.
///
/// # Panics
/// If not.
pub fn unservable(subject: &Subject) {
    subject.on_each_runtime(async |case| {
        for (mode, told) in [
            (
                "mixed",
                "interfaces of gRPC and of Go's net/rpc in version 1",
            ),
            ("untransported", "provides version 1 over Go's net/rpc"),
        ] {
            let error = not_started(case, case.host(mode)).await;
            let text = error.to_string();
            let refused = matches!(error.failure, StartFailure::Refused(_));
            assert!(refused && text.contains(told), "{mode}: {error:?}");
        }
    });
}

/// Values may have the size that messages may have, and on either side.
///
/// # Panics
/// If not.
pub fn sizes(subject: &Subject) {
    subject.each(async |case| {
        let host = case.host("plain").max_message_size(64 << 10);
        let running = case.started(host).await;
        let greeter = running.greeter().await;
        let small = vec![1_u8; 60 << 10];
        let echoed: Result<Vec<u8>, _> = greeter.call("Plugin.Echo", &small).await;
        assert!(echoed.expect("an echo") == small);
        let large = vec![1_u8; 65 << 10];
        let sent = greeter.call::<_, Vec<u8>>("Plugin.Echo", &large).await;
        assert!(matches!(sent, Err(CallError::Argument { .. })), "{sent:?}");
        let echoed: Result<Vec<u8>, _> = greeter.call("Plugin.Echo", &small).await;
        assert!(echoed.expect("the stream goes on") == small);
        // What the plugin sends is its own affair, and read no further.
        let answer = greeter.call::<_, Vec<u8>>("Plugin.Fill", &(1 << 20)).await;
        let error = answer.expect_err("it is too large").to_string();
        assert!(error.contains("65536"), "{case:?}: {error}");
        let another = running.greeter().await;
        let echoed: Result<Vec<u8>, _> = another.call("Plugin.Echo", &small).await;
        assert!(echoed.expect("the connection goes on") == small);
        running.end().await;
    });
}

/// The same where the limit is the plugin's.
///
/// # Panics
/// If not.
pub fn sizes_of_a_plugin(subject: &Subject) {
    subject.each(async |case| {
        let running = case.start("limited").await;
        let greeter = running.greeter().await;
        let small = vec![1_u8; 60 << 10];
        let echoed: Result<Vec<u8>, _> = greeter.call("Plugin.Echo", &small).await;
        assert!(echoed.expect("an echo") == small);
        let large = vec![1_u8; 65 << 10];
        let sent = greeter.call::<_, Vec<u8>>("Plugin.Echo", &large).await;
        let error = sent.expect_err("it is too large").to_string();
        // Whatever becomes of that stream, others go on.
        let another = running.greeter().await;
        let echoed: Result<Vec<u8>, _> = another.call("Plugin.Echo", &small).await;
        assert!(echoed.expect("an echo") == small, "{error}");
        running.end().await;
    });
}

/// What comes after the handshake is no yamux, or no gob: an error that says so, at once, and the process
/// is killed when it does not end.
///
/// # Panics
/// If not.
pub fn hostile(subject: &Subject) {
    subject.on_each_runtime(async |case| {
        for mode in ["no-yamux", "no-gob"] {
            let host = case.host(mode).shutdown_grace(Duration::from_millis(100));
            let running = case.started(host).await;
            let began = Instant::now();
            let pinged = running.plugin.ping().await.expect_err("it is no plugin");
            let text = format!("{pinged}");
            assert!(began.elapsed() < Duration::from_secs(10), "{mode}: {text}");
            let about = if mode == "no-yamux" { "yamux" } else { "gob" };
            assert!(text.contains(about), "{mode}: {text}");
            let dispensed = running.plugin.dispense::<Instance>("greeter").await;
            assert!(dispensed.is_err(), "{mode}: {dispensed:?}");
            let report = running.plugin.kill().await;
            assert_eq!(report.reason, ExitReason::Killed, "{report}");
            assert!(!crate::is_alive(running.pid), "{mode}");
        }
    });
}
