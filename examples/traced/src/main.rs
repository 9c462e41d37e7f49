//! One trace through host and plugin, with OpenTelemetry: the host calls the plugin, which calls back through the
//! broker, and the spans of both are one tree.
//!
//! ```sh
//! cargo run -p outboard-example-traced            # over gRPC
//! cargo run -p outboard-example-traced -- --stdio # over the plugin's stdin and stdout
//! ```
//!
//! The binary is also the plugin (argument `plugin`). Each side has a provider of its own, as two programs have, and
//! what joins their spans is `bridge.rs`.

mod bridge;
mod lines;

use std::error::Error;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use outboard::{Broker, Command, Handshake, Host, Plugin, RunningPlugin, Status, Tokio};
use tracing::Instrument as _;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

use bridge::OpenTelemetry;
use lines::Lines;

outboard::include_proto!("proto");

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

/// Sends the spans of this side to OpenTelemetry. With `logs`, what it logs goes to the host as well.
fn trace(side: &'static str, logs: bool) -> Result<SdkTracerProvider, Box<dyn Error>> {
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(Lines(side))
        .build();
    // The program's own spans and those of its calls; libraries have others.
    let wanted = Targets::new()
        .with_target("traced", LevelFilter::INFO)
        .with_target(outboard::trace::TARGET, LevelFilter::INFO);
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("traced"));
    let subscriber = tracing_subscriber::registry()
        .with(spans.with_filter(wanted))
        .with(logs.then(outboard::log::Layer::new));
    tracing::subscriber::set_global_default(subscriber)?;
    outboard::trace::set_propagator(OpenTelemetry)?;
    Ok(provider)
}

/// The plugin's side: it has the host add up.
struct Sums;

impl Counter for Sums {
    async fn get(&self, request: CounterGetRequest) -> Result<CounterGetResponse, Status> {
        Err(Status::not_found(format!("no sum under {:?}", request.key)))
    }

    async fn put(&self, request: CounterPutRequest) -> Result<CounterEmpty, Status> {
        let helper: AddHelperClient = Broker::current()?.dial(request.add_server).await?;
        let request = SumRequest {
            a: 1,
            b: request.value,
        };
        // A span of the plugin's own, between the handler's and that of the call it makes.
        let asking = async { helper.sum(request).await };
        let sum = asking.instrument(tracing::info_span!("add up")).await?;
        tracing::info!(sum = sum.r, "added up");
        Ok(CounterEmpty {})
    }
}

/// The host's side: what it lends to the plugin.
struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        let _inside = tracing::info_span!("sum").entered();
        let r = request.a.checked_add(request.b);
        Ok(SumResponse {
            r: r.ok_or_else(|| Status::out_of_range("the sum is too large"))?,
        })
    }
}

async fn work(plugin: &RunningPlugin) -> Result<(), Box<dyn Error>> {
    let counter: CounterClient = plugin.dispense("counter").await?;
    let helper = plugin.broker().serve(AddHelperServer::new(Adder))?;
    let request = CounterPutRequest {
        add_server: helper.id(),
        key: "sum".into(),
        value: 41,
    };
    counter.put(request).await?;
    let missing = counter.get(CounterGetRequest { key: "sum".into() }).await;
    println!("the plugin says: {}", missing.err().ok_or("it has a sum")?);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let first = args.next();
    if first.as_deref() == Some("plugin") {
        let plugin = Plugin::new(HANDSHAKE).provide("counter", CounterServer::new(Sums));
        // What it prints reaches the host.
        let provider = trace("plugin", true)?;
        plugin.serve_or_exit(Tokio::current()).await;
        provider.shutdown()?;
        return Ok(());
    }
    let provider = trace("host", false)?;
    let mut host = Host::new(HANDSHAKE)
        .command(Command::new(std::env::current_exe()?).arg("plugin"))
        .on_log(|record| println!("the plugin logs: {}", record.message))
        .sync_stdout(std::io::stdout);
    if first.as_deref() == Some("--stdio") {
        host = host.transport(outboard::Stdio::new());
    }
    let plugin = host.start(Tokio::current()).await?;
    let worked = work(&plugin).instrument(tracing::info_span!("work")).await;
    plugin.shutdown().await?;
    provider.shutdown()?;
    worked
}
