//! The examples over net/rpc, each half of which is exchangeable with go-plugin's own.
#![cfg(all(unix, feature = "tokio", feature = "h2", feature = "netrpc"))]

mod support;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use outboard_interop::go_examples;
use support::{example, ok};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn run(program: &Path, dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("the example starts")
}

/// What a shell is told to run it.
fn command(program: &Path, args: &str) -> String {
    format!("exec '{}' {args}", program.display())
}

/// The host's output tells all that goes on in the example.
fn greets(stdout: &str) {
    assert!(stdout.lines().any(|line| line == "Hello!"), "{stdout}");
    let logged = |parts: &[&str]| {
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        assert!(stdout.lines().any(has), "{parts:?} in {stdout}");
    };
    logged(&["DEBUG", "message from GreeterHello.Greet"]);
    logged(&["DEBUG", "message from plugin", "foo", "bar"]);
}

/// A log without colours.
fn plain(stdout: &str) -> String {
    let mut plain = String::new();
    let mut parts = stdout.split('\x1b');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

#[test]
fn basic_greets() {
    for flags in [&[][..], &["--auto-mtls"]] {
        let output = run(&example("basic"), dir().path(), &[], flags);
        greets(&plain(&ok(&output)));
    }
}

#[test]
fn the_basic_host_uses_go_plugins_plugin() {
    let Some(go) = go_examples() else { return };
    let plugin = command(&go.basic_plugin, "");
    for flags in [&[][..], &["--auto-mtls"]] {
        let env = [("BASIC_PLUGIN_COMMAND", plugin.as_str())];
        let output = run(&example("basic"), dir().path(), &env, flags);
        greets(&plain(&ok(&output)));
    }
}

#[test]
fn go_plugins_host_uses_the_basic_plugin() {
    let Some(go) = go_examples() else { return };
    let dir = dir();
    std::fs::create_dir(dir.path().join("plugin")).expect("made");
    symlink(example("basic-plugin"), dir.path().join("plugin/greeter")).expect("linked");
    let stdout = ok(&run(&go.basic_host, dir.path(), &[], &[]));
    greets(&stdout);
    // go-plugin's host tells how its plugin ended.
    assert!(stdout.contains("plugin process exited"), "{stdout}");
    assert!(!stdout.contains("failed to exit gracefully"), "{stdout}");
}

/// Puts and gets with a host, whose environment says which plugin it launches.
fn puts_and_gets(host: &Path, env: &[(&str, &str)], got: &str) {
    let dir = dir();
    ok(&run(host, dir.path(), env, &["put", "hello", "world"]));
    let stdout = ok(&run(host, dir.path(), env, &["get", "hello"]));
    assert_eq!(stdout, got, "{host:?} {env:?}");
    let missing = run(host, dir.path(), env, &["get", "nothing"]);
    assert!(!missing.status.success(), "{missing:?}");
    let told = [missing.stdout, missing.stderr].concat();
    let told = String::from_utf8_lossy(&told).to_lowercase();
    assert!(told.contains("no such file"), "{told}");
}

#[test]
fn kv_puts_and_gets() {
    let got = "world\n\nWritten from plugin-rust-netrpc\n";
    puts_and_gets(&example("kv"), &[("KV_PROTO", "netrpc")], got);
}

#[test]
fn the_kv_host_uses_a_go_plugin_of_either_kind() {
    let Some(go) = go_examples() else { return };
    for (plugin, got) in [
        (
            &go.kv_netrpc_plugin,
            "world\n\nWritten from plugin-go-netrpc\n",
        ),
        (&go.kv_grpc_plugin, "world\n\nWritten from plugin-go-grpc\n"),
    ] {
        let plugin = command(plugin, "");
        puts_and_gets(&example("kv"), &[("KV_PLUGIN", &plugin)], got);
    }
}

#[test]
fn a_go_host_uses_the_kv_plugin_of_either_kind() {
    let Some(go) = go_examples() else { return };
    for protocol in ["netrpc", "grpc"] {
        let plugin = command(&example("kv-plugin"), protocol);
        let env = [("KV_PROTO", protocol), ("KV_PLUGIN", plugin.as_str())];
        let got = format!("world\n\nWritten from plugin-rust-{protocol}\n");
        puts_and_gets(&go.kv_host, &env, &got);
    }
}

/// What a store of this version gives.
fn of_version(version: u32) -> String {
    format!("world\n\nWritten from plugin version {version}\nRead by plugin version {version}\n\n")
}

#[test]
fn negotiated_uses_the_highest_common_version() {
    let host = example("negotiated");
    for (env, version, protocol) in [
        (&[][..], 3, "grpc"),
        (&[("KV_PROTO", "netrpc")], 2, "netrpc"),
        (&[("KV_PROTO", "grpc")], 3, "grpc"),
    ] {
        puts_and_gets(&host, env, &of_version(version));
        let output = run(&host, dir().path(), env, &["put", "k", "v"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr, format!("version {version} over {protocol}\n"));
    }
    let none = run(&host, dir().path(), &[("KV_PROTO", "other")], &["get", "k"]);
    assert!(!none.status.success());
    let stderr = String::from_utf8_lossy(&none.stderr);
    assert!(
        stderr.contains("version") && stderr.contains('4'),
        "{stderr}"
    );
}

#[test]
fn the_negotiated_host_uses_go_plugins_plugin() {
    let Some(go) = go_examples() else { return };
    let plugin = command(&go.negotiated_plugin, "");
    let host = example("negotiated");
    puts_and_gets(&host, &[("NEGOTIATED_PLUGIN", &plugin)], &of_version(3));
    for (protocol, version) in [("netrpc", 2), ("grpc", 3)] {
        let env = [
            ("NEGOTIATED_PLUGIN", plugin.as_str()),
            ("KV_PROTO", protocol),
        ];
        puts_and_gets(&host, &env, &of_version(version));
    }
}

/// A program of that name in the directory, which runs the example as its plugin.
fn script(dir: &Path, name: &str, run: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{run}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    path
}

#[test]
fn go_plugins_host_negotiates_with_the_negotiated_plugin() {
    let Some(go) = go_examples() else { return };
    for (protocol, version) in [("netrpc", 2), ("grpc", 3)] {
        let dir = dir();
        script(
            dir.path(),
            "kv-plugin",
            &command(&example("negotiated"), "plugin"),
        );
        let env = [("KV_PROTO", protocol)];
        ok(&run(
            &go.negotiated_host,
            dir.path(),
            &env,
            &["put", "hello", "world"],
        ));
        let stdout = ok(&run(
            &go.negotiated_host,
            dir.path(),
            &env,
            &["get", "hello"],
        ));
        assert_eq!(stdout, of_version(version), "{protocol}");
    }
}

#[test]
fn no_example_leaves_anything_behind() {
    for (name, args) in [("basic", &[][..]), ("kv", &["get", "nothing"])] {
        let dir = dir();
        let temp = dir.path().to_str().expect("UTF-8");
        let env = [("TMPDIR", temp), ("KV_PROTO", "netrpc")];
        run(&example(name), Path::new("/"), &env, args);
        let left: Vec<_> = std::fs::read_dir(dir.path()).expect("readable").collect();
        assert!(left.is_empty(), "{name} left {left:?}");
    }
}
