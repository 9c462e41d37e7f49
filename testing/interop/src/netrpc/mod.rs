//! What is called over net/rpc on either side of the tests with go-plugin; as in `go/cmd/go-netrpc-peer`.

use std::future::poll_fn;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::{HandshakeLine, Location, Protocol};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_gob::{Gob, Limits, Value};
use outboard_transport_netrpc::wire::NOTHING;
use outboard_transport_netrpc::{
    Make, Methods, MuxBroker, PluginSession, Provided, Service, serve,
};

/// A struct that travels.
#[derive(Clone, Debug, Default, PartialEq, Gob)]
pub struct Point {
    /// Across.
    pub x: i64,
    /// Up.
    pub y: i64,
}

/// Where the plugin's output goes, once its host has opened the streams for it.
type Output = Arc<Mutex<Option<[BoxByteStream; 2]>>>;

/// The methods.
#[must_use]
pub fn service(broker: &MuxBroker, runtime: &SharedRuntime, output: &Output) -> Methods {
    let (dials, serves) = (broker.clone(), broker.clone());
    let (output, runtime) = (Arc::clone(output), Arc::clone(runtime));
    Methods::new()
        .with("Greet", |_: Value| async {
            Ok::<_, String>("Hello!".to_owned())
        })
        .with("Double", |number: i64| async move {
            if number > 1 << 40 {
                return Err("it is too large");
            }
            Ok(2 * number)
        })
        .with("Mirror", |Point { x, y }: Point| async move {
            Ok::<_, String>(Point { x: -x, y: -y })
        })
        .with(
            "Echo",
            |bytes: Vec<u8>| async move { Ok::<_, String>(bytes) },
        )
        .with("Print", move |line: String| {
            let output = Arc::clone(&output);
            async move {
                let taken = output.lock().map_err(|error| error.to_string())?.take();
                let mut streams = taken.ok_or("somebody else prints")?;
                for io in &mut streams {
                    let line = format!("{line}\n");
                    let written = io.write_all(line.as_bytes()).await;
                    written.map_err(|error| error.to_string())?;
                    io.flush().await.map_err(|error| error.to_string())?;
                }
                *output.lock().map_err(|error| error.to_string())? = Some(streams);
                Ok::<_, String>(NOTHING)
            }
        })
        .with("Dial", move |id: u32| {
            let broker = dials.clone();
            async move {
                let mut io = broker.dial(id).await.map_err(|error| error.to_string())?;
                let mut all = String::new();
                let read = io.read_to_string(&mut all).await;
                read.map_err(|error| error.to_string())?;
                Ok::<_, String>(all)
            }
        })
        .with("Serve", move |_: Value| {
            let id = serves.next_id();
            let accepting = serves.accept(id);
            let (of, output) = (Arc::clone(&runtime), Output::default());
            let instance: Arc<dyn Service> = Arc::new(service(&serves, &runtime, &output));
            runtime.spawn(Box::pin(async move {
                if let Ok(io) = accepting.await {
                    let services = Arc::new([("Plugin".to_owned(), instance)].into());
                    let _ended = serve(of, io, services, Limits::default()).await;
                }
            }));
            async move { Ok::<_, String>(id) }
        })
}

/// A plugin made by hand: listens on a socket below `dir`, prints its line, and serves one host until that
/// asks it to end.
///
/// # Panics
/// If anything fails, which the host's test tells.
pub async fn plugin(runtime: SharedRuntime, dir: &std::path::Path) {
    let path = dir.join("plugin");
    let socket = std::os::unix::net::UnixListener::bind(&path).expect("binds");
    let local = Endpoint::Unix(path);
    let mut listener = runtime
        .listener(socket.into(), local.clone())
        .expect("listens");
    let line = HandshakeLine::new(1, Location::Endpoint(local), Protocol::NetRpc);
    println!("{line}");
    std::io::stdout().flush().expect("flushes");
    let io = poll_fn(|cx| Pin::new(&mut listener).poll_accept(cx)).await;
    let (ask, asked) = futures_util::future::abortable(std::future::pending::<()>());
    let output = Output::default();
    let (of, kept) = (Arc::clone(&runtime), Arc::clone(&output));
    let make: Make =
        Arc::new(move |broker| Ok(Arc::new(service(broker, &of, &output)) as Arc<dyn Service>));
    let provided = Provided {
        plugins: [("greeter".to_owned(), make)].into(),
        quit: Arc::new(move || {
            asked.abort();
            Box::pin(std::future::ready(()))
        }),
        output: Arc::new(move |streams| *kept.lock().expect("no panic") = Some(streams)),
        limits: Limits::default(),
    };
    let session = PluginSession::begin(&runtime, io.expect("a host"), provided);
    // A host hangs up once it has its answer.
    let _ended = session.ended().await;
    let _quit = ask.await;
}
