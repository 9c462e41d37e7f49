//! SIGPIPE at its default, as programs for the command line set it to end quietly when nobody reads
//! what they print.
#![allow(unsafe_code)]

/// Takes back that the standard library has the signal ignored.
pub fn at_default() {
    // SAFETY: the default action is no function, and other threads may run on any action.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
