//! Answers, as frames. Errors of `h2` mean that the caller or the connection is gone: there is
//! nobody left to tell.

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::StatusCode;
use outboard_core::rpc::{Metadata, OutMessage, Reply, SizeLimit, Status};

use crate::headers::{error_trailers, ok_trailers, response, trailers_only};
use crate::outgoing::{frame, send_all};

/// Ends a call with an error before anything else was sent.
pub(super) fn refuse(respond: &mut SendResponse<Bytes>, http: StatusCode, status: &Status) {
    let _ = respond.send_response(trailers_only(http, status), true);
}

/// Answers a unary call: headers, message and trailers, queued together.
pub(super) fn reply(
    respond: &mut SendResponse<Bytes>,
    reply: Result<Reply<OutMessage>, Status>,
    limit: SizeLimit,
) {
    let prepared = reply.and_then(|reply| {
        let message = frame(reply.message, limit)?;
        Ok((
            response(&reply.headers)?,
            message,
            ok_trailers(&reply.trailers)?,
        ))
    });
    let (head, message, trailers) = match prepared {
        Ok(prepared) => prepared,
        Err(status) => return refuse(respond, StatusCode::OK, &status),
    };
    if let Ok(mut stream) = respond.send_response(head, false)
        && send_all(&mut stream, message, false).is_ok()
    {
        let _ = stream.send_trailers(trailers);
    }
}

/// Sends the headers that messages follow. `None` if the call is over: the caller is gone, or the
/// headers could not be made and an error was sent.
pub(super) fn begin(
    respond: &mut SendResponse<Bytes>,
    headers: &Metadata,
) -> Option<SendStream<Bytes>> {
    match response(headers) {
        Ok(head) => respond.send_response(head, false).ok(),
        Err(status) => {
            refuse(respond, StatusCode::OK, &status);
            None
        }
    }
}

/// Ends a call after its messages.
pub(super) fn finish(stream: &mut SendStream<Bytes>, ended: Result<Metadata, Status>) {
    let trailers = match ended.and_then(|metadata| ok_trailers(&metadata)) {
        Ok(trailers) => trailers,
        Err(status) => error_trailers(&status),
    };
    let _ = stream.send_trailers(trailers);
}
