//! Runs every example as a user would, and checks what it prints.
#![cfg(all(unix, feature = "tokio", feature = "h2"))]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An example beside this test: cargo builds the examples of a package with its tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let target = test
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/deps/TEST");
    let path = target.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is built with the tests of this package",
        path.display()
    );
    path
}

fn run(dir: &Path, name: &str, args: &[&str]) -> Output {
    run_with_stdin(dir, name, args, Stdio::null())
}

fn run_with_stdin(dir: &Path, name: &str, args: &[&str], stdin: Stdio) -> Output {
    Command::new(example(name))
        .args(args)
        .current_dir(dir)
        .stdin(stdin)
        .output()
        .expect("the example starts")
}

fn ok(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
    stdout
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn greeter_greets_and_shows_the_plugins_log_and_output() {
    let output = run(dir().path(), "greeter", &[]);
    let stdout = ok(&output);
    assert!(stdout.contains("Hello, world!\n"), "{stdout}");
    assert!(
        stdout.contains("this print of the plugin reaches the host\n"),
        "{stdout}"
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("greeting") && stderr.contains("INFO"),
        "{stderr}"
    );
    assert!(stderr.contains("world"), "fields are shown: {stderr}");
}

#[test]
fn kv_puts_and_gets() {
    let dir = dir();
    ok(&run(dir.path(), "kv", &["put", "hello", "world"]));
    let stdout = ok(&run(dir.path(), "kv", &["get", "hello"]));
    assert_eq!(stdout, "world\n\nWritten from plugin-rust-grpc\n");
    let missing = run(dir.path(), "kv", &["get", "nothing"]);
    assert!(!missing.status.success());
    let stderr = String::from_utf8_lossy(&missing.stderr);
    assert!(
        stderr.contains("No such file"),
        "the plugin's status is shown: {stderr}"
    );
    let path = run(dir.path(), "kv", &["get", "../x"]);
    assert!(!path.status.success());
}

#[test]
fn a_plugin_started_by_hand_explains_itself() {
    let output = run(dir().path(), "kv-plugin", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("is a plugin"), "{stderr}");
}

#[test]
fn counter_adds_up_through_the_host() {
    let dir = dir();
    ok(&run(dir.path(), "counter", &["put", "sum", "5"]));
    ok(&run(dir.path(), "counter", &["put", "sum", "-7"]));
    assert_eq!(ok(&run(dir.path(), "counter", &["get", "sum"])), "-2\n");
    let file = std::fs::read_to_string(dir.path().join("kv_sum")).expect("written");
    assert_eq!(file, "{\"Value\":-2}");
}

#[test]
fn streamer_copies_a_file_in_both_directions() {
    let dir = dir();
    let original = dir.path().join("original");
    // Not a multiple of the piece size, and with every byte value.
    let content: Vec<u8> = (0..3_000_001u32).map(|i| (i * 7 % 256) as u8).collect();
    std::fs::write(&original, &content).expect("written");
    let stdin = std::fs::File::open(&original).expect("opens");
    ok(&run_with_stdin(
        dir.path(),
        "streamer",
        &["write", "copy"],
        stdin.into(),
    ));
    assert!(std::fs::read(dir.path().join("copy")).expect("written") == content);
    let output = run(dir.path(), "streamer", &["read", "copy"]);
    ok(&output);
    assert!(output.stdout == content);
}

#[test]
fn negotiated_uses_the_highest_common_version() {
    let dir = dir();
    assert!(ok(&run(dir.path(), "negotiated", &[])).starts_with("version 3: "));
    assert!(ok(&run(dir.path(), "negotiated", &["2"])).starts_with("version 2: "));
    assert!(ok(&run(dir.path(), "negotiated", &["1", "3", "9"])).starts_with("version 3: "));
    let none = run(dir.path(), "negotiated", &["4"]);
    assert!(!none.status.success());
    let stderr = String::from_utf8_lossy(&none.stderr);
    assert!(
        stderr.contains("version") && stderr.contains('4'),
        "{stderr}"
    );
}

#[test]
fn the_same_examples_run_over_stdio() {
    let dir = dir();
    let stdout = ok(&run(dir.path(), "greeter", &["--stdio"]));
    assert!(stdout.contains("Hello, world!\n"), "{stdout}");
    assert!(
        stdout.contains("this print of the plugin reaches the host\n"),
        "{stdout}"
    );
    ok(&run(
        dir.path(),
        "kv",
        &["--stdio", "put", "hello", "world"],
    ));
    let stdout = ok(&run(dir.path(), "kv", &["--stdio", "get", "hello"]));
    assert_eq!(stdout, "world\n\nWritten from plugin-rust-grpc\n");
    ok(&run(dir.path(), "counter", &["--stdio", "put", "sum", "5"]));
    ok(&run(dir.path(), "counter", &["--stdio", "put", "sum", "6"]));
    assert_eq!(
        ok(&run(dir.path(), "counter", &["--stdio", "get", "sum"])),
        "11\n"
    );
    assert!(ok(&run(dir.path(), "negotiated", &["--stdio"])).starts_with("version 3: "));
    let content: Vec<u8> = (0..1_000_001u32).map(|i| (i * 7 % 256) as u8).collect();
    std::fs::write(dir.path().join("original"), &content).expect("written");
    let stdin = std::fs::File::open(dir.path().join("original")).expect("opens");
    ok(&run_with_stdin(
        dir.path(),
        "streamer",
        &["--stdio", "write", "copy"],
        stdin.into(),
    ));
    let output = run(dir.path(), "streamer", &["--stdio", "read", "copy"]);
    ok(&output);
    assert!(output.stdout == content);
}

#[test]
fn no_example_leaves_anything_behind() {
    let dir = dir();
    for (name, args) in [
        ("greeter", &[][..]),
        ("negotiated", &["4"]),
        ("kv", &["get", "nothing"]),
    ] {
        let temp = dir.path().join(name);
        std::fs::create_dir(&temp).expect("made");
        Command::new(example(name))
            .args(args)
            .current_dir(dir.path())
            .env("TMPDIR", &temp)
            .stdin(Stdio::null())
            .output()
            .expect("the example starts");
        let left: Vec<_> = std::fs::read_dir(&temp).expect("readable").collect();
        assert!(left.is_empty(), "{name} left {left:?}");
    }
}
