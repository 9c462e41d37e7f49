//! Panics of a plugin, shown by its host as errors.

use std::backtrace::Backtrace;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use outboard_core::hclog::{Level, format_panic};

use crate::context;
use crate::sys::stdio::write_log;
use crate::sys::{files, last_words};

static INSTALLED: Once = Once::new();

/// Whether panics are reported in the form of hosts, and not by the hook that was there before.
static REPORTING: AtomicBool = AtomicBool::new(false);

/// Replaces Rust's panic message, which a host would file under debug and which would go to the
/// captured stderr besides.
pub(crate) fn install() {
    REPORTING.store(true, Ordering::Relaxed);
    INSTALLED.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if is_installed() {
                report(info);
            } else {
                before(info);
            }
            if cfg!(panic = "abort") {
                // Nothing unwinds then, and no hook of the exit runs.
                last_words::refuse(&format!("it panicked: {}", in_short(info)));
                files::try_remove_all();
            }
        }));
    });
}

/// Leaves panics to the hook that was there before.
pub(crate) fn leave() {
    REPORTING.store(false, Ordering::Relaxed);
}

/// Whether panics are reported from here.
pub(crate) fn is_installed() -> bool {
    REPORTING.load(Ordering::Relaxed)
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    message.unwrap_or("(a panic without a text)")
}

/// The message and where it was.
fn in_short(info: &PanicHookInfo<'_>) -> String {
    match info.location() {
        Some(location) => format!("{} (at {location})", message(info)),
        None => message(info).to_owned(),
    }
}

fn report(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string);
    // Not captured unless RUST_BACKTRACE asks for it, as with Rust's own message.
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        std::backtrace::BacktraceStatus::Captured => Some(backtrace.to_string()),
        _ => None,
    };
    let thread = std::thread::current();
    let text = format_panic(
        message(info),
        location.as_deref(),
        thread.name(),
        backtrace.as_deref(),
    );
    let call = context::current();
    match of_a_call(
        &text,
        call.as_ref().map(|call| call.path()),
        cfg!(panic = "abort"),
    ) {
        Some(message) => super::write(Level::Error, "outboard", &message),
        None => {
            let _unread = write_log(text.as_bytes(), true);
            last_words::panicked(&in_short(info));
        }
    }
}

/// The record of a panic that only fails its call, while the plugin lives on: one record. In the
/// form of a Go panic it would make hosts take every later line of text for an error too. `None` if
/// it is the plugin's own panic: outside of calls, and wherever a panic ends the process.
fn of_a_call(text: &str, path: Option<&str>, aborts: bool) -> Option<String> {
    let path = path.filter(|_| !aborts)?;
    let text = text.strip_prefix("panic: ").unwrap_or(text);
    Some(format!("a handler panicked in {path}: {}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_calls_only_where_the_plugin_survives_it() {
        let record = of_a_call("panic: no cheese\n", Some("/shop.Cheese/Buy"), false);
        let told = "a handler panicked in /shop.Cheese/Buy: no cheese";
        assert_eq!(record.as_deref(), Some(told));
        assert_eq!(of_a_call("panic: no cheese\n", None, false), None);
        assert_eq!(of_a_call("panic: no cheese\n", Some("/a/b"), true), None);
    }
}
