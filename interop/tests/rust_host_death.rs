//! What becomes of a plugin whose Rust host is killed. (Go plugins have no means to notice, and stay.)
#![cfg(unix)]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use outboard_interop::{Wait, is_alive, wait_until_gone};

/// Kills a host that has started this plugin; returns the plugin's process id.
fn orphan(plugin: impl AsRef<OsStr>) -> u32 {
    let mut host = Command::new(env!("CARGO_BIN_EXE_rust-host-peer"))
        .arg(plugin)
        .arg("all")
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
    let pid = orphan(env!("CARGO_BIN_EXE_rust-plugin-peer"));
    assert!(wait_until_gone(pid, Wait(Duration::from_secs(5))));
}
