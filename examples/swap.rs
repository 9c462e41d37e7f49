//! A plugin whose program is replaced by another while it is used, and a call that fails is an error.
//!
//! ```sh
//! cargo run --example swap
//! ```
//!
//! Without an argument this is the host; with a word it is a plugin that greets with that. So "another program"
//! is this one with another word, and one that is broken says nothing a host understands.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use outboard::supervisor::{Swap, SwapError};
use outboard::{Command, Handshake, Host, Plugin, Status, Supervision, Tokio};

outboard::include_proto!("greeter/greeter");

const HANDSHAKE: Handshake = Handshake::new(1, "GREETER_PLUGIN", "hello");

/// How many greet without a pause.
const CALLERS: usize = 8;

/// The plugin's implementation of the interface.
struct Word(String);

impl Greeter for Word {
    async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
        let text = format!("{}, {}!", self.0, request.name);
        Ok(GreetReply { text })
    }
}

async fn plugin(word: String) {
    Plugin::new(HANDSHAKE)
        .provide("greeter", GreeterServer::new(Word(word)))
        .serve_or_exit(Tokio::current())
        .await;
}

/// A host of this very program as a plugin.
fn greets_with(word: &str) -> Result<Host, std::io::Error> {
    let command = Command::new(std::env::current_exe()?).arg(word);
    Ok(Host::new(HANDSHAKE).command(command))
}

async fn greet(greeter: &GreeterClient) -> Result<String, Status> {
    let name = "world".into();
    Ok(greeter.greet(GreetRequest { name }).await?.text)
}

/// Greets until it is over.
async fn caller(greeter: GreeterClient, over: Arc<AtomicBool>) -> Result<u64, Status> {
    let mut made = 0;
    while !over.load(Relaxed) {
        greet(&greeter).await?;
        made += 1;
    }
    Ok(made)
}

async fn host() -> Result<(), Box<dyn Error>> {
    let plugin = greets_with("Hello")?.supervise(Supervision::new(), Tokio::current());
    let greeter: GreeterClient = plugin.dispense("greeter").await?;
    println!("{}", greet(&greeter).await?);

    let over = Arc::new(AtomicBool::new(false));
    let caller = |_| tokio::spawn(caller(greeter.clone(), Arc::clone(&over)));
    let callers: Vec<_> = (0..CALLERS).map(caller).collect();

    // Beside the old one, which finishes its calls.
    let report = plugin
        .swap(&greets_with("Good day")?, Swap::beside())
        .await?;
    println!("{report}");
    println!("{}", greet(&greeter).await?);

    // What does not work changes nothing.
    let broken = Host::new(HANDSHAKE).command(Command::new("false"));
    match plugin.swap(&broken, Swap::beside()).await {
        Err(SwapError::Failed { failure, .. }) if failure.old_serves() => {
            println!("the old process still serves, since {}", failure.step);
        }
        other => return Err(format!("it was to fail: {other:?}").into()),
    }

    // Never two at once: calls wait meanwhile.
    let report = plugin
        .swap(&greets_with("Welcome")?, Swap::exclusive())
        .await?;
    println!("{report}");
    println!("{}", greet(&greeter).await?);

    over.store(true, Relaxed);
    for caller in callers {
        assert!(caller.await?? > 0, "each has called");
    }
    println!("no call has failed");
    plugin.shutdown().await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(word) => plugin(word).await,
        None => host().await?,
    }
    Ok(())
}
