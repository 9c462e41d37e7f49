//! A process that another has forked, with all that it has open.
#![allow(unsafe_code)]

use std::io;

/// Leaves a child behind that does nothing but hold what this process has open. It ends by itself in
/// ten minutes.
///
/// # Errors
/// The system's error.
pub fn leave_child() -> io::Result<()> {
    // SAFETY: the child makes system calls alone and never comes back to the program, whose other
    // threads and locks it does not have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => loop {
            // SAFETY: both take and touch nothing; `pause` returns only after a signal.
            unsafe {
                libc::alarm(600);
                libc::pause();
            }
        },
        _ => Ok(()),
    }
}
