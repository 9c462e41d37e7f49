//! Ignoring the interrupt signal. A Ctrl-C on a terminal reaches the whole foreground group, the
//! plugin with its host, and the host decides what becomes of the plugin.

#[cfg(unix)]
use std::sync::Arc;
#[cfg(unix)]
use std::sync::atomic::{AtomicBool, Ordering};

/// While this lives, the process ignores SIGINT; afterwards it has its default action again.
///
/// The signal is caught and not set to "ignore", which children would inherit.
#[derive(Debug)]
pub(crate) struct IgnoreInterrupts {
    #[cfg(unix)]
    back_to_default: Arc<AtomicBool>,
}

impl IgnoreInterrupts {
    /// `None` if the system refuses; then the signal keeps its action.
    pub(crate) fn start() -> Option<Self> {
        #[cfg(unix)]
        {
            let back_to_default = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&back_to_default);
            let signal = signal_hook::consts::SIGINT;
            signal_hook::flag::register_conditional_default(signal, flag).ok()?;
            Some(Self { back_to_default })
        }
        #[cfg(not(unix))]
        None
    }
}

impl Drop for IgnoreInterrupts {
    fn drop(&mut self) {
        #[cfg(unix)]
        self.back_to_default.store(true, Ordering::Relaxed);
    }
}
