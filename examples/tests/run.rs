//! Runs every example as a user would, and checks what it prints.
#![cfg(all(unix, feature = "tokio", feature = "h2"))]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{example, ok};

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
#[cfg(feature = "blocking")]
fn blocking_greets_and_shows_the_plugins_output() {
    let stdout = ok(&run(dir().path(), "blocking", &[]));
    assert!(stdout.contains("Hello, world!\n"), "{stdout}");
    let printed = "this print of the plugin reaches the host\n";
    assert!(stdout.contains(printed), "{stdout}");
    // A plugin that is async is as good.
    let other = format!(
        "#!/bin/sh\nexec '{}' plugin\n",
        example("greeter").display()
    );
    let dir = dir();
    let script = dir.path().join("greeter");
    std::fs::write(&script, other).expect("written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, executable).expect("ours");
    let script = script.to_str().expect("a path in UTF-8");
    let stdout = ok(&run(dir.path(), "blocking", &[script]));
    assert!(stdout.contains("Hello, world!\n"), "{stdout}");
}

/// The lines of code of `examples/basic` in go-plugin 1.8, without comments and empty lines: of its `main.go`, and
/// of its `plugin/greeter_impl.go`.
#[cfg(feature = "blocking")]
const GO_LINES: [usize; 2] = [42, 37];

#[test]
#[cfg(feature = "blocking")]
fn blocking_is_as_short_as_go() {
    let code = |source: &str| {
        let lines = source.lines().map(str::trim);
        let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
        lines.filter(is_code).count()
    };
    // What both sides of each have is in the two files of Go's.
    let shared = code(include_str!("../src/blocking.rs"));
    let host = shared + code(include_str!("../blocking.rs"));
    let plugin = shared + code(include_str!("../blocking-plugin.rs"));
    assert!(
        host <= GO_LINES[0] && plugin <= GO_LINES[1],
        "{host}, {plugin}"
    );
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
    ok(&run(
        dir.path(),
        "negotiated",
        &["--stdio", "put", "hello", "world"],
    ));
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

/// Programs take over from one another, and no call of whoever uses them fails.
#[test]
fn swap_replaces_a_plugin_in_use() {
    let stdout = ok(&run(dir().path(), "swap", &[]));
    let expected = "Hello, world!
process 2 has taken over from process 1, which was replaced by another program
Good day, world!
the old process still serves, since the new program did not start
process 4 has taken over from process 2, which was replaced by another program
Welcome, world!
no call has failed
";
    assert_eq!(stdout, expected);
}

/// The old host leaves, and no call of whoever uses its plugin fails.
#[test]
fn upgrade_changes_hosts_under_a_plugin_in_use() {
    let dir = dir();
    let output = Command::new(example("upgrade"))
        .current_dir(dir.path())
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("the example starts");
    let stdout = ok(&output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let [hosts, plugin] = stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{stdout}\n{stderr}");
    };
    let calls = hosts
        .strip_prefix("exit status: 0 of the old host; all ")
        .and_then(|rest| rest.strip_suffix(" calls were answered"));
    let calls: u64 = calls.expect(hosts).parse().expect("a number");
    assert!(calls >= 1000, "{stdout}");
    assert!(plugin.starts_with("the plugin "), "{stdout}");
    // What it prints and logs comes to the new host, too.
    let (before, after) = stderr.split_once("old host: leaves\n").expect("it says so");
    assert!(before.contains("new host: has the plugin\n"), "{stderr}");
    assert!(
        before.contains("the plugin has greeted 500 times\n"),
        "{stderr}"
    );
    assert!(after.contains("new host: the plugin "), "{stderr}");
    for said in ["the plugin has greeted ", " greeted "] {
        assert!(after.contains(said), "{said}: {stderr}");
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("readable").collect();
    assert!(left.is_empty(), "it left {left:?}");
}

/// It shows how little it takes to drive the machines, so it must stay small.
#[test]
fn threads_has_fewer_than_200_lines() {
    let lines = include_str!("../threads.rs").lines().count();
    assert!(lines < 200, "{lines} lines");
}

#[cfg(feature = "stdio")]
#[test]
fn threads_greets_without_a_runtime() {
    let stdout = ok(&run(dir().path(), "threads", &[]));
    assert_eq!(stdout, "Hello, threads!\n");
}

/// Runs `threads` with a shell as its plugin that tells its process id and goes on with `script`,
/// in which `$0` is the greeter. Gives what came, and the id.
#[cfg(feature = "stdio")]
fn run_threads(script: &str) -> (Output, rustix::process::Pid) {
    let greeter = example("greeter");
    let greeter = greeter.to_str().expect("a path in UTF-8");
    let script = format!("echo pid $$ >&2; {script}");
    let output = run(
        dir().path(),
        "threads",
        &["/bin/sh", "-c", &script, greeter],
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    let pid = stderr
        .lines()
        .find_map(|line| line.strip_prefix("pid "))
        .and_then(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
        .unwrap_or_else(|| panic!("no process id: {stderr}"));
    (output, pid)
}

#[cfg(feature = "stdio")]
fn assert_gone(pid: rustix::process::Pid) {
    let signalled = rustix::process::test_kill_process(pid);
    assert_eq!(signalled, Err(rustix::io::Errno::SRCH), "{pid:?} is there");
}

#[cfg(feature = "stdio")]
#[test]
fn threads_ends_its_plugin_in_good_order() {
    let (output, pid) = run_threads("exec \"$0\" plugin");
    assert_eq!(ok(&output), "Hello, threads!\n");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("the plugin exited with status 0"),
        "{stderr}"
    );
    assert_gone(pid);
}

#[cfg(feature = "stdio")]
#[test]
fn threads_kills_what_is_no_plugin_and_says_so() {
    let (output, pid) = run_threads("echo I am no plugin; exec sleep 1000");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let stderr = String::from_utf8_lossy(&output.stderr);
    for part in [
        "unrecognised message from the plugin",
        "\"I am no plugin\"",
        "1|1|unix|",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    assert_gone(pid);
}

#[cfg(feature = "stdio")]
#[test]
fn threads_explains_each_kind_of_failed_start() {
    for (program, explanation) in [
        (
            &["/no/such/program"][..],
            "could not be started: No such file",
        ),
        (
            &["/bin/sh", "-c", "kill -9 $$"],
            "ended before the host could connect; it was killed by signal 9 (SIGKILL)",
        ),
        (
            &[
                "/bin/sh",
                "-c",
                "echo '1|1|unix|/tmp/x|grpc'; exec sleep 1000",
            ],
            "\"grpc\" is not allowed: expected \"stdio\"",
        ),
    ] {
        let output = run(dir().path(), "threads", program);
        assert_eq!(output.status.code(), Some(1), "{program:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(explanation), "{program:?}: {stderr}");
    }
}

#[cfg(feature = "stdio")]
#[test]
fn threads_reports_a_plugin_that_dies_or_cheats_before_it_answers() {
    let line = "echo '1|1|stdio|-|stdio|'";
    for (then, exit) in [
        // Reads the host's preface, so that the connection is up when it ends.
        ("head -c 12 >&2; exit 3", "the plugin exited with status 3"),
        // Bytes that are no preface.
        ("echo nonsense, and more of it; exec sleep 1000", "SIGKILL"),
        // A preface and CLOSE.
        (
            r"printf '\211OBS\r\n\032\n\002\000\000\000\002\000\000\043\000\000\000\000\000\000'; exec sleep 1000",
            "SIGKILL",
        ),
        // Neither reads nor writes, and closed its stdout.
        ("exec >&-; exec sleep 1000", "SIGKILL"),
    ] {
        let (output, pid) = run_threads(&format!("{line}; {then}"));
        assert_eq!(output.status.code(), Some(1), "{then}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(exit), "{then}: {stderr}");
        assert!(stderr.contains("went away before it greeted"), "{stderr}");
        assert_gone(pid);
    }
}

/// One without a controller is not said to have been asked.
#[cfg(feature = "stdio")]
#[test]
fn threads_tells_who_was_asked_to_end() {
    // The line, a preface, and answers when the preface and the greeting have come, and when something
    // more has: a reply, and UNIMPLEMENTED or OK.
    let script = |status: &str| {
        format!(
            r"echo '1|1|stdio|-|stdio|'; printf '\211OBS\r\n\032\n\002\000\000\000'
            head -c 90 >&2; printf '\006\000\000\006\000\000\000\004\000\000\012\002hi'
            head -c 8 >&2; printf '\002\000\000\006\000\000\000\000\000{status}'; exec sleep 1000"
        )
    };
    for (status, reason) in [(r"\014", "NoController"), (r"\000", "GraceExpired")] {
        let (output, pid) = run_threads(&script(status));
        assert_eq!(ok(&output), "hi\n");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let told = format!("was killed by signal 9 (SIGKILL): {reason}");
        assert!(stderr.contains(&told), "{stderr}");
        assert_gone(pid);
    }
}

#[test]
fn no_example_leaves_anything_behind() {
    let dir = dir();
    for (name, args) in [
        ("greeter", &[][..]),
        ("negotiated", &["get", "nothing"]),
        ("kv", &["get", "nothing"]),
        #[cfg(feature = "blocking")]
        ("blocking", &[]),
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
