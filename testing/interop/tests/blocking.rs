//! The blocking API with go-plugin on the other side, in both roles.
#![cfg(unix)]

use std::fs;
use std::path::Path;

use outboard::blocking::{Host, RunningPlugin, Streaming};
use outboard::{Code, Command, Handshake, Health, Status};
use outboard_interop::proto::examples::{
    AddHelperBlocking, AddHelperBlockingServer, CounterBlocking as _, CounterBlockingClient,
    CounterGetRequest, CounterPutRequest, GetRequest, KvBlocking as _, KvBlockingClient,
    PutRequest, StreamerServiceBlocking as _, StreamerServiceBlockingClient, SumRequest,
    SumResponse, configure, read, write,
};
use outboard_interop::scenarios::{Subject, services};
use outboard_interop::{GoPeers, go};

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-blocking-peer");

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

/// The blocking plugin, for the Go host.
fn rust(peers: &GoPeers) -> Subject<'_> {
    Subject {
        peers,
        command: vec![PLUGIN.into()],
        put_note: "\n\nWritten from plugin-rust-blocking",
    }
}

/// The Go plugin in a mode, under a blocking host of each kind.
fn go_plugin(mode: &str, using: impl Fn(&Path, &RunningPlugin)) {
    let Some(peers) = go() else { return };
    for (auto_mtls, multiplex) in [(false, false), (true, false), (false, true), (true, true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let command = Command::new(&peers.plugin)
            .arg(mode)
            .current_dir(dir.path());
        let host = Host::new(HANDSHAKE).command(command);
        let plugin = host.auto_mtls(auto_mtls).multiplex(multiplex).start();
        let plugin = plugin.expect("it starts");
        assert_eq!(plugin.health(), Ok(Health::Serving));
        using(dir.path(), &plugin);
        let report = plugin.shutdown().expect("it ends by itself");
        assert!(report.exit.success(), "{report}");
    }
}

#[test]
fn a_go_host_uses_a_blocking_kv() {
    if let Some(peers) = go() {
        services::kv(&rust(peers));
    }
}

#[test]
fn a_go_host_lends_to_a_blocking_counter() {
    let Some(peers) = go() else { return };
    for flags in [
        &[][..],
        &["-multiplex"],
        &["-automtls"],
        &["-multiplex", "-automtls"],
    ] {
        services::counter_with(&rust(peers), flags);
    }
}

#[test]
fn a_go_host_uses_a_blocking_streamer() {
    if let Some(peers) = go() {
        services::streamer(&rust(peers));
    }
}

#[test]
fn a_blocking_host_uses_a_go_kv() {
    go_plugin("kv", |dir, plugin| {
        let kv: KvBlockingClient = plugin.dispense("kv").expect("it is there");
        let (key, value) = ("hello".to_owned(), b"world".to_vec());
        kv.put(PutRequest { key, value }).expect("put");
        let key = "hello".to_owned();
        let value = kv.get(GetRequest { key }).expect("get").value;
        assert_eq!(value, b"world\n\nWritten from plugin-go-grpc");
        let key = "nothing".to_owned();
        let missing = kv
            .get(GetRequest { key })
            .expect_err("there is no such key");
        assert_eq!(missing.code(), Code::Unknown);
        assert!(dir.join("kv_hello").is_file());
    });
}

/// What the host lends to the plugin: a handler on a thread of the host's.
struct Adder;

impl AddHelperBlocking for Adder {
    fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        let r = request.a.checked_add(request.b);
        let r = r.ok_or_else(|| Status::out_of_range("the sum is too large"))?;
        Ok(SumResponse { r })
    }
}

#[test]
fn a_blocking_host_lends_to_a_go_counter() {
    go_plugin("counter", |_, plugin| {
        let counter: CounterBlockingClient = plugin.dispense("counter").expect("it is there");
        for value in [5, 6] {
            let helper = plugin.broker().serve(AddHelperBlockingServer::new(Adder));
            let helper = helper.expect("it is served");
            let put = CounterPutRequest {
                add_server: helper.id(),
                key: "sum".to_owned(),
                value,
            };
            counter.put(put).expect("put");
        }
        let key = "sum".to_owned();
        let sum = counter.get(CounterGetRequest { key }).expect("get");
        assert_eq!(sum.value, 11);
    });
}

#[test]
fn a_blocking_host_uses_a_go_streamer() {
    go_plugin("streamer", |dir, plugin| {
        let streamer: StreamerServiceBlockingClient =
            plugin.dispense("streamer").expect("it is there");
        let path = dir.join("file");
        let configure = configure::Request {
            path: path.to_str().expect("a path in UTF-8").to_owned(),
            chunk_size: 1000,
        };
        streamer.configure(configure).expect("configured");
        let content: Vec<u8> = (0..1_000_001_u32).map(|i| (i * 7 % 256) as u8).collect();
        let pieces: Vec<_> = content.chunks(4096).map(<[u8]>::to_vec).collect();
        let pieces = pieces
            .into_iter()
            .map(|bytes_to_write| write::RequestChunk { bytes_to_write });
        streamer.write(Streaming::iter(pieces)).expect("written");
        assert!(fs::read(&path).expect("there") == content);
        let pieces = streamer.read(read::Request {}).expect("it began");
        let mut got = Vec::new();
        let mut count = 0;
        for piece in pieces {
            got.extend(piece.expect("a piece").read_bytes);
            count += 1;
        }
        assert_eq!(count, 1001);
        assert!(got == content);
    });
}
