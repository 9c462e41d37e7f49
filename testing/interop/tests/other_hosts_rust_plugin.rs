//! Hosts in other languages, without a go-plugin library and with the defaults of their gRPC, and an
//! outboard plugin: what they send as `:authority` to a unix socket is not always one.
#![cfg(unix)]

use std::process::Command;
use std::time::Duration;

use outboard_interop::{node, python, run_to_end};

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

/// Each wait of a host has a limit below this.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a host that calls the plugin and what it serves through the broker, several times each.
fn check(host: &mut Command) {
    let dir = tempfile::tempdir().expect("a directory");
    let ended = run_to_end(host.current_dir(dir.path()), LIMIT);
    let (out, err) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    assert!(ended.status.success(), "{}\n{out}\n{err}", ended.status);
    assert_eq!(out, "well\n", "{err}");
}

#[test]
fn grpcio() {
    let Some(peer) = python() else { return };
    check(&mut peer.host("sync", &[PLUGIN.into(), "all".into()]));
}

#[test]
fn grpcio_aio() {
    let Some(peer) = python() else { return };
    check(&mut peer.host("aio", &[PLUGIN.into(), "all".into()]));
}

#[test]
fn grpc_js() {
    let Some(peer) = node() else { return };
    check(&mut peer.host(&[PLUGIN.into(), "all".into()]));
}
