//! Peers that do what no peer should.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use outboard::{CallOptions, Code, Command, ExitReason, H2, Host, Keepalive, PingError, Stdio};
use outboard_conformance::axes::TransportKind;
use outboard_conformance::proto::{Nothing, Probe as _};
use outboard_conformance::watched::Sink;
use outboard_kit::files::sockets_in;
use outboard_kit::h2_frames;
use outboard_kit::stdio_frames::{
    CANCEL, CHUNK, CONNECTION_CREDIT, END, GRANT, INLINE, MESSAGE, OPEN, OPENER, PING, PREFACE,
    frame, head,
};

use crate::calls::payload;
use crate::harness::{FAKE, Harness, PLUGIN, Rig};
use crate::leftovers;
use crate::logs::Records;

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a hostile peer sends first, over this transport: noise, half a frame, a frame of a size
/// that nobody should allocate, a frame that nobody asked for.
fn openings(transport: TransportKind) -> Vec<Vec<u8>> {
    let mut noise: Vec<u8> = (0..4096_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    // As a length it is too large, or the peer would rightly wait for the rest.
    noise[0] = 0xff;
    match transport {
        TransportKind::H2
        | TransportKind::H2Spin
        | TransportKind::H2Tls
        | TransportKind::H2Streams
        | TransportKind::H2TlsStreams => vec![
            noise,
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            h2_frames::head(6, h2_frames::SETTINGS, 0, 0)[..5].to_vec(),
            // Of 16 MiB.
            h2_frames::head(0xff_ffff, h2_frames::DATA, 0, 1).to_vec(),
            // By 0 on the connection.
            [
                h2_frames::Frame::settings(&[]),
                h2_frames::Frame::new(h2_frames::WINDOW_UPDATE, 0, 0, [0; 4]),
            ]
            .map(|frame| frame.encode())
            .concat(),
        ],
        // What is malformed after a preface has cases of its own.
        TransportKind::Stdio | TransportKind::StdioSpin => vec![noise, vec![0xff; 64], vec![0; 3]],
    }
}

/// Frames of the stdio transport that break its rules as the first after a preface, from either
/// side, and what tells which rule.
pub fn violations() -> [(Vec<u8>, &'static str); 9] {
    let by_the_acceptor = 0;
    let twice_what_can_be_counted = [0xff; 4];
    [
        (frame(0x7f, 0, 0, &[]), "unknown frame type 0x7f"),
        (head(0xff_ffff, OPEN, 0, OPENER).to_vec(), "at most"),
        (frame(CANCEL, 0, 0x80, &[]), "flags"),
        (
            frame(MESSAGE, 5, OPENER | INLINE, &[]),
            "stream 5, which is not open",
        ),
        (frame(CHUNK, 5, OPENER, &[0]), "stream 5, which is not open"),
        (frame(GRANT, 0x1_0000, by_the_acceptor, &[]), "stream 65536"),
        (frame(PING, 0, 0, &[1, 2, 3]), "5 bytes short"),
        // It announces what there is not.
        (
            frame(OPEN, 0, OPENER | END | INLINE, &[8, 0, 0]),
            "unknown parts 0x08",
        ),
        (
            frame(CONNECTION_CREDIT, 0, 0, &twice_what_can_be_counted),
            "credit",
        ),
    ]
}

/// The plugin's socket.
fn socket(h: &Harness) -> PathBuf {
    let mut sockets = sockets_in(h.dir());
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    sockets.remove(0)
}

pub async fn a_plugin_that_speaks_nonsense_fails_calls_only(h: Harness) {
    for (number, opening) in openings(h.on.transport).into_iter().enumerate() {
        for end in ["close", "hold"] {
            let opening = hex(&opening);
            let host = if h.on.transport.has_sockets() {
                let socket = h.dir().join(format!("fake{number}{end}"));
                let socket = socket.to_str().expect("text").to_owned();
                h.host_of(Command::new(FAKE).args(["listen", &socket, &opening, end]))
            } else {
                h.host_of(Command::new(FAKE).args(["stdio", &opening, end]))
            };
            // An error noticed before the start is over is as good.
            // It would speak nonsense again, as often as it is connected to.
            let host = host.reconnect_within(Duration::ZERO);
            let Ok(plugin) = h.promptly(host.start(h.runtime.clone())).await else {
                continue;
            };
            // Half a frame of HTTP/2 may become a whole one.
            let waits_for_ever = h.on.transport.has_sockets() && end == "hold" && number == 2;
            if !waits_for_ever {
                let pinged = h.promptly(plugin.ping()).await;
                assert!(pinged.is_err(), "opening {number}, then {end}");
                // The task that tells it runs beside this one.
                h.promptly(async {
                    while !plugin.is_disconnected() {
                        h.elsewhere(|| ()).await;
                    }
                })
                .await;
                assert!(!plugin.is_exited(), "its process still runs");
            }
            h.promptly(plugin.kill()).await;
        }
    }
}

pub async fn a_plugin_that_breaks_the_protocol_is_told_which_rule(h: Harness) {
    for (frame, told) in violations() {
        let bytes = hex(&[PREFACE, &frame].concat());
        let host = h.host_of(Command::new(FAKE).args(["stdio", &bytes, "hold"]));
        let started = h.promptly(host.start(h.runtime.clone())).await;
        let plugin = started.expect("its line and its preface are right");
        let error = h.promptly(plugin.ping()).await;
        let error = error.expect_err("it answers nothing");
        let PingError::Call(status) = error else {
            panic!("{told}: {error:?}")
        };
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.is_connection_lost(), "{status:?}");
        assert!(status.message().contains(told), "{told:?} in {status}");
        assert!(!plugin.is_exited(), "its process still runs");
        h.promptly(plugin.kill()).await;
    }
}

pub async fn a_stopped_plugin_holds_up_no_call_past_its_deadline(h: Harness) {
    let grace = Duration::from_millis(100);
    for end in ["kill", "shutdown", "drop"] {
        let host = h.host([""; 0]).shutdown_grace(grace);
        let rig = h.start_host(host).await;
        let pid = rig.pid();
        leftovers::stop(pid);
        let options = CallOptions::new().timeout(Duration::from_millis(200));
        let probe = rig.probe.with_options(options);
        // Far more than fits into a pipe or socket that nobody reads.
        let calls = (0..64).map(|_| probe.echo(payload(vec![7; 15_000])));
        for ended in h.promptly(join_all(calls)).await {
            let status = ended.map(|_| "answered").expect_err("nobody is there");
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        }
        let late = h.promptly(probe.echo(payload("x"))).await;
        let status = late.expect_err("nobody answers");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert!(!rig.plugin.is_exited(), "it is only stopped");
        let exited = rig.plugin.exited();
        let expected = match end {
            "kill" => {
                h.promptly(rig.plugin.kill()).await;
                ExitReason::Killed
            }
            "shutdown" => {
                let shut = h.promptly(rig.plugin.shutdown()).await;
                shut.expect_err("it cannot end by itself");
                ExitReason::GraceExpired
            }
            _ => {
                drop(rig.plugin);
                ExitReason::Killed
            }
        };
        let report = h.promptly(exited).await;
        assert_eq!((report.exit.signal(), report.reason), (Some(9), expected));
        assert!(!leftovers::exists(pid), "it was reaped");
    }
}

pub async fn a_stopped_plugin_holds_no_call_for_ever_where_that_is_asked_for(h: Harness) {
    // Long enough for a plugin that runs on a busy machine.
    let keepalive = Keepalive::new(Duration::from_millis(200), Duration::from_secs(3));
    let host = Host::new(outboard_conformance::HANDSHAKE);
    let host = if h.on.transport.has_sockets() {
        host.transport(H2::new().keepalive(keepalive))
    } else {
        host.transport(Stdio::new().keepalive(keepalive))
    };
    let rig = h.start_host(h.set_up(host, h.plugin([""; 0]))).await;
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
    leftovers::stop(rig.pid());
    let calls = (0..3).map(|_| rig.probe.echo(payload("x")));
    let ended = h.within(Duration::from_secs(30), join_all(calls)).await;
    for ended in ended {
        let status = ended.expect_err("nobody answers");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.is_connection_lost(), "{status}");
        assert!(status.message().contains("keepalive"), "{status}");
    }
    assert!(!rig.plugin.is_exited(), "it is only stopped");
    h.promptly(rig.plugin.kill()).await;
}

pub async fn a_log_that_is_no_log_harms_nothing(h: Harness) {
    let lines: [(&[u8], u32); 6] = [
        (b"{\"@message\":5,\"@level\":\"info\"}\n", 3),
        (
            b"{\"@level\":null,\"@message\":{},\"@timestamp\":true}\n[1,2]\nnull\n17\n",
            3,
        ),
        (b"\xff\xfe\x00\x80 not text \xc3\n", 100),
        (&[b'x'; 65_536], 160),
        (b"\n", 50_000),
        (b"panic: it seems\n\tat nowhere\n", 1000),
    ];
    for (bytes, count) in lines {
        let (records, sink) = (Records::default(), Sink::default());
        // Given in pieces small enough for a command line.
        let (piece, count) = if bytes.len() > 4096 {
            (
                &bytes[..4096],
                count * u32::try_from(bytes.len() / 4096).expect("small"),
            )
        } else {
            (bytes, count)
        };
        let command = Command::new(FAKE)
            .args(["log", &hex(piece), &count.to_string(), PLUGIN])
            .args([h.on.plugin.to_string(), h.on.transport.to_string()]);
        let host = records.of(h.host_of(command).log_sink(sink.writer()));
        let rig: Rig = h.within(Duration::from_secs(20), h.start_host(host)).await;
        assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
        assert!(sink.bytes().starts_with(piece), "the raw bytes are there");
        rig.shutdown().await;
        let expected = piece.len() * usize::try_from(count).expect("small");
        assert!(sink.bytes().len() >= expected, "all of them");
    }
}

pub async fn strangers_at_the_socket_harm_nothing(h: Harness) {
    // Strangers that stay and say nothing are waited for at the end, for as long as calls are.
    let rig = h.start_host(h.host(["--drain", "500"])).await;
    let socket = socket(&h);
    let preface = h2_frames::PREFACE.to_vec();
    let mut held = Vec::new();
    for opening in openings(h.on.transport)
        .into_iter()
        .chain([Vec::new(), preface.clone()])
    {
        for with_preface in [false, true] {
            let mut stream = UnixStream::connect(&socket).expect("it listens");
            if with_preface {
                stream.write_all(&preface).expect("it is there");
            }
            // It may have hung up by now.
            let _refused = stream.write_all(&opening);
            assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
            // Half of them hang up, half stay and say nothing more.
            if with_preface {
                held.push(stream);
            }
        }
    }
    // Many at once that close without a byte.
    for _ in 0..200 {
        drop(UnixStream::connect(&socket).expect("it listens"));
    }
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
    // Noise after which it hangs up is answered by nothing but that.
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    stream.write_all(&[b'z'; 100]).expect("it is there");
    let read = h.elsewhere(move || stream.read_to_end(&mut Vec::new()).map(|_| ()));
    let _ended = h.promptly(read).await;
    rig.plugin.ping().await.expect("it serves on");
    rig.shutdown().await;
    drop(held);
}

pub async fn a_second_host_may_come_beside_the_first(h: Harness) {
    let rig = h.start().await;
    let socket = socket(&h);
    let second = h.second_host(&socket).await;
    let probe: outboard_conformance::proto::ProbeClient = second
        .dispense(outboard_conformance::PROBE)
        .await
        .expect("no names are given");
    assert_eq!(probe.echo(payload("second")).await, Ok(payload("second")));
    // With a broker of its own, in both directions.
    let id = probe.serve(Nothing {}).await.expect("served").id;
    let brokered: outboard_conformance::proto::ProbeClient =
        second.broker().dial(id).await.expect("announced");
    assert_eq!(brokered.echo(payload("x")).await, Ok(payload("x")));
    drop((brokered, probe));
    second.kill().await;
    assert_eq!(rig.probe.echo(payload("first")).await, Ok(payload("first")));
    rig.shutdown().await;
}

pub async fn who_cannot_be_accepted_for_want_of_descriptors_is_told(h: Harness) {
    use outboard_conformance::proto::Process as _;

    let records = Records::default();
    let rig = h.start_host(records.of(h.host([""; 0]))).await;
    let socket = socket(&h);
    let id = rig.probe.serve(Nothing {}).await.expect("served").id;
    let hoard = |flag| {
        rig.process
            .hoard(outboard_conformance::proto::Flag { flag })
    };
    hoard(true).await.expect("all are taken");
    let second = h.second_host(&socket).await;
    h.promptly(second.ping())
        .await
        .expect_err("it was not accepted");
    let told = "no file descriptor is left for a connection to this plugin";
    let record = h.promptly(records.with(told)).await;
    assert_eq!(record.level, outboard::hclog::Level::Error);
    second.kill().await;
    let dialled = async {
        let brokered: outboard_conformance::proto::ProbeClient =
            rig.plugin.broker().dial(id).await?;
        brokered.echo(payload("x")).await
    };
    // It is dialled again for some seconds.
    let refused = h.within(Duration::from_secs(20), dialled).await;
    let refused = refused.expect_err("it was not accepted");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let told = "no file descriptor is left for a connection to a brokered service";
    h.promptly(records.with(told)).await;
    // Connections that stand go on, and new ones work when there is room again.
    hoard(false).await.expect("they are given back");
    let second = h.second_host(&socket).await;
    second.ping().await.expect("it is accepted");
    second.kill().await;
    rig.shutdown().await;
}

pub async fn junk_on_the_real_stdout_is_drained(h: Harness) {
    // A helper of the plugin, with the original stdout, writes a line of 100 MB to it.
    let script = format!(
        "(head -c 100000000 /dev/zero; echo done >&2) & exec {PLUGIN} {} {}",
        h.on.plugin, h.on.transport
    );
    // Before the handshake line it would be taken for one, so the helper waits for a file.
    let go = h.dir().join("go");
    let script = script.replacen(
        "(head",
        &format!("(while ! [ -e {} ]; do :; done; head", go.display()),
        1,
    );
    let sink = Sink::default();
    let rig = h
        .start_host(h.script(&script).log_sink(sink.writer()))
        .await;
    std::fs::write(&go, "").expect("written");
    h.within(Duration::from_secs(60), sink.until_contains("done"))
        .await;
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
    std::fs::remove_file(go).expect("it was made");
    rig.shutdown().await;
}
