//! Panics of the application's code, as the log tells them.

use outboard_core::rpc::guard::{PANIC_TARGET, Panicked, Whose};

/// A log record that names the call.
pub(crate) fn tell_panic(whose: Whose<'_>, panicked: &Panicked) {
    let (Whose::Handler(path) | Whose::Requests(path)) = whose;
    let panic = panicked.message.as_str();
    tracing::error!(target: PANIC_TARGET, path, panic, "{whose} panicked");
}
