//! What a child does between its fork and the program: only system calls, in a process that may have
//! been forked with any lock held.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::io::{self, PipeReader, Read as _};
#[cfg(target_os = "linux")]
use std::os::fd::AsFd as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command};

use outboard_core::rt::OpenProgram;

#[cfg(target_os = "linux")]
use crate::confine::Confine;
#[cfg(target_os = "linux")]
use crate::guard::Split;

/// What a child does beside that for which it needs nobody's word.
#[derive(Default)]
pub(crate) struct Before {
    pub(crate) outlive_parent: bool,
    /// It leads a process group. Without a guard the standard library sees to it.
    #[cfg(target_os = "linux")]
    pub(crate) group: bool,
    /// It becomes a guard and, in a child of that, the plugin.
    #[cfg(target_os = "linux")]
    pub(crate) split: Option<Split>,
    pub(crate) open: Option<OpenProgram>,
    #[cfg(target_os = "linux")]
    pub(crate) confine: Option<Confine>,
}

/// A command whose child does what is to be done [`Before`] the program.
pub(crate) struct Prepared {
    command: Command,
    failure: PipeReader,
}

impl Prepared {
    /// Has the child begin with an empty signal mask and the default action for every signal, but for a
    /// SIGHUP that is ignored (`nohup`); and, unless it outlives its parent, be killed with that, which is its
    /// guard where it has one. Its environment is what was set on the command, and nothing else. A program
    /// that is open is executed under the name of the command's program.
    ///
    /// # Errors
    /// The system's, if there is no pipe to be had.
    pub(crate) fn new(mut command: Command, before: Before) -> io::Result<Self> {
        let parent = rustix::process::getpid();
        let image = Image::of(&command, before.open.is_some());
        // Not by way of the standard library's own: that panics where the child's end is not to be
        // waited for, since the program ignores SIGCHLD or reaps by itself whatever ends.
        let (failure, told) = io::pipe()?;
        rustix::io::ioctl_fionbio(&failure, true)?;
        let become_it = move || {
            let Err(error) = before.carry_out(parent, image.as_ref()) else {
                return Ok(());
            };
            fail(told.as_raw_fd(), &error)
        };
        // SAFETY: the closure makes system calls alone: it neither allocates nor takes a lock.
        unsafe { command.pre_exec(become_it) };
        Ok(Self { command, failure })
    }

    /// Forks. May be tried again after an error.
    ///
    /// # Errors
    /// The system's, of the fork or of what the child does up to its program.
    pub(crate) fn spawn(&mut self) -> io::Result<Child> {
        // What the standard library does in the child, it also reports in its own way.
        let spawned = catch_unwind(AssertUnwindSafe(|| self.command.spawn()));
        let mut child = spawned.unwrap_or_else(|_| {
            Err(io::Error::other(
                "the program was not executed; why cannot be told, as another part of this process waits for \
                 its children, or it ignores SIGCHLD",
            ))
        })?;
        // It is executed or has ended, so that what it had to say is there.
        let mut errno = [0; 4];
        match self.failure.read(&mut errno) {
            Ok(4) => {
                // If another has reaped it, it is gone all the same.
                let _ended = child.wait();
                Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))
            }
            Ok(_) | Err(_) => Ok(child),
        }
    }
}

/// Ends the child that does not get to its program, and says why.
fn fail(told: i32, error: &io::Error) -> ! {
    let errno = error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes();
    // SAFETY: both are async-signal-safe; the bytes lie on this stack frame, and there are as many.
    unsafe {
        libc::write(told, errno.as_ptr().cast(), errno.len());
        libc::_exit(127)
    }
}

impl Before {
    /// In the child: returns if the standard library is to execute the program.
    fn carry_out(&self, parent: rustix::process::Pid, image: Option<&Image>) -> io::Result<()> {
        default_actions();
        #[cfg(target_os = "linux")]
        let guarded = match &self.split {
            Some(split) => {
                split.split(parent, self.group)?;
                true
            }
            None => false,
        };
        #[cfg(not(target_os = "linux"))]
        let guarded = false;
        if !self.outlive_parent && !guarded {
            die_with(parent)?;
        }
        unblock_signals()?;
        // Last: what it forbids may be needed before.
        #[cfg(target_os = "linux")]
        if let Some(confine) = &self.confine {
            confine.carry_out()?;
        }
        match (image, &self.open) {
            (Some(image), Some(open)) => image.execute_open(open),
            (Some(image), None) => image.execute(),
            (None, None) => Ok(()),
            // The standard library would execute what stands at the path.
            (None, Some(_)) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
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
    /// `None` for what is left to the standard library: a name without a slash that is not open, and
    /// strings with a NUL, which it refuses.
    fn of(command: &Command, is_open: bool) -> Option<Self> {
        let program = CString::new(command.get_program().as_bytes()).ok()?;
        if !is_open && !program.as_bytes().contains(&b'/') {
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

    /// Executes an open file under this name. Does not return but with the error.
    #[cfg(target_os = "linux")]
    fn execute_open(&self, open: &OpenProgram) -> io::Result<()> {
        let file = open.as_fd().as_raw_fd();
        let (args, env) = (self.args.as_ptr(), self.env.as_ptr());
        if open.is_kept_open() {
            let path = FdPath::new(file);
            // SAFETY: both are async-signal-safe; the path ends with a NUL and lies on this stack
            // frame, the lists are as in `execute`. The descriptor is this process's copy.
            unsafe {
                libc::fcntl(file, libc::F_SETFD, 0);
                libc::execve(path.0.as_ptr().cast(), args, env);
            }
        } else {
            let (none, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
            // SAFETY: a system call and nothing else, with strings and lists as in `execute`.
            unsafe { libc::syscall(libc::SYS_execveat, file, none, args, env, flags) };
        }
        Err(io::Error::last_os_error())
    }

    /// Nobody gives one here, see [`Runner::executes_open`](outboard_core::rt::Runner::executes_open).
    #[cfg(not(target_os = "linux"))]
    fn execute_open(&self, _: &OpenProgram) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Where a descriptor of this process is found, without memory of the heap.
#[cfg(target_os = "linux")]
struct FdPath([u8; Self::PREFIX.len() + 11]);

#[cfg(target_os = "linux")]
impl FdPath {
    const PREFIX: &[u8] = b"/proc/self/fd/";

    fn new(file: i32) -> Self {
        let mut path = [0; Self::PREFIX.len() + 11];
        path[..Self::PREFIX.len()].copy_from_slice(Self::PREFIX);
        let mut rest = file.unsigned_abs();
        let digits = rest.checked_ilog10().map_or(1, |log| log as usize + 1);
        for digit in path[Self::PREFIX.len()..][..digits].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self(path)
    }
}

/// Gives every signal its default action, while all are blocked: a handler of the program's would run in
/// the child, where it may share a pipe with that of the program.
fn default_actions() {
    // The realtime signals end at 64 nearly everywhere (128 on MIPS, where the rest stays).
    for signal in 1..=64 {
        // SAFETY: `sigaction` is async-signal-safe and zeroes are a valid value of its structure, which
        // asks for nothing beside the action: not for children that nobody waits for either.
        // Numbers that are no signals, or the C library's own, are refused and left.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if signal == libc::SIGHUP
                && libc::sigaction(signal, std::ptr::null(), &mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
            {
                continue;
            }
            action = std::mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// What has come since the fork meets the default action now.
fn unblock_signals() -> io::Result<()> {
    // SAFETY: both are async-signal-safe and write to this stack frame alone.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn descriptors_have_their_path() {
        for file in [0, 3, 9, 10, 907, i32::MAX] {
            let path = FdPath::new(file);
            let text = std::ffi::CStr::from_bytes_until_nul(&path.0).expect("it ends");
            assert_eq!(text.to_str(), Ok(&*format!("/proc/self/fd/{file}")));
        }
    }
}
