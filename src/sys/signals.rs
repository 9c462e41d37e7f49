//! Signals that end a process by default: first its socket files are removed, then it dies of the
//! signal, as whoever waits for it expects to see.
//!
//! Only a signal with its default action is caught. One that the program handles or ignores is its
//! own affair, and if it takes one over later, by whatever means, it has the last word. A signal
//! that nothing here needs any more has its default action again.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};

use libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, c_int};

/// All that are caught: what terminals and service managers send.
pub(super) const ENDING: [c_int; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// How often each is needed, in the order of [`ENDING`].
static NEEDED: Mutex<[usize; ENDING.len()]> = Mutex::new([0; ENDING.len()]);

/// What is done before the process ends by a signal, and what may keep it from that: functions that do
/// only what a handler may.
static BEFORE_END: OnceLock<fn()> = OnceLock::new();
static ON_REQUEST: OnceLock<fn(c_int) -> bool> = OnceLock::new();

/// Has the handler call `hook` before it ends the process.
pub(super) fn before_end(hook: fn()) {
    // There is one, and it stays the same.
    let _already = BEFORE_END.set(hook);
}

/// Has the handler ask `hook` whether an interrupt or a SIGTERM is dealt with.
pub(super) fn on_request(hook: fn(c_int) -> bool) {
    let _already = ON_REQUEST.set(hook);
}

/// While one of these lives, some signals are caught.
#[derive(Debug)]
pub(super) struct Caught(&'static [c_int]);

impl Caught {
    /// Catches these of [`ENDING`], where nobody else does.
    pub(super) fn new(signals: &'static [c_int]) -> Self {
        let mut needed = NEEDED.lock().unwrap_or_else(PoisonError::into_inner);
        for (count, signal) in needed.iter_mut().zip(ENDING) {
            if signals.contains(&signal) {
                *count += 1;
                change(signal, libc::SIG_DFL, ours());
            }
        }
        Self(signals)
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        let mut needed = NEEDED.lock().unwrap_or_else(PoisonError::into_inner);
        for (count, signal) in needed.iter_mut().zip(ENDING) {
            if self.0.contains(&signal) {
                *count -= 1;
                if *count == 0 {
                    change(signal, ours(), libc::SIG_DFL);
                }
            }
        }
    }
}

/// A value for handlers of signals too. Whoever holds its lock gets none of [`ENDING`] meanwhile,
/// so that a handler never waits for the very code that it interrupted.
#[derive(Debug)]
pub(super) struct Shared<T>(Mutex<T>);

impl<T> Shared<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        let _blocked = Blocked::new();
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same where the holder may never run again, as after a fork: `None` if the lock is not
    /// to be had. Neither allocates nor waits, and so may be called by a handler.
    pub(super) fn try_with<R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        /// It is held for microseconds by threads that run; any number that is large will do.
        const TRIES: usize = 10_000;
        let _blocked = Blocked::new();
        for _ in 0..TRIES {
            match self.0.try_lock() {
                Ok(mut value) => return Some(look(&mut value)),
                Err(TryLockError::Poisoned(error)) => return Some(look(&mut error.into_inner())),
                Err(TryLockError::WouldBlock) => {
                    // SAFETY: it takes and touches nothing.
                    unsafe { libc::sched_yield() };
                }
            }
        }
        None
    }
}

/// While it lives, this thread gets none of [`ENDING`].
struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    fn new() -> Self {
        let mut before = MaybeUninit::zeroed();
        // SAFETY: both sets are valid for the call; a set of zeros is a set, should it fail, which
        // it only does for an unknown first argument.
        let before = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &ending(), before.as_mut_ptr());
            before.assume_init()
        };
        Self { before }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set is the one that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

fn ending() -> libc::sigset_t {
    let mut set = MaybeUninit::zeroed();
    // SAFETY: the pointer is valid, and the first call initialises what it points to.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in ENDING {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

fn ours() -> libc::sighandler_t {
    on_signal as *const () as libc::sighandler_t
}

/// What the process does about this signal.
fn disposition(signal: c_int) -> libc::sighandler_t {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed, the pointer is valid, and an action of zeros is one, too.
    unsafe {
        libc::sigaction(signal, ptr::null(), now.as_mut_ptr());
        now.assume_init().sa_sigaction
    }
}

/// Changes what the process does about this signal, if it is what is expected.
fn change(signal: c_int, from: libc::sighandler_t, to: libc::sighandler_t) {
    if disposition(signal) != from {
        return;
    }
    let action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: an action of zeros is one, the handler is `on_signal`, which does only what a handler
    // may, or the default, and the pointers are valid.
    unsafe {
        let mut action = action.assume_init();
        action.sa_sigaction = to;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        action.sa_mask = ending();
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

/// Does only what a handler may: system calls and atomic operations.
extern "C" fn on_signal(signal: c_int) {
    if disposition(signal) != ours() {
        // Whoever has taken the signal over calls what was there before along, and decides.
        return;
    }
    if [SIGINT, SIGTERM].contains(&signal) && ON_REQUEST.get().is_some_and(|tell| tell(signal)) {
        return;
    }
    if let Some(remove) = BEFORE_END.get() {
        remove();
    }
    // It unblocks the signal and raises it, which ends the process here.
    let _unknown = signal_hook::low_level::emulate_default_handler(signal);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::files::SocketFile;
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::PathBuf;
    use std::process::{Command, Output};

    /// Names the directory for the process that the signals are for.
    const IN_CHILD: &str = "OUTBOARD_TEST_SIGNALS";

    fn again(name: &str, value: &str) -> Output {
        Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", name, "--nocapture"])
            .env(IN_CHILD, value)
            .output()
            .expect("it starts")
    }

    fn raise(signal: c_int) {
        signal_hook::low_level::raise(signal).expect("a known signal");
    }

    #[test]
    fn the_files_go_first_and_the_process_dies_of_the_signal() {
        if let Ok(told) = std::env::var(IN_CHILD) {
            let (signal, path) = told.split_once(' ').expect("two words");
            let none = rustix::process::Rlimit {
                current: Some(0),
                maximum: Some(0),
            };
            rustix::process::setrlimit(rustix::process::Resource::Core, none).expect("lowered");
            let signal = signal.parse().expect("a number");
            // Whoever runs the tests may have it ignored, as `nohup` does.
            // SAFETY: it only changes the action.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            let _file = SocketFile::new(PathBuf::from(path));
            raise(signal);
            unreachable!("it is deadly");
        }
        let name = "sys::signals::tests::the_files_go_first_and_the_process_dies_of_the_signal";
        let dir = tempfile::tempdir().expect("a directory");
        for signal in ENDING {
            let path = dir.path().join("socket");
            std::fs::write(&path, "").expect("made");
            let child = again(name, &format!("{signal} {}", path.display()));
            assert_eq!(child.status.signal(), Some(signal), "{child:?}");
            assert!(!path.exists(), "signal {signal}");
        }
    }

    #[test]
    fn a_handler_of_the_program_has_the_last_word() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        if std::env::var_os(IN_CHILD).is_some() {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("socket");
            std::fs::write(&path, "").expect("made");
            let seen = Arc::new(AtomicUsize::new(0));
            let register = |signal| {
                let seen = Arc::clone(&seen);
                let count = move || {
                    seen.fetch_add(1, Ordering::Relaxed);
                };
                // SAFETY: an atomic operation is all that it does.
                unsafe { signal_hook::low_level::register(signal, count) }.expect("registers");
            };
            // Before and after, and it still stands when the file has gone.
            register(SIGTERM);
            let file = SocketFile::new(path.clone());
            register(SIGHUP);
            register(SIGINT);
            ENDING
                .iter()
                .filter(|s| **s != SIGQUIT)
                .for_each(|s| raise(*s));
            assert!(path.exists());
            drop(file);
            let again = SocketFile::new(path);
            ENDING
                .iter()
                .filter(|s| **s != SIGQUIT)
                .for_each(|s| raise(*s));
            drop(again);
            ENDING
                .iter()
                .filter(|s| **s != SIGQUIT)
                .for_each(|s| raise(*s));
            println!("survived {}", seen.load(Ordering::Relaxed));
            std::process::exit(0);
        }
        let name = "sys::signals::tests::a_handler_of_the_program_has_the_last_word";
        let child = again(name, "");
        assert!(child.status.success(), "{child:?}");
        assert!(
            String::from_utf8_lossy(&child.stdout).contains("survived 9"),
            "{child:?}"
        );
    }

    #[test]
    fn what_is_not_needed_any_more_has_its_default_action_and_what_is_ignored_stays_so() {
        if std::env::var_os(IN_CHILD).is_some() {
            // SAFETY: it only changes the action.
            unsafe { libc::signal(SIGHUP, libc::SIG_IGN) };
            let caught = Caught::new(&ENDING);
            let more = Caught::new(&[SIGTERM]);
            assert_eq!(disposition(SIGHUP), libc::SIG_IGN);
            assert_eq!([SIGTERM, SIGQUIT].map(disposition), [ours(); 2]);
            drop(caught);
            assert_eq!([SIGTERM, SIGQUIT].map(disposition), [ours(), libc::SIG_DFL]);
            drop(more);
            assert_eq!(disposition(SIGTERM), libc::SIG_DFL);
            assert_eq!(disposition(SIGHUP), libc::SIG_IGN);
            return;
        }
        let name = "sys::signals::tests::\
            what_is_not_needed_any_more_has_its_default_action_and_what_is_ignored_stays_so";
        let child = again(name, "");
        assert!(child.status.success(), "{child:?}");
    }
}
