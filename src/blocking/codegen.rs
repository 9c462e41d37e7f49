//! What generated blocking code is made of, as [`codegen`](crate::codegen) is for the rest. Not meant to be
//! used by hand.

use outboard_core::rpc::{Call, CallContext, Channel, Codec, Status};

use super::Streaming;
use super::wait::{assert_may_block, wait_for_call};
use crate::codegen::{self as plain, Bytes, StreamAnswer, UnaryAnswer};

pub use super::pool::Pool;

/// Answers a unary call with what `handler` returns, which runs on a thread of the pool.
pub fn serve_unary<C, Req, Resp, F>(
    codec: C,
    pool: &Pool,
    context: CallContext,
    message: Bytes,
    handler: F,
) -> UnaryAnswer
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: FnOnce(Req) -> Result<Resp, Status> + Send + 'static,
{
    let pool = pool.clone();
    plain::serve_unary(codec, context, message, move |request| async move {
        pool.run(move || handler(request)).await
    })
}

/// Answers a client-streaming call with the message that `handler` returns.
pub fn serve_client_streaming<C, Req, Resp, F>(
    codec: C,
    pool: &Pool,
    context: CallContext,
    call: Box<dyn Call>,
    handler: F,
) -> StreamAnswer
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: FnOnce(Streaming<Req>) -> Result<Resp, Status> + Send + 'static,
{
    let pool = pool.clone();
    plain::serve_client_streaming(codec, context, call, move |requests| async move {
        pool.run(move || handler(requests.into())).await
    })
}

/// Answers a server-streaming call with the stream that `handler` returns.
pub fn serve_server_streaming<C, Req, Resp, F>(
    codec: C,
    pool: &Pool,
    context: CallContext,
    call: Box<dyn Call>,
    handler: F,
) -> StreamAnswer
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: FnOnce(Req) -> Result<Streaming<Resp>, Status> + Send + 'static,
{
    let pool = pool.clone();
    plain::serve_server_streaming(codec, context, call, move |request| async move {
        pool.run_stream(move || handler(request)).await
    })
}

/// Answers a bidirectional call with the stream that `handler` returns.
pub fn serve_bidirectional<C, Req, Resp, F>(
    codec: C,
    pool: &Pool,
    context: CallContext,
    call: Box<dyn Call>,
    handler: F,
) -> StreamAnswer
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: FnOnce(Streaming<Req>) -> Result<Streaming<Resp>, Status> + Send + 'static,
{
    let pool = pool.clone();
    plain::serve_bidirectional(codec, context, call, move |requests| async move {
        pool.run_stream(move || handler(requests.into())).await
    })
}

/// What a method that an implementation leaves out answers; `path` is that of the method.
///
/// # Errors
/// Always: `UNIMPLEMENTED`.
pub fn unimplemented<T>(path: &'static str) -> Result<T, Status> {
    Err(plain::left_out(path))
}

/// Makes a unary call and waits for its end.
///
/// # Errors
/// The call's status if it is not OK, or `INTERNAL` if the answer is not a `Resp`; `CANCELLED` in a handler
/// whose caller is gone.
///
/// # Panics
/// In async code.
#[track_caller]
pub fn call_unary<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    request: &Req,
) -> Result<Resp, Status>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    assert_may_block();
    wait_for_call(plain::call_unary(codec, channel, path, request))
}

/// As [`call_unary`], of a method that may be called again: the `.proto` marks it as `IDEMPOTENT` or as one
/// with `NO_SIDE_EFFECTS`.
///
/// # Errors
/// As [`call_unary`].
///
/// # Panics
/// In async code.
#[track_caller]
pub fn call_idempotent_unary<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    request: &Req,
) -> Result<Resp, Status>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    assert_may_block();
    wait_for_call(plain::call_idempotent_unary(codec, channel, path, request))
}

/// Makes a client-streaming call and waits for its end.
///
/// # Errors
/// As [`call_unary`], and `RESOURCE_EXHAUSTED` if there is no thread for the iterator of requests.
///
/// # Panics
/// In async code.
#[track_caller]
pub fn call_client_streaming<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    requests: Streaming<Req>,
) -> Result<Resp, Status>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    assert_may_block();
    let requests = requests.into_requests(path)?;
    wait_for_call(plain::call_client_streaming(codec, channel, path, requests))
}

/// Starts a server-streaming call. An error of it, also one that ended it before any message, is an item of
/// the stream.
///
/// # Errors
/// None.
///
/// # Panics
/// In async code.
#[track_caller]
pub fn call_server_streaming<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    request: Req,
) -> Result<Streaming<Resp>, Status>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    assert_may_block();
    Ok(plain::call_server_streaming(codec, channel, path, request).into())
}

/// Starts a bidirectional call, as [`call_server_streaming`] does.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` if there is no thread for the iterator of requests.
///
/// # Panics
/// In async code.
#[track_caller]
pub fn call_bidirectional<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    requests: Streaming<Req>,
) -> Result<Streaming<Resp>, Status>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    assert_may_block();
    let requests = requests.into_requests(path)?;
    Ok(plain::call_bidirectional(codec, channel, path, requests).into())
}
