//! Calls with streams of messages.

use std::sync::Arc;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use outboard_core::rpc::calling::StreamingCall;
use outboard_core::rpc::guard::Deadline;
use outboard_core::rpc::{Call, CallHead, MessageStream, Pump, Status, Untaken};

use super::receiving::{Receiving, Requests};
use super::{Shared, sending};
use crate::call::{Failure, connection_gone};

pub(super) fn open(shared: &Arc<Shared>, head: CallHead, messages: MessageStream) -> Box<dyn Call> {
    let deadline = Deadline::of(shared.runtime.as_ref(), &head);
    match start(shared, &head, &deadline) {
        Ok(started) => begin(shared, deadline, started, head, messages),
        Err(failure) => fail(shared, deadline, failure),
    }
}

pub(super) fn try_open(
    shared: &Arc<Shared>,
    head: CallHead,
    messages: MessageStream,
) -> Result<Box<dyn Call>, Box<Untaken<MessageStream>>> {
    let deadline = Deadline::of(shared.runtime.as_ref(), &head);
    match start(shared, &head, &deadline) {
        Ok(started) => Ok(begin(shared, deadline, started, head, messages)),
        Err(failure @ Failure::Call(_)) => Ok(fail(shared, deadline, failure)),
        Err(Failure::Untaken(status)) => Err(untaken(status, head, messages)),
        Err(Failure::Connection) => Err(untaken(connection_gone(), head, messages)),
    }
}

type Started = (ResponseFuture, SendStream<Bytes>);

fn start(shared: &Shared, head: &CallHead, deadline: &Deadline) -> Result<Started, Failure> {
    let left = deadline.left(shared.runtime.as_ref());
    shared.start(head, left.map_err(Failure::Call)?)
}

fn untaken(status: Status, head: CallHead, message: MessageStream) -> Box<Untaken<MessageStream>> {
    Box::new(Untaken::new(status, head, message))
}

fn begin(
    shared: &Arc<Shared>,
    deadline: Deadline,
    (response, stream): Started,
    head: CallHead,
    messages: MessageStream,
) -> Box<dyn Call> {
    let half = sending::send(shared, stream, Pump::requests(head.path, messages));
    let requests = Requests::Streamed(half);
    let receiving = Receiving::new(Arc::clone(shared), response, requests);
    Box::new(StreamingCall::new(receiving, deadline))
}

fn fail(shared: &Arc<Shared>, deadline: Deadline, failure: Failure) -> Box<dyn Call> {
    let receiving = Receiving::failed(Arc::clone(shared), failure, None);
    Box::new(StreamingCall::new(receiving, deadline))
}
