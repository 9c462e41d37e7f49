//! Both directions: the host lends a live interface to the plugin for the time of a call.
//!
//! ```sh
//! cargo run --example counter -- put sum 5
//! cargo run --example counter -- put sum 6
//! cargo run --example counter -- get sum
//! ```
//!
//! The binary is also the plugin (argument `plugin`). With `COUNTER_PLUGIN` set it runs that shell
//! command instead, such as the plugin of go-plugin's bidirectional example.

use std::error::Error;
use std::io;

use outboard::{Broker, Command, Handshake, Host, Plugin, RunningPlugin, Status, Tokio};
use outboard_examples::{args, with_flags};

outboard::include_proto!("counter/proto");

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

/// The plugin's side: sums in files.
struct Files;

impl Counter for Files {
    async fn get(&self, request: CounterGetRequest) -> Result<CounterGetResponse, Status> {
        Ok(CounterGetResponse {
            value: read(&request.key)?,
        })
    }

    async fn put(&self, request: CounterPutRequest) -> Result<CounterEmpty, Status> {
        // The number in the request names what the host serves; the broker makes a client of it.
        let broker = Broker::current()?;
        let helper: AddHelperClient = broker.dial(request.add_server).await?;
        let sum = helper
            .sum(SumRequest {
                a: read(&request.key)?,
                b: request.value,
            })
            .await?;
        std::fs::write(file(&request.key)?, format!("{{\"Value\":{}}}", sum.r))
            .map_err(|error| Status::unknown(error.to_string()))?;
        Ok(CounterEmpty {})
    }
}

fn read(key: &str) -> Result<i64, Status> {
    let text = match std::fs::read_to_string(file(key)?) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Status::unknown(error.to_string())),
    };
    let number = text
        .trim()
        .trim_start_matches("{\"Value\":")
        .trim_end_matches('}');
    number
        .parse()
        .map_err(|_| Status::data_loss(format!("no sum in the file of {key}")))
}

fn file(key: &str) -> Result<String, Status> {
    if key.contains(['/', '\\', '\0']) {
        return Err(Status::invalid_argument(format!(
            "a key is no path: {key:?}"
        )));
    }
    Ok(format!("kv_{key}"))
}

/// The host's side: what it lends to the plugin.
struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        let r = request.a.checked_add(request.b);
        Ok(SumResponse {
            r: r.ok_or_else(|| Status::out_of_range("the sum is too large"))?,
        })
    }
}

async fn run(plugin: &RunningPlugin, args: &[&str]) -> Result<(), Box<dyn Error>> {
    let counter: CounterClient = plugin.dispense("counter").await?;
    match *args {
        ["put", key, value] => {
            // Served until the handle is dropped.
            let helper = plugin.broker().serve(AddHelperServer::new(Adder))?;
            let request = CounterPutRequest {
                add_server: helper.id(),
                key: key.into(),
                value: value.parse()?,
            };
            counter.put(request).await?;
        }
        ["get", key] => {
            let reply = counter.get(CounterGetRequest { key: key.into() }).await?;
            println!("{}", reply.value);
        }
        _ => return Err("usage: counter put KEY NUMBER | counter get KEY".into()),
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args == ["plugin"] {
        let plugin = Plugin::new(HANDSHAKE).provide("counter", CounterServer::new(Files));
        plugin.serve_or_exit(Tokio::current()).await;
        return Ok(());
    }
    let command = match std::env::var("COUNTER_PLUGIN") {
        Ok(command) => Command::new("sh").arg("-c").arg(command),
        Err(_) => Command::new(std::env::current_exe()?).arg("plugin"),
    };
    let plugin = with_flags(Host::new(HANDSHAKE))
        .command(command)
        .start(Tokio::current())
        .await?;
    let outcome = run(&plugin, &args).await;
    plugin.shutdown().await?;
    outcome
}
