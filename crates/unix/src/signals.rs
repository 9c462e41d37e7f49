//! The signals of the thread that forks.
#![allow(unsafe_code)]

/// Blocks all signals for this thread, so that no handler of the program's runs in a child that it
/// forks.
pub(crate) fn block() {
    // SAFETY: writes to this stack frame, and changes the mask of this thread alone.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}
