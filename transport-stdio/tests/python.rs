//! The plugin in Python's standard library, written from the document, under our calling side.
#![cfg(unix)]

mod support;

use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio as Pipe};
use std::sync::Arc;
use std::time::Duration;

use async_io::Async;
use bytes::Bytes;
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, stream};
use outboard_core::rpc::{
    Call, CallContext, CallHead, Code, Connection, ConnectionConfig, DispenseFailure,
    MethodDescriptor, MethodKind, OutMessage, Reply, Router, Service, ServiceDescriptor, Status,
    StreamReply, Transport,
};
use outboard_core::rt::BoxFuture;
use outboard_transport_stdio::wire::frame::{Body, Frame, HEADER_LEN, Header, OpenHead};
use outboard_transport_stdio::wire::{MAX_NAMES, PREFACE_LEN, Preface, Settings, close};
use outboard_transport_stdio::{Joined, Stdio};
use support::service::{next, out};
use support::{TestRuntime, run};

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../testing/interop/python-stdio/plugin.py"
);

struct Plugin {
    child: Ended,
    connection: Arc<dyn Connection>,
    directory: tempfile::TempDir,
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A plugin that has printed its line and nothing else yet.
struct Started {
    child: Ended,
    stdin: Async<ChildStdin>,
    stdout: Async<ChildStdout>,
    directory: tempfile::TempDir,
}

fn start() -> Option<Plugin> {
    let Started {
        child,
        stdin,
        stdout,
        directory,
    } = spawn()?;
    let io = Joined::new(Box::new(stdout), Box::new(stdin));
    let connection = Stdio::new().connect(
        &TestRuntime::shared(),
        Box::new(io),
        ConnectionConfig::default(),
    );
    Some(Plugin {
        child,
        connection,
        directory,
    })
}

/// Starts the plugin; `None`, loudly, if there is no Python.
fn spawn() -> Option<Started> {
    let directory = tempfile::tempdir().expect("a directory");
    let started = Command::new("python3")
        .arg("-B")
        .arg(SCRIPT)
        .current_dir(directory.path())
        .env("BASIC_PLUGIN", "hello")
        .env("OUTBOARD_TRANSPORTS", "stdio,grpc")
        .stdin(Pipe::piped())
        .stdout(Pipe::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!ci, "python3 is needed: {error}");
            eprintln!("SKIPPED: the Python plugin over stdio: cannot start python3: {error}");
            return None;
        }
    };
    let stdin = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        std::io::Read::read_exact(&mut stdout, &mut byte).expect("the handshake line");
        line.extend_from_slice(&byte);
    }
    assert_eq!(line, b"1|1|stdio|-|stdio|\n");
    Some(Started {
        child: Ended(child),
        stdin: Async::new(stdin).expect("registered"),
        stdout: Async::new(stdout).expect("registered"),
        directory,
    })
}

/// A protobuf field with bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        all.push(len as u8 | 0x80);
        len >>= 7;
    }
    all.push(len as u8);
    all.extend_from_slice(bytes);
    all
}

async fn call(plugin: &Plugin, path: &'static str, message: &[u8]) -> Result<Bytes, Status> {
    let reply = plugin.connection.unary(CallHead::new(path), out(message));
    Ok(reply.await?.message)
}

#[test]
fn key_values_health_and_shutdown() {
    run(async {
        let Some(mut plugin) = start() else { return };
        let health = call(
            &plugin,
            "/grpc.health.v1.Health/Check",
            &field(1, b"plugin"),
        )
        .await;
        assert_eq!(health.expect("serving"), [8, 1].as_slice());
        let error = call(&plugin, "/proto.KV/Get", &field(1, b"nosuch")).await;
        let error = error.expect_err("missing");
        assert_eq!(error.code(), Code::Unknown);
        assert!(error.message().contains("kv_nosuch"), "{error}");
        // From nothing to sixteen mebibytes: in one frame, and announced.
        for size in [0, 10, 70_000, 16 << 20] {
            let value = vec![b'v'; size];
            let put = [field(1, b"key"), field(2, &value)].concat();
            call(&plugin, "/proto.KV/Put", &put).await.expect("stored");
            let got = call(&plugin, "/proto.KV/Get", &field(1, b"key")).await;
            let expected = [&value, b"\n\nWritten from plugin over stdio".as_slice()].concat();
            assert!(got.expect("there") == field(1, &expected), "{size}");
        }
        // Texts that fit no frame, and one that is too long; the system's own error quotes the key.
        for size in [20_000, 500_000, 2_000_000] {
            let key = field(1, "ü".repeat(size / 2).as_bytes());
            let error = call(&plugin, "/proto.KV/Get", &key).await;
            let error = error.expect_err("no such file");
            assert_eq!(error.code(), Code::Unknown);
            let whole = error.message().contains(&"ü".repeat(size / 2));
            assert_eq!(whole, size < 1 << 20, "{size}");
            assert_eq!(error.message().ends_with(" bytes left out]"), !whole);
        }
        // Metadata that fits no frame.
        let mut head = CallHead::new("/grpc.health.v1.Health/Check");
        head.metadata
            .insert_bin("pad-bin", vec![7; 500_000])
            .expect("valid");
        let reply = plugin.connection.unary(head, out(field(1, b"plugin")));
        assert_eq!(reply.await.expect("serving").message, [8, 1].as_slice());
        let error = call(&plugin, "/proto.KV/Nope", &[]).await;
        assert_eq!(error.expect_err("unknown").code(), Code::Unimplemented);
        call(&plugin, "/plugin.GRPCController/Shutdown", &[])
            .await
            .expect("answered before the end");
        assert!(plugin.connection.closed().await.is_connection_lost());
        assert!(plugin.child.0.wait().expect("ended").success());
    });
}

#[test]
fn concurrent_calls() {
    run(async {
        let Some(plugin) = start() else { return };
        let calls = (0..200u32).map(|n| {
            let plugin = &plugin;
            async move {
                let key = n.to_string();
                let put = [field(1, key.as_bytes()), field(2, key.as_bytes())].concat();
                call(plugin, "/proto.KV/Put", &put).await.expect("stored");
                let got = call(plugin, "/proto.KV/Get", &field(1, key.as_bytes())).await;
                assert!(got.expect("there")[2..].starts_with(key.as_bytes()));
            }
        });
        futures_util::future::join_all(calls).await;
    });
}

#[test]
fn files_stream_both_ways() {
    run(async {
        let Some(plugin) = start() else { return };
        let path = plugin.directory.path().join("streamed");
        let name = path.to_str().expect("UTF-8");
        // Chunks of 1,000 bytes.
        let configure = [field(1, name.as_bytes()), vec![0x10, 0xe8, 0x07]].concat();
        call(&plugin, "/proto.StreamerService/Configure", &configure)
            .await
            .expect("configured");
        let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 253) as u8).collect();
        let chunks: Vec<_> = content
            .chunks(70_001)
            .map(|chunk| Ok(out(field(1, chunk))))
            .collect();
        let head = CallHead::new("/proto.StreamerService/Write");
        let mut write = plugin.connection.open(head, Box::pin(stream::iter(chunks)));
        assert_eq!(next(&mut write).await, Some(Ok(Bytes::new())));
        assert_eq!(next(&mut write).await, None);
        assert!(std::fs::read(&path).expect("written") == content);

        let head = CallHead::new("/proto.StreamerService/Read");
        let request = stream::iter([Ok(out([]))]);
        let mut read = plugin.connection.open(head, Box::pin(request));
        let mut got = Vec::new();
        while let Some(chunk) = next(&mut read).await {
            // Tag and two bytes of length.
            got.extend_from_slice(&chunk.expect("a chunk")[3..]);
        }
        assert!(got == content);

        // Giving up in the middle leaves the plugin well.
        let head = CallHead::new("/proto.StreamerService/Read");
        let request = stream::iter([Ok(out([]))]);
        let mut read: Box<dyn Call> = plugin.connection.open(head, Box::pin(request));
        next(&mut read).await.expect("a chunk").expect("a chunk");
        drop(read);
        let health = call(&plugin, "/grpc.health.v1.Health/Check", &[]);
        health.await.expect("serving");
    });
}

struct AddHelper;

/// What it does not add.
const REFUSED: u8 = 77;

static ADD_HELPER: ServiceDescriptor = ServiceDescriptor::new(
    "proto.AddHelper",
    &[MethodDescriptor::new(
        "Sum",
        "/proto.AddHelper/Sum",
        MethodKind::Unary,
    )],
    &[],
);

impl Service for AddHelper {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &ADD_HELPER
    }

    /// Small numbers only: each is a tag and a byte.
    fn unary(
        &self,
        _method: usize,
        _context: CallContext,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Reply<OutMessage>, Status>> {
        if message.last() == Some(&REFUSED) {
            return Box::pin(async { Err(Status::out_of_range("\u{1f608}".repeat(100_000))) });
        }
        let sum: u8 = message.chunks(2).map(|field| field[1]).sum();
        Box::pin(async move { Ok(Reply::new(out([8, sum]))) })
    }

    fn streaming(
        &self,
        _method: usize,
        _context: CallContext,
        _call: Box<dyn Call>,
    ) -> BoxFuture<'static, Result<StreamReply, Status>> {
        Box::pin(async { Err(Status::unimplemented("no streaming methods")) })
    }
}

#[test]
fn the_plugin_calls_back_on_a_channel() {
    run(async {
        let Some(plugin) = start() else { return };
        let mut router = Router::new();
        router.add(Arc::new(AddHelper)).expect("the only one");
        let channels = plugin.connection.sub_channels().expect("in the pipes");
        let _serving = channels.accept(9, Arc::new(router)).expect("free");
        for total in [20u8, 40, 60] {
            let put = [vec![8, 9], field(2, b"k"), vec![0x18, 20]].concat();
            let mut head = CallHead::new("/proto.Counter/Put");
            head.timeout = Some(Duration::from_secs(30));
            let reply = plugin.connection.unary(head, out(&put));
            assert_eq!(reply.await.expect("added").message, "");
            let got = call(&plugin, "/proto.Counter/Get", &field(1, b"k")).await;
            assert_eq!(got.expect("there"), [8, total].as_slice());
        }
        // An error whose text fits no frame: the host's, and the plugin's for it.
        let put = [vec![8, 9], field(2, b"k"), vec![0x18, REFUSED]].concat();
        let error = call(&plugin, "/proto.Counter/Put", &put).await;
        let error = error.expect_err("refused");
        assert_eq!(error.code(), Code::OutOfRange);
        assert_eq!(error.message(), "\u{1f608}".repeat(100_000));
        // A channel that nobody serves is a clear error at the one who asked for it.
        let put = [vec![8, 8], field(2, b"k"), vec![0x18, 20]].concat();
        let error = call(&plugin, "/proto.Counter/Put", &put).await;
        assert!(error.expect_err("refused").message().contains("channel 8"));
    });
}

/// A frame of the plugin: its header and payload.
async fn frame(plugin: &mut Started) -> (Header, Vec<u8>) {
    let mut header = [0; HEADER_LEN];
    plugin
        .stdout
        .read_exact(&mut header)
        .await
        .expect("a frame");
    let header = Header::decode(header);
    let mut payload = vec![0; header.len as usize];
    plugin.stdout.read_exact(&mut payload).await.expect("whole");
    (header, payload)
}

/// Sends `bytes` to a plugin that has just started, and reads its preface and its names.
async fn greet(plugin: &mut Started, bytes: &[u8]) {
    plugin.stdin.write_all(bytes).await.expect("written");
    let mut preface = [0; PREFACE_LEN];
    plugin.stdout.read_exact(&mut preface).await.expect("whole");
    let mut settings = vec![0; usize::from(preface[10])];
    let settings = plugin.stdout.read_exact(&mut settings);
    settings.await.expect("whole");
    let (header, payload) = frame(plugin).await;
    let names = b"\x02kv\x07counter\x08streamer";
    assert_eq!(Frame::decode(header, &payload), Ok(Frame::Names { names }));
}

#[test]
fn what_it_provides_is_dispensed_and_nothing_else() {
    run(async {
        let Some(plugin) = start() else { return };
        for name in ["kv", "counter", "streamer"] {
            let dispensed = plugin.connection.dispense(name).await;
            assert!(dispensed.expect("provided").is_none());
        }
        let missing = plugin.connection.dispense("missing").await;
        let provided = ["kv", "counter", "streamer"].map(str::to_owned).to_vec();
        let expected = DispenseFailure::NotProvided { provided };
        assert_eq!(missing.map(|_| ()), Err(expected));
    });
}

#[test]
fn it_hears_names_where_they_may_come_and_nowhere_else() {
    run(async {
        let names = |announced: bool, frames: &[Frame<'_>]| {
            let (mut bytes, settings) = (Vec::new(), Settings::LEAST);
            let names = announced;
            Preface { settings, names }.encode(&mut bytes);
            frames.iter().for_each(|frame| frame.encode(&mut bytes));
            bytes
        };
        let (kv, ping) = (
            Frame::Names { names: b"\x02kv" },
            Frame::Ping { content: [7; 8] },
        );
        let Some(mut plugin) = spawn() else { return };
        greet(&mut plugin, &names(true, &[kv, ping])).await;
        let (header, payload) = frame(&mut plugin).await;
        let pong = Frame::Pong { content: [7; 8] };
        assert_eq!(Frame::decode(header, &payload), Ok(pong));
        let (wrong, many) = (Frame::Names { names: b"\x03kv" }, [0; MAX_NAMES + 1]);
        for bytes in [
            names(true, &[ping]),
            names(true, &[kv, kv]),
            names(false, &[kv]),
            names(true, &[wrong]),
            names(true, &[Frame::Names { names: &many }]),
        ] {
            let Some(mut plugin) = spawn() else { return };
            greet(&mut plugin, &bytes).await;
            let (header, payload) = frame(&mut plugin).await;
            let Ok(Frame::Close { code, .. }) = Frame::decode(header, &payload) else {
                panic!("expected the last frame, got {header:?}");
            };
            assert_eq!(code, close::VIOLATION);
        }
    });
}

#[test]
fn a_preface_of_something_else_is_refused_as_the_document_says() {
    run(async {
        let mut other_version = Vec::new();
        Settings::LEAST.encode(&mut other_version);
        other_version[8] = 1;
        let cases = [
            // The rest may never come, so it is not waited for.
            (other_version[..9].to_vec(), close::VERSION),
            (other_version, close::VERSION),
            (b"x".to_vec(), close::VIOLATION),
            (b"\x89Ox".to_vec(), close::VIOLATION),
        ];
        for (bytes, expected) in cases {
            let Some(mut plugin) = spawn() else { return };
            greet(&mut plugin, &bytes).await;
            let (header, payload) = frame(&mut plugin).await;
            let Ok(Frame::Close { code, text }) = Frame::decode(header, &payload) else {
                panic!("expected the last frame, got {header:?}");
            };
            assert_eq!(code, expected, "{text}");
            // The host keeps its end open all the time.
            let rest = plugin.stdout.read(&mut [0]).await;
            assert_eq!(rest.expect("the end"), 0, "{text}");
        }
    });
}

#[test]
fn time_limits_are_kept_by_both_sides() {
    run(async {
        let Some(mut plugin) = spawn() else { return };
        let mut bytes = Vec::new();
        Settings::LEAST.encode(&mut bytes);
        let put = [vec![8, 9], field(2, b"k"), vec![0x18, 20]].concat();
        Frame::Open {
            stream: 3,
            end: true,
            head: OpenHead {
                path: "/proto.Counter/Put",
                timeout: Some(200_000_000),
                ..OpenHead::default()
            },
            body: Body::Inline(&put),
        }
        .encode(&mut bytes);
        greet(&mut plugin, &bytes).await;
        // It asks the host, which does not answer.
        let (header, payload) = frame(&mut plugin).await;
        let Ok(Frame::Open { stream, head, .. }) = Frame::decode(header, &payload) else {
            panic!("expected a call, got {header:?}");
        };
        assert_eq!(head.channel, 9);
        assert!(head.timeout.is_some_and(|nanos| nanos < 200_000_000));
        // In either order: as the caller it cancels, as the acceptor it answers.
        let (mut cancelled, mut answered) = (false, false);
        while !(cancelled && answered) {
            let (header, payload) = frame(&mut plugin).await;
            match Frame::decode(header, &payload).expect("valid") {
                Frame::Cancel { stream: of } => {
                    assert_eq!((of, cancelled), (stream, false));
                    cancelled = true;
                }
                Frame::Status { stream, head, .. } => {
                    let code = Code::from_number(head.code.into());
                    assert_eq!((stream, code), (3, Code::DeadlineExceeded));
                    assert!(!answered);
                    answered = true;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    });
}
