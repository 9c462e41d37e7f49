//! What plugins print.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join;
use outboard::Host;
use outboard_conformance::proto::{
    CrashRequest, LogRequest, Nothing, PrintRequest, Probe as _, Process as _,
    crash_request::How as Crash, print_request::How,
};
use outboard_conformance::watched::Sink;

use crate::calls::payload;
use crate::events;
use crate::harness::{Harness, Output, Rig};
use crate::leftovers;

/// A host with a sink for each channel.
pub fn synced(host: Host) -> (Host, Sink, Sink) {
    let (stdout, stderr) = (Sink::default(), Sink::default());
    let host = host
        .sync_stdout(stdout.writer())
        .sync_stderr(stderr.writer());
    (host, stdout, stderr)
}

pub async fn print(rig: &Rig, how: How, stderr: bool, text: &str) {
    let request = PrintRequest {
        how: how.into(),
        stderr,
        text: text.to_owned(),
        repeat: 1,
    };
    rig.process.print(request).await.expect("it prints");
}

pub async fn both_channels_arrive_byte_for_byte(h: Harness) {
    let (host, stdout, stderr) = synced(h.host([""; 0]));
    let rig = h.start_host(host).await;
    // go-plugin's own test.
    print(&rig, How::Handler, false, "hello\nworld!").await;
    print(&rig, How::Handler, true, "and some error\n messages!").await;
    h.promptly(stdout.until_contains("world!")).await;
    h.promptly(stderr.until_contains("messages!")).await;
    // More than one chunk, whole and in order.
    let long: String = (0..20_000).map(|n| format!("{n},")).collect();
    print(&rig, How::Handler, false, &long).await;
    rig.shutdown().await;
    assert_eq!(
        String::from_utf8_lossy(&stdout.bytes()),
        format!("hello\nworld!{long}")
    );
    assert_eq!(stderr.bytes(), b"and some error\n messages!");
}

pub async fn prints_from_threads_and_children_arrive(h: Harness) {
    let (host, stdout, stderr) = synced(h.host([""; 0]));
    let rig = h.start_host(host).await;
    print(&rig, How::Thread, false, "from a thread;").await;
    print(
        &rig,
        How::Child,
        false,
        "echo from a child; echo its error >&2",
    )
    .await;
    print(&rig, How::Thread, true, "error of a thread").await;
    rig.shutdown().await;
    assert_eq!(
        String::from_utf8_lossy(&stdout.bytes()),
        "from a thread;from a child\n"
    );
    assert_eq!(
        String::from_utf8_lossy(&stderr.bytes()),
        "its error\nerror of a thread"
    );
}

pub async fn programs_that_the_plugin_starts_know_nothing_of_its_host(h: Harness) {
    let (host, stdout, _stderr) = synced(h.host([""; 0]));
    let rig = h.start_host(host).await;
    let facts = rig.process.facts(Nothing {}).await.expect("ok");
    assert!(facts.environment.contains_key("PLUGIN_PROTOCOL_VERSIONS"));
    print(&rig, How::Child, false, "env").await;
    rig.shutdown().await;
    let environment = String::from_utf8_lossy(&stdout.bytes()).into_owned();
    assert!(environment.contains("PATH="), "{environment}");
    for name in ["PLUGIN_", "SUITE_COOKIE", "OUTBOARD_"] {
        assert!(!environment.contains(name), "{name} in {environment}");
    }
}

/// Over stdio it is the connection, which nobody else must read from.
pub async fn the_plugins_stdin_is_at_its_end(h: Harness) {
    let (host, stdout, _stderr) = synced(h.host([""; 0]));
    let rig = h.start_host(host).await;
    let read = h.promptly(rig.process.read_stdin(Nothing {})).await;
    assert_eq!(read.expect("it can be read").text, "");
    let script = "cat; echo nothing";
    h.promptly(print(&rig, How::Child, false, script)).await;
    rig.shutdown().await;
    assert_eq!(stdout.bytes(), b"nothing\n");
}

pub async fn what_is_printed_before_serving_arrives(h: Harness) {
    // It looks like a handshake line and must not be taken for one.
    let early = "1|1|unix|/nowhere|grpc";
    let (host, stdout, _stderr) = synced(h.host(["--print-first", early]));
    let rig = h.start_host(host).await;
    h.promptly(stdout.until_contains(early)).await;
    rig.shutdown().await;
    assert_eq!(
        String::from_utf8_lossy(&stdout.bytes()),
        format!("{early}\n")
    );
}

pub async fn a_mebibyte_printed_in_a_handler_does_not_deadlock(h: Harness) {
    let (host, stdout, _stderr) = synced(h.host([""; 0]));
    let rig = h.start_host(host).await;
    let line = format!("{}\n", "x".repeat(1023));
    let request = PrintRequest {
        how: How::Handler.into(),
        stderr: false,
        text: line.clone(),
        repeat: 1024,
    };
    h.promptly(rig.process.print(request))
        .await
        .expect("it prints");
    rig.shutdown().await;
    // The plugin keeps a bounded amount; the part that is there is whole and in order.
    let bytes = stdout.bytes();
    assert!(bytes.len() >= 512 << 10, "only {} bytes came", bytes.len());
    assert!(
        bytes
            .chunks(1024)
            .take(512)
            .all(|chunk| chunk == line.as_bytes())
    );
}

pub async fn the_last_output_arrives_before_shutdown_returns(h: Harness) {
    for n in 0..10 {
        let (host, stdout, stderr) = synced(h.host([""; 0]));
        let rig = h.start_host(host).await;
        let text = format!("last words {n}");
        print(&rig, How::Handler, false, &text).await;
        print(&rig, How::Handler, true, &text).await;
        rig.shutdown().await;
        assert_eq!(String::from_utf8_lossy(&stdout.bytes()), text);
        assert_eq!(String::from_utf8_lossy(&stderr.bytes()), text);
    }
}

/// Far more than any of this takes, the grace of a shutdown included.
const LONG: Duration = Duration::from_secs(60);

/// A writer that takes its time with each piece.
pub struct Slow(Sink, Duration);

impl Slow {
    /// What gives hosts a writer that adds to `sink` and takes so long.
    pub fn writer(sink: &Sink, takes: Duration) -> impl Fn() -> Self + Send + Sync + use<> {
        let sink = sink.writer();
        move || Self(sink(), takes)
    }
}

impl io::Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::thread::sleep(self.1);
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has a mebibyte printed by the last call, ends the plugin, and gives how much of it is missing.
async fn a_last_mebibyte(h: &Harness, takes: Duration, limit: Duration, kill: bool) -> usize {
    let stdout = Sink::default();
    // What a plugin sends by itself is over with its own limit.
    let drain = match limit {
        LONG => "60000",
        _ => "1500",
    };
    let host = h.host(["--drain", drain]).last_output_within(limit);
    let rig = h
        .start_host(host.sync_stdout(Slow::writer(&stdout, takes)))
        .await;
    let numbers = match h.on.output {
        Output::Piped => 1 << 17,
        // What a plugin keeps for a host that is busy elsewhere: beyond that it waits for a second.
        Output::Sent | Output::None => (1 << 17) / 16 * 15,
    };
    let text: String = (0..numbers).map(|n| format!("{n:07},")).collect();
    print(&rig, How::Handler, false, &text).await;
    if kill {
        // Only what the plugin had sent by then can come; all of it was printed.
        let exited = rig.plugin.exited();
        h.within(LONG, rig.plugin.kill()).await;
        h.promptly(exited).await;
    } else {
        // A plugin whose output nobody takes in time may be killed for that.
        let _ended = h.within(LONG, rig.plugin.shutdown()).await;
    }
    let come = stdout.bytes();
    assert!(text.as_bytes().starts_with(&come), "in order and whole");
    text.len() - come.len()
}

pub async fn a_mebibyte_printed_by_the_last_call_has_been_written(h: Harness) {
    for takes in [Duration::ZERO, Duration::from_micros(200)] {
        for _ in 0..3 {
            assert_eq!(a_last_mebibyte(&h, takes, LONG, false).await, 0);
        }
    }
}

/// What a plugin had sent when it crashed has been written when its end is told, however slowly.
pub async fn what_a_plugin_printed_before_a_crash_has_been_written(h: Harness) {
    // Twice that fits into any buffer on the way, so that the plugin gets rid of it all.
    let text: String = (0..3000).map(|n| format!("{n:07},")).collect();
    for how in [Crash::Exit, Crash::Abort] {
        let [stdout, stderr, log] = [(); 3].map(|()| Sink::default());
        let slow = |sink: &Sink| Slow::writer(sink, Duration::from_millis(4));
        let host = h.host([""; 0]).last_output_within(LONG);
        let host = host.sync_stdout(slow(&stdout)).sync_stderr(slow(&stderr));
        let rig = h.start_host(host.log_sink(slow(&log))).await;
        print(&rig, How::Handler, false, &text).await;
        print(&rig, How::Handler, true, &text).await;
        let request = LogRequest {
            level: "info".to_owned(),
            message: text.clone(),
        };
        rig.process.log(request).await.expect("it logs");
        let pid = rig.pid();
        h.elsewhere(move || leftovers::until_idle(pid)).await;
        let crash = CrashRequest {
            how: how.into(),
            ..CrashRequest::default()
        };
        let crashed = h.within(LONG, rig.process.crash(crash)).await;
        assert!(crashed.is_err(), "{how:?}");
        h.within(LONG, rig.plugin.exited()).await;
        assert!(stdout.bytes() == text.as_bytes(), "{how:?}: on stdout");
        assert!(stderr.bytes() == text.as_bytes(), "{how:?}: on stderr");
        let log = String::from_utf8_lossy(&log.bytes()).into_owned();
        assert!(log.contains(&text), "{how:?}: in the log");
    }
}

/// A writer that gets its first piece, waits until the plugin has sent all that there is, kills it, and
/// only then goes on, slowly.
struct Kills(Sink, Arc<OnceLock<u32>>, bool);

impl io::Write for Kills {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.2, true) {
            let pid = *self.1.wait();
            leftovers::until_idle(pid);
            leftovers::kill(pid);
            assert!(leftovers::gone(pid), "killed");
        }
        std::thread::sleep(Duration::from_millis(4));
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub async fn what_a_plugin_printed_before_it_was_killed_has_been_written(h: Harness) {
    let (stdout, pid) = (Sink::default(), Arc::new(OnceLock::new()));
    let (sink, of) = (stdout.clone(), Arc::clone(&pid));
    let kills = move || Kills(sink.clone(), Arc::clone(&of), false);
    let rig = h.start_host(h.host([""; 0]).sync_stdout(kills)).await;
    pid.set(rig.pid()).expect("the only one");
    let text: String = (0..6000).map(|n| format!("{n:07},")).collect();
    let request = PrintRequest {
        how: How::Handler.into(),
        stderr: false,
        text: text.clone(),
        repeat: 1,
    };
    // It may have been answered before.
    let _printed = h.promptly(rig.process.print(request)).await;
    h.promptly(rig.plugin.exited()).await;
    assert_eq!(String::from_utf8_lossy(&stdout.bytes()), text);
}

pub async fn a_writer_that_takes_too_long_costs_its_limit_and_no_more(h: Harness) {
    // All of it would take ten seconds.
    let takes = Duration::from_millis(10);
    let limit = Duration::from_millis(200);
    let missing = a_last_mebibyte(&h, takes, limit, false).await;
    assert!(missing > 0, "not all of it");
    let missing = a_last_mebibyte(&h, takes, limit, true).await;
    assert!(missing > 0, "not all of it");
}

pub async fn a_thread_that_prints_to_the_very_end_harms_nothing(h: Harness) {
    let log = Sink::default();
    let (host, stdout, _stderr) = synced(h.host(["--chatter"]).log_sink(log.writer()));
    let rig = h.start_host(host).await;
    h.promptly(stdout.until_contains("chatter 20\n")).await;
    rig.shutdown().await;
    let numbers = |sink: &Sink| -> Vec<u64> {
        let text = String::from_utf8_lossy(&sink.bytes()).into_owned();
        let numbers = text
            .lines()
            .filter_map(|line| line.strip_prefix("chatter "));
        numbers.map(|n| n.parse().expect("a number")).collect()
    };
    let mut all = numbers(&stdout);
    if !h.on.transport.has_sockets() {
        // Past the end of the output, descriptor 1 must not be the connection's.
        let late = numbers(&log);
        // Of the five that the program waits for, it may learn of the first when that is long printed.
        assert!(late.len() >= 4, "{late:?}");
        all.extend(late);
        let log = String::from_utf8_lossy(&log.bytes()).into_owned();
        assert!(log.lines().any(|line| line == "after serving"), "{log}");
    }
    let count = u64::try_from(all.len()).expect("few");
    assert_eq!(all, (0..count).collect::<Vec<_>>(), "none is missing");
}

pub async fn output_without_a_sink_is_no_burden(h: Harness) {
    let rig = h.start().await;
    let request = PrintRequest {
        how: How::Thread.into(),
        stderr: true,
        text: "y".repeat(64 << 10),
        repeat: 64,
    };
    let printing = rig.process.print(request);
    let (printed, echoed) = join(printing, rig.probe.echo(payload("x"))).await;
    printed.expect("it prints");
    assert_eq!(echoed, Ok(payload("x")));
    rig.shutdown().await;
}

pub async fn a_broken_sink_harms_nothing(h: Harness) {
    struct Broken;
    impl io::Write for Broken {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    let host = h
        .host([""; 0])
        .sync_stdout(|| Broken)
        .sync_stderr(|| Broken)
        .log_sink(|| Broken);
    let rig = h.start_host(host).await;
    print(&rig, How::Handler, false, "into the void").await;
    print(&rig, How::Handler, true, "into the void").await;
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
    rig.shutdown().await;
}

pub async fn a_sink_that_panics_is_dropped(h: Harness) {
    struct Panics;
    impl io::Write for Panics {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            panic!("a sink that panics, as meant")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    events::collect();
    let name = format!("{:?} with a writer", h.on);
    let stderr = Sink::default();
    let host = h.host([""; 0]).name(&name);
    let host = host.sync_stdout(|| Panics).sync_stderr(stderr.writer());
    let rig = h.start_host(host).await;
    print(&rig, How::Handler, false, "into the abyss").await;
    print(&rig, How::Handler, false, "once more").await;
    print(&rig, How::Handler, true, "beside it").await;
    rig.shutdown().await;
    assert_eq!(stderr.bytes(), b"beside it");
    let told = "the writer of what the plugin prints panicked: a sink that panics, as meant; it gets \
                nothing more";
    assert_eq!(events::of(&name), [told]);
}
