//! What a child does between its fork and the program: only system calls, in a process that may have
//! been forked with any lock held.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the child begin with an empty signal mask and the default action for every signal, but for a
/// SIGHUP that is ignored (`nohup`); and, unless `outlive_parent`, be killed with its parent.
pub(crate) fn prepare(command: &mut Command, outlive_parent: bool) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        reset_signals()?;
        if outlive_parent {
            return Ok(());
        }
        die_with(parent)
    };
    // SAFETY: the closure makes system calls alone: it neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
}

fn reset_signals() -> io::Result<()> {
    // The realtime signals end at 64 nearly everywhere (128 on MIPS, where the rest stays).
    for signal in 1..=64 {
        if signal == libc::SIGHUP {
            continue;
        }
        // SAFETY: `sigaction` is async-signal-safe and zeroes are a valid value of its structure.
        // Numbers that are no signals, or the C library's own, are refused and left.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
            {
                action = std::mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
    }
    // SAFETY: both are async-signal-safe and write to this stack frame alone. The mask comes last:
    // what was pending for this thread meets the default action.
    let result = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, std::ptr::null_mut())
    };
    match result {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn die_with(parent: rustix::process::Pid) -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL))?;
    // If the parent died before, nobody will send the signal. (No parent at all: it is outside of
    // the child's pid namespace.)
    if getppid().is_some_and(|now| now != parent) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn die_with(_: rustix::process::Pid) -> io::Result<()> {
    Ok(())
}

/// Blocks all signals for this thread, so that no handler of the program's runs in a child that it
/// forks.
pub(crate) fn block_signals() {
    // SAFETY: writes to this stack frame, and changes the mask of this thread alone.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_blocks_and_ignores_is_not_inherited() {
        // SAFETY: no test of this binary counts on SIGUSR2 or SIGHUP, and the mask is this thread's.
        unsafe {
            libc::signal(libc::SIGUSR2, libc::SIG_IGN);
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
        }
        block_signals();
        for outlive_parent in [true, false] {
            let mut command = Command::new("/bin/cat");
            command.arg("/proc/self/status");
            command.stdout(std::process::Stdio::piped());
            prepare(&mut command, outlive_parent);
            let child = crate::launcher::spawn(command).expect("it starts");
            let output = child.wait_with_output().expect("it ends");
            let status = String::from_utf8(output.stdout).expect("text");
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
}
