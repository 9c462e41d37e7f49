//! A test of what a child begins with, of which the parts are in several files.
#![allow(unsafe_code)]

use std::future::Future as _;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use crate::child::Care;
use crate::forked::{Before, Prepared};
use crate::handle::Ended;
use crate::{launcher, signals};

#[test]
fn what_the_host_blocks_and_ignores_is_not_inherited() {
    // SAFETY: no test of this binary counts on SIGUSR2 or SIGHUP.
    unsafe {
        libc::signal(libc::SIGUSR2, libc::SIG_IGN);
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
    }
    signals::block();
    for outlive_parent in [true, false] {
        let mut command = Command::new("/bin/cat");
        command.arg("/proc/self/status");
        command.stdout(Stdio::piped());
        let before = Before {
            outlive_parent,
            ..Before::default()
        };
        let (child, mut pipes) = spawned(prepared(command, before)).into_child();
        let mut status = String::new();
        let mut stdout = pipes.stdout.take().expect("a pipe");
        stdout.read_to_string(&mut status).expect("text");
        drop(child);
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let mask = u64::from_str_radix(line.expect("a line").trim(), 16);
            // The C library lets nobody touch the two that are its own.
            mask.expect("a mask") & !(0b11 << 31)
        };
        assert_eq!(field("SigBlk:"), 0);
        assert_eq!(field("SigIgn:"), 1 << (libc::SIGHUP - 1), "as nohup has it");
    }
}

/// What nobody waits for any more is not started, or is killed and reaped.
#[test]
fn a_launch_that_is_given_up_leaves_nothing() {
    let mark = format!("given up by {}", std::process::id());
    for _ in 0..20 {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read line", &mark]);
        command.stdin(Stdio::piped());
        let command = prepared(command, Before::default());
        let mut launch = Box::pin(launcher::spawn(command, Care::default()));
        let _begun = launch
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        drop(launch);
    }
    // Jobs are worked off in their order: behind this one none is left.
    let last = Command::new("/bin/true");
    drop(spawned(prepared(last, Before::default())));
    let processes = std::fs::read_dir("/proc").expect("a list");
    let left = processes.flatten().filter(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&mark)
    });
    assert_eq!(left.count(), 0);
}

/// What comes between the fork and the program is for the child as it will be: the handlers of this program
/// are not its own, and write to pipes that both have.
#[test]
fn a_signal_before_the_program_meets_the_default_action() {
    static TOLD: AtomicI32 = AtomicI32::new(-1);
    extern "C" fn tell(_: libc::c_int) {
        // SAFETY: one byte of a literal, to a descriptor that is open as long as the test runs.
        unsafe { libc::write(TOLD.load(Ordering::Relaxed), c"!".as_ptr().cast(), 1) };
    }
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    TOLD.store(writer.as_raw_fd(), Ordering::Relaxed);
    let handler: extern "C" fn(libc::c_int) = tell;
    // SAFETY: the handler only writes; no other test of this binary counts on SIGUSR1.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    let mut command = Command::new("/bin/true");
    // SAFETY: it makes one system call.
    unsafe {
        command.pre_exec(|| {
            libc::raise(libc::SIGUSR1);
            Ok(())
        });
    }
    let (child, _pipes) = spawned(prepared(command, Before::default())).into_child();
    child.handle().wait(true);
    let Ok(Ended::Yes(exit)) = child.handle().try_reap() else {
        panic!("it has ended, and is a child of this process");
    };
    assert_eq!(exit.signal(), Some(libc::SIGUSR1));
    // SAFETY: the default action again; the descriptor is used by nobody any more.
    unsafe { libc::signal(libc::SIGUSR1, libc::SIG_DFL) };
    drop(writer);
    let mut told = Vec::new();
    reader.read_to_end(&mut told).expect("readable");
    assert_eq!(told, b"", "the handler ran in the child");
}

/// Where nobody can wait for children, a launch that fails is told as ever, and harms no other.
#[test]
fn a_launch_fails_alone_where_sigchld_is_ignored() {
    const IN_CHILD: &str = "OUTBOARD_TEST_SIGCHLD";
    if std::env::var_os(IN_CHILD).is_none() {
        let name = "inherited::a_launch_fails_alone_where_sigchld_is_ignored";
        let output = Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", name, "--nocapture"])
            .env(IN_CHILD, "1")
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{output:?}");
        return;
    }
    // SAFETY: this process is for this test alone.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let cat = || {
        let mut command = Command::new("/bin/cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let (child, cat) = spawned(prepared(command, Before::default())).into_child();
        (
            child,
            cat.stdin.expect("a pipe"),
            cat.stdout.expect("a pipe"),
        )
    };
    let mut answers = Vec::new();
    answers.push(cat());
    let missing = Command::new("/nowhere/to/be/found");
    let error = outcome(prepared(missing, Before::default())).err();
    let kind = error.expect("it is missing").kind();
    assert_eq!(kind, std::io::ErrorKind::NotFound);
    // The standard library looks for it, and cannot tell what became of that.
    let mut named = Command::new("nowhere-to-be-found");
    named.env_clear().env("PATH", "/nowhere");
    assert!(outcome(prepared(named, Before::default())).is_err());
    answers.push(cat());
    for (_child, stdin, stdout) in &mut answers {
        stdin.write_all(b"x").expect("it lives");
        let mut byte = [0];
        stdout.read_exact(&mut byte).expect("it lives");
    }
}

fn prepared(command: Command, before: Before) -> Prepared {
    Prepared::new(command, before).expect("a pipe")
}

/// Wakes this thread.
pub(crate) fn waker() -> Waker {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// What comes of a launch, waited for on this thread.
pub(crate) fn outcome(command: Prepared) -> std::io::Result<launcher::Spawned> {
    let waker = waker();
    let mut launch = pin!(launcher::spawn(command, Care::default()));
    loop {
        match launch.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome?.1,
            Poll::Pending => thread::park(),
        }
    }
}

fn spawned(command: Prepared) -> launcher::Spawned {
    outcome(command).expect("it starts")
}
