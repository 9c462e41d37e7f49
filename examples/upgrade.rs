//! A host that is upgraded under its plugin: a new process takes the plugin over, the old one leaves, and
//! whoever calls the plugin meanwhile notices nothing.
//!
//! ```sh
//! cargo run --example upgrade
//! ```
//!
//! One binary is all four of these:
//!
//! ```text
//! upgrade             who uses the plugin, beside its host: attaches, and calls without a pause
//! upgrade old         the host: launches the plugin, and on the word "upgrade" hands it on and leaves
//! upgrade new RECORD  the host after that: takes the plugin over, and on the word "end" ends it
//! upgrade plugin      the plugin
//! ```
//!
//! Hosts say on stdout what another process waits for, and on stderr what is for people.

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use outboard::{Command, Handshake, Host, Plugin, ReattachConfig, RunningPlugin, Status, Tokio};
use tokio::task::spawn_blocking;
use tracing::{Level, info};
use tracing_subscriber::filter::Targets;

outboard::include_proto!("greeter/greeter");

type AnyError = Box<dyn Error + Send + Sync>;

const HANDSHAKE: Handshake = Handshake::new(1, "GREETER_PLUGIN", "hello");

/// How often somebody is greeted before and after the hosts change, at least.
const CALLS: u64 = 500;

/// The plugin's implementation of the interface.
#[derive(Default)]
struct Counted(AtomicU64);

impl Greeter for Counted {
    async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
        let number = self.0.fetch_add(1, Relaxed) + 1;
        if number.is_multiple_of(CALLS) {
            info!(number, "greeted");
            println!("the plugin has greeted {number} times");
        }
        Ok(GreetReply {
            text: format!("Hello, {}! (No. {number})", request.name),
        })
    }
}

async fn plugin() {
    Plugin::new(HANDSHAKE)
        .outlive_host(true)
        // If the new host never comes.
        .alone_limit(Duration::from_secs(60))
        .provide("greeter", GreeterServer::new(Counted::default()))
        .serve_or_exit(Tokio::current())
        .await;
}

/// The host that launches the plugin, until it is told to upgrade.
async fn old() -> Result<(), AnyError> {
    let program = std::env::current_exe()?;
    let command = Command::new(&program).arg("plugin");
    let plugin = Host::new(HANDSHAKE)
        .command(command.outlive_host(true).inherit_stdin(false))
        .sync_stdout(io::stderr)
        .start(Tokio::current())
        .await?;
    let record = plugin.reattach_config()?.to_json();
    println!("{record}");
    word("upgrade", io::stdin()).await?;

    // It is told on the same stdin from then on, and this one waits until it has the plugin.
    let mut new = Process::new(program)
        .args(["new", &record])
        .stdout(Stdio::piped())
        .spawn()?;
    let told = new.stdout.take().ok_or("it has a stdout")?;
    word("attached", told).await?;
    plugin.detach().await;
    eprintln!("old host: leaves");
    Ok(())
}

/// The host that takes the plugin over.
async fn new(record: &str) -> Result<(), AnyError> {
    let plugin = attached(ReattachConfig::from_json(record)?).await?;
    plugin.ping().await?;
    eprintln!("new host: has the plugin");
    println!("attached");
    word("end", io::stdin()).await?;
    let report = plugin.shutdown().await?;
    eprintln!("new host: the plugin {report}");
    Ok(())
}

async fn attached(record: ReattachConfig) -> Result<RunningPlugin, AnyError> {
    let host = Host::new(HANDSHAKE).attach(record).sync_stdout(io::stderr);
    Ok(host.start(Tokio::current()).await?)
}

/// Waits for a line with this word.
async fn word(expected: &'static str, from: impl Read + Send + 'static) -> Result<(), AnyError> {
    let mut line = String::new();
    let line = spawn_blocking(move || BufReader::new(from).read_line(&mut line).map(|_| line));
    match line.await??.trim_end() {
        line if line == expected => Ok(()),
        line => Err(format!("expected the word {expected:?}, found {line:?}").into()),
    }
}

/// Uses the plugin while its hosts change.
async fn user() -> Result<(), AnyError> {
    let mut host = Process::new(std::env::current_exe()?)
        .arg("old")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut words = host.stdin.take().ok_or("it has a stdin")?;
    let mut record = String::new();
    let stdout = host.stdout.take().ok_or("it has a stdout")?;
    BufReader::new(stdout).read_line(&mut record)?;
    let plugin = attached(ReattachConfig::from_json(&record)?).await?;

    let greeter: GreeterClient = plugin.dispense("greeter").await?;
    let mut made = 0;
    while made < CALLS {
        call(&greeter, &mut made).await?;
    }
    writeln!(words, "upgrade")?;
    let leaving = spawn_blocking(move || host.wait());
    while !leaving.is_finished() {
        call(&greeter, &mut made).await?;
    }
    let left = leaving.await??;
    let enough = made + CALLS;
    while made < enough {
        call(&greeter, &mut made).await?;
    }
    println!("{left} of the old host; all {made} calls were answered");

    writeln!(words, "end")?;
    let report = plugin.exited().await;
    println!("the plugin {report}");
    Ok(())
}

/// Calls the plugin once more. A single call that fails is an error.
async fn call(greeter: &GreeterClient, made: &mut u64) -> Result<(), Status> {
    let name = "world".to_owned();
    greeter.greet(GreetRequest { name }).await?;
    *made += 1;
    Ok(())
}

/// Prints what the plugin logs to the host's stderr.
fn show_plugin_logs() {
    use tracing_subscriber::prelude::*;
    let only_plugins = Targets::new().with_target(outboard::LOG_TARGET, Level::INFO);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .without_time();
    tracing_subscriber::registry()
        .with(layer.with_filter(only_plugins))
        .init();
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["plugin"] => {
            plugin().await;
            return Ok(());
        }
        _ => show_plugin_logs(),
    }
    match args[..] {
        [] => user().await,
        ["old"] => old().await,
        ["new", record] => new(record).await,
        _ => Err("usage: upgrade".into()),
    }
}
