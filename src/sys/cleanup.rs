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
