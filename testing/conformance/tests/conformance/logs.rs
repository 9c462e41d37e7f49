//! What plugins log.

use outboard::Host;
use outboard::hclog::{Kind, Level, Record};
use outboard_conformance::proto::{
    CrashRequest, LogRequest, Nothing, Payload, Probe as _, Process as _, Text, crash_request::How,
};
use outboard_conformance::watched::{Sink, Watched};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::calls::payload;
use crate::events;
use crate::harness::{Harness, Rig};

/// The records that a host got, in order.
#[derive(Clone, Default)]
pub struct Records(Arc<Watched<Vec<Record>>>);

impl Records {
    pub fn of(&self, host: Host) -> Host {
        let records = Arc::clone(&self.0);
        host.on_log(move |record| records.change(|all| all.push(record.clone())))
    }

    /// Waits for the record with this message.
    pub async fn with(&self, message: &str) -> Record {
        let found =
            |all: &mut Vec<Record>| all.iter().find(|r| r.message.contains(message)).cloned();
        self.0.until(found).await
    }

    /// What has come so far.
    pub fn all(&self) -> Vec<Record> {
        self.0.change(|all| all.clone())
    }

    /// Whether one with this message has come so far.
    pub fn has(&self, message: &str) -> bool {
        self.0
            .change(|all| all.iter().any(|record| record.message == message))
    }

    /// Those of errors that have come so far.
    pub fn errors(&self) -> Vec<Record> {
        let is_error = |record: &&Record| record.level == Level::Error;
        self.0
            .change(|all| all.iter().filter(is_error).cloned().collect())
    }
}

async fn log(rig: &Rig, level: &str, message: &str) {
    let request = LogRequest {
        level: level.to_owned(),
        message: message.to_owned(),
    };
    rig.process.log(request).await.expect("it logs");
}

pub async fn a_program_that_has_logging_of_its_own_is_left_alone(h: Harness) {
    for (options, logged) in [(&[][..], true), (&["--no-logging"], false)] {
        let records = Records::default();
        let rig = h.start_host(records.of(h.host(options))).await;
        log(&rig, "warn", "who hears it?").await;
        // With it, all that was logged has been handed over.
        rig.shutdown().await;
        assert_eq!(records.has("who hears it?"), logged, "{options:?}");
    }
}

pub async fn records_keep_level_message_and_fields(h: Harness) {
    let records = Records::default();
    let rig = h.start_host(records.of(h.host([""; 0]))).await;
    let levels = [
        ("trace", Level::Trace),
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
    ];
    for (name, level) in levels {
        let message = format!("a {name} \"quoted\"\nover two lines, ünïcödé");
        log(&rig, name, &message).await;
        let record = h.promptly(records.with(&message)).await;
        assert_eq!((record.level, &record.message), (level, &message));
        let field = |key: &str| record.fields.get(key).cloned().unwrap_or_default();
        assert_eq!(field("number"), 12);
        assert_eq!(field("flag"), true);
        assert_eq!(field("tenant"), "acme", "of the span around it");
        assert_eq!(field("shadowed"), "no", "the event's own wins");
        assert!(
            record
                .module()
                .is_some_and(|module| module.starts_with("outboard_conformance"))
        );
        assert!(record.timestamp.is_some());
    }
    rig.shutdown().await;
}

pub async fn a_panic_is_an_error_record(h: Harness) {
    let records = Records::default();
    let rig = h.start_host(records.of(h.host([""; 0]))).await;
    let text = "out of cheese".to_owned();
    assert!(rig.probe.panic(Text { text }).await.is_err());
    let record = h.promptly(records.with("out of cheese")).await;
    assert_eq!(record.level, Level::Error);
    assert!(
        record.message.contains("/outboard.suite.Probe/Panic"),
        "{record:?}"
    );
    // One panic, one error.
    log(&rig, "info", "after the panic").await;
    h.promptly(records.with("after the panic")).await;
    assert_eq!(records.errors(), [record]);
    // On a thread that answers no call.
    let crash = CrashRequest {
        how: How::PanicElsewhere.into(),
        code: 0,
        text: "out of crackers".to_owned(),
        ..CrashRequest::default()
    };
    rig.process
        .crash(crash)
        .await
        .expect("the process survives");
    let record = h.promptly(records.with("out of crackers")).await;
    assert_eq!((record.level, record.kind), (Level::Error, Kind::Panic));
    assert!(record.message.starts_with("panic: "), "{record:?}");
    rig.shutdown().await;
}

pub async fn the_raw_sink_gets_every_byte(h: Harness) {
    let (sink, records) = (Sink::default(), Records::default());
    let rig = h
        .start_host(records.of(h.host([""; 0]).log_sink(sink.writer())))
        .await;
    log(&rig, "info", "raw and parsed").await;
    h.promptly(records.with("raw and parsed")).await;
    let text = h.promptly(sink.until_contains("raw and parsed")).await;
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(
            value["@message"].is_string() && value["@level"].is_string(),
            "{line}"
        );
    }
    assert!(text.ends_with('\n'));
    rig.shutdown().await;
}

pub async fn without_parsing_the_raw_sink_still_works(h: Harness) {
    let (sink, records) = (Sink::default(), Records::default());
    let host = h.host([""; 0]).log_sink(sink.writer()).parse_log(false);
    let rig = h.start_host(records.of(host)).await;
    log(&rig, "warn", "raw only").await;
    h.promptly(sink.until_contains("raw only")).await;
    assert!(rig.probe.echo(Payload::default()).await.is_ok());
    rig.process.facts(Nothing {}).await.expect("it lives");
    let none = records.0.change(|all| all.len());
    assert_eq!(none, 0, "nothing is parsed");
    rig.shutdown().await;
}

pub async fn what_is_dropped_of_a_log_reaches_the_sink_and_the_evidence(h: Harness) {
    const LINES: u64 = 20_000;
    let (sink, records) = (Sink::default(), Records::default());
    let script = format!("seq 1 {LINES} >&2; exit 3");
    let host = h.script(&script).log_rate(10).log_sink(sink.writer());
    let error = h.start_error(records.of(host)).await;
    let all: String = (1..=LINES).map(|n| format!("{n}\n")).collect();
    assert_eq!(sink.bytes(), all.into_bytes(), "the sink gets every byte");
    let last = error.evidence.stderr.last().map(String::as_str);
    assert_eq!(last, Some("20000"), "the evidence ends as the log does");
    let (told, handed_on): (Vec<Record>, Vec<Record>) = records
        .0
        .change(|all| all.clone())
        .into_iter()
        .partition(|record| record.fields.contains_key("dropped"));
    assert!(handed_on.len() < 1000, "most are dropped");
    let dropped = told.iter().filter_map(|one| one.fields["dropped"].as_u64());
    let known = dropped.sum::<u64>() + handed_on.len() as u64;
    assert_eq!(known, LINES, "and counted");
}

pub async fn a_sink_of_the_log_that_panics_is_told_of_and_dropped(h: Harness) {
    struct Panics(Arc<AtomicU64>);
    impl std::io::Write for Panics {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("the sink of a test")
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    events::collect();
    let name = format!("{:?}", h.on);
    let (writes, records) = (Arc::new(AtomicU64::new(0)), Records::default());
    let host = h.host([""; 0]).name(&name);
    let count = Arc::clone(&writes);
    let host = host.log_sink(move || Panics(Arc::clone(&count)));
    let rig = h.start_host(records.of(host)).await;
    for message in ["record 1", "record 2"] {
        log(&rig, "info", message).await;
        h.promptly(records.with(message)).await;
    }
    // The host goes on, and so does the plugin.
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
    rig.shutdown().await;
    assert_eq!(writes.load(Ordering::Relaxed), 1);
    let told = "the writer given to log_sink panicked: the sink of a test; it gets nothing more";
    assert_eq!(events::of(&name), [told]);
}

pub async fn a_hook_that_panics_gets_nothing_more(h: Harness) {
    let calls = Arc::new(AtomicU64::new(0));
    let count = calls.clone();
    events::collect();
    let name = format!("{:?} with a hook", h.on);
    let sink = Sink::default();
    let host = h.host([""; 0]).name(&name).log_sink(sink.writer());
    let host = host.on_log(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        panic!("the hook of a test");
    });
    let rig = h.start_host(host).await;
    for n in 0..3 {
        let request = LogRequest {
            level: "info".to_owned(),
            message: format!("record {n}"),
        };
        rig.process.log(request).await.expect("it logs");
    }
    h.promptly(sink.until_contains("record 2")).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    // The host goes on, and so does the plugin.
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
    rig.shutdown().await;
    let told = "the hook given to on_log panicked: the hook of a test; it gets nothing more";
    assert_eq!(events::of(&name), [told]);
}
