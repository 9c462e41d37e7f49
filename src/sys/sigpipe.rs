//! Writing to a host that may be gone, in a plugin that has SIGPIPE at its default: an error, not the
//! plugin's end.

use std::io;

/// Calls `write`, which writes on this thread to one of the plugin's standard streams, and keeps the
/// SIGPIPE from the program that may come of it.
///
/// # Errors
/// Those of `write`, unchanged.
pub(crate) fn without<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    #[cfg(unix)]
    {
        use outboard_unix::{is_broken, without_sigpipe};
        without_sigpipe(write, is_broken)
    }
    #[cfg(not(unix))]
    write()
}
