//! The example services: kv, negotiated, counter, streamer, and the broker.

use super::{Subject, assert_ended_gracefully};

/// Put, get, and a key that does not exist.
pub fn kv(subject: &Subject<'_>) {
    let dir = tempfile::tempdir().expect("a directory");
    let found = subject.run(&["kv"]).dir(dir.path()).expect("kv", &[]);
    assert_eq!(found["value"], format!("world{}", subject.put_note));
    assert_eq!(found["missing_code"], "Unknown");
    assert_ne!(found["missing_message"], "");
    assert!(dir.path().join("kv_hello").is_file());
    assert_ended_gracefully(&found);
}

/// The highest common version is chosen, and each version behaves as its own.
pub fn negotiated(subject: &Subject<'_>) {
    for (offered, chosen) in [("2,3", 3), ("3,2,7", 3), ("2", 2), ("3", 3)] {
        let dir = tempfile::tempdir().expect("a directory");
        let found = subject
            .run(&["negotiated"])
            .flag(&format!("-versions={offered}"))
            .dir(dir.path())
            .expect("negotiated", &[]);
        assert_eq!(found["version"], chosen, "offered {offered}");
        let value = found["value"].as_str().expect("a text");
        assert!(
            value.contains(&format!("Written from plugin version {chosen}\n"))
                && value.contains(&format!("Read by plugin version {chosen}\n")),
            "offered {offered}: {value:?}"
        );
        assert_ended_gracefully(&found);
    }
}

/// No common version: the host refuses, and names both sides' versions.
pub fn incompatible_version(subject: &Subject<'_>) {
    let found = subject
        .run(&["negotiated", "2,3"])
        .flag("-versions=8,9")
        .expect("rejected", &[]);
    let error = found["start_error"].as_str().expect("a text");
    // The plugin falls back to its lowest version and lets the host complain.
    for number in ["2", "8", "9"] {
        assert!(error.contains(number), "{error}");
    }
    assert_eq!(found["kill"]["exited"], true, "{found:#}");
}

/// The plugin dials back into the host for each Put.
pub fn counter(subject: &Subject<'_>) {
    counter_with(subject, &[]);
}

/// The same with these flags of the Go host.
pub fn counter_with(subject: &Subject<'_>, flags: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let run = subject.run(&["counter"]).dir(dir.path());
    let run = flags.iter().fold(run, |run, flag| run.flag(flag));
    let found = run.expect("counter", &[]);
    assert_eq!(found["value"], 11);
    assert_ended_gracefully(&found);
}

/// Several brokered servers at once on both sides.
pub fn broker(subject: &Subject<'_>) {
    assert_ended_gracefully(&subject.run(&["all"]).expect("broker", &[]));
}

/// Dialling an id that nobody announces fails after five seconds, and the
/// broker goes on working.
pub fn broker_timeout(subject: &Subject<'_>) {
    let found = subject.run(&["all"]).expect("broker-timeout", &[]);
    let millis = found["plugin_millis"].as_u64().expect("a number");
    assert!((4_900..10_000).contains(&millis), "{millis} ms");
    assert_ne!(found["plugin_error"], "");
    assert_ended_gracefully(&found);
}

/// A file goes in and out in chunks; sizes around the chunk size matter.
pub fn streamer(subject: &Subject<'_>) {
    for (size, chunk, chunks) in [
        (0, 10, 0),
        (10, 10, 1),
        (11, 10, 2),
        (3_000_000, 1000, 3000),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let found = subject.run(&["streamer"]).dir(dir.path()).expect(
            "streamer",
            &[&format!("size={size}"), &format!("chunk={chunk}")],
        );
        assert_eq!(found["bytes"], size);
        assert_eq!(found["chunks"], chunks);
        assert_ended_gracefully(&found);
    }
}
