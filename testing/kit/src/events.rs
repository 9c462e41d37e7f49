//! Events of `tracing` for a test that listens to those of its own thread.

use std::sync::OnceLock;

use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};
use tracing::{Dispatch, Subscriber};

/// Sends the events of this thread to `subscriber`, until what this gives is dropped.
///
/// As long as a process has one subscriber only, `tracing` asks the thread that first comes upon an event
/// whether that is wanted, and takes the answer to be everybody's: a test beside this one, which has no
/// subscriber, would silence it here. With a second one it asks them all.
pub fn listen(subscriber: impl Subscriber + Send + Sync + 'static) -> DefaultGuard {
    static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
    ANOTHER.get_or_init(|| Dispatch::new(NoSubscriber::new()));
    set_default(subscriber)
}
