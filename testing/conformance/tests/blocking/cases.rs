//! What is done with each plugin.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use outboard::blocking::{self, Host, Streaming};
use outboard::supervisor::{Backoff, Change, Supervision, Swap};
use outboard::{Code, Command, ExitReason, Health, HostError, Status};
use outboard_conformance::axes::{self, TransportKind};
use outboard_conformance::blocking::BlockingProber;
use outboard_conformance::proto::{
    CrashRequest, FailRequest, LogRequest, Nothing, Payload, PourRequest, PrintRequest,
    ProbeBlocking as _, ProbeBlockingClient, ProbeBlockingServer, ProcessBlocking as _,
    ProcessBlockingClient, RelayRequest, Text, crash_request::How, relay_request::Op,
};
use outboard_conformance::watched::Sink;
use outboard_conformance::{HANDSHAKE, PROBE, PROCESS};

use crate::{On, leftovers};

/// A limit well above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn payload(data: &[u8]) -> Payload {
    let data = data.to_vec();
    Payload { data }
}

pub fn every_kind_of_call(on: On, dir: &Path) {
    let rig = on.start(dir);
    let large = payload(&vec![7; 3 << 20]);
    assert_eq!(rig.probe.echo(large.clone()), Ok(large));

    let messages = (0..100_u8).map(|number| payload(&[number]));
    let answers = rig.probe.chat(Streaming::iter(messages)).expect("it began");
    let answers: Result<Vec<u8>, Status> = answers.map(|answer| Ok(answer?.data[0])).collect();
    assert_eq!(answers, Ok((0..100).collect()));

    let (mut sender, requests) = Streaming::channel(1);
    let mut answers = rig.probe.chat(requests).expect("it began");
    for number in 0..100_u8 {
        sender.send(payload(&[number])).expect("it is read");
        assert_eq!(answers.next(), Some(Ok(payload(&[number]))));
    }
    drop(sender);
    assert_eq!(answers.next(), None);
    assert!(answers.trailers().is_some());

    let request = PourRequest {
        count: 1000,
        size: 10_000,
    };
    let poured = rig.probe.pour(request).expect("it began");
    let bytes: Result<usize, Status> = poured.map(|piece| Ok(piece?.data.len())).sum();
    assert_eq!(bytes, Ok(10_000_000));

    let pieces = (0..1000).map(|_| payload(&[1; 10_000]));
    let seen = rig
        .probe
        .collect(Streaming::iter(pieces))
        .expect("an answer");
    assert_eq!((seen.messages, seen.bytes), (1000, 10_000_000));
    rig.shutdown();
}

pub fn statuses_and_panics_are_those_of_the_async_api(on: On, dir: &Path) {
    let rig = on.start(dir);
    let request = FailRequest {
        code: Code::DataLoss as u32,
        message: "lost".to_owned(),
        details: vec![1, 2, 3],
    };
    let status = rig.probe.fail(request).expect_err("it was to fail");
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "lost"));
    assert_eq!(status.details(), [1, 2, 3]);
    let text = "over the edge".to_owned();
    let status = rig.probe.panic(Text { text }).expect_err("it panicked");
    assert_eq!(status.code(), Code::Internal);
    let told = "the handler of /outboard.suite.Probe/Panic panicked: over the edge";
    assert_eq!(status.message(), told);
    assert_eq!(rig.probe.echo(payload(b"on")), Ok(payload(b"on")));
    rig.shutdown();
}

pub fn deadlines_and_drops_cancel(on: On, dir: &Path) {
    let rig = on.start(dir);
    let note = || rig.probe.next_note(Nothing {}).expect("a note").text;
    // Long enough for a handler to begin on a busy machine.
    let hasty = rig.probe.with_timeout(Duration::from_secs(1));
    let status = hasty.wait(Nothing {}).expect_err("nobody answers");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(note(), "wait began");
    assert_eq!(note(), "wait dropped", "the handler's thread is free again");

    let endless = PourRequest {
        count: u64::MAX,
        size: 1000,
    };
    let mut poured = rig.probe.pour(endless).expect("it began");
    assert!(poured.next().expect("there is more").is_ok());
    drop(poured);
    assert_eq!(note(), "pour dropped");

    let millis = rig.probe.remaining(Nothing {}).expect("an answer").millis;
    assert_eq!(millis, None);
    let limited = rig.probe.with_timeout(PATIENCE);
    let left = limited.remaining(Nothing {}).expect("an answer").millis;
    let limit = PATIENCE.as_millis() as u64;
    assert!(
        left.is_some_and(|left| left > 0 && left <= limit),
        "{left:?}"
    );
    rig.shutdown();
}

pub fn interfaces_go_both_ways(on: On, dir: &Path) {
    let rig = on.start(dir);
    let broker = rig.plugin.broker();
    let lent = broker.serve(ProbeBlockingServer::new(BlockingProber::default()));
    let lent = lent.expect("it is served");
    for op in [Op::Echo, Op::Chat] {
        let request = RelayRequest {
            id: lent.id(),
            op: op.into(),
            data: b"there".to_vec(),
            inner: None,
        };
        // An id can be dialled once where go-plugin says so.
        let answer = rig.probe.relay(request);
        match op {
            Op::Echo => assert_eq!(answer, Ok(payload(b"there"))),
            _ if on.transport.announces() => assert!(answer.is_err()),
            _ => assert_eq!(answer, Ok(payload(b"1000"))),
        }
    }
    let id = rig.probe.serve(Nothing {}).expect("it serves").id;
    let other: ProbeBlockingClient = broker.dial(id).expect("it is there");
    assert_eq!(other.echo(payload(b"back")), Ok(payload(b"back")));
    let again = other.serve(Nothing {}).expect("it serves").id;
    assert_ne!(again, id);
    rig.shutdown();
}

pub fn a_second_host_attaches_and_lets_go(on: On, dir: &Path) {
    let rig = on.start(dir);
    let Ok(record) = rig.plugin.reattach_config() else {
        // What multiplexes takes one connection.
        let takes_one = matches!(
            on.transport,
            TransportKind::H2Streams | TransportKind::H2TlsStreams
        );
        assert!(takes_one || !on.transport.has_sockets());
        return rig.shutdown();
    };
    let second = axes::of_host(on.transport, outboard::Host::new(HANDSHAKE));
    let second = Host::from(second.attach(record)).socket_dir(dir);
    if on.transport.is_secured() {
        let refused = second.start().expect_err("it has no identity");
        assert!(matches!(refused, HostError::Attach { .. }), "{refused:?}");
        return rig.shutdown();
    }
    let second = second.start().expect("it runs");
    let probe: ProbeBlockingClient = second.dispense(PROBE).expect("it is provided");
    assert_eq!(probe.echo(payload(b"second")), Ok(payload(b"second")));
    assert_eq!(second.detach().reason, ExitReason::Released);
    assert_eq!(rig.probe.echo(payload(b"first")), Ok(payload(b"first")));
    rig.shutdown();
}

pub fn threads_share_a_client(on: On, dir: &Path) {
    let rig = on.start(dir);
    thread::scope(|scope| {
        for thread in 0..16_u8 {
            let probe = &rig.probe;
            scope.spawn(move || {
                for call in 0..50_u8 {
                    let sent = payload(&[thread, call]);
                    assert_eq!(probe.echo(sent.clone()), Ok(sent));
                }
            });
        }
    });
    rig.shutdown();
}

pub fn a_handler_that_blocks_holds_up_nobody(on: On, dir: &Path) {
    let rig = on.start(dir);
    thread::scope(|scope| {
        let held: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| rig.probe.hold(Nothing {})))
            .collect();
        for _ in 0..8 {
            let note = rig.probe.next_note(Nothing {}).expect("a note");
            assert_eq!(note.text, "hold began");
        }
        assert_eq!(rig.plugin.health(), Ok(Health::Serving));
        rig.plugin.ping().expect("it serves");
        assert_eq!(rig.probe.echo(payload(b"by")), Ok(payload(b"by")));
        rig.probe.release(Nothing {}).expect("an answer");
        for held in held {
            let answer = held.join().expect("no panic").expect("an answer");
            assert_eq!(answer.data, b"held to the end");
        }
    });
    rig.shutdown();
}

pub fn output_and_logs_arrive(on: On, dir: &Path) {
    let (printed, (logged, records)) = (Sink::default(), mpsc::channel());
    let hook = move |record: &outboard::hclog::Record| {
        // The test may have what it wants.
        let _over = logged.send(record.message.clone());
    };
    let host = on.host(dir).sync_stdout(printed.writer()).on_log(hook);
    let rig = crate::Rig::of(host.start().expect("it starts"));
    let request = PrintRequest {
        text: "printed in a handler".to_owned(),
        repeat: 1,
        ..PrintRequest::default()
    };
    rig.process.print(request).expect("printed");
    let request = LogRequest {
        level: "warn".to_owned(),
        message: "logged in a handler".to_owned(),
    };
    rig.process.log(request).expect("logged");
    let wanted = "logged in a handler";
    while records.recv_timeout(PATIENCE).expect("it comes") != wanted {}
    rig.shutdown();
    let printed = String::from_utf8(printed.bytes()).expect("text");
    assert!(printed.contains("printed in a handler"), "{printed}");
}

fn exit_with(code: i32) -> CrashRequest {
    CrashRequest {
        how: How::Exit.into(),
        code,
        ..CrashRequest::default()
    }
}

pub fn a_crash_is_told(on: On, dir: &Path) {
    let rig = on.start(dir);
    assert_eq!(rig.plugin.exited_within(Duration::from_millis(1)), None);
    let status = rig.process.crash(exit_with(3)).expect_err("it ended");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("status 3"), "{status}");
    let report = rig.plugin.exited();
    assert_eq!(report.reason, ExitReason::Crashed);
    assert_eq!(rig.plugin.exited_within(PATIENCE), Some(report));
    let late = rig.probe.echo(payload(b"late")).expect_err("it is gone");
    assert_eq!(late.code(), Code::Unavailable);
    assert!(rig.plugin.dispense::<ProbeBlockingClient>(PROBE).is_err());
}

pub fn each_way_to_end(on: On, dir: &Path) {
    on.start(dir).shutdown();
    let killed = on.start(dir).plugin.kill();
    assert_eq!(killed.reason, ExitReason::Killed);
    let rig = on.start(dir);
    let pid = rig.plugin.pid().expect("it runs");
    let waiting = thread::spawn({
        let probe = rig.probe.clone();
        move || probe.wait(Nothing {})
    });
    let note = rig.probe.next_note(Nothing {}).expect("a note");
    assert_eq!(note.text, "wait began");
    // Without a drain: what waits in a handler is given up with the process.
    rig.plugin.kill();
    assert!(!leftovers::exists(pid));
    let status = waiting.join().expect("no panic").expect_err("it is gone");
    assert_eq!(status.code(), Code::Unavailable);
}

pub fn dropping_the_handle_has_reaped_the_plugin(on: On, dir: &Path) {
    let rig = on.start(dir);
    let pid = rig.plugin.pid().expect("it runs");
    drop(rig.plugin);
    assert!(!leftovers::exists(pid), "it is gone when the drop is over");
    let status = rig.probe.echo(payload(b"late")).expect_err("it is gone");
    assert_eq!(status.code(), Code::Unavailable);
}

pub fn a_plugin_that_is_kept_up(on: On, dir: &Path) {
    let millisecond = Duration::from_millis(1);
    let backoff = Backoff::new().first(millisecond).longest(millisecond);
    let policy = Supervision::new().backoff(backoff);
    let kept = on.host(dir).supervise(policy).expect("there is a thread");
    let events = kept.events();
    let process: ProcessBlockingClient = kept.dispense(PROCESS).expect("it is provided");
    kept.ready().expect("it starts");
    assert!(kept.broker().is_some());
    let pid = || process.facts(Nothing {}).expect("an answer").pid;
    let first = pid();
    process.crash(exit_with(3)).expect_err("it ended");
    assert_ne!(pid(), first, "another one answers");
    let swapped = kept.swap(&on.host(dir), Swap::beside());
    let report = swapped.expect("the new one is well");
    assert_eq!(report.pid, Some(pid()));
    assert_eq!(kept.ready_within(PATIENCE), Some(Ok(())));
    let mut ends = events.filter(|event| matches!(event.change, Change::Ended(_)));
    assert!(ends.next().is_some());
    kept.shutdown().expect("in good order");
    let last = kept.states().last().expect("a state");
    assert!(last.phase.is_final(), "{last:?}");
}

pub fn a_failed_start_is_told(on: On, dir: &Path) {
    let missing = dir.join("no-such-program");
    let host = on.host(dir).command(Command::new(missing));
    let error = host.start().expect_err("there is no program");
    assert!(matches!(error, HostError::Start { .. }), "{error:?}");
    let host = Host::new(HANDSHAKE);
    let error = host.start().expect_err("there is no command");
    assert!(matches!(error, HostError::Config(_)), "{error:?}");
}

pub fn a_hook_that_blocks_is_told_so(on: On, dir: &Path) {
    let (told, tells) = mpsc::channel();
    let probe: std::sync::Arc<std::sync::OnceLock<ProbeBlockingClient>> = Default::default();
    let theirs = std::sync::Arc::clone(&probe);
    let hook = move |_: &outboard::hclog::Record| {
        let Some(probe) = theirs.get() else { return };
        let call = std::panic::AssertUnwindSafe(|| probe.echo(payload(b"from a hook")));
        let panicked = std::panic::catch_unwind(call).expect_err("it would wait for itself");
        let text = panicked.downcast_ref::<String>().expect("a text").clone();
        let _over = told.send(text);
    };
    let rig = crate::Rig::of(on.host(dir).on_log(hook).start().expect("it starts"));
    probe.set(rig.probe.clone()).expect("once");
    let request = LogRequest {
        level: "warn".to_owned(),
        message: "wake the hook".to_owned(),
    };
    rig.process.log(request).expect("logged");
    let text = tells.recv_timeout(PATIENCE).expect("it was told");
    assert!(text.contains("use the async client"), "{text}");
    assert!(!blocking::is_cancelled());
    let began = Instant::now();
    rig.shutdown();
    assert!(began.elapsed() < PATIENCE);
}
