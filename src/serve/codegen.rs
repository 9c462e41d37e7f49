//! What generated code is made of. Not meant to be used by hand, except to serve or call a
//! service whose code `outboard-build` did not write.
//!
//! The functions come in two groups. `serve_*` turn a handler into what a
//! [`Service`] must return: they decode and encode the messages and
//! make the call the [current one](crate::context) around every poll of the handler. `call_*` are
//! their counterparts in a client.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use outboard_core::rpc::{Metadata, Single, single_request};

use super::context::{self, Answering, CurrentCall, Entered, ResponseMetadata};
use crate::trace::spans::{self, Calling};

pub use bytes::{self, Bytes};
pub use outboard_core::rpc::{
    Call, CallContext, CallHead, CallOptions, Channel, Codec, DecodeError, MessageStream,
    MethodDescriptor, MethodKind, OutMessage, Prost, Reply, Service, ServiceDescriptor, Status,
    StreamReply, Streaming,
};
pub use outboard_core::rt::BoxFuture;
pub use prost;
pub use prost_types;

pub use crate::client::Client;

/// What [`Service::unary`] returns.
pub type UnaryAnswer = BoxFuture<'static, Result<Reply<OutMessage>, Status>>;

/// What [`Service::streaming`] returns.
pub type StreamAnswer = BoxFuture<'static, Result<StreamReply, Status>>;

/// Answers a unary call with what `handler` returns.
pub fn serve_unary<C, Req, Resp, F, Fut>(
    _codec: C,
    mut context: CallContext,
    message: Bytes,
    handler: F,
) -> UnaryAnswer
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: FnOnce(Req) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Resp, Status>> + Send,
{
    let serving = spans::serving(&mut context);
    // Made out here: what is moved within a future has two places in it.
    let mut call = Some(Answering::Alone(context));
    serving.unary(Box::pin(async move {
        let request = decode_request::<C, Req>(message)?;
        let result = context::enter_around(&mut call, async { handler(request).await }).await;
        let answer = call.map_or_else(ResponseMetadata::default, Answering::into_answer);
        match result {
            Ok(message) => {
                let mut reply = Reply::new(<C as Codec<Resp>>::encode(&message));
                (reply.headers, reply.trailers) = (answer.headers, answer.trailers);
                Ok(reply)
            }
            Err(status) => Err(with_trailers(status, &answer.trailers)),
        }
    }))
}

/// Answers a client-streaming call with the message that `handler` returns.
pub fn serve_client_streaming<C, Req, Resp, F, Fut>(
    codec: C,
    context: CallContext,
    call: Box<dyn Call>,
    handler: F,
) -> StreamAnswer
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: FnOnce(Streaming<Req>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Resp, Status>> + Send,
{
    serve_bidirectional(codec, context, call, |requests| async {
        Ok(Streaming::once(handler(requests).await?))
    })
}

/// Answers a server-streaming call with the stream that `handler` returns.
pub fn serve_server_streaming<C, Req, Resp, F, Fut>(
    codec: C,
    mut context: CallContext,
    call: Box<dyn Call>,
    handler: F,
) -> StreamAnswer
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: FnOnce(Req) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Streaming<Resp>, Status>> + Send,
{
    let serving = spans::serving(&mut context);
    serving.streaming(Box::pin(async move {
        let request = decode_request::<C, Req>(single_request(call).await?)?;
        answer_with_stream(codec, context, async { handler(request).await }).await
    }))
}

/// Answers a bidirectional call with the stream that `handler` returns.
pub fn serve_bidirectional<C, Req, Resp, F, Fut>(
    codec: C,
    mut context: CallContext,
    call: Box<dyn Call>,
    handler: F,
) -> StreamAnswer
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
    F: FnOnce(Streaming<Req>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Streaming<Resp>, Status>> + Send,
{
    let serving = spans::serving(&mut context);
    serving.streaming(Box::pin(async move {
        let requests = Streaming::from_call(codec, call);
        answer_with_stream(codec, context, async { handler(requests).await }).await
    }))
}

/// Answers a call of a method that the service does not have, or has with another kind. Routers
/// ask for neither.
pub fn no_such_method<T>(
    service: &'static ServiceDescriptor,
    method: usize,
) -> BoxFuture<'static, Result<T, Status>>
where
    T: Send + 'static,
{
    let text = match service.methods.get(method) {
        Some(method) => format!(
            "{} is {:?} and was called as another kind; do both sides use the same .proto?",
            method.path, method.kind
        ),
        None => format!(
            "service {} has no method {method}; do both sides use the same .proto?",
            service.name
        ),
    };
    Box::pin(ready(Err(Status::unimplemented(text))))
}

/// What a method that an implementation leaves out answers. `path` is that of the method, such as
/// `/acme.Kv/Get`.
pub fn unimplemented<T>(path: &'static str) -> impl Future<Output = Result<T, Status>> + Send
where
    T: Send,
{
    ready(Err(left_out(path)))
}

/// The status of a method that an implementation leaves out.
pub(crate) fn left_out(path: &'static str) -> Status {
    let (service, method) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or(("", path));
    Status::unimplemented(format!(
        "method {method} of service {service} is not implemented on this side, though its .proto \
         has it"
    ))
}

/// Makes a unary call. The head of the call is made, and deadline and trace are inherited, at once; dropping
/// the future cancels the call.
///
/// # Errors
/// The call's status if it is not OK, or `INTERNAL` if the answer is not a `Resp`.
pub fn call_unary<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    request: &Req,
) -> impl Future<Output = Result<Resp, Status>> + Send + use<C, Req, Resp>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    call_with(codec, channel, begin(channel, path), request)
}

/// As [`call_unary`], of a method that may be called again where it is not known whether the other side has
/// seen the call: the `.proto` marks it as `IDEMPOTENT` or as one with `NO_SIDE_EFFECTS`.
///
/// # Errors
/// As [`call_unary`].
pub fn call_idempotent_unary<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    request: &Req,
) -> impl Future<Output = Result<Resp, Status>> + Send + use<C, Req, Resp>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    let (mut head, calling) = begin(channel, path);
    head.idempotent = true;
    call_with(codec, channel, (head, calling), request)
}

fn call_with<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    (head, mut calling): (CallHead, Calling),
    request: &Req,
) -> impl Future<Output = Result<Resp, Status>> + Send + use<C, Req, Resp>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    let reply = channel.unary(codec, head, request);
    async move {
        let reply = reply.await;
        calling.ended(reply.as_ref().err());
        let Reply {
            message,
            headers,
            trailers,
            ..
        } = reply?;
        context::record(headers, trailers);
        Ok(message)
    }
}

/// Makes a client-streaming call. The requests are sent also while nobody polls the future;
/// dropping it cancels the call.
///
/// # Errors
/// The call's status if it is not OK, or `INTERNAL` if the answer is not exactly one `Resp`.
pub fn call_client_streaming<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    requests: Streaming<Req>,
) -> impl Future<Output = Result<Resp, Status>> + Send + use<C, Req, Resp>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    let mut answers: Streaming<Resp> = streaming(codec, channel, path, requests);
    async move {
        let mut answer = Single::response();
        // The status comes after the message, and the call is not done well before it came.
        while let Some(message) = answers.message().await? {
            answer.push(message)?;
        }
        let message = answer.finish()?;
        if context::is_capturing() {
            let headers = answers.headers().await?;
            context::record(headers, answers.trailers().cloned().unwrap_or_default());
        }
        Ok(message)
    }
}

/// Starts a server-streaming call. An error, also one that ended the call before any message, is
/// an item of the stream.
pub fn call_server_streaming<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    request: Req,
) -> Streaming<Resp>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    streaming(codec, channel, path, Streaming::once(request))
}

/// Starts a bidirectional call, as [`call_server_streaming`] does.
pub fn call_bidirectional<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    requests: Streaming<Req>,
) -> Streaming<Resp>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
    Resp: Send + 'static,
{
    streaming(codec, channel, path, requests)
}

fn streaming<C, Req, Resp>(
    codec: C,
    channel: &Channel,
    path: &'static str,
    requests: Streaming<Req>,
) -> Streaming<Resp>
where
    C: Codec<Req> + Codec<Resp>,
    Req: Send + 'static,
{
    let (head, calling) = begin(channel, path);
    channel.streaming_around(codec, head, requests, |call| calling.streaming(call))
}

/// The head of a call that is made now, and what sees to its span.
fn begin(channel: &Channel, path: &'static str) -> (CallHead, Calling) {
    let mut head = channel.head(path);
    context::inherit_deadline(&mut head);
    let calling = spans::calling(&mut head);
    (head, calling)
}

fn decode_request<C: Codec<Req>, Req>(message: Bytes) -> Result<Req, Status> {
    C::decode(message).map_err(|error| error.status("request"))
}

/// The status of a handler that failed, with the trailers it set before.
fn with_trailers(mut status: Status, trailers: &Metadata) -> Status {
    if !trailers.is_empty() {
        status.metadata_mut().extend(trailers);
    }
    status
}

async fn answer_with_stream<C, Resp>(
    codec: C,
    context: CallContext,
    handler: impl Future<Output = Result<Streaming<Resp>, Status>> + Send,
) -> Result<StreamReply, Status>
where
    C: Codec<Resp>,
    Resp: 'static,
{
    let call = CurrentCall::new(context);
    let result = call.clone().scope(handler).await;
    let stream = result.map_err(|status| with_trailers(status, &call.take_trailers()))?;
    let headers = call.take_headers();
    let messages = Box::pin(Scoped {
        call: call.clone(),
        slot: Some(Answering::Shared(call.clone())),
        messages: stream.into_messages(codec),
    });
    let trailers: Box<dyn FnOnce() -> _ + Send> = Box::new(move || call.take_trailers());
    let mut reply = StreamReply::new(messages);
    reply.headers = headers;
    reply.trailers = Some(trailers);
    Ok(reply)
}

/// The messages of a handler, made with its call as the current one.
struct Scoped {
    call: CurrentCall,
    /// Has the call too, but for the time it spends as the current one.
    slot: Option<Answering>,
    messages: MessageStream,
}

impl Stream for Scoped {
    type Item = Result<OutMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = {
            let Self { slot, messages, .. } = &mut *self;
            let _entered = Entered::enter(slot);
            messages.as_mut().poll_next(cx)
        };
        item.map_err(|status| with_trailers(status, &self.call.take_trailers()))
    }
}
