//! What the plugin prints and logs.

use outboard::hclog::{Kind, Level, Record};
use outboard::{Host, LOG_TARGET, RunningPlugin};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::recorder::Recorder;
use super::{Peer, dispense, end, pattern, run, run_threaded, start};
use crate::proto::probe::{
    LogField, LogRequest, PrintRequest, Probe as _, ProbeClient, RawRequest, log_field::Value,
    raw_request::Target,
};

async fn started(host: Host) -> (RunningPlugin, ProbeClient) {
    dispense(start(host).await, "probe").await
}

/// Has the host record the plugin's log.
pub(super) fn recording(host: Host) -> (Host, Recorder<Record>) {
    let records = Recorder::new();
    let hook = records.clone();
    let host = host.on_log(move |record| hook.extend(std::slice::from_ref(record)));
    (host, records)
}

/// What the plugin prints arrives byte for byte on both channels.
pub fn stdio(peer: &Peer) {
    run(async {
        let (out, err) = (Recorder::new(), Recorder::new());
        let host = peer.host(&["probe"]);
        let host = host.sync_stdout(out.writer()).sync_stderr(err.writer());
        let (plugin, probe) = started(host).await;
        let all: Vec<u8> = (0..=255).collect();
        let (mut printed_out, mut printed_err) = (Vec::new(), Vec::new());
        for (stdout, stderr) in [
            (
                b"hello\nworld!".to_vec(),
                b"and some error\n messages!".to_vec(),
            ),
            (all.clone(), all),
            (pattern(300_000), Vec::new()),
            (Vec::new(), pattern(100_000)),
        ] {
            printed_out.extend_from_slice(&stdout);
            printed_err.extend_from_slice(&stderr);
            let print = PrintRequest { stdout, stderr };
            probe.print(print).await.expect("an answer");
        }
        let out = out.until(|out| out.len() >= printed_out.len()).await;
        let err = err.until(|err| err.len() >= printed_err.len()).await;
        assert!(out == printed_out, "stdout differs");
        assert!(err == printed_err, "stderr differs");
        end(plugin).await;
    });
}

/// What was printed just before the end has arrived when the shutdown is over. Not so with a Go
/// plugin: it drops its connections when it is asked to end, and what was not sent by then is lost.
pub fn last_words(peer: &Peer) {
    run(async {
        let out = Recorder::new();
        let (plugin, probe) = started(peer.host(&["probe"]).sync_stdout(out.writer())).await;
        let print = PrintRequest {
            stdout: pattern(50_000),
            stderr: Vec::new(),
        };
        probe.print(print).await.expect("an answer");
        end(plugin).await;
        assert!(
            out.now() == pattern(50_000),
            "{} bytes came",
            out.now().len()
        );
    });
}

/// What a Go plugin has sent by its end is written, by a writer that takes its time. The rest is lost on
/// its side: what stands in its pipe, and what waits to be sent.
pub fn last_mebibyte(peer: &Peer) {
    /// A pipe, what grpc-go takes from a handler before it is sent, and as much again.
    const LOST_BY_GO: usize = 256 << 10;
    const SIZE: usize = 1 << 20;
    struct Slow(Recorder<u8>);
    impl std::io::Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            std::thread::sleep(std::time::Duration::from_micros(200));
            self.0.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for kill in [false, true] {
        run_threaded(async {
            let out = Recorder::new();
            let writer = out.writer();
            let host = peer.host(&["probe"]).sync_stdout(move || Slow(writer()));
            let (plugin, probe) = started(host).await;
            let print = PrintRequest {
                stdout: pattern(SIZE),
                stderr: Vec::new(),
            };
            probe.print(print).await.expect("an answer");
            if kill {
                plugin.kill().await;
            } else {
                end(plugin).await;
            }
            let came = out.now();
            assert!(pattern(SIZE).starts_with(&came), "in order and whole");
            let lost = SIZE - came.len();
            assert!(lost <= LOST_BY_GO, "{lost} bytes are lost, kill: {kill}");
        });
    }
}

/// A host without writers still reads what is printed, so that nothing blocks.
pub fn unwanted_output(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        for _ in 0..8 {
            let print = PrintRequest {
                stdout: pattern(1 << 20),
                stderr: pattern(1 << 20),
            };
            probe.print(print).await.expect("an answer");
        }
        super::calls::works(&probe).await;
        end(plugin).await;
    });
}

/// A `tracing` event, as a subscriber sees it.
#[derive(Clone, Debug)]
struct Seen {
    level: tracing::Level,
    text: String,
}

/// Records the events made of plugins' logs.
struct Events(Recorder<Seen>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{}={value:?};", field.name()));
            }
        }
        if event.metadata().target() == LOG_TARGET {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.extend(&[Seen {
                level: *event.metadata().level(),
                text: text.0,
            }]);
        }
    }
}

/// Without another name, a plugin is called by its program's base name in the events of its log and
/// of its end.
pub fn default_name(peer: &Peer) {
    let events = Recorder::new();
    let subscriber = tracing_subscriber::registry().with(Events(events.clone()));
    // For this thread, on which the whole scenario runs.
    let _guard = outboard_kit::events::listen(subscriber);
    run(async {
        let (plugin, probe) = started(peer.host(&["probe"])).await;
        let log = LogRequest {
            level: "warn".to_owned(),
            message: "whose is this?".to_owned(),
            fields: Vec::new(),
        };
        probe.log(log).await.expect("an answer");
        end(plugin).await;
        let program = std::path::Path::new(&peer.program).file_name();
        let program = program.expect("a name").to_str().expect("text");
        let name = format!("plugin=\"{program}\"");
        let events = events.now();
        for text in ["whose is this?", "the plugin "] {
            let event = events.iter().find(|event| event.text.contains(text));
            let event = event.unwrap_or_else(|| panic!("no event {text:?} in {events:?}"));
            assert!(event.text.contains(&name), "no {name} in {}", event.text);
        }
        for event in &events {
            assert!(event.text.contains(&name), "no {name} in {}", event.text);
        }
    });
}

/// Each level arrives once, with message, pairs and time: as a record, and as an event.
pub fn logs(peer: &Peer) {
    const MESSAGE: &str = "a record ☃ \"quoted\"\nsecond line";
    let events = Recorder::new();
    let subscriber = tracing_subscriber::registry().with(Events(events.clone()));
    // For this thread, on which the whole scenario runs.
    let _guard = outboard_kit::events::listen(subscriber);
    run(async {
        let (host, records) = recording(peer.host(&["probe"]).name("under-test"));
        let (plugin, probe) = started(host).await;
        let field = |key: &str, value| LogField {
            key: key.to_owned(),
            value: Some(value),
        };
        let levels = [
            ("trace", Level::Trace, tracing::Level::TRACE),
            ("debug", Level::Debug, tracing::Level::DEBUG),
            ("info", Level::Info, tracing::Level::INFO),
            ("warn", Level::Warn, tracing::Level::WARN),
            ("error", Level::Error, tracing::Level::ERROR),
        ];
        for (level, _, _) in levels {
            let log = LogRequest {
                level: level.to_owned(),
                message: MESSAGE.to_owned(),
                fields: vec![
                    field("text", Value::Text("naïve = \"x\"".to_owned())),
                    field("number", Value::Number(-12)),
                    field("flag", Value::Flag(true)),
                ],
            };
            probe.log(log).await.expect("an answer");
        }
        let ours = |records: &[Record]| -> Vec<Record> {
            let ours = records.iter().filter(|record| record.message == MESSAGE);
            ours.cloned().collect()
        };
        let records = ours(&records.until(|all| ours(all).len() >= levels.len()).await);
        let events = events.now();
        let events: Vec<_> = events.iter().filter(|e| e.text.contains("☃")).collect();
        assert_eq!((records.len(), events.len()), (levels.len(), levels.len()));
        for ((record, event), (name, level, tracing_level)) in
            records.iter().zip(events).zip(levels)
        {
            assert_eq!(
                (record.level, record.kind),
                (level, Kind::Structured),
                "{name}"
            );
            assert_eq!(record.fields["text"], "naïve = \"x\"");
            assert_eq!(record.fields["number"], -12);
            assert_eq!(record.fields["flag"], true);
            assert!(record.timestamp.is_some(), "{name}");
            assert_eq!(event.level, tracing_level);
            for part in ["plugin=\"under-test\"", "\"number\":-12", "\"flag\":true"] {
                assert!(event.text.contains(part), "no {part} in {}", event.text);
            }
        }
        end(plugin).await;
    });
}

/// Plain text on the real stderr: the prefix decides on the level, and the sink has every byte but,
/// as with go-plugin, a CR before the line end.
pub fn raw_stderr(peer: &Peer) {
    run(async {
        let sink = Recorder::new();
        let (host, records) = recording(peer.host(&["probe"]).log_sink(sink.writer()));
        let (plugin, probe) = started(host).await;
        let text = "[WARN] marked line\r\nunmarked line\nthe last line\n";
        raw(&probe, Target::Stderr, text.into(), 1).await;
        let has_last = |all: &[Record]| all.iter().any(|r| r.message == "the last line");
        let records = records.until(has_last).await;
        let level = |text: &str| {
            let of = records.iter().find(|r| r.message.contains(text));
            of.map(|record| record.level)
        };
        assert_eq!(level("marked line"), Some(Level::Warn));
        assert_eq!(level("unmarked line"), Some(Level::Debug));
        assert_eq!(level("the last line"), Some(Level::Debug));
        let bytes = sink.now();
        let text = text.replace("\r\n", "\n");
        let exact = bytes.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(exact, "{}", String::from_utf8_lossy(&bytes));
        end(plugin).await;
    });
}

/// Lines that are nearly records, each of which a host must show as it stood, at debug: a value that
/// is no object, an object without a level that counts, a time in another form, and keys whose
/// value is of the wrong kind, by which go-plugin's host dies.
pub fn odd_log_lines(peer: &Peer) {
    const LINES: [&str; 12] = [
        r#"["HELLO"]"#,
        "12345",
        "null",
        r#"{"a":1}"#,
        r#"{"@level":"loud","@message":"unknown level"}"#,
        r#"{"@level":"off","@message":"no level"}"#,
        r#"{"@level":"info","@message":"three digits","@timestamp":"2026-11-20T17:26:56.193Z"}"#,
        r#"{"@message":5}"#,
        r#"{"@level":"error","@message":null}"#,
        r#"{"@level":7,"@message":"a number"}"#,
        r#"{"@level":null,"@message":"nothing"}"#,
        r#"{"@level":"error","@message":"no text","@timestamp":{}}"#,
    ];
    run(async {
        let (host, records) = recording(peer.host(&["probe"]));
        let (plugin, probe) = started(host).await;
        let text = format!("{}\nthe last line\n", LINES.join("\n"));
        raw(&probe, Target::Stderr, text.into(), 1).await;
        let has_last = |all: &[Record]| all.iter().any(|r| r.message == "the last line");
        let records = records.until(has_last).await;
        for line in LINES {
            let shown: Vec<_> = records.iter().filter(|r| r.message == line).collect();
            let [record] = &shown[..] else {
                panic!("{line} came {} times in {records:#?}", shown.len())
            };
            assert_eq!(record.level, Level::Debug, "{line}");
            assert!(record.fields.is_empty(), "{line}: {record:?}");
        }
        super::calls::works(&probe).await;
        end(plugin).await;
    });
}

/// Where a Go program begins to die, everything is an error, but for lines with a level of their own.
pub fn panic_lines(peer: &Peer) {
    for first in ["panic: it broke", "fatal error: all goroutines are asleep"] {
        run(async {
            let (host, records) = recording(peer.host(&["probe"]));
            let (plugin, probe) = started(host).await;
            let text = format!(
                "before\n{first}\n\ngoroutine 1 [running]:\n[INFO] a prefix\n\
                 {{\"@level\":\"warn\",\"@message\":\"a record\"}}\nthe last line\n[INFO] end\n"
            );
            raw(&probe, Target::Stderr, text.into(), 1).await;
            let has_last = |all: &[Record]| all.iter().any(|r| r.message == "[INFO] end");
            let records = records.until(has_last).await;
            let level = |text: &str| {
                let of = records.iter().find(|r| r.message.contains(text));
                of.map(|record| record.level)
            };
            assert_eq!(level("before"), Some(Level::Debug));
            assert_eq!(level(first), Some(Level::Error));
            assert_eq!(level("goroutine 1"), Some(Level::Error));
            assert_eq!(level("[INFO] a prefix"), Some(Level::Info));
            assert_eq!(level("a record"), Some(Level::Warn));
            assert_eq!(level("the last line"), Some(Level::Error));
            end(plugin).await;
        });
    }
}

/// A line of any length comes in pieces, none of it lost.
pub fn long_lines(peer: &Peer) {
    run(async {
        const LENGTH: usize = 1 << 20;
        let sink = Recorder::new();
        let (host, records) = recording(peer.host(&["probe"]).log_sink(sink.writer()));
        let (plugin, probe) = started(host).await;
        raw(
            &probe,
            Target::Stderr,
            vec![b'#'; 1000],
            (LENGTH / 1000) as u64,
        )
        .await;
        raw(&probe, Target::Stderr, b"\nafter it\n".to_vec(), 1).await;
        let over = |all: &[Record]| all.iter().any(|r| r.message == "after it");
        let records = records.until(over).await;
        let pieces = records.iter().filter(|r| r.kind == Kind::Piece);
        let hashes: usize = records.iter().map(|r| r.message.matches('#').count()).sum();
        assert!(pieces.clone().count() > 1, "it came in one piece");
        assert!(pieces.into_iter().all(|r| r.level == Level::Debug));
        assert_eq!(hashes, LENGTH / 1000 * 1000);
        let bytes = sink.now().iter().filter(|b| **b == b'#').count();
        assert_eq!(bytes, LENGTH / 1000 * 1000);
        end(plugin).await;
    });
}

/// Without parsing there are no records, and the sink still gets every byte.
pub fn unparsed(peer: &Peer) {
    run(async {
        let sink = Recorder::new();
        let (host, records) = recording(peer.host(&["probe"]).log_sink(sink.writer()));
        let (plugin, probe) = started(host.parse_log(false)).await;
        let text = b"[WARN] some line\n";
        raw(&probe, Target::Stderr, text.to_vec(), 1).await;
        sink.until(|bytes| bytes.windows(text.len()).any(|w| w == text))
            .await;
        assert_eq!(records.now(), []);
        end(plugin).await;
    });
}

/// A flood of 100 MB without a line break on the real stdout is read to its end.
pub fn flood(peer: &Peer) {
    run(async {
        let (host, records) = recording(peer.host(&["flood"]));
        let (plugin, probe) = started(host).await;
        super::calls::works(&probe).await;
        let done = |all: &[Record]| all.iter().any(|r| r.message == "flood done");
        records.until(done).await;
        super::calls::works(&probe).await;
        end(plugin).await;
    });
}

/// What a plugin prints on its real stdout after the handshake line harms nothing.
pub fn stray_stdout(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let text = b"1|1|unix|/elsewhere|grpc\nsome other line\n".to_vec();
        raw(&probe, Target::Stdout, text, 1000).await;
        super::calls::works(&probe).await;
        end(plugin).await;
    });
}

pub(super) async fn raw(probe: &ProbeClient, target: Target, data: Vec<u8>, repeat: u64) {
    let request = RawRequest {
        target: target.into(),
        data,
        repeat,
    };
    probe.write_raw(request).await.expect("an answer");
}
