//! Go host and Python plugin: proves the Python peer.
#![cfg(unix)]

use outboard_interop::{HostRun, go, python};

/// A plugin with health and its own service only: everything works but the
/// polite end, which needs the controller.
#[test]
fn kv() {
    let (Some(peers), Some(plugin)) = (go(), python()) else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let found = HostRun::new(peers, &plugin.command(&[]))
        .dir(dir.path())
        .expect("kv", &[]);
    assert_eq!(found["value"], "world\n\nWritten from plugin-python");
    assert_eq!(found["missing_code"], "Unknown");
    assert_eq!(found["kill"]["forced"], true, "{found:#}");
    assert_eq!(found["kill"]["exited"], true, "{found:#}");
}

/// With a controller the plugin ends by itself, and with the stdio service its
/// prints arrive.
#[test]
fn kv_with_extras() {
    let (Some(peers), Some(plugin)) = (go(), python()) else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let found = HostRun::new(peers, &plugin.command(&["--extras"]))
        .dir(dir.path())
        .expect("kv", &["await-stdout=stored hello"]);
    assert_eq!(found["value"], "world\n\nWritten from plugin-python");
    assert_eq!(found["kill"]["forced"], false, "{found:#}");
}

/// The cookie is checked.
#[test]
fn cookie_mismatch() {
    let (Some(peers), Some(plugin)) = (go(), python()) else {
        return;
    };
    let found = HostRun::new(peers, &plugin.command(&[]))
        .flag("-cookie=wrong")
        .expect("rejected", &[]);
    let stderr = found["stderr"].as_str().expect("a text");
    assert!(stderr.contains("This is a plugin"), "{stderr:?}");
}
