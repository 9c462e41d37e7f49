//! Panics of the application's code, caught where a transport polls it.

use outboard_core::rpc::Status;
use outboard_core::rpc::guard::{PANIC_TARGET, Whose, catch_panic};

/// Runs the application's code; a panic becomes `INTERNAL`, with a log record that names the call.
///
/// What the code left half-changed is the application's own, as with a panic in a thread; the
/// transport drops the future or stream that panicked and never polls it again.
pub(crate) fn guard<T>(whose: Whose<'_>, code: impl FnOnce() -> T) -> Result<T, Status> {
    catch_panic(code).map_err(|panicked| {
        let (Whose::Handler(path) | Whose::Requests(path)) = whose;
        let panic = panicked.message.as_str();
        tracing::error!(target: PANIC_TARGET, path, panic, "{whose} panicked");
        panicked.status(whose)
    })
}
