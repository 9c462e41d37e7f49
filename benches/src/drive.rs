//! How an asynchronous host carries out orders, whatever it is made of.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use outboard_core::rt::BoxFuture;
use serde_json::{Value, json};

use crate::Failure;
use crate::clock::monotonic_ns;
use crate::orders::{Order, unsupported};

/// A way to launch plugins.
pub trait Launcher {
    /// A plugin that runs.
    type Plugin: Plugin;

    /// Launches a plugin and makes one call of [`FIRST_CALL`] bytes.
    fn launch(&self) -> impl Future<Output = Result<(Self::Plugin, Launch), Failure>>;

    /// Runs a task in the background.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// Bytes of the payload of the call that ends a launch.
pub const FIRST_CALL: usize = 16;

/// A plugin that runs.
pub trait Plugin {
    /// Makes calls.
    type Client: Client;

    /// A client.
    fn client(&self) -> Self::Client;

    /// The process id.
    fn pid(&self) -> u32;

    /// Has the plugin serve once more and dials that: how long it takes from there to the first reply of
    /// [`FIRST_CALL`] bytes, in nanoseconds. Nothing if there is no broker.
    fn dial(&self) -> Option<impl Future<Output = Result<u64, Failure>>>;

    /// Ends the plugin and waits until the process is gone.
    fn end(self) -> impl Future<Output = Result<(), Failure>>;
}

/// A client of the measured service, as its users would call it.
pub trait Client: Clone + Send + Sync + 'static {
    /// Sends the bytes there and back; how many came back.
    fn echo(&self, data: Vec<u8>) -> impl Future<Output = Result<usize, Failure>> + Send;

    /// Has the plugin compute for so many microseconds.
    fn compute(&self, micros: u64) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Receives a stream; how many bytes came.
    fn download(
        &self,
        piece: usize,
        bytes: usize,
    ) -> impl Future<Output = Result<usize, Failure>> + Send;

    /// Sends a stream; how many bytes arrived.
    fn upload(
        &self,
        piece: usize,
        bytes: usize,
    ) -> impl Future<Output = Result<usize, Failure>> + Send;
}

/// The times of a launch, in nanoseconds on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// Before anything was done.
    pub begin: u64,
    /// The plugin's main function began.
    pub main: u64,
    /// The host had read the handshake line.
    pub line: u64,
    /// The host was connected.
    pub connected: u64,
    /// A client had been dispensed.
    pub dispensed: u64,
    /// The first call was answered.
    pub end: u64,
}

impl Launch {
    /// The parts, with the names they have in the report; together they are the whole.
    #[must_use]
    pub fn phases(&self) -> [(&'static str, u64); 5] {
        [
            ("to main", self.main.saturating_sub(self.begin)),
            ("to line", self.line.saturating_sub(self.main)),
            ("connect", self.connected.saturating_sub(self.line)),
            ("dispense", self.dispensed.saturating_sub(self.connected)),
            ("first call", self.end.saturating_sub(self.dispensed)),
        ]
    }

    /// The whole launch.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}

/// A launcher and the plugin that is running, if any.
#[derive(Debug)]
pub struct Driver<L: Launcher> {
    launcher: L,
    running: Option<L::Plugin>,
}

impl<L: Launcher> Driver<L> {
    /// Nothing runs yet.
    pub fn new(launcher: L) -> Self {
        Self {
            launcher,
            running: None,
        }
    }

    /// Carries out an order.
    ///
    /// # Errors
    /// If a plugin does not start or a call fails.
    pub async fn obey(&mut self, order: Order) -> Result<Value, Failure> {
        match order {
            Order::Start => {
                self.end().await?;
                let (plugin, _) = self.launcher.launch().await?;
                let pid = plugin.pid();
                self.running = Some(plugin);
                Ok(json!({ "host": std::process::id(), "plugin": pid }))
            }
            Order::Stop => {
                let begin = monotonic_ns();
                self.end().await?;
                Ok(json!({ "shutdown": monotonic_ns() - begin }))
            }
            Order::Dispense(count) => self.dispense(count).await,
            Order::Unary { size, count } => unary(&self.client()?, size, count).await,
            Order::Load {
                size,
                callers,
                millis,
            } => self.load(size, callers, millis).await,
            Order::Download { piece, bytes } => {
                let begin = Instant::now();
                let bytes = self.client()?.download(piece, bytes).await?;
                Ok(json!({ "bytes": bytes, "ns": nanos(begin.elapsed()) }))
            }
            Order::Upload { piece, bytes } => {
                let begin = Instant::now();
                let bytes = self.client()?.upload(piece, bytes).await?;
                Ok(json!({ "bytes": bytes, "ns": nanos(begin.elapsed()) }))
            }
            Order::Dial(count) => self.dial(count).await,
            Order::Compute { callers, micros } => self.compute(callers, micros).await,
            Order::Plugins { count, rounds } => self.plugins(count, rounds).await,
        }
    }

    /// Ends the plugin that runs, if any.
    ///
    /// # Errors
    /// If it does not end in good order.
    pub async fn end(&mut self) -> Result<(), Failure> {
        match self.running.take() {
            Some(plugin) => plugin.end().await,
            None => Ok(()),
        }
    }

    fn client(&self) -> Result<<L::Plugin as Plugin>::Client, Failure> {
        let plugin = self.running.as_ref().ok_or("no plugin has been started")?;
        Ok(plugin.client())
    }

    async fn dispense(&self, count: usize) -> Result<Value, Failure> {
        let mut launches = Vec::new();
        for _ in 0..count {
            let (plugin, launch) = self.launcher.launch().await?;
            let begin = monotonic_ns();
            plugin.end().await?;
            launches.push(json!({
                "total": launch.total(),
                "phases": launch.phases(),
                "shutdown": monotonic_ns() - begin,
            }));
        }
        Ok(json!({ "launches": launches }))
    }

    async fn load(&self, size: usize, callers: usize, millis: usize) -> Result<Value, Failure> {
        let client = self.client()?;
        let begin = Instant::now();
        let end = begin + Duration::from_millis(millis as u64);
        let mut waiting = Vec::new();
        for _ in 0..callers {
            let (done, result) = oneshot::channel();
            let client = client.clone();
            self.launcher.spawn(Box::pin(async move {
                // Nobody listens any more when another caller has failed.
                let _over = done.send(call_until(&client, size, end).await);
            }));
            waiting.push(result);
        }
        let mut calls = 0;
        for result in waiting {
            calls += result.await??;
        }
        Ok(json!({ "calls": calls, "ns": nanos(begin.elapsed()) }))
    }

    async fn dial(&self, count: usize) -> Result<Value, Failure> {
        let plugin = self.running.as_ref().ok_or("no plugin has been started")?;
        let mut samples = Vec::with_capacity(count);
        for _ in 0..count {
            let took = plugin
                .dial()
                .ok_or_else(|| unsupported(&Order::Dial(count)))?;
            samples.push(took.await?);
        }
        let total: u64 = samples.iter().sum();
        Ok(json!({ "samples": samples, "ns": total }))
    }

    async fn compute(&self, callers: usize, micros: u64) -> Result<Value, Failure> {
        let client = self.client()?;
        let begin = Instant::now();
        let mut waiting = Vec::new();
        for _ in 0..callers {
            let (done, result) = oneshot::channel();
            let client = client.clone();
            self.launcher.spawn(Box::pin(async move {
                // Nobody listens any more when another caller has failed.
                let _over = done.send(client.compute(micros).await);
            }));
            waiting.push(result);
        }
        let (done, beside) = oneshot::channel();
        self.launcher.spawn(Box::pin(async move {
            let begin = Instant::now();
            let echoed = echo(&client, FIRST_CALL).await;
            let _over = done.send(echoed.map(|()| begin.elapsed()));
        }));
        for result in waiting {
            result.await??;
        }
        let all = begin.elapsed();
        Ok(json!({ "ns": nanos(all), "echo": nanos(beside.await??) }))
    }

    async fn plugins(&self, count: usize, rounds: usize) -> Result<Value, Failure> {
        let begin = Instant::now();
        let mut plugins = Vec::new();
        for _ in 0..count {
            plugins.push(self.launcher.launch().await?.0);
        }
        let launch = begin.elapsed();
        let clients: Vec<_> = plugins.iter().map(Plugin::client).collect();
        let begin = Instant::now();
        for _ in 0..rounds {
            for client in &clients {
                echo(client, FIRST_CALL).await?;
            }
        }
        let called = begin.elapsed();
        let host = crate::runner::proc::status_kib(std::process::id(), "VmRSS")?;
        for plugin in plugins {
            plugin.end().await?;
        }
        Ok(json!({
            "launch": nanos(launch),
            "calls": count * rounds,
            "ns": nanos(called),
            "host_kib": host,
        }))
    }
}

async fn unary(client: &impl Client, size: usize, count: usize) -> Result<Value, Failure> {
    let mut samples = Vec::with_capacity(count);
    let begin = Instant::now();
    let mut last = begin;
    for _ in 0..count {
        echo(client, size).await?;
        let now = Instant::now();
        samples.push(nanos(now - last));
        last = now;
    }
    Ok(json!({ "samples": samples, "ns": nanos(last - begin) }))
}

async fn call_until(client: &impl Client, size: usize, end: Instant) -> Result<u64, Failure> {
    let mut calls = 0;
    while Instant::now() < end {
        echo(client, size).await?;
        calls += 1;
    }
    Ok(calls)
}

/// One call; its answer must have as many bytes.
async fn echo(client: &impl Client, size: usize) -> Result<(), Failure> {
    match client.echo(vec![0; size]).await? {
        got if got == size => Ok(()),
        got => Err(format!("the echo of {size} bytes has {got}").into()),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
