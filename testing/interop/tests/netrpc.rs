//! The sessions of `outboard-transport-netrpc` as a host's, with go-plugin on the other end.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard::Tokio;
use outboard_core::handshake::{HandshakeLine, Protocol};
use outboard_core::rt::SharedRuntime;
use outboard_gob::{Limits, Value};
use outboard_interop::go;
use outboard_interop::netrpc::Point;
use outboard_transport_netrpc::{CallError, HostSession, Instance, Printed, wire::Nothing};

/// Longer than anything here takes on a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

/// A plugin's process, which ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Starts go-plugin's plugin by hand, as its host would.
async fn start(runtime: &SharedRuntime) -> Option<(Process, HostSession, [Printed; 2])> {
    let peers = go()?;
    let mut command = Command::new(&peers.netrpc);
    command
        .env("BASIC_PLUGIN", "hello")
        .env("PLUGIN_PROTOCOL_VERSIONS", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Process(command.spawn().expect("starts"));
    let mut line = String::new();
    let mut stdout = BufReader::new(process.0.stdout.take().expect("a pipe"));
    stdout.read_line(&mut line).expect("a line");
    let line = HandshakeLine::parse(&line).expect("a handshake");
    assert_eq!(line.protocol(), Protocol::NetRpc);
    let endpoint = line.location().endpoint().expect("a socket");
    let io = runtime.connect(endpoint).await.expect("it listens");
    let begun = HostSession::begin(runtime, io, Limits::default());
    let (host, printed) = begun.expect("a session");
    Some((process, host, printed))
}

async fn text(answer: Result<i64, CallError>) -> String {
    match answer {
        Err(CallError::Answered { text, .. }) => text,
        other => panic!("{other:?}"),
    }
}

async fn calls(host: &HostSession, client: &Instance) {
    let greeting: String = client
        .call("Plugin.Greet", &Value::Nil)
        .await
        .expect("a text");
    assert_eq!(greeting, "Hello!");
    let doubled: i64 = client.call("Plugin.Double", &21).await.expect("a number");
    assert_eq!(doubled, 42);
    let wrong = text(client.call("Plugin.Double", &(1_i64 << 50)).await).await;
    assert_eq!(wrong, "it is too large");
    let wrong = text(client.call("Plugin.Nope", &1).await).await;
    assert_eq!(wrong, "rpc: can't find method Plugin.Nope");
    let wrong = text(client.call("Plugin.Double", "a text").await).await;
    assert!(wrong.contains("gob"), "{wrong}");
    let point = Point { x: 1, y: 0 };
    let mirrored: Point = client.call("Plugin.Mirror", &point).await.expect("a point");
    assert_eq!(mirrored, Point { x: -1, y: 0 });
    let bytes = vec![7_u8; 1 << 20];
    let echoed: Vec<u8> = client.call("Plugin.Echo", &bytes).await.expect("an echo");
    assert!(echoed == bytes);
    let many = (0..100_i64).map(|number| async move {
        let doubled: i64 = client
            .call("Plugin.Double", &number)
            .await
            .expect("a number");
        assert_eq!(doubled, 2 * number);
    });
    join_all(many).await;
    // What the plugin dials here, and what it serves there.
    let id = host.broker().next_id();
    let accepted = async {
        let mut io = host.broker().accept(id).await.expect("it is dialled");
        io.write_all(b"from the host").await.expect("writes");
        io.close().await.expect("closes");
    };
    let (dialled, ()) = join(client.call::<_, String>("Plugin.Dial", &id), accepted).await;
    assert_eq!(dialled.expect("a text"), "from the host");
}

async fn with_a_go_plugin(runtime: SharedRuntime) {
    let Some((mut process, host, mut printed)) = start(&runtime).await else {
        return;
    };
    host.ping(SOON).await.expect("it is there");
    let unknown = host
        .dispense("nothing", SOON)
        .await
        .expect_err("it is not provided");
    assert!(
        unknown.to_string().contains("unknown plugin type"),
        "{unknown}"
    );
    let first = host
        .dispense("greeter", SOON)
        .await
        .expect("it is provided");
    let second = host.dispense("greeter", SOON).await.expect("once more");
    calls(&host, &first).await;
    drop(first);
    calls(&host, &second).await;
    let values: std::collections::BTreeMap<String, Value> = [
        ("key".to_owned(), Value::String("k".to_owned())),
        ("value".to_owned(), Value::Bytes(b"v".to_vec())),
    ]
    .into();
    let answer: String = second
        .call("Plugin.PrintKV", &values)
        .await
        .expect("a text");
    assert_eq!(answer, "k=v");
    let Nothing {} = second
        .call("Plugin.Print", "printed")
        .await
        .expect("it prints");
    for printed in &mut printed {
        let mut line = [0; 8];
        printed.read_exact(&mut line).await.expect("reads");
        assert_eq!(&line, b"printed\n");
    }
    // Go closes the stream of an answer that it cannot encode.
    let lost = second
        .call::<_, Value>("Plugin.Unsendable", &Value::Nil)
        .await;
    let lost = lost.expect_err("it cannot be sent");
    assert!(matches!(lost, CallError::Lost { .. }), "{lost}");
    // Go's plugins may end before all of their answer is out.
    let quit = host.quit(SOON).await;
    assert!(
        matches!(quit, Ok(()) | Err(CallError::Lost { .. })),
        "{quit:?}"
    );
    drop(host);
    let status = tokio::task::spawn_blocking(move || process.0.wait().expect("it ends"));
    assert!(status.await.expect("no panic").success());
}

#[test]
fn a_go_plugin_on_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let shared = Tokio::from_handle(runtime.handle().clone()).into();
    runtime.block_on(with_a_go_plugin(shared));
}

#[test]
fn a_go_plugin_on_threads() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let shared = Tokio::from_handle(runtime.handle().clone()).into();
    runtime.block_on(with_a_go_plugin(shared));
}
