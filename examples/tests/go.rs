//! The examples with go-plugin on the other side: each is exchangeable with its counterpart there.
#![cfg(all(unix, feature = "tokio", feature = "h2"))]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use outboard_interop::scenarios::{Subject, services};
use outboard_interop::{GoPeers, go};
use support::{example, ok};

/// The plugin of an example, for the Go host.
fn plugin<'a>(peers: &'a GoPeers, name: &str, put_note: &'static str) -> Subject<'a> {
    Subject {
        peers,
        command: vec![
            "/bin/sh".into(),
            "-c".into(),
            // The Go host's scenarios add the mode of their own peers, which is not for this one.
            "exec \"$0\" plugin".into(),
            example(name).into(),
        ],
        put_note,
    }
}

/// The host of an example, whose plugin is Go's in a mode.
fn host(peers: &GoPeers, dir: &Path, name: &str, mode: &str, args: &[&str]) -> Command {
    let program = peers.plugin.to_str().expect("a path in UTF-8");
    let variable = format!("{}_PLUGIN", name.to_uppercase());
    let mut command = Command::new(example(name));
    command
        .args(args)
        .current_dir(dir)
        .env(variable, format!("exec '{program}' {mode}"))
        .stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the example starts")
}

#[test]
fn the_kv_host_uses_a_go_plugin() {
    let Some(peers) = go() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let kv = |args: &[&str]| run(&mut host(peers, dir.path(), "kv", "kv", args));
    ok(&kv(&["put", "hello", "world"]));
    let stdout = ok(&kv(&["get", "hello"]));
    assert_eq!(stdout, "world\n\nWritten from plugin-go-grpc\n");
    let missing = kv(&["get", "nothing"]);
    assert!(!missing.status.success());
    let stderr = String::from_utf8_lossy(&missing.stderr);
    assert!(stderr.contains("no such file"), "Go's own words: {stderr}");
}

#[test]
fn a_go_host_uses_the_kv_plugin() {
    let Some(peers) = go() else { return };
    services::kv(&Subject {
        peers,
        command: vec![example("kv-plugin").into()],
        put_note: "\n\nWritten from plugin-rust-grpc",
    });
}

#[test]
fn the_counter_host_lends_to_a_go_plugin() {
    let Some(peers) = go() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let counter = |args: &[&str]| run(&mut host(peers, dir.path(), "counter", "counter", args));
    ok(&counter(&["put", "sum", "5"]));
    ok(&counter(&["put", "sum", "-7"]));
    assert_eq!(ok(&counter(&["get", "sum"])), "-2\n");
    // The plugins keep their sums in the same way, so they can be exchanged in between.
    let mut own = host(peers, dir.path(), "counter", "counter", &["get", "sum"]);
    assert_eq!(ok(&run(own.env_remove("COUNTER_PLUGIN"))), "-2\n");
}

#[test]
#[cfg(all(feature = "tls", feature = "multiplex"))]
fn the_counter_host_lends_to_a_go_plugin_over_one_connection() {
    let Some(peers) = go() else { return };
    for flags in [&["--multiplex"][..], &["--multiplex", "--auto-mtls"]] {
        let dir = tempfile::tempdir().expect("a directory");
        let counter = |args: &[&str]| {
            let args = [flags, args].concat();
            run(&mut host(peers, dir.path(), "counter", "counter", &args))
        };
        ok(&counter(&["put", "sum", "5"]));
        ok(&counter(&["put", "sum", "-7"]));
        assert_eq!(ok(&counter(&["get", "sum"])), "-2\n", "{flags:?}");
    }
}

#[test]
fn a_go_host_lends_to_the_counter_plugin() {
    let Some(peers) = go() else { return };
    services::counter(&plugin(peers, "counter", ""));
}

#[test]
#[cfg(all(feature = "tls", feature = "multiplex"))]
fn a_go_host_lends_to_the_counter_plugin_over_one_connection() {
    let Some(peers) = go() else { return };
    for flags in [&["-multiplex"][..], &["-multiplex", "-automtls"]] {
        services::counter_with(&plugin(peers, "counter", ""), flags);
    }
}

#[test]
#[cfg(feature = "blocking")]
fn the_blocking_host_uses_a_go_plugin() {
    let Some(peers) = go() else { return };
    // Built with the others.
    let greeter = peers.plugin.with_file_name("go-greeter");
    let mut host = Command::new(example("blocking"));
    let output = run(host.arg(greeter).stdin(Stdio::null()));
    assert_eq!(ok(&output), "Hello, world!\n");
}

#[test]
fn the_streamer_host_uses_a_go_plugin() {
    let Some(peers) = go() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let content: Vec<u8> = (0..1_000_001u32).map(|i| (i * 7 % 256) as u8).collect();
    let original = dir.path().join("original");
    std::fs::write(&original, &content).expect("written");
    let streamer = |args: &[&str]| host(peers, dir.path(), "streamer", "streamer", args);
    let stdin = std::fs::File::open(&original).expect("opens");
    ok(&run(streamer(&["write", "copy"]).stdin(stdin)));
    assert!(std::fs::read(dir.path().join("copy")).expect("written") == content);
    let output = run(&mut streamer(&["read", "copy"]));
    ok(&output);
    assert!(output.stdout == content);
}

#[test]
fn a_go_host_uses_the_streamer_plugin() {
    let Some(peers) = go() else { return };
    services::streamer(&plugin(peers, "streamer", ""));
}
