//! Panics of a plugin, shown by its host as errors.

use std::backtrace::Backtrace;
use std::panic::{PanicHookInfo, set_hook};
use std::sync::Once;

use outboard_core::hclog::{Level, format_panic};

use crate::context;
use crate::sys::files;
use crate::sys::stdio::write_log;

static INSTALLED: Once = Once::new();

/// Replaces Rust's panic message, which a host would file under debug and which would go to the
/// captured stderr besides.
pub(super) fn install() {
    INSTALLED.call_once(|| set_hook(Box::new(report)));
}

/// Whether panics are reported from here.
#[cfg(feature = "log")]
pub(crate) fn is_installed() -> bool {
    INSTALLED.is_completed()
}

fn report(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("(a panic without a text)");
    let location = info.location().map(ToString::to_string);
    // Not captured unless RUST_BACKTRACE asks for it, as with Rust's own message.
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        std::backtrace::BacktraceStatus::Captured => Some(backtrace.to_string()),
        _ => None,
    };
    let thread = std::thread::current();
    let text = format_panic(
        message,
        location.as_deref(),
        thread.name(),
        backtrace.as_deref(),
    );
    match context::current() {
        // Only its call fails, and the plugin lives on: one record. In the form of a Go panic it
        // would make hosts take every later line of text for an error too.
        Some(call) => {
            let text = text.strip_prefix("panic: ").unwrap_or(&text);
            let message = format!("a handler panicked in {}: {}", call.path(), text.trim_end());
            crate::log::write(Level::Error, "outboard", &message);
        }
        None => {
            let _unread = write_log(text.as_bytes());
        }
    }
    if cfg!(panic = "abort") {
        // Nothing unwinds then, and no hook of the exit runs.
        files::try_remove_all();
    }
}
