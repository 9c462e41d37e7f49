//! A test of what a child begins with, of which the parts are in several files.
#![allow(unsafe_code)]

use std::future::Future as _;
use std::io::Read as _;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use crate::child::Care;
use crate::forked::{self, Before};
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
        command.stdout(std::process::Stdio::piped());
        let before = Before {
            outlive_parent,
            ..Before::default()
        };
        forked::prepare(&mut command, before);
        let (child, mut pipes) = spawned(command).into_child();
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
        command.stdin(std::process::Stdio::piped());
        forked::prepare(&mut command, Before::default());
        let mut launch = Box::pin(launcher::spawn(command, Care::default()));
        let _begun = launch
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        drop(launch);
    }
    // Jobs are worked off in their order: behind this one none is left.
    let mut last = Command::new("/bin/true");
    forked::prepare(&mut last, Before::default());
    drop(spawned(last));
    let processes = std::fs::read_dir("/proc").expect("a list");
    let left = processes.flatten().filter(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&mark)
    });
    assert_eq!(left.count(), 0);
}

/// Waits on this thread.
fn spawned(command: Command) -> launcher::Spawned {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut launch = pin!(launcher::spawn(command, Care::default()));
    loop {
        match launch.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome.expect("a thread").1.expect("it starts"),
            Poll::Pending => thread::park(),
        }
    }
}
