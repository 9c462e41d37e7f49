//! A plugin's log, as `tracing` events of the host.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use outboard_core::hclog::{self, DEFAULT_BUFFER, Level, LogOptions, LogReader, RateLimit, Record};
use outboard_core::rpc::guard::{Panicked, catch_panic};
use outboard_core::turn::Turn;

use super::Host;
use super::report::{ExitReason, ExitReport};
use super::sync::{BoxWriter, each};

/// The target of all events made of plugins' logs, for filters such as `outboard::plugin=debug`.
///
/// The plugin's own target, hclog's module, is the field `module`: the target of an event is fixed
/// at compile time.
pub const LOG_TARGET: &str = "outboard::plugin";

/// Records of a log per second: far more than a plugin at TRACE writes. (A choice.)
pub(super) const LOG_RATE: u32 = 20_000;

/// A user's own use of the log: of all plugins that are started with it.
pub(super) type LogHook = Arc<dyn Fn(&Record) + Send + Sync>;

impl Host {
    /// Where to write the raw bytes of the log pipe, as go-plugin's `Stderr` option: every line
    /// with its line end, LF also where it was CR LF, before anything is parsed. As with
    /// [`sync_stdout`](Self::sync_stdout), `make` is called once for each start.
    pub fn log_sink<W>(mut self, make: impl Fn() -> W + Send + Sync + 'static) -> Self
    where
        W: Write + Send + 'static,
    {
        self.log_sink = Some(each(make));
        self
    }

    /// Gets every record of the plugin's log, beside the `tracing` event that is made of it. The hook
    /// should not block for long: it is called by the task that looks after the plugin.
    ///
    /// Plugins of one host share it, and those that log at once may call it at once. One that panics
    /// gets nothing more of the plugin whose record it had.
    pub fn on_log(mut self, hook: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.on_log = Some(Arc::new(hook));
        self
    }

    /// How many records of the plugin's log are handed on per second: 20,000 if this is not called,
    /// [`u32::MAX`] for no limit. What is beyond is dropped and counted, and a record at WARN says how
    /// much that was. [`log_sink`](Self::log_sink) gets every byte all the same.
    pub fn log_rate(mut self, records_per_second: u32) -> Self {
        self.log_rate = records_per_second;
        self
    }

    /// Whether the plugin's log is parsed at all; it is unless this is called. Without parsing,
    /// there are no events, and [`log_sink`](Self::log_sink) still gets every byte.
    pub fn parse_log(mut self, parse: bool) -> Self {
        self.log = parse;
        self
    }
}

/// Turns the bytes of the log pipe into events, and hands both to the user's hooks.
pub(super) struct LogPump {
    name: String,
    /// None if nobody wants any of it: the pipe is read all the same.
    reader: Option<LogReader>,
    sink: Option<BoxWriter>,
    hook: Option<LogHook>,
    rate: RateLimit,
    /// What was read and is yet to be looked at.
    pending: Vec<u8>,
    looked_at: usize,
    /// Whether a line of the log has begun and not ended.
    in_line: bool,
    /// What came beside the log and waits for the end of its line, or of one of the log's.
    aside: Vec<u8>,
}

/// How many bytes are looked at in one go: each may be a record of its own.
const BYTES_PER_STEP: usize = 16;

impl LogPump {
    pub(super) fn new(
        name: String,
        parse: bool,
        sink: Option<BoxWriter>,
        hook: Option<LogHook>,
        records_per_second: u32,
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
            rate: RateLimit::new(records_per_second),
            pending: Vec::new(),
            looked_at: 0,
            in_line: false,
            aside: Vec::new(),
        }
    }

    /// Takes what came, to be looked at in turns.
    pub(super) fn stderr(&mut self, now: Instant, bytes: &[u8]) {
        if self.reader.is_some() {
            self.pending.extend_from_slice(bytes);
            self.in_line = bytes.last().is_some_and(|last| *last != b'\n');
            self.let_in();
            self.turn(now);
        }
    }

    /// Nothing will end what has begun: what comes next is the beginning of a line.
    pub(super) fn cut(&mut self, now: Instant) {
        if std::mem::take(&mut self.in_line) {
            self.pending.push(b'\n');
            self.let_in();
            self.turn(now);
        }
    }

    /// Takes what the plugin said on its stderr beside the log before it serves: to be looked at in
    /// turns, too, in whole lines that do not cut those of the log.
    pub(super) fn early(&mut self, now: Instant, bytes: &[u8]) {
        if self.reader.is_some() {
            self.aside.extend_from_slice(bytes);
            if self.aside.len() >= DEFAULT_BUFFER {
                // What does not end in that much is no line.
                self.end_lines();
            }
            self.let_in();
            self.turn(now);
        }
    }

    /// Ends the lines that have begun.
    fn end_lines(&mut self) {
        if std::mem::take(&mut self.in_line) {
            self.pending.push(b'\n');
        }
        self.aside.push(b'\n');
    }

    fn let_in(&mut self) {
        if !self.in_line
            && let Some(end) = self.aside.iter().rposition(|byte| *byte == b'\n')
        {
            self.pending.extend(self.aside.drain(..=end));
        }
    }

    /// Whether there is something to look at. As long as there is, nothing more should come.
    pub(super) fn is_busy(&self) -> bool {
        self.looked_at < self.pending.len()
    }

    /// Looks at some of what has come.
    pub(super) fn turn(&mut self, now: Instant) {
        // Hooks and subscribers may take some microseconds for each.
        let mut turn = Turn::new();
        while !turn.is_over() && self.step(now) {
            turn.spend(self.drain(now) * Turn::ROUND);
        }
        self.tell_dropped(now, false);
    }

    /// False if there was nothing left.
    fn step(&mut self, now: Instant) -> bool {
        let (Some(reader), true) = (&mut self.reader, self.looked_at < self.pending.len()) else {
            return false;
        };
        let left = &self.pending[self.looked_at..];
        // Long lines are not cut up for the sake of short ones: what has no line end is one step.
        let step = match left.iter().position(|byte| *byte == b'\n') {
            Some(end) if end >= BYTES_PER_STEP => end + 1,
            Some(_) => left.len().min(BYTES_PER_STEP),
            None => left.len(),
        };
        reader.handle_bytes(now, &left[..step]);
        self.looked_at += step;
        if self.looked_at == self.pending.len() {
            self.pending.clear();
            self.looked_at = 0;
        }
        true
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let of_reader = self.reader.as_ref().and_then(LogReader::poll_timeout);
        [of_reader, self.rate.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(reader) = &mut self.reader {
            reader.handle_timeout(now);
            self.drain(now);
        }
        self.tell_dropped(now, false);
    }

    /// The log has ended, or what may still come is given up.
    pub(super) fn finish(&mut self, now: Instant) {
        if !self.aside.is_empty() {
            self.end_lines();
            self.let_in();
        }
        while self.step(now) {
            self.drain(now);
        }
        if let Some(reader) = &mut self.reader {
            reader.handle_closed(now);
            self.drain(now);
        }
        self.tell_dropped(now, true);
    }

    /// Says how many records were not handed on, in a record of its own.
    fn tell_dropped(&mut self, now: Instant, end: bool) {
        let Some(dropped) = self.rate.take_dropped(now, end) else {
            return;
        };
        let line = format!(
            "{{\"@level\":\"warn\",\"@module\":\"outboard\",\"@message\":\"{dropped} records of the \
             log were dropped: the plugin logs more per second than Host::log_rate allows\",\
             \"dropped\":{dropped}}}"
        );
        self.hand_on(&hclog::parse(line.as_bytes()));
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
            ExitReason::Killed | ExitReason::Released => {
                tracing::info!(target: LOG_TARGET, plugin, "the plugin {report}");
            }
            ExitReason::Shutdown
            | ExitReason::GraceExpired
            | ExitReason::NoController
            | ExitReason::NotAsked
            | ExitReason::Unreachable => {
                tracing::warn!(target: LOG_TARGET, plugin, "the plugin {report}");
            }
            // By itself, or in a way that is new here.
            _ => {
                tracing::error!(target: LOG_TARGET, plugin, "the plugin {report}");
            }
        }
    }

    /// Hands on what the reader has made, and gives the number of records.
    fn drain(&mut self, now: Instant) -> usize {
        let mut count = 0;
        while let Some(record) = self.reader.as_mut().and_then(LogReader::poll_record) {
            count += 1;
            if self.rate.allow(now) {
                self.hand_on(&record);
            }
        }
        while let Some(raw) = self.reader.as_mut().and_then(LogReader::poll_raw) {
            let Some(mut sink) = self.sink.take() else {
                continue;
            };
            // A sink that fails must not stop the pipe from being read.
            match catch_panic(move || {
                let _ignored = sink.write_all(&raw);
                sink
            }) {
                Ok(sink) => self.sink = Some(sink),
                Err(panicked) => self.gone("the writer given to log_sink", &panicked),
            }
        }
        count
    }

    fn hand_on(&mut self, record: &Record) {
        if let Some(hook) = self.hook.take() {
            match catch_panic(|| {
                hook(record);
                hook
            }) {
                Ok(hook) => self.hook = Some(hook),
                Err(panicked) => self.gone("the hook given to on_log", &panicked),
            }
        }
        emit(&self.name, record);
    }

    /// What panicked is gone with its panic.
    fn gone(&self, what: &str, panicked: &Panicked) {
        tracing::error!(
            target: "outboard",
            plugin = self.name,
            "{what} {panicked}; it gets nothing more"
        );
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What a hook has got after these.
    fn messages(feed: impl FnOnce(&mut LogPump, Instant)) -> Vec<String> {
        let records = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&records);
        let hook: LogHook = Arc::new(move |record| {
            let mut told = told.lock().expect("no panic");
            told.push(record.message.clone());
        });
        let mut pump = LogPump::new("it".to_owned(), true, None, Some(hook), u32::MAX);
        let now = Instant::now();
        feed(&mut pump, now);
        pump.finish(now);
        std::mem::take(&mut *records.lock().expect("no panic"))
    }

    #[test]
    fn what_comes_beside_the_log_does_not_cut_its_lines() {
        let all = messages(|pump, now| {
            pump.early(now, b"before\nha");
            pump.stderr(now, br#"{"@level":"info","@message":"a re"#);
            pump.early(now, b"lf\nthe last");
            pump.stderr(now, b"cord\"}\nnext ");
        });
        assert_eq!(all, ["before", "a record", "next ", "half", "the last"]);
    }

    #[test]
    fn a_record_that_is_cut_off_does_not_run_into_the_next() {
        let all = messages(|pump, now| {
            pump.stderr(now, b"one\nthe fir");
            pump.early(now, b"beside\n");
            pump.cut(now);
            pump.cut(now);
            pump.stderr(now, br#"{"@level":"info","@message":"a record"}"#);
        });
        assert_eq!(all, ["one", "the fir", "beside", "a record"]);
    }

    #[test]
    fn a_line_without_end_beside_the_log_is_not_held_for_ever() {
        let mut held = 0;
        let all = messages(|pump, now| {
            pump.stderr(now, b"has begun");
            for _ in 0..100 {
                pump.early(now, &[b'x'; 1 << 14]);
                held = held.max(pump.aside.len());
            }
        });
        assert!(held <= 2 * DEFAULT_BUFFER, "{held}");
        assert_eq!(all[0], "has begun");
        let came: usize = all[1..].iter().map(String::len).sum();
        assert_eq!(came, 100 << 14);
    }
}
