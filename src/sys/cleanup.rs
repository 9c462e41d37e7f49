//! The end of the process, where destructors no longer run.
#![allow(unsafe_code)]

/// Has the C library call `hook` when the process ends by `exit` or by returning from `main`.
///
/// False if the C library has no room for it; the caller then does without.
#[cfg(unix)]
pub(super) fn at_exit(hook: extern "C" fn()) -> bool {
    // SAFETY: `atexit` only stores the pointer; the function it points to lives as long as the
    // program and has the C calling convention.
    unsafe { libc::atexit(hook) == 0 }
}

/// Ends the process without hooks, locks or other threads, any of which may be what holds it up.
#[cfg(unix)]
pub(crate) fn end_now(code: i32) -> ! {
    // SAFETY: `_exit` takes a plain number, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

#[cfg(not(unix))]
pub(crate) fn end_now(code: i32) -> ! {
    std::process::exit(code)
}

#[cfg(not(unix))]
pub(super) fn at_exit(_hook: extern "C" fn()) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Pid, WaitOptions, waitpid};

    use crate::sys::files::SocketFile;

    #[test]
    fn a_child_that_forked_and_exits_leaves_its_parents_files_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        std::fs::write(&path, "").expect("made");
        let file = SocketFile::new(path.clone());
        // SAFETY: the child does nothing but end, with the hooks that this is about.
        let child = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::exit(0);
            }
            child
        };
        let child = Pid::from_raw(child).expect("it forks");
        let ended = waitpid(Some(child), WaitOptions::empty()).expect("a child");
        let (_, status) = ended.expect("it has ended");
        assert_eq!(status.exit_status(), Some(0));
        assert!(path.exists());
        drop(file);
        assert!(!path.exists());
    }
}
