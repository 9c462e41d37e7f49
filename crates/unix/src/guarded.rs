//! Tests of guards with real processes, of which the parts are in several files.
#![allow(unsafe_code)]

use std::fs;
use std::future::Future as _;
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::process::{self, Command, Stdio};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use outboard_core::exit::Exit;
use outboard_core::rt::Child as _;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::caretaker::Caretaker;
use crate::child::UnixChild;
use crate::forked::{Before, Prepared};
use crate::inherited::{outcome, waker};
use crate::{descendants, guard, wait};

/// No healthy machine needs so long.
const LIMIT: Duration = Duration::from_secs(60);

/// A plugin with a guard.
fn guarded(command: Command) -> (UnixChild, process::Child) {
    let (guard, split) = guard::pair().expect("sockets");
    let before = Before {
        split: Some(split),
        ..Before::default()
    };
    let mut spawned = outcome(Prepared::new(command, before).expect("a pipe")).expect("it starts");
    spawned.guarded(guard).expect("it has told the number");
    let (mut child, pipes) = spawned.into_child();
    let handle = child.handle().try_clone().expect("a descriptor");
    child.watch(wait::ended_by_thread(handle).expect("a thread"));
    let told = child.guard_tells().expect("a descriptor").expect("a guard");
    child.watch_guard(Box::pin(readable(told)));
    (child, pipes)
}

/// As a runtime watches a descriptor.
async fn readable(fd: OwnedFd) -> std::io::Result<()> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let _seen = poll(&mut [PollFd::new(&fd, PollFlags::IN)], None);
        let _unwanted = sender.send(());
    });
    receiver.await.map_err(std::io::Error::other)
}

fn wait_for(child: &mut UnixChild) -> Exit {
    let waker = waker();
    loop {
        let mut waits = pin!(std::future::poll_fn(|cx| child.poll_wait(cx)));
        match waits.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(exit) => return exit.expect("a child can be waited for"),
            Poll::Pending => thread::park(),
        }
    }
}

/// Runs a test of this binary in a process of its own, behind a command.
fn again(behind: &[&str], name: &str, variable: &str, value: &Path) -> Command {
    let program = std::env::current_exe().expect("a path");
    let program = program.to_str().expect("text");
    let words = [behind, &[program, "--exact", name, "--nocapture"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(variable, value);
    command
}

/// A tracer keeps what was killed: the guard cannot get rid of that. The plugin's own end is told all the same.
#[test]
fn an_end_is_told_although_something_of_the_plugin_cannot_be_killed() {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "sleep 600 >/dev/null & echo $!; read line; exit 3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let (mut child, mut pipes) = guarded(command);
    let mut line = String::new();
    let mut stdout = BufReader::new(pipes.stdout.take().expect("a pipe"));
    stdout.read_line(&mut line).expect("it says");
    let traced: libc::pid_t = line.trim().parse().expect("a number");
    // SAFETY: numbers alone; the process is of this test.
    let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, traced, 0, 0) };
    assert_eq!(seized, 0, "{}", std::io::Error::last_os_error());
    drop(pipes.stdin.take());
    assert_eq!(wait_for(&mut child), Exit::Code(3));
    let guard = child.handle().pid.as_raw_nonzero();
    for pid in [guard.get(), traced] {
        assert!(Path::new(&format!("/proc/{pid}")).exists(), "it goes on");
    }
    let mut status = 0;
    // SAFETY: writes to this stack frame.
    let waited = unsafe { libc::waitpid(traced, &mut status, libc::__WALL) };
    assert_eq!((waited, status), (traced, libc::SIGKILL));
}

/// A plugin that is a host itself has a caretaker, which becomes its guard's child: that has the time that it
/// takes.
#[test]
fn the_caretaker_of_a_host_below_a_guard_finishes() {
    const DIR: &str = "OUTBOARD_TEST_NESTED";
    if let Some(dir) = std::env::var_os(DIR) {
        let dir = Path::new(&dir);
        let caretaker = Caretaker::of_this_process().expect("begins");
        let kept = dir.join("kept");
        caretaker.expect(&kept).expect("told");
        fs::create_dir(&kept).expect("made");
        caretaker.keep(&kept).expect("told");
        for number in 0..1000 {
            fs::write(kept.join(number.to_string()), "").expect("made");
        }
        fs::write(dir.join("ready"), "").expect("made");
        loop {
            thread::park();
        }
    }
    // The time is short for a machine that has others to run.
    let finished = (0..3).any(|attempt| {
        let dir = std::env::temp_dir().join(format!("outboard-nested-{}-{attempt}", process::id()));
        fs::create_dir(&dir).expect("made");
        let name = "guarded::the_caretaker_of_a_host_below_a_guard_finishes";
        let mut host = again(&[], name, DIR, &dir);
        host.stdout(Stdio::null());
        let (mut child, _pipes) = guarded(host);
        let begun = Instant::now();
        while !dir.join("ready").exists() {
            assert!(begun.elapsed() < LIMIT, "it does not begin");
            thread::yield_now();
        }
        let pid = child.pid().expect("a number").cast_signed();
        kill_process(Pid::from_raw(pid).expect("not 0"), Signal::KILL).expect("it runs");
        let exit = wait_for(&mut child);
        assert_eq!(exit.signal(), Some(Signal::KILL.as_raw()));
        let left = dir.join("kept").exists();
        fs::remove_dir_all(dir).expect("removed");
        !left
    });
    assert!(finished, "the directory is left");
}

/// Numbers of another pid namespace are those of strangers here, or of nobody: none is signalled.
#[test]
fn a_foreign_proc_is_no_list_of_children() {
    const INSIDE: &str = "OUTBOARD_TEST_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        assert!(!guard::can_be());
        let (_guard, split) = guard::pair().expect("sockets");
        let before = Before {
            split: Some(split),
            ..Before::default()
        };
        let launch = Prepared::new(Command::new("/bin/true"), before).expect("a pipe");
        let error = outcome(launch).err().expect("no guard");
        assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "sleep 600 & echo; wait"]);
        shell.stdout(Stdio::piped());
        let shell = Prepared::new(shell, Before::default()).expect("a pipe");
        let (child, mut pipes) = outcome(shell).expect("it starts").into_child();
        let stdout = pipes.stdout.take().expect("a pipe");
        let _said = BufReader::new(stdout).read_line(&mut String::new());
        assert!(descendants::note(child.handle()).is_empty());
        assert!(!descendants::kill(child.handle()), "left to its own signal");
        return;
    }
    assert!(guard::can_be());
    let spaces: [&[&str]; 2] = [
        &["unshare", "--pid", "--fork"],
        &["unshare", "--map-root-user", "--pid", "--fork"],
    ];
    let works = |behind: &&&[&str]| {
        let mut tried = Command::new(behind[0]);
        let tried = tried.args(&behind[1..]).arg("true").output();
        tried.is_ok_and(|output| output.status.success())
    };
    let Some(behind) = spaces.iter().find(works) else {
        eprintln!("SKIPPED: there are no pid namespaces to be had here");
        return;
    };
    let name = "guarded::a_foreign_proc_is_no_list_of_children";
    let output = again(behind, name, INSIDE, Path::new("1")).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
}
