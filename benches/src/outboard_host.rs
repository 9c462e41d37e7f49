//! The host on outboard.

use std::ffi::OsString;
use std::sync::Arc;

use outboard::{Command, Host, RunningPlugin, Streaming};
use outboard_core::rt::{BoxFuture, SharedRuntime};

use crate::Failure;
use crate::clock::monotonic_ns;
use crate::drive::{Client, FIRST_CALL, Launch, Launcher, Plugin};
use crate::probe::{MarkedRuntime, Marks};
use crate::runtimes::{self, TransportKind};
use crate::service::{Bench as _, BenchClient, HANDSHAKE, NAME, Payload, Transfer, Work, pieces};

/// Launches plugins with outboard.
#[derive(Debug)]
pub struct OutboardHost {
    /// The host's runtime.
    pub runtime: SharedRuntime,
    /// What to speak.
    pub transport: TransportKind,
    /// The plugin's program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl Launcher for OutboardHost {
    type Plugin = RunningPlugin;

    async fn launch(&self) -> Result<(RunningPlugin, Launch), Failure> {
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
        let host = runtimes::of_host(self.transport, host, marks.clone())?;
        let plugin = host.start(runtime).await?;
        let connected = monotonic_ns();
        let client: BenchClient = plugin.dispense(NAME).await?;
        let dispensed = monotonic_ns();
        Client::echo(&client, vec![0; FIRST_CALL]).await?;
        let end = monotonic_ns();
        let born = client.born(Payload::default()).await?;
        let launch = Launch {
            begin,
            main: born.monotonic_ns,
            line: marks.line().ok_or("the host never connected")?,
            connected,
            dispensed,
            end,
        };
        Ok((plugin, launch))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }
}

impl Plugin for RunningPlugin {
    type Client = BenchClient;

    fn client(&self) -> BenchClient {
        outboard::Client::from_channel(self.channel())
    }

    fn pid(&self) -> u32 {
        Self::pid(self).unwrap_or_default()
    }

    fn dial(&self) -> Option<impl Future<Output = Result<u64, Failure>>> {
        Some(async {
            let offered = self.client().offer(Payload::default()).await?;
            let begin = monotonic_ns();
            let dialled: BenchClient = self.broker().dial(offered.id).await?;
            Client::echo(&dialled, vec![0; FIRST_CALL]).await?;
            Ok(monotonic_ns() - begin)
        })
    }

    async fn end(self) -> Result<(), Failure> {
        self.shutdown().await?;
        Ok(())
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
