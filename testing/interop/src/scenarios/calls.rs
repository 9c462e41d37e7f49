//! Calls: sizes, errors, deadlines, metadata, streams, built-in services.

use serde_json::json;

use super::{Subject, assert_ended_gracefully};

/// A message of 16 MiB, both ways.
pub fn large_message(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("echo", &["size=16777216"]);
    assert_eq!(found["bytes"], 16 << 20);
    assert_ended_gracefully(&found);
}

/// Every code, an empty message, non-ASCII text and details arrive unchanged.
pub fn status(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("status", &[]);
    assert_eq!(found["statuses"], 18);
    assert_ended_gracefully(&found);
}

/// The call ends at its deadline, and the plugin knew the deadline.
pub fn deadline(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("deadline", &[]);
    let millis = found["millis"].as_u64().expect("a number");
    assert!((400..5_000).contains(&millis), "{millis} ms");
    assert_ended_gracefully(&found);
}

/// The plugin notices that a call was given up, and saw no deadline on it.
pub fn cancel(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("cancel", &[]);
    assert_eq!(found["cancelled"], 1);
    assert_eq!(found["finished"], 0);
    assert_eq!(found["had_deadline"], false);
    assert_ended_gracefully(&found);
}

/// Text and binary metadata reach the plugin and come back in headers and trailers.
pub fn metadata(subject: &Subject<'_>) {
    assert_ended_gracefully(&subject.run(&["probe"]).expect("metadata", &[]));
}

/// A thousand small calls after one another.
pub fn sequential(subject: &Subject<'_>) {
    let found = subject
        .run(&["probe"])
        .expect("sequential", &["count=1000"]);
    assert_eq!(found["calls"], 1000);
    assert_ended_gracefully(&found);
}

/// Calls of many sizes at once.
pub fn parallel(subject: &Subject<'_>) {
    assert_ended_gracefully(&subject.run(&["probe"]).expect("parallel", &[]));
}

/// Bidirectional in lock-step, server streaming, client streaming; with small
/// messages too, of which many fit into one frame.
pub fn streams(subject: &Subject<'_>) {
    for (count, size) in [(500, 4096), (5000, 10), (4, 2_000_000)] {
        let found = subject.run(&["probe"]).expect(
            "streams",
            &[&format!("count={count}"), &format!("size={size}")],
        );
        assert_ended_gracefully(&found);
    }
}

/// Unknown methods and services are UNIMPLEMENTED and harm nothing.
pub fn unknown_method(subject: &Subject<'_>) {
    assert_ended_gracefully(&subject.run(&["probe"]).expect("unknown-method", &[]));
}

/// Health knows `plugin` and the empty name.
pub fn health(subject: &Subject<'_>) {
    let found = subject.run(&["probe"]).expect("health", &[]);
    for name in ["plugin", ""] {
        assert_eq!(found[format!("check:{name}")], "SERVING", "{name:?}");
        assert_eq!(found[format!("watch:{name}")], "SERVING", "{name:?}");
    }
    assert_eq!(found["check:unknown"], "NotFound");
    assert_eq!(found["watch:unknown"], "SERVICE_UNKNOWN");
    assert_eq!(found["list"], json!({"": "SERVING", "plugin": "SERVING"}));
    assert_ended_gracefully(&found);
}

/// Both versions of reflection list exactly the services served.
pub fn reflection(subject: &Subject<'_>) {
    let found = subject.run(&["all"]).expect("reflection", &[]);
    let mut services = json!([
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "outboard.interop.Probe",
        "outboard.log.LogLevel",
        "plugin.GRPCBroker",
        "plugin.GRPCController",
        "plugin.GRPCStdio",
        "proto.Counter",
        "proto.KV",
        "proto.StreamerService",
    ]);
    if subject.is_go()
        && let Some(services) = services.as_array_mut()
    {
        services.retain(|service| service != "outboard.log.LogLevel");
    }
    assert_eq!(found["v1"], services);
    assert_eq!(found["v1alpha"], services);
    let files = found["files"].as_array().expect("a list");
    assert!(files.contains(&json!("probe.proto")), "{files:?}");
    // NOT_FOUND
    assert_eq!(found["unknown_code"], 5);
    assert_ended_gracefully(&found);
}
