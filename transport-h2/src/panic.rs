//! Panics of the application's code, caught where a transport polls it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use outboard_core::rpc::Status;
use outboard_core::rpc::guard::PANIC_TARGET;

/// Runs the application's code; a panic becomes `INTERNAL`, with a log record that names the call.
///
/// What the code left half-changed is the application's own, as with a panic in a thread; the
/// transport drops the future or stream that panicked and never polls it again.
pub(crate) fn guard<T>(path: &str, code: impl FnOnce() -> T) -> Result<T, Status> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let text = text_of(payload.as_ref());
        tracing::error!(target: PANIC_TARGET, path, panic = text, "the handler of a call panicked");
        Status::internal(format!("the handler of {path} panicked: {text}"))
    })
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
