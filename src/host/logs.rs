//! A plugin's log, as `tracing` events of the host.

use std::io::Write;
use std::time::Instant;

use outboard_core::hclog::{Level, LogOptions, LogReader, Record};

use super::running::{ExitReason, ExitReport};

/// The target of all events made of plugins' logs, for filters such as `outboard::plugin=debug`.
///
/// The plugin's own target, hclog's module, is the field `module`: the target of an event is fixed
/// at compile time.
pub const LOG_TARGET: &str = "outboard::plugin";

/// A user's own use of the log.
pub(super) type LogHook = Box<dyn FnMut(&Record) + Send>;

/// Turns the bytes of the log pipe into events, and hands both to the user's hooks.
pub(super) struct LogPump {
    name: String,
    /// None if nobody wants any of it: the pipe is read all the same.
    reader: Option<LogReader>,
    sink: Option<Box<dyn Write + Send>>,
    hook: Option<LogHook>,
}

impl LogPump {
    pub(super) fn new(
        name: String,
        parse: bool,
        sink: Option<Box<dyn Write + Send>>,
        hook: Option<LogHook>,
    ) -> Self {
        let reader = match (parse, &sink) {
            (true, sink) => Some(LogOptions::default().with_raw(sink.is_some())),
            (false, Some(_)) => Some(LogOptions::raw_only()),
            (false, None) => None,
        };
        Self {
            name,
            reader: reader.map(LogReader::new),
            sink,
            hook,
        }
    }

    pub(super) fn stderr(&mut self, now: Instant, bytes: &[u8]) {
        if let Some(reader) = &mut self.reader {
            reader.handle_bytes(now, bytes);
            self.drain();
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reader.as_ref()?.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(reader) = &mut self.reader {
            reader.handle_timeout(now);
            self.drain();
        }
    }

    /// The log has ended, or what may still come is given up.
    pub(super) fn finish(&mut self, now: Instant) {
        if let Some(reader) = &mut self.reader {
            reader.handle_closed(now);
            self.drain();
        }
    }

    /// What the plugin printed on its real stdout beside the handshake line.
    pub(super) fn stray_stdout(&self, bytes: &[u8], lost: u64) {
        tracing::debug!(
            target: LOG_TARGET,
            plugin = self.name,
            lost,
            "stray output on stdout: {}",
            String::from_utf8_lossy(bytes).trim_end()
        );
    }

    pub(super) fn exited(&self, report: &ExitReport) {
        let plugin = self.name.as_str();
        match report.reason {
            ExitReason::Shutdown if report.exit.success() => {
                tracing::debug!(target: LOG_TARGET, plugin, "the plugin {report}");
            }
            ExitReason::Killed => {
                tracing::info!(target: LOG_TARGET, plugin, "the plugin {report}");
            }
            ExitReason::Shutdown
            | ExitReason::GraceExpired
            | ExitReason::NoController
            | ExitReason::NotAsked
            | ExitReason::Unreachable => {
                tracing::warn!(target: LOG_TARGET, plugin, "the plugin {report}");
            }
            ExitReason::Crashed => {
                tracing::error!(target: LOG_TARGET, plugin, "the plugin {report}");
            }
        }
    }

    fn drain(&mut self) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        while let Some(record) = reader.poll_record() {
            if let Some(hook) = &mut self.hook {
                hook(&record);
            }
            emit(&self.name, &record);
        }
        while let Some(raw) = reader.poll_raw() {
            if let Some(sink) = &mut self.sink {
                // A sink that fails must not stop the pipe from being read.
                let _ignored = sink.write_all(&raw);
            }
        }
    }
}

/// The pairs of a record as text, empty without any: `{"key":"a","n":3}`.
struct Fields<'a>(&'a Record);

impl std::fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "{";
        for (key, value) in &self.0.fields {
            if key == "@module" {
                continue;
            }
            write!(f, "{separator}{key:?}:{value}")?;
            separator = ",";
        }
        if separator == "," {
            f.write_str("}")
        } else {
            Ok(())
        }
    }
}

fn emit(plugin: &str, record: &Record) {
    // An event's level is part of its static call site, so there is one for each; and an absent
    // field is left out rather than shown empty.
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: LOG_TARGET,
                tracing::Level::$level,
                plugin,
                module = record.module(),
                fields = (!only_module(record)).then(|| tracing::field::display(Fields(record))),
                timestamp = record.timestamp.as_ref().map(|stamp| stamp.as_str()),
                "{}",
                record.message
            )
        };
    }
    match record.level {
        Level::Trace => event!(TRACE),
        Level::Debug => event!(DEBUG),
        Level::Info => event!(INFO),
        Level::Warn => event!(WARN),
        Level::Error => event!(ERROR),
    }
}

fn only_module(record: &Record) -> bool {
    record.fields.keys().all(|key| key == "@module")
}
