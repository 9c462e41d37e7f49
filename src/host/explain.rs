//! Why a connection to a plugin was lost.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use outboard_core::rpc::{ConnectionConfig, LostHook, Status};
use outboard_core::rt::SharedRuntime;
use outboard_core::told::{Teller, Told};

use super::shared::Shared;
use crate::time;

/// How long a lost connection waits for the exit that explains it. A process that dies closes its
/// sockets just before its parent learns of its end, so this is hardly ever used up.
const EXPLAIN_WITHIN: Duration = Duration::from_millis(500);

/// The configuration of one inside. What is given with it is dropped when that is superseded.
pub(super) fn of_inside(
    runtime: &SharedRuntime,
    shared: &Arc<Shared>,
    config: &ConnectionConfig,
) -> (Teller<()>, ConnectionConfig) {
    let superseded = Teller::new();
    let mut config = config.clone();
    config.lost = Some(explain(runtime, shared, Some(superseded.told())));
    (superseded, config)
}

/// How long the log may take to say why something was cut off, and the process to end, if that is why.
#[cfg(feature = "netrpc")]
const SAID_WITHIN: Duration = Duration::from_millis(100);

/// Adds to what a plugin has cut off, while it lives, the last lines of its log: a Go plugin that cannot
/// encode an answer says so there and nowhere else.
#[cfg(feature = "netrpc")]
pub(super) fn cut_off(runtime: &SharedRuntime, shared: &Arc<Shared>) -> LostHook {
    let runtime = Arc::clone(runtime);
    let shared = Arc::clone(shared);
    Arc::new(move |status: Status| {
        let limit = time::sleep(&runtime, SAID_WITHIN);
        let (exited, shared) = (shared.exited(), Arc::clone(&shared));
        Box::pin(async move {
            match select(exited, limit).await {
                Either::Left((report, _)) => report.status(shared.name()),
                Either::Right(_) => match shared.last_lines.lines().as_slice() {
                    [] => status,
                    lines => Status::connection_lost(format!(
                        "{}; what the plugin logged last: {}",
                        status.message(),
                        lines.join(" | ")
                    )),
                },
            }
        })
    })
}

/// Turns "the connection was closed" into how the process ended, if it did. There is no need to wait
/// for that once the plugin has been reached again, or given up.
pub(super) fn explain(
    runtime: &SharedRuntime,
    shared: &Arc<Shared>,
    superseded: Option<Told<()>>,
) -> LostHook {
    let runtime = Arc::clone(runtime);
    let shared = Arc::clone(shared);
    Arc::new(move |status: Status| {
        let exited = shared.exited();
        let limit = time::sleep(&runtime, EXPLAIN_WITHIN);
        let name = shared.name().to_owned();
        let superseded = superseded.clone();
        let ended = Arc::clone(&shared);
        Box::pin(async move {
            let lives = async move {
                match superseded {
                    Some(superseded) => {
                        select(superseded, limit).await;
                    }
                    None => limit.await,
                }
            };
            match select(exited, pin!(lives)).await {
                Either::Left((report, _)) => report.status(&name),
                // The exit may have come since it was looked for: it is told before all else is let
                // go of.
                Either::Right(((), _)) => match ended.report() {
                    Some(report) => report.status(&name),
                    None => status,
                },
            }
        })
    })
}
