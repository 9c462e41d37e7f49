//! The `tracing` layer.

use std::fmt;

use outboard_core::hclog::Level;
use outboard_core::rpc::guard::PANIC_TARGET;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::filter::Filter;
use super::{level, panic};

/// A `tracing` layer for plugins: each event becomes one line in hclog's format on the original
/// stderr, with the event's target as module and its fields, and those of the spans around it, as
/// pairs.
///
/// [`Plugin::serve`](crate::Plugin::serve) installs it by itself unless the program has set a
/// global subscriber, and [`Plugin::install_logging`](crate::Plugin::install_logging) before that; use
/// it to build one of your own. It writes to where stderr was when the plugin was
/// made, so that it is never mixed up with what the program prints.
///
/// What `RUST_LOG` lets through, in the usual directives (`info,my_library=trace`), goes to the host.
/// Without that variable it is everything from INFO on, and all of the program's own crate, the one
/// named as its file is; add to it or take it away with [`filtered(false)`](Self::filtered) and
/// filters of your own.
///
/// A host that wants a certain level (`Host::log_level`, the variable `OUTBOARD_LOG_LEVEL`) gets the program's own crate
/// from that level on, whatever `RUST_LOG` says of it, and nothing below it. Other crates have the same limit, and go
/// beyond INFO only where `RUST_LOG` lets them. When the host changes the level, the layer follows.
#[derive(Debug)]
pub struct Layer {
    filter: Option<Filter>,
}

impl Layer {
    /// A layer for `tracing_subscriber`'s registry.
    #[must_use]
    pub fn new() -> Self {
        Self {
            filter: Some(Filter::of_environment()),
        }
    }

    /// Whether `RUST_LOG`, or what stands in for it, and the level that the host wants decide what goes to the
    /// host. They do unless this is called with `false`: then it is whatever the filters around this layer let
    /// through, and those go by [`Plugin::on_log_level`](crate::Plugin::on_log_level) if they are to follow.
    #[must_use]
    pub fn filtered(mut self, filtered: bool) -> Self {
        self.filter = filtered.then(Filter::of_environment);
        self
    }
}

impl Default for Layer {
    fn default() -> Self {
        Self::new()
    }
}

/// The fields of a span.
struct SpanFields(Map<String, Value>);

impl<S> tracing_subscriber::Layer<S> for Layer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_register_dispatch(&self, _subscriber: &Dispatch) {
        if self.filter.is_some() {
            level::follow();
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(SpanFields(fields.pairs));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(SpanFields(pairs)) = span.extensions_mut().get_mut() {
            pairs.extend(fields.pairs);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let filter = self.filter.as_ref();
        let wanted = level::wanted_level();
        if filter.is_some_and(|filter| !filter.lets_through(event.metadata(), wanted)) {
            return;
        }
        if event.metadata().target() == PANIC_TARGET && panic::is_installed() {
            // The hook has written a record already, which says where it was besides.
            return;
        }
        let mut pairs = Map::new();
        if let Some(scope) = context.event_scope(event) {
            // From the outermost on, so that inner fields win, and the event's own over all.
            for span in scope.from_root() {
                if let Some(SpanFields(fields)) = span.extensions().get() {
                    pairs.extend(fields.iter().map(|(k, v)| (k.clone(), v.clone())));
                }
            }
        }
        let mut fields = Fields {
            message: String::new(),
            pairs,
        };
        event.record(&mut fields);
        super::write_entry(
            level_of(*event.metadata().level()),
            event.metadata().target(),
            &fields.message,
            &fields.pairs,
        );
    }
}

fn level_of(level: tracing::Level) -> Level {
    match level {
        tracing::Level::TRACE => Level::Trace,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::INFO => Level::Info,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::ERROR => Level::Error,
    }
}

/// Collects fields, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    pairs: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        // Directives for OpenTelemetry's layer are no news to anybody else.
        if field.name().starts_with("otel.") {
            return;
        }
        self.pairs.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // NaN and the infinities have no JSON number.
        match serde_json::Number::from_f64(value) {
            Some(number) => self.put(field, number),
            None => self.put(field, value.to_string()),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }
}
