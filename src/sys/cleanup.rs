//! A hook at the end of the process, where destructors no longer run.
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

#[cfg(not(unix))]
pub(super) fn at_exit(_hook: extern "C" fn()) -> bool {
    false
}
