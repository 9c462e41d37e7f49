//! Peers that send cheap frames as fast as they can, for as long as they are let.

use std::future::poll_fn;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outboard::{CallOptions, Code, Command};
use outboard_conformance::proto::{Nothing, Probe as _, ProbeClient, print_request::How};
use outboard_kit::files::sockets_in;
use outboard_kit::h2_frames::{self, ACK, CONTINUATION, DATA, END_HEADERS, Frame, HEADERS};
use outboard_kit::stdio_frames::PREFACE;

use crate::broker::borrow;
use crate::calls::payload;
use crate::harness::{FAKE, Harness, Rig};
use crate::hostile::hex;

/// When something would count as held up: far more than it takes where the processors are busy with floods,
/// those of other cases among them.
const LIMIT: Duration = Duration::from_secs(20);

/// Frames of HTTP/2 that a receiver has to take, or to ignore.
fn frames() -> [(&'static str, Vec<u8>); 7] {
    let counting = [1, 2, 3, 4, 5, 6, 7, 8];
    [
        ("of an unknown type", Frame::new(0xfa, 0, 0, [7])),
        ("unknown and empty", Frame::new(0xfa, 0, 0, [])),
        (
            "PRIORITY",
            Frame::new(h2_frames::PRIORITY, 0, 1, [0, 0, 0, 0, 16]),
        ),
        (
            "WINDOW_UPDATE",
            Frame::new(h2_frames::WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]),
        ),
        ("PING", Frame::new(h2_frames::PING, 0, 0, counting)),
        ("SETTINGS", Frame::settings(&[])),
        // An acknowledgement that nobody asked for.
        (
            "PING, acknowledged",
            Frame::new(h2_frames::PING, ACK, 0, counting),
        ),
    ]
    .map(|(what, frame)| (what, frame.encode()))
}

/// The same as [`frames`], with what has to precede them from a client. What ends such a flood is
/// `h2`, sooner or later.
fn from_clients() -> [(Vec<u8>, Vec<u8>); 3] {
    // Without an end, after which only CONTINUATION may come.
    let beginning = Frame::new(HEADERS, 0, 1, []);
    // Of a call of `/a/b`, by the static table; its requests may come.
    let call = Frame::new(
        HEADERS,
        END_HEADERS,
        1,
        *b"\x83\x86\x04\x04/a/b\x0f\x10\x10application/grpc",
    );
    [
        (beginning, Frame::new(CONTINUATION, 0, 1, [])),
        (call.clone(), Frame::new(DATA, 0, 1, [])),
        (call, Frame::new(DATA, 0, 1, [0])),
    ]
    .map(|(first, frame)| (first.encode(), frame.encode()))
}

/// The same over stdio.
fn stdio_frames() -> [(&'static str, Vec<u8>); 4] {
    use outboard_kit::stdio_frames::{CANCEL, CREDIT, OPENER, PING, frame};
    [
        ("of an unknown type", frame(0xf0, 0, 0, &[1, 2, 3])),
        ("PING", frame(PING, 0, 0, &[1, 2, 3, 4, 5, 6, 7, 8])),
        (
            "CREDIT of a stream that is over",
            frame(CREDIT, 9, OPENER, &[1, 0, 0, 0]),
        ),
        (
            "CANCEL of a stream that is over",
            frame(CANCEL, 9, OPENER, &[]),
        ),
    ]
}

pub async fn sleep(h: &Harness, time: Duration) {
    let mut timer = h.runtime.timer(h.runtime.now() + time);
    poll_fn(|cx| timer.as_mut().poll_expired(cx)).await;
}

/// What must go on beside a flood that has no end.
async fn all_is_well(h: &Harness, rig: &Rig, brokered: &ProbeClient) {
    for _ in 0..3 {
        h.within(LIMIT, sleep(h, Duration::from_millis(20))).await;
        let answer = h.within(LIMIT, rig.probe.echo(payload("x"))).await;
        assert_eq!(answer, Ok(payload("x")));
        let answer = h.within(LIMIT, brokered.echo(payload("y"))).await;
        assert_eq!(answer, Ok(payload("y")));
    }
}

pub async fn a_plugin_that_floods_its_connection_delays_nobody(h: Harness) {
    let rig = h.start().await;
    let (_, brokered) = borrow(&rig).await;
    let sockets = h.on.transport.has_sockets();
    let frames = if sockets {
        frames().to_vec()
    } else {
        stdio_frames().to_vec()
    };
    let settings = Frame::settings(&[]).encode();
    for (number, (what, frame)) in frames.iter().enumerate() {
        let socket = h.dir().join(format!("flood{number}"));
        let path = socket.to_str().expect("text").to_owned();
        let command = if sockets {
            Command::new(FAKE).args(["flood", &path, &hex(&settings), &hex(frame)])
        } else {
            Command::new(FAKE).args(["flood-stdio", &hex(PREFACE), &hex(frame)])
        };
        // What floods speaks the transport alone.
        let host = h.host_of(command).auto_mtls(false).multiplex(false);
        let started = h.within(LIMIT, host.start(h.runtime.clone())).await;
        let flooding = started.expect("its line is right");
        all_is_well(&h, &rig, &brokered).await;
        let options = CallOptions::new().timeout(Duration::from_millis(100));
        let probe: ProbeClient = flooding
            .dispense(outboard_conformance::PROBE)
            .await
            .expect("no names are given");
        let probe = probe.with_options(options);
        let ended = h.within(LIMIT, probe.echo(payload("x")));
        let status = ended.await.expect_err("it answers nothing");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{what}: {status}");
        assert!(!flooding.is_exited(), "{what}: it floods on");
        h.within(LIMIT, flooding.kill()).await;
        let _removed = std::fs::remove_file(socket);
    }
    rig.shutdown().await;
}

pub async fn strangers_that_flood_the_sockets_delay_nobody(h: Harness) {
    let rig = h.start().await;
    let (_, brokered) = borrow(&rig).await;
    // That of the plugin, and that of what it serves through the broker.
    let sockets = sockets_in(h.dir());
    assert!(sockets.len() >= 2, "{sockets:?}");
    let frames = frames().map(|(_, frame)| (Vec::new(), frame));
    for (first, frame) in frames.into_iter().chain(from_clients()) {
        let over = Arc::new(AtomicBool::new(false));
        let floods: Vec<_> = sockets
            .iter()
            .map(|socket| {
                let socket = UnixStream::connect(socket).expect("it listens");
                flood(socket, &first, &frame, Arc::clone(&over))
            })
            .collect();
        all_is_well(&h, &rig, &brokered).await;
        over.store(true, Ordering::SeqCst);
        let joined = h.elsewhere(|| {
            floods
                .into_iter()
                .for_each(|flood| flood.join().expect("ends"))
        });
        h.within(LIMIT, joined).await;
    }
    rig.shutdown().await;
}

/// Floods a socket until that is over.
fn flood(
    mut stream: UnixStream,
    first: &[u8],
    frame: &[u8],
    over: Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let settings = Frame::settings(&[]).encode();
    let first = [h2_frames::PREFACE, &settings, first].concat();
    let many = frame.repeat(100_000 / frame.len());
    std::thread::spawn(move || {
        let mut answers = stream.try_clone().expect("a descriptor");
        let reader = std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
        let mut left = stream.write_all(&first);
        while left.is_ok() && !over.load(Ordering::SeqCst) {
            left = stream.write_all(&many);
        }
        // Ends the reader, too.
        let _gone = stream.shutdown(std::net::Shutdown::Both);
        drop(reader.join().expect("it only reads"));
    })
}

/// What children of the plugin print without end, and go on with when it is gone.
pub async fn a_plugin_that_floods_its_output_delays_nobody(h: Harness) {
    struct Counts(Arc<AtomicU64>);
    impl std::io::Write for Counts {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let other = h.start().await;
    for wanted in [false, true] {
        let mut host = h.host([""; 0]);
        let counts = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        if wanted {
            let [out, err] = counts
                .clone()
                .map(|count| move || Counts(Arc::clone(&count)));
            host = host.sync_stdout(out).sync_stderr(err);
        }
        let rig = h.start_host(host).await;
        let (_, brokered) = borrow(&rig).await;
        let script = "(timeout 60 yes) & (timeout 60 yes >&2) & (timeout 60 yes '' >&2) &";
        crate::output::print(&rig, How::Child, false, script).await;
        for _ in 0..3 {
            all_is_well(&h, &rig, &brokered).await;
            all_is_well(&h, &other, &brokered).await;
        }
        for count in counts {
            let came = count.load(Ordering::Relaxed);
            assert_eq!(came > 100_000, wanted, "{came}");
        }
        h.within(LIMIT, rig.plugin.kill()).await;
    }
    other.shutdown().await;
}

/// What a plugin's log is flooded with: records by the hundred thousand, each of no length.
pub async fn a_plugin_that_floods_its_log_delays_nobody(h: Harness) {
    let records = Arc::new(AtomicU64::new(0));
    let dropped = Arc::new(AtomicU64::new(0));
    let (count, told) = (records.clone(), dropped.clone());
    let order = Ordering::Relaxed;
    let script = format!(
        "(timeout 60 yes '' >&2) & exec {} {} {}",
        crate::harness::PLUGIN,
        h.on.plugin,
        h.on.transport
    );
    let host = h.script(&script).log_rate(1000).on_log(move |record| {
        count.fetch_add(1, order);
        if record.message.contains("records of the log were dropped") {
            told.fetch_add(1, order);
        }
    });
    let rig = h.within(LIMIT, h.start_host(host)).await;
    let other = h.start().await;
    let until = async {
        // Two seconds of it, by what the hook is told.
        while dropped.load(order) < 2 {
            h.within(LIMIT, rig.probe.echo(payload("in between")))
                .await
                .expect("it answers");
            h.within(LIMIT, other.probe.echo(payload("beside")))
                .await
                .expect("it answers");
            h.within(LIMIT, sleep(&h, Duration::from_millis(20))).await;
            let limited = rig.probe.clone().with_timeout(Duration::from_millis(20));
            let late = h.within(LIMIT, limited.wait(Nothing {})).await;
            assert_eq!(
                late.expect_err("it never answers").code(),
                Code::DeadlineExceeded
            );
        }
    };
    h.within(Duration::from_secs(60), until).await;
    assert!(records.load(order) >= 1000, "some are handed on");
    other.shutdown().await;
    h.within(LIMIT, rig.plugin.kill()).await;
}
