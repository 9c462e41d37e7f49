//! The service that tests call: its messages are raw bytes, its behaviour is in the method names.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::{
    Call, CallContext, MessageStream, Metadata, MethodDescriptor, MethodKind, OutMessage, Reply,
    Router, Service, ServiceDescriptor, Status, StreamReply, single_request,
};
use outboard_core::rt::BoxFuture;

/// What handlers report, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handler of this method was called.
    Started(&'static str),
    /// The handler of this method, or its stream of answers, is gone.
    Dropped(&'static str),
    /// A message came.
    Got(Bytes),
    /// The messages ended with this.
    Failed(Status),
    /// Whether the call has a deadline.
    Deadline(bool),
}

/// The service `test.Echo`.
pub struct Echo {
    /// What `Answer` and `AnswerStream` fail with.
    status: Mutex<Status>,
    /// What `Trail` answers with.
    trailers: Mutex<Metadata>,
    events: mpsc::UnboundedSender<Event>,
    received: Mutex<Option<mpsc::UnboundedReceiver<Event>>>,
}

macro_rules! methods {
    ($($name:literal $kind:ident,)*) => {
        &[$(MethodDescriptor::new($name, concat!("/test.Echo/", $name), MethodKind::$kind),)*]
    };
}

static DESCRIPTOR: ServiceDescriptor = ServiceDescriptor::new(
    "test.Echo",
    methods! {
        "Echo" Unary,
        "Fail" Unary,
        "FailWith" Unary,
        "Hang" Unary,
        "Panic" Unary,
        "Yield" Unary,
        "Metadata" Unary,
        "Answer" Unary,
        "Trail" Unary,
        "Count" ServerStreaming,
        "Blocks" ServerStreaming,
        "HangStream" ServerStreaming,
        "PanicStream" ServerStreaming,
        "FailStream" ServerStreaming,
        "AnswerStream" ServerStreaming,
        "Collect" ClientStreaming,
        "First" ClientStreaming,
        "Each" Bidirectional,
        "Ignore" Bidirectional,
        "Headers" Bidirectional,
    },
    &[],
);

/// The service, and a router with nothing else.
pub fn router() -> (Arc<Echo>, Arc<Router>) {
    let (events, received) = mpsc::unbounded();
    let echo = Arc::new(Echo {
        status: Mutex::new(failure()),
        trailers: Mutex::default(),
        events,
        received: Mutex::new(Some(received)),
    });
    let mut router = Router::new();
    router
        .add(Arc::clone(&echo) as Arc<dyn Service>)
        .expect("the only service");
    router.extensions_mut().insert("extension");
    (echo, Arc::new(router))
}

impl Echo {
    /// What the handlers report. Can be taken once.
    pub fn events(&self) -> mpsc::UnboundedReceiver<Event> {
        let mut slot = self.received.lock().expect("no panic under the lock");
        slot.take().expect("taken once")
    }

    /// What `Answer` and `AnswerStream` fail with from now on.
    pub fn fail_with(&self, status: Status) {
        *self.status.lock().expect("no panic under the lock") = status;
    }

    /// What `Trail` sends after its answer from now on.
    pub fn trail_with(&self, trailers: Metadata) {
        *self.trailers.lock().expect("no panic under the lock") = trailers;
    }

    fn tell(&self, event: Event) {
        // Tests that do not look have dropped the receiver.
        let _ = self.events.unbounded_send(event);
    }

    fn watch(&self, name: &'static str) -> Watched {
        self.tell(Event::Started(name));
        Watched {
            name,
            events: self.events.clone(),
        }
    }
}

/// Reports its drop.
struct Watched {
    name: &'static str,
    events: mpsc::UnboundedSender<Event>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.events.unbounded_send(Event::Dropped(self.name));
    }
}

/// The next message of a call.
pub async fn next(call: &mut Box<dyn Call>) -> Option<Result<Bytes, Status>> {
    poll_fn(|cx| call.poll_message(cx)).await
}

/// Messages that never come.
pub fn never() -> MessageStream {
    Box::pin(stream::pending())
}

/// Polls a future once, as a caller does that then loses interest.
pub async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *future).poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

/// A message to send.
pub fn out(bytes: impl AsRef<[u8]>) -> OutMessage {
    OutMessage::copy_from(bytes.as_ref())
}

/// The error that `Fail` and its like give.
pub fn failure() -> Status {
    let mut metadata = Metadata::new();
    metadata.insert("why", "because").expect("valid");
    metadata
        .insert_bin("raw-bin", vec![0, 159, 146, 150])
        .expect("valid");
    Status::failed_precondition("50% zu spät: ✗\n")
        .with_details(vec![8, 9, 255])
        .with_metadata(metadata)
}

impl Service for Echo {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &DESCRIPTOR
    }

    fn unary(
        &self,
        method: usize,
        context: CallContext,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Reply<OutMessage>, Status>> {
        let watched = self.watch(DESCRIPTOR.methods[method].name);
        self.tell(Event::Deadline(context.deadline.is_some()));
        let status = self.status.lock().expect("no panic under the lock").clone();
        let trailers = self
            .trailers
            .lock()
            .expect("no panic under the lock")
            .clone();
        Box::pin(async move {
            let watched = watched;
            assert_eq!(context.extensions.get::<&str>(), Some(&"extension"));
            match watched.name {
                "Echo" => Ok(Reply::new(out(&message))),
                "Fail" => Err(failure()),
                "FailWith" => Err(Status::aborted(
                    String::from_utf8(message.into()).expect("text"),
                )),
                "Hang" => pending().await,
                "Panic" => panic!("over the edge: {}", String::from_utf8_lossy(&message)),
                "Answer" => Err(status),
                "Trail" => {
                    let mut reply = Reply::new(out(&message));
                    reply.trailers = trailers;
                    Ok(reply)
                }
                "Yield" => {
                    futures_yield().await;
                    Ok(Reply::new(out(&message)))
                }
                "Metadata" => {
                    let mut reply = Reply::new(out(&message));
                    reply.headers = context.metadata.clone();
                    reply.trailers = context.metadata;
                    Ok(reply)
                }
                name => panic!("no unary method {name}"),
            }
        })
    }

    fn streaming(
        &self,
        method: usize,
        context: CallContext,
        mut call: Box<dyn Call>,
    ) -> BoxFuture<'static, Result<StreamReply, Status>> {
        let name = DESCRIPTOR.methods[method].name;
        let watched = self.watch(name);
        let events = self.events.clone();
        let status = self.status.lock().expect("no panic under the lock").clone();
        Box::pin(async move {
            let messages: MessageStream = match name {
                // Answers with as many messages as the request says, of 40 bytes or 16 KiB.
                "Count" | "Blocks" => {
                    let request = single_request(call).await?;
                    let count: u32 = String::from_utf8_lossy(&request).parse().expect("a number");
                    let width = if name == "Count" { 40 } else { 16 << 10 };
                    Box::pin(stream::iter(0..count).map(move |n| Ok(out(format!("{n:0width$}")))))
                }
                "HangStream" => {
                    let first = stream::iter([Ok(out("first"))]);
                    let rest = stream::once(async move {
                        let _watched = watched;
                        pending().await
                    });
                    return Ok(StreamReply::new(Box::pin(first.chain(rest))));
                }
                "PanicStream" => Box::pin(stream::iter(0..2).map(|n| {
                    assert!(n == 0, "over the edge");
                    Ok(out("first"))
                })),
                "FailStream" => Box::pin(stream::iter([Ok(out("first")), Err(failure())])),
                "AnswerStream" => Box::pin(stream::iter([Ok(out("first")), Err(status)])),
                // One answer with all that came.
                "Collect" => Box::pin(stream::once(async move {
                    let mut all = Vec::new();
                    while let Some(message) = next(&mut call).await {
                        all.extend_from_slice(&message?);
                    }
                    Ok(out(all))
                })),
                // Answers after the first message, whatever is still to come.
                "First" => {
                    let first = next(&mut call).await.expect("a message")?;
                    Box::pin(stream::iter([Ok(out(first))]))
                }
                "Each" => Box::pin(stream::unfold(
                    (call, watched),
                    |(mut call, watched)| async move {
                        let message = next(&mut call).await?;
                        Some((message.map(out), (call, watched)))
                    },
                )),
                // Reads nothing until the caller is gone.
                "Ignore" => Box::pin(stream::once(async move {
                    let _kept = (call, watched);
                    pending().await
                })),
                "Headers" => {
                    let mut reply = StreamReply::new(Box::pin(stream::once(async move {
                        while let Some(message) = next(&mut call).await {
                            let _ = match message {
                                Ok(message) => events.unbounded_send(Event::Got(message)),
                                Err(status) => events.unbounded_send(Event::Failed(status)),
                            };
                        }
                        Ok(out("last"))
                    })));
                    reply.headers = context.metadata.clone();
                    reply.trailers = Some(Box::new(move || context.metadata));
                    return Ok(reply);
                }
                name => panic!("no streaming method {name}"),
            };
            Ok(StreamReply::new(messages))
        })
    }
}

/// Pending once.
async fn futures_yield() {
    let mut polled = false;
    poll_fn(|cx| {
        if polled {
            return Poll::Ready(());
        }
        polled = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
