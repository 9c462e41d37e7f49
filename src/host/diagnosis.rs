//! What a runner has to say of a start that failed.

use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use outboard_core::host::StartError;
use outboard_core::rt::{BoxFuture, SharedRuntime};

use super::link::Started;
use crate::time;

/// How long a runner may take for what it says: it asks the command line of a tool, say. (A choice.)
const DIAGNOSED_WITHIN: Duration = Duration::from_secs(2);

/// How much of it is kept. (A choice.)
const LONGEST: usize = 4 * 1024;

/// Reports a failed start, with what the runner of the process has to say of it.
pub(super) fn fail(
    runtime: &SharedRuntime,
    diagnosis: Option<BoxFuture<'static, Option<String>>>,
    mut error: StartError,
    ready: oneshot::Sender<Result<Started, StartError>>,
) {
    let Some(diagnosis) = diagnosis else {
        // If nobody waits any more, nobody needs to know.
        let _unwanted = ready.send(Err(error));
        return;
    };
    let limit = time::sleep(runtime, DIAGNOSED_WITHIN);
    runtime.spawn(Box::pin(async move {
        let told = match select(diagnosis, limit).await {
            Either::Left((told, _)) => told,
            Either::Right(((), _)) => None,
        };
        error.evidence.diagnosis = told.map(bounded);
        let _unwanted = ready.send(Err(error));
    }));
}

fn bounded(mut text: String) -> String {
    if let Some(end) = (0..=LONGEST).rev().find(|&end| text.is_char_boundary(end)) {
        text.truncate(end);
    }
    text
}
