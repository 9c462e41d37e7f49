//! What a plugin gets from the process that its Rust host is: environment and stdin.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use outboard_interop::{Wait, go, wait_until_gone};

const RUST: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

/// Started by the host instead of the plugin: writes down what it was given, then is the plugin.
const NOTE_AND_BE: &str = r#"
env > "$3"
if test -f /dev/stdin; then IFS= read -r line; echo "STDIN=$line" >> "$3"; fi
exec "$1" "$2"
"#;

/// A host that is killed at the end of the test.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        // Nothing to do if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a plugin finds when a host with this environment and stdin starts it.
fn given(
    plugin: &OsStr,
    host_env: &[(&str, &str)],
    stdin: impl Into<Stdio>,
) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let notes = dir.path().join("notes");
    let mut host = Command::new(env!("CARGO_BIN_EXE_rust-host-peer"))
        .args(["/bin/sh", "-c", NOTE_AND_BE, "sh"])
        .args([plugin, "probe".as_ref(), notes.as_os_str()])
        // A Go plugin whose host is killed has no time to remove its socket.
        .env("TMPDIR", dir.path())
        .envs(host_env.iter().copied())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .map(Host)
        .expect("the host");
    let mut line = String::new();
    let stdout = host.0.stdout.take().expect("a pipe");
    let _ = BufReader::new(stdout).read_line(&mut line).expect("a line");
    let pid: u32 = line.trim().parse().expect("the plugin has started");
    assert_ne!(pid, host.0.id());
    drop(host);
    let limit = Wait(std::time::Duration::from_secs(60));
    assert!(wait_until_gone(pid, limit), "the plugin outlives its host");
    let notes = std::fs::read_to_string(notes).expect("what the plugin was given");
    let pairs = notes.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// A host that is a plugin itself was launched with variables that are not for its own plugins: a Go
/// plugin would turn on TLS for them, on its side only.
fn variables_of_the_hosts_own_host_stop_here(plugin: &OsStr) {
    let inherited = [
        ("PLUGIN_CLIENT_CERT", "-----BEGIN CERTIFICATE-----"),
        ("PLUGIN_MULTIPLEX_GRPC", "true"),
        ("PLUGIN_UNIX_SOCKET_DIR", "/no/such/directory"),
        ("PLUGIN_UNIX_SOCKET_GROUP", "no such group"),
    ];
    let mut host_env = inherited.to_vec();
    host_env.extend([
        ("PLUGIN_MIN_PORT", "1"),
        ("PLUGIN_MAX_PORT", "2"),
        ("PLUGIN_PROTOCOL_VERSIONS", "8,9"),
        ("BASIC_PLUGIN", "another cookie"),
        ("INTEROP_MARK", "of the host"),
    ]);
    let given = given(plugin, &host_env, Stdio::null());
    for (name, value) in inherited {
        if name == "PLUGIN_UNIX_SOCKET_DIR" {
            // The one that the host made for this plugin.
            assert_ne!(given.get(name).map(String::as_str), Some(value));
        } else {
            assert_eq!(given.get(name), None, "{name}");
        }
    }
    // What belongs to the handshake is the host's own; the rest is passed on.
    for (name, value) in [
        ("PLUGIN_MIN_PORT", "10000"),
        ("PLUGIN_MAX_PORT", "25000"),
        ("PLUGIN_PROTOCOL_VERSIONS", "1"),
        ("BASIC_PLUGIN", "hello"),
        ("INTEROP_MARK", "of the host"),
    ] {
        assert_eq!(given.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn a_rust_plugin_gets_no_variables_of_its_hosts_host() {
    variables_of_the_hosts_own_host_stop_here(RUST.as_ref());
}

#[test]
fn a_go_plugin_gets_no_variables_of_its_hosts_host() {
    if let Some(peers) = go() {
        variables_of_the_hosts_own_host_stop_here(peers.plugin.as_os_str());
    }
}

/// The host's variable wins over the command's, and the handshake's over both.
#[test]
fn the_hosts_environment_wins_over_the_commands() {
    for (command, name, value) in [
        ("INTEROP_MARK=of the command", "INTEROP_MARK", "of the host"),
        (
            "INTEROP_ONLY=of the command",
            "INTEROP_ONLY",
            "of the command",
        ),
        ("BASIC_PLUGIN=of the command", "BASIC_PLUGIN", "hello"),
    ] {
        let host_env = [
            ("INTEROP_MARK", "of the host"),
            ("INTEROP_COMMAND_ENV", command),
        ];
        let given = given(RUST.as_ref(), &host_env, Stdio::null());
        assert_eq!(
            given.get(name).map(String::as_str),
            Some(value),
            "{command}"
        );
        assert!(given.contains_key("PATH"), "the host's own is passed on");
    }
}

/// Without the host's environment there is nothing but the command's and the handshake's.
#[test]
fn a_skipped_environment_is_empty() {
    let host_env = [
        ("INTEROP_MARK", "of the host"),
        ("INTEROP_SKIP_ENV", "1"),
        ("INTEROP_COMMAND_ENV", "INTEROP_ONLY=of the command"),
    ];
    let mut given = given(RUST.as_ref(), &host_env, Stdio::null());
    // Set by shells without being asked.
    for name in ["PWD", "OLDPWD", "SHLVL", "_"] {
        let _ = given.remove(name);
    }
    let names: Vec<_> = given.keys().map(String::as_str).collect();
    let expected = [
        "BASIC_PLUGIN",
        "INTEROP_ONLY",
        "OUTBOARD_OUTPUT_DIR",
        "PLUGIN_MAX_PORT",
        "PLUGIN_MIN_PORT",
        "PLUGIN_PROTOCOL_VERSIONS",
        "PLUGIN_UNIX_SOCKET_DIR",
    ];
    assert_eq!(names, expected);
}

/// The plugin's stdin is the host's own: here a file, which no pipe in between could pass for.
#[test]
fn stdin_is_the_hosts_own() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"a line for the plugin\nanother\n")
        .expect("room for it");
    for (keep, line) in [(true, Some("a line for the plugin")), (false, None)] {
        let stdin = File::open(file.path()).expect("the file");
        let host_env: &[_] = if keep {
            &[("INTEROP_KEEP_STDIN", "1")]
        } else {
            &[]
        };
        let given = given(RUST.as_ref(), host_env, stdin);
        assert_eq!(given.get("STDIN").map(String::as_str), line);
    }
}
