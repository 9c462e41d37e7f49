//! What is going on with a plugin, as plain values: calls by method, what waits, memory, the start.
//!
//! [`Host::figures`](crate::Host::figures) has calls be counted, [`RunningPlugin::figures`](crate::RunningPlugin::figures)
//! and [`Supervised::figures`](crate::Supervised::figures) give the values at any time:
//!
//! ```no_run
//! # async fn example(host: outboard::Host) -> Result<(), Box<dyn std::error::Error>> {
//! # use outboard::Tokio;
//! let plugin = host.figures(true).start(Tokio::current()).await?;
//! // ...
//! let figures = plugin.figures();
//! println!("{:?} resident, started in {:?}", figures.resident_bytes, figures.start.total());
//! for method in figures.calls.iter().flatten() {
//!     let p99 = method.latency.percentile(99.0);
//!     println!("{}: {} calls, {} failed, p99 {p99:?}", method.path, method.begun, method.failed());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Calls are counted by one more connection around that of the clients, which a host that is not asked to count does
//! not have: there it costs nothing. Memory is bounded: 128 methods are told apart, with 5 KiB each, and further ones are counted as one.

mod measured;

use std::time::Duration;

pub use outboard_core::figures::{Latency, MethodFigures};

pub(crate) use self::measured::{Measured, Tally};

/// What a plugin and its calls came to, at the moment when it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Figures {
    /// How often a supervised plugin was started again; 0 for others.
    pub restarts: u64,
    /// How long the start of the present process took.
    pub start: StartTimes,
    /// What the calls of this plugin's clients came to, by path, since the handle was made: of a supervised
    /// plugin over all its processes, with the time that calls waited for one. Without those that were made through
    /// the broker, and over Go's net/rpc. `None` if the host does not count
    /// ([`Host::figures`](crate::Host::figures)).
    pub calls: Option<Vec<MethodFigures>>,
    /// Calls that wait for a connection, or for the next process.
    pub calls_waiting: usize,
    /// Pieces of output that were handed to the host's writers and are not written yet.
    pub output_waiting: u64,
    /// How much memory the plugin's process has resident (Linux). `None` elsewhere, for a process that is none of this
    /// system, and when it has ended.
    pub resident_bytes: Option<u64>,
}

/// How long the phases of a start took. `None` for a phase that there was none of, as for a plugin that the host has
/// attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartTimes {
    /// From the launch until the process is there.
    pub launch: Option<Duration>,
    /// From then until its handshake line has been understood.
    pub handshake: Option<Duration>,
    /// From then until the plugin can be called: the connection, and TLS where there is any.
    pub connect: Option<Duration>,
}

impl StartTimes {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> Duration {
        let phases = [self.launch, self.handshake, self.connect];
        phases.into_iter().flatten().sum()
    }
}
