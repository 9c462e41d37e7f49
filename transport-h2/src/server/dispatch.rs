//! From a request's headers to its handler.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::request::Parts;
use http::{Request, StatusCode};
use outboard_core::grpc::parse_timeout;
use outboard_core::rpc::{CallContext, Metadata, Status, serving};
use outboard_core::turn::Turn;

use super::Server;
use super::stream::{Stream, refuse};
use crate::call::Receiver;
use crate::headers::{GRPC_TIMEOUT, bad_binary, check_request, check_size, metadata};

/// Starts the handler of a call, or refuses the call. One whose request is there and whose handler is
/// quick is answered before this returns, without a task of its own.
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
    let deadline = match serving::deadline(server.runtime.as_ref(), timeout) {
        Ok(deadline) => deadline,
        Err(status) => return refuse(&mut respond, StatusCode::OK, &status),
    };
    let mut context = CallContext::new(route.descriptor.path);
    context.metadata = metadata;
    context.deadline = deadline;
    context.extensions = server.router.extensions().clone();
    let requests = Receiver::new(stream, server.limit);
    let stream = Stream::new(server, respond);
    serving::start(stream, requests, route.clone(), context, None, turn);
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
