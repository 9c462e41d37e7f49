//! From a request's headers to its handler.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::request::Parts;
use http::{Request, StatusCode};
use outboard_core::grpc::parse_timeout;
use outboard_core::rpc::{CallContext, Metadata, MethodKind, Route, Status, Turn};

use super::Server;
use super::respond::refuse;
use super::streaming::StreamingCall;
use super::unary::UnaryCall;
use crate::call::{Deadline, Receiver, deadline_exceeded};
use crate::headers::{GRPC_TIMEOUT, bad_binary, check_request, check_size, metadata};

/// Starts the handler of a call, or refuses the call. A unary call whose request is there and
/// whose handler is quick is answered before this returns, without a task of its own.
pub(super) fn dispatch(
    server: &Arc<Server>,
    turn: &mut Turn,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (head, stream) = request.into_parts();
    let (metadata, timeout) = match read_head(&head, server.max_header_list) {
        Ok(read) => read,
        Err((http, status)) => return refuse(&mut respond, http, &status),
    };
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let route = match server.router.route(path) {
        Ok(route) => route,
        Err(status) => return refuse(&mut respond, StatusCode::OK, &status),
    };
    // The caller may have given up already: no need to begin.
    if respond
        .poll_reset(&mut Context::from_waker(Waker::noop()))
        .is_ready()
    {
        return;
    }
    let deadline = match timeout {
        None => None,
        Some(Duration::ZERO) => {
            return refuse(&mut respond, StatusCode::OK, &deadline_exceeded());
        }
        // A timeout past the end of time is no limit.
        Some(timeout) => server.runtime.now().checked_add(timeout),
    };
    let context = CallContext {
        path: route.descriptor.path,
        metadata,
        deadline,
        extensions: server.router.extensions().clone(),
    };
    let receiver = Receiver::new(stream, server.limit);
    let deadline = Deadline::new(deadline);
    start(server, turn, route, context, receiver, respond, deadline);
}

fn start(
    server: &Arc<Server>,
    turn: &mut Turn,
    route: &Route,
    context: CallContext,
    receiver: Receiver,
    respond: SendResponse<Bytes>,
    deadline: Deadline,
) {
    let server = Arc::clone(server);
    match route.descriptor.kind {
        MethodKind::Unary => {
            let runtime = Arc::clone(&server.runtime);
            let mut call = UnaryCall::new(server, route, context, receiver, respond, deadline);
            if !turn.takes(&route.pace) {
                return call.spawn(Some(&route.pace));
            }
            // If it has to wait, its task polls again and registers wakers then.
            let mut cx = Context::from_waker(Waker::noop());
            let polled = Pin::new(&mut call).poll_stage(&mut cx);
            let is_reading = call.is_reading();
            if !is_reading {
                turn.polled(&route.pace, runtime.stopwatch());
            }
            if polled.is_pending() {
                call.spawn(is_reading.then_some(&route.pace));
            }
        }
        MethodKind::ClientStreaming | MethodKind::ServerStreaming | MethodKind::Bidirectional => {
            StreamingCall::start(server, route, context, receiver, respond, deadline);
        }
    }
}

type Read = (Metadata, Option<Duration>);

fn read_head(head: &Parts, limit: u32) -> Result<Read, (StatusCode, Status)> {
    check_request(head)?;
    check_size(&head.headers, limit).map_err(|status| (StatusCode::OK, status))?;
    let timeout = match head.headers.get(GRPC_TIMEOUT) {
        None => None,
        Some(value) => Some(
            parse_timeout(value.as_bytes())
                .map_err(|error| (StatusCode::BAD_REQUEST, Status::internal(error.to_string())))?,
        ),
    };
    let metadata =
        metadata(&head.headers).map_err(|error| (StatusCode::BAD_REQUEST, bad_binary(error)))?;
    Ok((metadata, timeout))
}
