//! What hosts tell their program's subscriber of `tracing`: errors of theirs, by the name of the plugin.

use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// The errors of all cases, which share a process: plugin, text.
static ERRORS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Has errors collected from now on. On any thread, since a host may use several.
pub fn collect() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        tracing::subscriber::set_global_default(Collector).expect("nobody else has one");
    });
}

/// The errors that were told of this plugin so far.
pub fn of(plugin: &str) -> Vec<String> {
    let all = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
    let own = all.iter().filter(|(name, _)| name == plugin);
    own.map(|(_, text)| text.clone()).collect()
}

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "outboard" && *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        let mut told = Told::default();
        event.record(&mut told);
        let mut all = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((told.plugin, told.text));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Told {
    plugin: String,
    text: String,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "plugin" => self.plugin = format!("{value:?}"),
            "message" => self.text = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "plugin" {
            self.plugin = value.to_owned();
        }
    }
}
