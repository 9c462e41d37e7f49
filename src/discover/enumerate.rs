//! What plugins say of themselves once they are started.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream;
use outboard_core::handshake::Protocol;
use outboard_core::rpc::{Code, Status};
use outboard_core::rt::SharedRuntime;

#[cfg(doc)]
use crate::host::RunningPlugin;
use crate::host::{Health, Host, HostError};
use crate::time;

/// How long a plugin that has started may take for each answer. (A choice.)
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A plugin that was tried.
#[non_exhaustive]
pub struct Candidate {
    /// What people call it; see [`Host::name`].
    pub name: String,
    /// What it said, or why it did not start.
    pub outcome: Result<Described, HostError>,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("name", &self.name)
            .field("outcome", &self.outcome)
            .finish()
    }
}

/// What a plugin said of itself.
#[derive(Debug)]
#[non_exhaustive]
pub struct Described {
    /// The version of the interface that it and its host agreed on.
    pub version: i64,
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// What its health service answered.
    pub health: Result<Health, Status>,
    /// What it has for its hosts; see [`RunningPlugin::interfaces`].
    pub interfaces: Result<Vec<String>, Status>,
}

/// Starts each of these, has it say what it is, and ends it in good order; no more than `at_once` of them
/// at a time, and one if that is 0. What came of each is told in the order of the hosts, and one that
/// fails takes nothing from the others.
///
/// [`Host::start_timeout`] is what bounds each; for each of its answers it has 10 s. If the future is dropped, what runs is killed.
pub async fn enumerate<R: Into<SharedRuntime>>(
    runtime: R,
    hosts: impl IntoIterator<Item = Host>,
    at_once: usize,
) -> Vec<Candidate> {
    let runtime = runtime.into();
    // Made one by one before any waits: a future of such a closure would borrow what it is made of.
    let tries: Vec<_> = hosts
        .into_iter()
        .map(|host| try_out(runtime.clone(), host))
        .collect();
    stream::iter(tries).buffered(at_once.max(1)).collect().await
}

async fn try_out(runtime: SharedRuntime, host: Host) -> Candidate {
    let name = host.known_as();
    let outcome = match host.start(runtime.clone()).await {
        Ok(plugin) => {
            let described = Described {
                version: plugin.negotiated_version(),
                protocol: plugin.protocol(),
                health: within(&runtime, "how it is", plugin.health()).await,
                interfaces: within(&runtime, "what it has", plugin.interfaces()).await,
            };
            // How it ends changes nothing of what it said; it is gone in any case.
            let _ended = plugin.shutdown().await;
            Ok(described)
        }
        Err(error) => Err(error),
    };
    Candidate { name, outcome }
}

async fn within<T>(
    runtime: &SharedRuntime,
    what: &str,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let limit = time::sleep(runtime, ANSWERS_WITHIN);
    match select(pin!(answer), limit).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => Err(Status::new(
            Code::DeadlineExceeded,
            format!("it did not say {what} within {ANSWERS_WITHIN:?}"),
        )),
    }
}
