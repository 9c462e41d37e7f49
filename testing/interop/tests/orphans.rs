//! What is left of plugins, and of what they have started, when their host is killed at any moment: nothing,
//! within a second.
//!
//! `OUTBOARD_ORPHANS` says how many hosts are killed; a minute's worth of each push is far fewer than the
//! thousand that it takes to meet the moments that are short. `OUTBOARD_ORPHANS_SEED` repeats a run.
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use outboard_interop::{HostRun, go, python, python_stdio};
use outboard_kit::dice::{Dice, number};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How many hosts are killed unless it is said.
const FEW: usize = 80;

/// How many at a time.
const AT_ONCE: usize = 4;

/// Within this nothing is left any more.
const SECOND: Duration = Duration::from_secs(1);

/// The same in a run of few beside other tests, where a process may wait long for a processor.
const BUSY: Duration = Duration::from_secs(20);

/// What has a plugin's shell start a process in a session of its own and a daemon before it, and stay.
const WITH_CHILDREN: &str = "setsid sleep 600 & (sleep 600 &); \"$@\"; true";

/// A host and what it does.
#[derive(Clone, Debug)]
struct Case {
    what: String,
    program: OsString,
    arguments: Vec<OsString>,
    /// How long a start may take, in milliseconds: moments up to twice of that are met.
    start: u64,
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Each transport with a plugin for it.
fn plugins() -> Vec<(&'static str, &'static str, Vec<OsString>, u64)> {
    let rust = words(&[env!("CARGO_BIN_EXE_rust-plugin-peer"), "probe"]);
    let mut all = Vec::new();
    for transport in ["h2", "h2+tls", "h2+streams", "stdio"] {
        all.push(("Rust", transport, rust.clone(), 60));
    }
    if let Some(go) = go() {
        let with = |program: &Path, mode: &str| vec![program.into(), mode.into()];
        all.push(("Go", "h2", with(&go.plugin, "probe"), 100));
        all.push(("Go", "h2+tls", with(&go.plugin, "probe"), 200));
        all.push(("Go", "netrpc", with(&go.netrpc, "plain"), 100));
        all.push(("deaf Go", "h2", with(&go.plugin, "hang"), 100));
    }
    if let Some(python) = python() {
        all.push(("Python", "h2", python.command(&["--extras"]), 1000));
    }
    if let Some(python) = python_stdio() {
        let (program, mut arguments) = python.command();
        arguments.insert(0, program);
        all.push(("Python", "stdio", arguments, 200));
    }
    // It never says where it listens.
    let script = "sleep 600 & read line; exec sleep 600";
    all.push(("shell", "h2", words(&["/bin/sh", "-c", script]), 50));
    all
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (language, transport, plugin, start) in plugins() {
        for runtime in ["tokio", "tokio-threads", "smol"] {
            for with_children in [false, true] {
                let mut arguments = words(&[runtime, transport, "guarded"]);
                if with_children {
                    arguments.extend(words(&["/bin/sh", "-c", WITH_CHILDREN, "wrapper"]));
                }
                arguments.extend(plugin.iter().cloned());
                all.push(Case {
                    what: format!("{runtime}, {transport}, {language}, children: {with_children}"),
                    program: env!("CARGO_BIN_EXE_churning-host").into(),
                    arguments,
                    start,
                });
            }
        }
    }
    all
}

/// The processes whose environment names this directory.
fn processes_of(dir: &Path) -> Vec<Pid> {
    let wanted = format!("TMPDIR={}\0", dir.display());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| {
            let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
            let environment = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&wanted)
        })
        .collect()
}

/// Waits until a process has ended, no longer than until then.
fn wait_for(pid: Pid, until: Instant) {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).expect("short");
    // If the time is over, that is seen.
    let _ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left));
}

/// What is left of a host in its directory, by name.
fn left(dir: &Path, limit: Duration) -> Vec<String> {
    let until = Instant::now() + limit;
    loop {
        let processes = processes_of(dir);
        let over = Instant::now() >= until;
        if processes.is_empty() || over {
            let entries = std::fs::read_dir(dir).expect("the directory");
            let files = entries
                .flatten()
                .map(|entry| entry.path().display().to_string());
            let processes = processes.into_iter().map(|pid| {
                let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
                let line = std::fs::read(path).unwrap_or_default();
                format!(
                    "{pid:?} {}",
                    String::from_utf8_lossy(&line).replace('\0', " ")
                )
            });
            return files.chain(processes).collect();
        }
        for pid in processes {
            wait_for(pid, until);
        }
    }
}

/// Kills a host after so many microseconds; what is left of it.
fn kill_after(case: &Case, moment: u64, limit: Duration) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut host: Child = Command::new(&case.program)
        .args(&case.arguments)
        .env("TMPDIR", dir.path())
        .env("INTEROP_RUNTIME", ["tokio", "smol"][(moment % 2) as usize])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the host");
    // The moment is what this is about: there is no event to wait for.
    let pid = Pid::from_child(&host);
    wait_for(pid, Instant::now() + Duration::from_micros(moment));
    host.kill().expect("the host can be killed");
    host.wait().expect("the host can be reaped");
    let left = left(dir.path(), limit);
    for pid in processes_of(dir.path()) {
        // Whatever it is, it is not to stay.
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    left
}

/// Kills hosts at moments that the dice say, and gives what was left of which.
fn kill_hosts(cases: &[Case]) -> Vec<String> {
    let wanted = number("OUTBOARD_ORPHANS");
    let rounds = wanted.map_or(FEW, |wanted| {
        usize::try_from(wanted).expect("a number of hosts")
    });
    let limit = if wanted.is_some() { SECOND } else { BUSY };
    let seed = number("OUTBOARD_ORPHANS_SEED").unwrap_or(1);
    let mut dice = Dice::new(seed);
    let moments: Vec<(usize, u64)> = (0..rounds)
        .map(|round| {
            let case = round % cases.len();
            (case, dice.roll(cases[case].start * 2000))
        })
        .collect();
    let next = Mutex::new(moments.into_iter());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let drawn = next.lock().expect("no panic").next();
                    let Some((case, moment)) = drawn else { return };
                    let case = &cases[case];
                    let left = kill_after(case, moment, limit);
                    if !left.is_empty() {
                        let text = format!("{} after {moment} us: {left:#?}", case.what);
                        found.lock().expect("no panic").push(text);
                    }
                }
            });
        }
    });
    found.into_inner().expect("no panic")
}

#[test]
fn hosts_killed_at_any_moment_leave_nothing_of_guarded_plugins() {
    let cases = cases();
    let left = kill_hosts(&cases);
    assert!(left.is_empty(), "{} of them: {left:#?}", left.len());
}

/// Without a guard a Rust plugin sees to itself, also under hosts that have nothing of ours.
#[test]
fn go_hosts_killed_at_any_moment_leave_nothing_of_rust_plugins() {
    let Some(peers) = go() else { return };
    let plugin = words(&[env!("CARGO_BIN_EXE_rust-plugin-peer"), "probe"]);
    let run = HostRun::new(peers, &plugin).command("host-death", &["how=wait"]);
    let case = Case {
        what: "a Go host".to_owned(),
        program: run.get_program().to_owned(),
        arguments: run.get_args().map(OsString::from).collect(),
        start: 100,
    };
    let left = kill_hosts(&[case]);
    assert!(left.is_empty(), "{} of them: {left:#?}", left.len());
}
