//! A plugin's log: records in hclog's format on the original stderr, which every host shows by
//! level, message and fields.

use outboard_core::hclog::{Entry, Level};
use serde_json::{Map, Value};

use crate::sys::stdio::write_log;
use crate::time;

#[cfg(feature = "log")]
mod filter;
#[cfg(feature = "log")]
mod layer;
#[cfg(feature = "log")]
pub(crate) mod level;
pub(crate) mod panic;

#[cfg(feature = "log")]
pub use self::layer::Layer;
#[cfg(feature = "log")]
pub use self::level::wanted_level;

/// Logs a record without going through `tracing`, for what must be said whatever the program does
/// with its subscriber.
pub(crate) fn write(level: Level, module: &str, message: &str) {
    write_entry(level, module, message, &Map::new());
}

fn write_entry(level: Level, module: &str, message: &str, fields: &Map<String, Value>) {
    let lasting = level > Level::Debug || !is_of_connection(module);
    let entry = Entry {
        level,
        message,
        module: Some(module),
        time: time::unix(),
        fields,
    };
    // Without a reader there is nobody to tell.
    let _unread = write_log(entry.to_line().as_bytes(), lasting);
}

/// Whether it is logged by what carries a connection: a host that gets the log over one would have it log of
/// each record that it sends.
fn is_of_connection(module: &str) -> bool {
    let name = module.split("::").next().unwrap_or_default();
    [
        "h2",
        "rustls",
        "outboard_transport_h2",
        "outboard_transport_netrpc",
    ]
    .contains(&name)
}

/// Installs [`Layer`] as the global subscriber if there is none yet.
#[cfg(feature = "log")]
pub(crate) fn install() {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{Registry, reload};

    // Beside the layer, so that what nobody gets is not even made.
    let filter = filter::Filter::of_environment();
    let (targets, reloaded) = reload::Layer::new(filter.targets(wanted_level()));
    let layer = Layer::new().filtered(false);
    let subscriber = Registry::default().with(targets).with(layer);
    // The program's own subscriber has precedence.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        level::follow();
        level::reload_with(move |level| {
            // It is there as long as the process.
            let _gone = reloaded.reload(filter.targets(level));
        });
    }
}
