//! A Rust plugin launched by hand: its handshake line, its sockets, and hosts that behave as
//! go-plugin's do not. Needs no other toolchain.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use outboard::Endpoint;
use outboard::codegen::Prost;
use outboard::rt::SharedRuntime;
use outboard::{CallOptions, Channel, Client as _, H2, Streaming, Tokio, Transport as _};
use outboard_core::rpc::{CallHead, ConnectionConfig};
use outboard_core::wire::plugin::{BROKER, ConnInfo, STDIO, StdioData};
use outboard_interop::proto::examples::{AddHelper as _, AddHelperClient, SumRequest};
use outboard_interop::proto::probe::{
    BrokerDialRequest, LogRequest, Nothing, Payload, PrintRequest, Probe as _, ProbeClient,
};
use outboard_interop::rust_host::{recorder::Recorder, run};
use outboard_interop::{Wait, run_to_end, wait_until_gone};
use outboard_kit::h2_frames::{ACK, Frame, PING, PREFACE, SETTINGS};

/// A running plugin, killed at the end of the test.
struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    line: String,
}

/// The plugin's command as a host makes it, less what the host may set.
fn command(mode: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rust-plugin-peer"));
    command
        .args(mode)
        .env("BASIC_PLUGIN", "hello")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("a plugin");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        let _ = stdout.read_line(&mut line).expect("a line");
        Self {
            child,
            stdout: Some(stdout),
            line,
        }
    }

    fn fields(&self) -> Vec<&str> {
        let line = self.line.strip_suffix('\n').expect("a whole line");
        line.split('|').collect()
    }

    fn endpoint(&self) -> Endpoint {
        let fields = self.fields();
        Endpoint::parse(fields[2], fields[3]).expect("an address")
    }

    fn socket(&self) -> PathBuf {
        self.endpoint().socket_file().expect("a file").to_owned()
    }

    async fn connect(&self) -> Channel {
        let runtime: SharedRuntime = Tokio::current().into();
        let endpoint = self.endpoint();
        let io = runtime.connect(&endpoint).await.expect("a connection");
        let mut config = ConnectionConfig::default();
        config.authority = endpoint.authority();
        Channel::new(H2::default().connect(&runtime, io, config))
    }

    async fn probe(&self) -> ProbeClient {
        ProbeClient::from_channel(self.connect().await)
    }

    /// Collects what comes on stderr.
    fn log(&mut self) -> Recorder<u8> {
        let log = Recorder::new();
        let mut sink = log.clone();
        let mut stderr = self.child.stderr.take().expect("a pipe");
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut sink));
        log
    }

    /// Hangs up both pipes, as a host that dies does, and waits for the plugin's end.
    fn hang_up(mut self) {
        self.stdout = None;
        self.child.stderr = None;
        let ended = self.child.wait().expect("its end");
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn works(probe: &ProbeClient) {
    let data = b"still there".to_vec();
    let reply = probe.echo(Payload { data }).await.expect("an answer");
    assert_eq!(reply.data, b"still there");
}

/// Six fields, the last one empty; the socket takes connections by then; nothing else is printed.
#[test]
fn the_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut plugin = Running::start(command(&["kv"]).env("TMPDIR", dir.path()));
    let fields = plugin.fields();
    let [core, app, network, address, protocol, certificate] = fields[..] else {
        panic!("{fields:?}")
    };
    assert_eq!((core, app, network), ("1", "1", "unix"));
    assert_eq!((protocol, certificate), ("grpc", ""));
    let path = Path::new(address);
    assert_eq!(path.parent(), Some(dir.path()));
    let name = path.file_name().expect("a name").to_string_lossy();
    assert!(name.starts_with("plugin"), "{name}");
    assert!(path.metadata().expect("a file").file_type().is_socket());
    UnixStream::connect(path).expect("it listens already");
    let mut stdout = plugin.stdout.take().expect("a pipe");
    let gone = std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = stdout.read_to_end(&mut rest).expect("the rest");
        rest
    });
    plugin.child.kill().expect("a kill");
    assert_eq!(gone.join().expect("no panic"), b"");
}

/// The plugin's choice of a version; without a match it is the lowest. Items that are no numbers
/// are noted as a record of the log.
#[test]
fn versions() {
    for (offered, chosen, noted) in [
        (None, "2", false),
        (Some(""), "2", false),
        (Some("2"), "2", false),
        (Some("3,2"), "3", false),
        (Some("1,+3,9"), "3", false),
        (Some("x,3"), "3", true),
        (Some(" 3"), "2", true),
        (Some("9"), "2", false),
    ] {
        let mut command = command(&["negotiated", "2,3"]);
        command.env_remove("PLUGIN_PROTOCOL_VERSIONS");
        if let Some(offered) = offered {
            command.env("PLUGIN_PROTOCOL_VERSIONS", offered);
        }
        let mut plugin = Running::start(&mut command);
        assert_eq!(plugin.fields()[1], chosen, "{offered:?}");
        plugin.child.kill().expect("a kill");
        let mut log = String::new();
        let mut stderr = plugin.child.stderr.take().expect("a pipe");
        let _ = stderr.read_to_string(&mut log).expect("text");
        for line in log.lines() {
            let record: serde_json::Value = serde_json::from_str(line).expect("a record");
            assert!(record["@message"].is_string(), "{line}");
        }
        assert_eq!(log.contains("\"warn\""), noted, "{offered:?}: {log}");
    }
}

/// A directory and a group of the host's choice; nothing stays behind when the host is gone.
#[test]
fn socket_directory_and_group() {
    let dir = tempfile::tempdir().expect("a directory");
    let group = dir.path().metadata().expect("it exists").gid();
    let plugin = Running::start(
        command(&["kv"])
            .env("PLUGIN_UNIX_SOCKET_DIR", dir.path())
            .env("PLUGIN_UNIX_SOCKET_GROUP", group.to_string()),
    );
    let path = plugin.socket();
    assert_eq!(path.parent(), Some(dir.path()));
    let socket = path.metadata().expect("a file");
    assert_eq!((socket.mode() & 0o7777, socket.gid()), (0o660, group));
    plugin.hang_up();
    assert!(!path.exists());
}

/// Without a group, the socket is for its owner alone.
#[test]
fn private_socket() {
    let plugin = Running::start(&mut command(&["kv"]));
    let path = plugin.socket();
    let mode = path.metadata().expect("a file").mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}: nobody else may connect");
    plugin.hang_up();
    assert!(!path.exists());
}

/// On TCP the port is one of those that the host allows.
#[test]
fn tcp_ports() {
    run(async {
        let mut tcp = command(&["probe"]);
        tcp.env("INTEROP_TCP", "1");
        tcp.env("PLUGIN_MIN_PORT", "21000")
            .env("PLUGIN_MAX_PORT", "21100");
        let plugin = Running::start(&mut tcp);
        let fields = plugin.fields();
        assert_eq!(fields[2], "tcp");
        let port = fields[3]
            .strip_prefix("127.0.0.1:")
            .expect("this machine only");
        let port: u16 = port.parse().expect("a number");
        assert!((21000..=21100).contains(&port), "{port}");
        works(&plugin.probe().await).await;
    });
}

/// What keeps a plugin from listening ends it with an explanation and a status other than 0.
#[test]
fn refused_settings() {
    let nowhere = "/no/such/directory".to_owned();
    let long = format!("/tmp/{}", "x".repeat(200));
    for (tcp, variables) in [
        (true, [("PLUGIN_MIN_PORT", "9"), ("PLUGIN_MAX_PORT", "8")]),
        (true, [("PLUGIN_MIN_PORT", "x"), ("PLUGIN_MAX_PORT", "8")]),
        (false, [("PLUGIN_UNIX_SOCKET_DIR", &nowhere), ("A", "")]),
        (false, [("PLUGIN_UNIX_SOCKET_DIR", &long), ("A", "")]),
        (
            false,
            [("PLUGIN_UNIX_SOCKET_GROUP", "no such group"), ("A", "")],
        ),
        // What asks for TLS and is no certificate would only fail once the host connects.
        (false, [("PLUGIN_CLIENT_CERT", "a certificate"), ("A", "")]),
    ] {
        let mut command = command(&["kv"]);
        command.envs(variables);
        if tcp {
            command.env("INTEROP_TCP", "1");
        }
        let ended = run_to_end(&mut command, Wait::default().0);
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "{variables:?}: {stderr}");
        let refusal = outboard_core::handshake::Refusal::parse(&ended.stdout);
        assert!(refusal.is_some(), "{variables:?}: {:?}", ended.stdout);
        assert!(stderr.contains("\"error\""), "{variables:?}: {stderr}");
    }
}

/// Connections that close without a byte, or speak something else, harm nobody.
#[test]
fn odd_connections() {
    run(async {
        let plugin = Running::start(&mut command(&["probe"]));
        let probe = plugin.probe().await;
        works(&probe).await;
        for bytes in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            &PREFACE[..16],
            &[0xff; 5000],
        ] {
            let mut stream = UnixStream::connect(plugin.socket()).expect("a connection");
            // It may have been closed by then.
            let _ = stream.write_all(bytes);
        }
        works(&probe).await;
        works(&plugin.probe().await).await;
    });
}

fn broker_stream(channel: &Channel) -> (outboard::StreamSender<ConnInfo>, Streaming<ConnInfo>) {
    let (sender, requests) = Streaming::channel(1);
    let incoming = channel.streaming(Prost, CallHead::new(BROKER.methods[0].path), requests);
    (sender, incoming)
}

/// A second host can call and be served through the broker after the first one has gone, and also
/// beside it.
#[test]
fn second_host() {
    run(async {
        let plugin = Running::start(&mut command(&["probe"]));
        let first = plugin.connect().await;
        let held = broker_stream(&first);
        works(&ProbeClient::from_channel(first.clone())).await;
        for first_is_gone in [false, true] {
            if first_is_gone {
                let (sender, incoming) = &held;
                let _still_open = (sender, incoming);
                first
                    .connection()
                    .abort(outboard::Status::cancelled("gone"));
            }
            let channel = plugin.connect().await;
            let (_sender, mut incoming) = broker_stream(&channel);
            let probe = ProbeClient::from_channel(channel);
            let id = probe.broker_accept(Nothing {}).await.expect("it serves").id;
            let info = incoming.message().await.expect("an answer").expect("one");
            assert_eq!(info.service_id, id);
            let endpoint = Endpoint::parse(&info.network, &info.address).expect("an address");
            let runtime: SharedRuntime = Tokio::current().into();
            let io = runtime.connect(&endpoint).await.expect("a connection");
            let connection = H2::default().connect(&runtime, io, ConnectionConfig::default());
            let helper = AddHelperClient::from_channel(Channel::new(connection));
            let sum = helper.sum(SumRequest { a: 2, b: 3 }).await.expect("a sum");
            assert_eq!(sum.r, 5);
        }
    });
}

/// A brokered address takes any number of connections, at once and one after the other.
#[test]
fn brokered_addresses_take_many_connections() {
    run(async {
        let plugin = Running::start(&mut command(&["probe"]));
        let channel = plugin.connect().await;
        let (_sender, mut incoming) = broker_stream(&channel);
        let probe = ProbeClient::from_channel(channel);
        let id = probe.broker_accept(Nothing {}).await.expect("it serves").id;
        let info = incoming.message().await.expect("an answer").expect("one");
        assert_eq!(info.service_id, id);
        let endpoint = Endpoint::parse(&info.network, &info.address).expect("an address");
        let runtime: SharedRuntime = Tokio::current().into();
        let dial = async || {
            let io = runtime.connect(&endpoint).await.expect("a connection");
            let connection = H2::default().connect(&runtime, io, ConnectionConfig::default());
            AddHelperClient::from_channel(Channel::new(connection))
        };
        let (first, second) = (dial().await, dial().await);
        for helper in [&first, &second, &first] {
            let sum = helper.sum(SumRequest { a: 2, b: 3 }).await.expect("a sum");
            assert_eq!(sum.r, 5);
        }
        drop((first, second));
        let sum = dial().await.sum(SumRequest { a: 4, b: 3 }).await;
        assert_eq!(sum.expect("a sum").r, 7);
    });
}

/// A host that ends the control stream after it has worked: in the plugin, what waits for it and
/// what needs it from then on fails at once, and calls go on.
#[test]
fn a_control_stream_that_ends_fails_what_needs_it() {
    run(async {
        let plugin = Running::start(&mut command(&["probe"]));
        let channel = plugin.connect().await;
        let (sender, mut incoming) = broker_stream(&channel);
        let probe = ProbeClient::from_channel(channel);
        let id = probe.broker_accept(Nothing {}).await.expect("it serves").id;
        let info = incoming.message().await.expect("an answer").expect("one");
        assert_eq!(info.service_id, id);
        let dial = |id| probe.broker_dial(BrokerDialRequest { id, a: 1, b: 1 });
        let begin = Instant::now();
        // In either order: a dial that waits, and one that finds the stream ended.
        let (waited, ()) = tokio::join!(dial(4242), async { drop(sender) });
        for refused in [waited, dial(4343).await] {
            let status = refused.expect_err("nothing can be announced any more");
            assert!(status.message().contains("control stream"), "{status}");
        }
        let accepted = probe.broker_accept(Nothing {}).await;
        let status = accepted.expect_err("nobody can be told");
        assert!(status.message().contains("control stream"), "{status}");
        // An unanswered dial would take five.
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        works(&probe).await;
    });
}

/// SETTINGS come first and are acknowledged, and so is a PING, before any call is made.
#[test]
fn settings_and_pings_are_answered() {
    let plugin = Running::start(&mut command(&["probe"]));
    let mut stream = UnixStream::connect(plugin.socket()).expect("a connection");
    let limit = Some(Wait::default().0);
    stream.set_read_timeout(limit).expect("a time limit");
    let ping = |flags| Frame::new(PING, flags, 0, *b"payload!");
    let hello = [PREFACE, &Frame::settings(&[]).encode(), &ping(0).encode()].concat();
    stream.write_all(&hello).expect("it is read");
    let mut frames = Vec::new();
    let answers = [Frame::new(SETTINGS, ACK, 0, []), ping(ACK)];
    while !answers.iter().all(|answer| frames.contains(answer)) {
        frames.push(Frame::read_blocking(&mut stream).expect("a frame"));
    }
    assert_eq!(
        (frames[0].kind, frames[0].flags),
        (SETTINGS, 0),
        "{frames:?}"
    );
}

/// A host that never reads what is printed: nothing blocks, and the log goes on.
#[test]
fn unread_output() {
    run(async {
        let mut plugin = Running::start(&mut command(&["probe"]));
        let log = plugin.log();
        let probe = plugin.probe().await;
        let probe = probe.with_options(CallOptions::new().timeout(Duration::from_secs(30)));
        for _ in 0..4 {
            let print = PrintRequest {
                stdout: vec![b'x'; 1 << 20],
                stderr: Vec::new(),
            };
            probe.print(print).await.expect("it does not block");
        }
        let record = LogRequest {
            level: "info".to_owned(),
            message: "after the flood".to_owned(),
            fields: Vec::new(),
        };
        probe.log(record).await.expect("an answer");
        let text = b"after the flood";
        let log = log.until(|log| log.windows(text.len()).any(|w| w == text));
        let log = String::from_utf8(log.await).expect("text");
        assert!(log.contains("\"warn\""), "what is dropped is told: {log}");
        works(&probe).await;
    });
}

/// What was printed before the host reads is kept, and comes in pieces of at most 1,024 bytes.
#[test]
fn pieces_of_output() {
    run(async {
        let plugin = Running::start(&mut command(&["probe"]));
        let channel = plugin.connect().await;
        let printed: Vec<u8> = (0..50_000u32).map(|n| (n % 251) as u8).collect();
        let print = PrintRequest {
            stdout: printed.clone(),
            stderr: Vec::new(),
        };
        let probe = ProbeClient::from_channel(channel.clone());
        probe.print(print).await.expect("an answer");
        let head = CallHead::new(STDIO.methods[0].path);
        let mut pieces: Streaming<StdioData> = channel.streaming(Prost, head, Streaming::once(()));
        let mut got = Vec::new();
        while got.len() < printed.len() {
            let piece = pieces.message().await.expect("a piece").expect("a piece");
            assert!(piece.data.len() <= 1024, "{}", piece.data.len());
            got.extend_from_slice(&piece.data);
        }
        assert!(got == printed);
    });
}

/// The host's death ends the plugin at once, in good order, also while a call runs.
#[test]
fn hung_up_in_a_call() {
    run(async {
        let plugin = Running::start(&mut command(&["probe"]));
        let pid = plugin.child.id();
        let probe = plugin.probe().await;
        let sleep = outboard_interop::proto::probe::SleepRequest { millis: 60_000 };
        let sleeping = tokio::spawn({
            let probe = probe.clone();
            async move { probe.sleep(sleep).await }
        });
        while probe.observe(Nothing {}).await.expect("an answer").started == 0 {}
        let ended = tokio::task::spawn_blocking(move || plugin.hang_up());
        ended.await.expect("it ends in good order");
        assert!(wait_until_gone(pid, Wait::default()));
        sleeping
            .await
            .expect("no panic")
            .expect_err("nobody answers");
    });
}
