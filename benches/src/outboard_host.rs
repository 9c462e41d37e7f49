//! The host on outboard.

use std::ffi::OsString;
use std::sync::Arc;

use outboard::{Command, Dispense, Host, RunningPlugin, Streaming};
use outboard_core::rt::{BoxFuture, SharedRuntime};

use crate::Failure;
use crate::clock::monotonic_ns;
use crate::drive::{Client, FIRST_CALL, Launch, Launcher, Plugin};
use crate::probe::{MarkedRuntime, Marks};
use crate::runtimes::{self, TransportKind};
use crate::service::{Bench as _, BenchClient, HANDSHAKE, NAME, Payload, Transfer, Work, pieces};

/// Launches plugins with outboard.
#[derive(Debug)]
pub struct OutboardHost<S> {
    /// The host's runtime.
    pub runtime: SharedRuntime,
    /// What to speak.
    pub speaks: S,
    /// The plugin's program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// What a host speaks with its plugin.
pub trait Speaks {
    /// What it dispenses.
    type Client: Service;

    /// `host` that speaks this and nothing else.
    ///
    /// # Errors
    /// If this program was built without it.
    fn of_host(&self, host: Host, marks: &Marks) -> Result<Host, Failure>;
}

/// The measured service, dispensed.
pub trait Service: Client + Dispense {
    /// When the plugin's main function began.
    fn born(&self) -> impl Future<Output = Result<u64, Failure>>;

    /// As in [`Plugin::dial`].
    fn dial(&self, plugin: &RunningPlugin) -> Option<impl Future<Output = Result<u64, Failure>>>;
}

/// A plugin and what it has dispensed.
#[derive(Debug)]
pub struct Launched<C> {
    plugin: RunningPlugin,
    client: C,
}

impl<S: Speaks> Launcher for OutboardHost<S> {
    type Plugin = Launched<S::Client>;

    async fn launch(&self) -> Result<(Self::Plugin, Launch), Failure> {
        let begin = monotonic_ns();
        let marks = Marks::default();
        let runtime: SharedRuntime = Arc::new(MarkedRuntime {
            runtime: Arc::clone(&self.runtime),
            marks: marks.clone(),
        });
        let mut command = Command::new(&self.program).inherit_stdin(false);
        for arg in &self.args {
            command = command.arg(arg);
        }
        let host = Host::new(HANDSHAKE).command(command);
        let host = self.speaks.of_host(host, &marks)?;
        let plugin = host.start(runtime).await?;
        let connected = monotonic_ns();
        let client: S::Client = plugin.dispense(NAME).await?;
        let dispensed = monotonic_ns();
        client.echo(vec![0; FIRST_CALL]).await?;
        let end = monotonic_ns();
        let launch = Launch {
            begin,
            main: client.born().await?,
            line: marks.line().ok_or("the host never connected")?,
            connected,
            dispensed,
            end,
        };
        Ok((Launched { plugin, client }, launch))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }
}

impl<C: Service> Plugin for Launched<C> {
    type Client = C;

    fn client(&self) -> C {
        self.client.clone()
    }

    fn pid(&self) -> u32 {
        self.plugin.pid().unwrap_or_default()
    }

    fn dial(&self) -> Option<impl Future<Output = Result<u64, Failure>>> {
        self.client.dial(&self.plugin)
    }

    async fn end(self) -> Result<(), Failure> {
        self.plugin.shutdown().await?;
        Ok(())
    }
}

/// The transports of gRPC's calls.
impl Speaks for TransportKind {
    type Client = BenchClient;

    fn of_host(&self, host: Host, marks: &Marks) -> Result<Host, Failure> {
        runtimes::of_host(*self, host, marks.clone())
    }
}

impl Service for BenchClient {
    async fn born(&self) -> Result<u64, Failure> {
        let moment = crate::service::Bench::born(self, Payload::default()).await?;
        Ok(moment.monotonic_ns)
    }

    fn dial(&self, plugin: &RunningPlugin) -> Option<impl Future<Output = Result<u64, Failure>>> {
        Some(async {
            let offered = self.offer(Payload::default()).await?;
            let begin = monotonic_ns();
            let dialled: Self = plugin.broker().dial(offered.id).await?;
            Client::echo(&dialled, vec![0; FIRST_CALL]).await?;
            Ok(monotonic_ns() - begin)
        })
    }
}

impl Client for BenchClient {
    async fn echo(&self, data: Vec<u8>) -> Result<usize, Failure> {
        let reply = crate::service::Bench::echo(self, Payload { data }).await?;
        Ok(reply.data.len())
    }

    async fn compute(&self, micros: u64) -> Result<(), Failure> {
        crate::service::Bench::compute(self, Work { micros }).await?;
        Ok(())
    }

    async fn download(&self, piece: usize, bytes: usize) -> Result<usize, Failure> {
        let request = transfer(piece, bytes);
        let mut stream = crate::service::Bench::download(self, request).await?;
        let mut got = 0;
        while let Some(message) = stream.message().await? {
            got += message.data.len();
        }
        Ok(got)
    }

    async fn upload(&self, piece: usize, bytes: usize) -> Result<usize, Failure> {
        let messages = Streaming::iter(pieces(&transfer(piece, bytes))?);
        let taken = crate::service::Bench::upload(self, messages).await?;
        Ok(usize::try_from(taken.bytes)?)
    }
}

fn transfer(piece: usize, bytes: usize) -> Transfer {
    Transfer {
        bytes: bytes as u64,
        piece: u32::try_from(piece).unwrap_or(u32::MAX),
    }
}
