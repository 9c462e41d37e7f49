//! What a child does between its fork and the program: only system calls, in a process that may have
//! been forked with any lock held.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the child begin with an empty signal mask and the default action for every signal, but for a
/// SIGHUP that is ignored (`nohup`); and, unless `outlive_parent`, be killed with its parent. Its
/// environment is what was set on the command, and nothing else.
pub(crate) fn prepare(command: &mut Command, outlive_parent: bool) {
    let parent = rustix::process::getpid();
    let image = Image::of(command);
    let prepare = move || {
        reset_signals()?;
        if !outlive_parent {
            die_with(parent)?;
        }
        image.as_ref().map_or(Ok(()), Image::execute)
    };
    // SAFETY: the closure makes system calls alone: it neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
}

/// What is executed, as the system takes it: a program that is no name to be looked up.
///
/// Executed by us, since the standard library's way after a fork is `execvp`, which has a shell run
/// what the system refuses for being no program.
struct Image {
    program: CString,
    /// The strings behind the pointers.
    _strings: Vec<CString>,
    /// Pointers to the arguments and to the variables, each list with a null at its end.
    args: Vec<*const c_char>,
    env: Vec<*const c_char>,
}

// SAFETY: the pointers lead to strings that it owns and that nobody changes.
unsafe impl Send for Image {}
// SAFETY: as above; nothing of it changes.
unsafe impl Sync for Image {}

impl Image {
    /// `None` for what is left to the standard library: a name without a slash, and strings with a
    /// NUL, which it refuses.
    fn of(command: &Command) -> Option<Self> {
        let program = CString::new(command.get_program().as_bytes()).ok()?;
        if !program.as_bytes().contains(&b'/') {
            return None;
        }
        let args = command.get_args().map(|arg| arg.as_bytes().to_vec());
        let args = std::iter::once(program.as_bytes().to_vec()).chain(args);
        let mut strings: Vec<CString> = args.map(CString::new).collect::<Result<_, _>>().ok()?;
        let count = strings.len();
        for (name, value) in command.get_envs() {
            let Some(value) = value else { continue };
            let mut variable = name.as_bytes().to_vec();
            variable.push(b'=');
            variable.extend_from_slice(value.as_bytes());
            strings.push(CString::new(variable).ok()?);
        }
        // The strings themselves do not move with the list of them.
        let pointers = |strings: &[CString]| {
            let pointers = strings.iter().map(|string| string.as_ptr());
            pointers.chain([std::ptr::null()]).collect()
        };
        Some(Self {
            program,
            args: pointers(&strings[..count]),
            env: pointers(&strings[count..]),
            _strings: strings,
        })
    }

    /// Does not return but with the error.
    fn execute(&self) -> io::Result<()> {
        // SAFETY: all are NUL-terminated strings and null-terminated lists of such, which live as long
        // as this. `execve` is async-signal-safe.
        unsafe { libc::execve(self.program.as_ptr(), self.args.as_ptr(), self.env.as_ptr()) };
        Err(io::Error::last_os_error())
    }
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
