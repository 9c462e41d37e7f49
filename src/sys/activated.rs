//! Descriptors that this process was started with, for it to listen on.
#![allow(unsafe_code)]

use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use outboard_core::activation::{ActivationError, Passed, passed};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// They are owned once.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Those that the environment names, each with its name; none from the second time on.
///
/// # Errors
/// [`ActivationError`]; nothing is taken then.
pub(crate) fn take() -> Result<Vec<(Option<String>, OwnedFd)>, ActivationError> {
    let all = passed(std::process::id(), |name| std::env::var_os(name))?;
    for one in &all {
        check(one.descriptor)?;
    }
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let own = |Passed {
                   descriptor, name, ..
               }: Passed| {
        // SAFETY: it is open, as was just seen, and whoever has started this process says that it is
        // for this process to use. This is done once, so that nobody here owns it already.
        let fd = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // Not for the programs that this one starts. It is open, so that this does not fail.
        let _set = fcntl_setfd(fd.as_fd(), FdFlags::CLOEXEC);
        (name, fd)
    };
    Ok(all.into_iter().map(own).collect())
}

fn check(descriptor: RawFd) -> Result<(), ActivationError> {
    // SAFETY: it is borrowed for one question, which the system answers with an error if it is not
    // open; it is not -1, since the numbers begin at 3.
    let fd = unsafe { BorrowedFd::borrow_raw(descriptor) };
    match fcntl_getfd(fd) {
        Ok(_) => Ok(()),
        Err(_) => Err(ActivationError::NotOpen { descriptor }),
    }
}
