//! What becomes of a plugin whose Rust host is killed.
#![cfg(unix)]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use outboard_interop::{Wait, go, is_alive, wait_until_gone};

/// Kills a host that has started this plugin, whose sockets are in this directory; returns the
/// plugin's process id.
fn orphan(plugin: impl AsRef<OsStr>, mode: &str, dir: &Path) -> u32 {
    let mut host = Command::new(env!("CARGO_BIN_EXE_rust-host-peer"))
        .arg(plugin)
        .arg(mode)
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the host");
    let mut line = String::new();
    let stdout = host.stdout.take().expect("a pipe");
    let _ = BufReader::new(stdout).read_line(&mut line).expect("a line");
    let pid = line.trim().parse().expect("the plugin's process id");
    assert!(is_alive(pid));
    host.kill().expect("the host can be killed");
    let _ = host.wait().expect("the host can be reaped");
    pid
}

#[test]
fn a_rust_plugin_goes_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let pid = orphan(env!("CARGO_BIN_EXE_rust-plugin-peer"), "all", dir.path());
    assert!(wait_until_gone(pid, Wait(Duration::from_secs(5))));
    let left = std::fs::read_dir(dir.path()).expect("the directory");
    assert_eq!(left.count(), 0, "neither a socket nor the directory for it");
}

/// It has no means to notice by itself: the kernel kills it, and nobody is left to remove its socket.
#[test]
#[cfg(target_os = "linux")]
fn a_go_plugin_goes_too() {
    let Some(go) = go() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let pid = orphan(&go.plugin, "probe", dir.path());
    assert!(wait_until_gone(pid, Wait(Duration::from_secs(60))));
}
