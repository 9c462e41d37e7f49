//! net/rpc's way: the control stream of a connection, and two more for what the plugin prints.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_io::AsyncRead as _;
use outboard_core::backlog::Source;
use outboard_core::hclog::Level;
use outboard_core::rpc::{Channel, Connection, DispenseFailure, Status, Streaming};
use outboard_core::rt::BoxFuture;
use outboard_core::wire::plugin::ConnInfo;
use outboard_transport_netrpc::{self as netrpc, CallError, DispenseError, HostConnection};

use super::{Asked, Health, LevelAnswer, Output, Peer, Watched};
use crate::client::Dispensed;

/// How long a plugin has to make what is dispensed: as long as a phase of the start.
const DISPENSE_WITHIN: Duration = Duration::from_secs(60);

/// What is read at once of what the plugin prints.
const CHUNK: usize = 16 * 1024;

/// What go-plugin's net/rpc hosts call.
#[derive(Debug)]
pub(super) struct NetRpc;

/// The connection, which is of net/rpc wherever this peer is.
fn of(connection: &dyn Connection) -> Result<&HostConnection, Status> {
    let any = connection.as_any();
    any.and_then(|any| any.downcast_ref()).ok_or_else(|| {
        Status::internal("the connection is none of net/rpc, though that was negotiated")
    })
}

impl Peer for NetRpc {
    fn output(&self, _plugin: &str, on: &Channel, _log: bool) -> Output {
        let printed = of(&**on.connection()).and_then(|connection| {
            let printed = connection.take_printed();
            printed.ok_or_else(|| Status::connection_lost("the plugin's output is not to be had"))
        });
        let connection = Arc::downgrade(on.connection());
        match printed {
            Ok([stdout, stderr]) => Box::pin(Pieces {
                streams: [
                    (Source::Stdout, Some(stdout)),
                    (Source::Stderr, Some(stderr)),
                ],
                buffer: vec![0; CHUNK],
                connection,
                ended: None,
            }),
            Err(status) => Box::pin(futures_util::stream::once(std::future::ready(Err(status)))),
        }
    }

    fn health(&self, on: &Channel) -> BoxFuture<'static, Result<Health, Status>> {
        let connection = Arc::clone(on.connection());
        Box::pin(async move {
            let session = of(&*connection)?.control()?;
            session.ping(Duration::MAX).await.map_err(status)?;
            Ok(Health::Serving)
        })
    }

    fn watch(&self, _on: &Channel) -> Watched {
        Box::pin(futures_util::stream::empty())
    }

    fn interfaces(&self, _on: &Channel) -> BoxFuture<'static, Result<Vec<String>, Status>> {
        Box::pin(std::future::ready(Err(Status::unimplemented(
            "Go's net/rpc has no way to ask what a plugin provides: dispense what you expect",
        ))))
    }

    fn set_log_level(
        &self,
        _on: &Channel,
        _level: Level,
    ) -> BoxFuture<'static, Result<LevelAnswer, Status>> {
        Box::pin(std::future::ready(Ok(LevelAnswer::Unsupported)))
    }

    fn shutdown(&self, on: &Channel) -> BoxFuture<'static, Asked> {
        let connection = Arc::clone(on.connection());
        Box::pin(async move {
            // An answer that is lost is none: a plugin may be gone before it is sent.
            if let Ok(session) = of(&*connection).and_then(HostConnection::control) {
                let _lost = session.quit(Duration::MAX).await;
            }
            Asked::Yes
        })
    }

    fn control(&self, _on: &Channel, _outgoing: Streaming<ConnInfo>) -> Streaming<ConnInfo> {
        // Its broker announces nothing: ids travel in calls alone.
        Streaming::iter(std::iter::empty())
    }

    fn dispense(
        &self,
        connection: &Arc<dyn Connection>,
        name: &str,
    ) -> BoxFuture<'static, Result<Dispensed, DispenseFailure>> {
        let (connection, name) = (Arc::clone(connection), name.to_owned());
        Box::pin(async move {
            let connection = of(&*connection);
            let session = connection.and_then(HostConnection::session);
            let session = session.map_err(DispenseFailure::Refused)?;
            let dispensed = session.dispense(&name, DISPENSE_WITHIN).await;
            match dispensed {
                Ok(instance) => Ok(Dispensed::Instance(instance)),
                Err(error) => Err(DispenseFailure::Refused(refused(error))),
            }
        })
    }
}

fn refused(error: DispenseError) -> Status {
    match error {
        DispenseError::Refused { text, .. } => Status::unknown(text),
        DispenseError::Unanswered { error, .. } => status(error),
        error => Status::unavailable(error.to_string()),
    }
}

/// The status of a call that has none on the wire.
fn status(error: CallError) -> Status {
    match error {
        CallError::Answered { text, .. } => Status::unknown(text),
        CallError::Lost { fault, .. } => Status::connection_lost(fault.message),
        CallError::TimedOut { .. } => Status::deadline_exceeded(error.to_string()),
        error => Status::internal(error.to_string()),
    }
}

/// What comes on the two streams.
struct Pieces {
    streams: [(Source, Option<netrpc::Printed>); 2],
    buffer: Vec<u8>,
    connection: std::sync::Weak<dyn Connection>,
    /// Once both are over: how the connection ends, if it does not do so in order.
    ended: Option<BoxFuture<'static, Status>>,
}

impl Stream for Pieces {
    type Item = Result<(Source, Bytes), Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        for place in 0..this.streams.len() {
            let (on, stream) = &mut this.streams[place];
            let Some(io) = stream else { continue };
            match Pin::new(io).poll_read(cx, &mut this.buffer) {
                Poll::Pending => {}
                Poll::Ready(Ok(count)) if count > 0 => {
                    let piece = (*on, Bytes::copy_from_slice(&this.buffer[..count]));
                    // The other one first, next time.
                    this.streams.swap(0, 1);
                    return Poll::Ready(Some(Ok(piece)));
                }
                Poll::Ready(Ok(_)) => *stream = None,
                Poll::Ready(Err(error)) => {
                    *stream = None;
                    let fault = error.to_string();
                    let closed = this.connection.upgrade().map(|it| it.closed());
                    this.ended = Some(Box::pin(async move {
                        match closed {
                            Some(closed) => closed.await,
                            None => Status::connection_lost(fault),
                        }
                    }));
                }
            }
        }
        if this.streams.iter().any(|(_, stream)| stream.is_some()) {
            return Poll::Pending;
        }
        match &mut this.ended {
            Some(ended) => ended.as_mut().poll(cx).map(|status| {
                this.ended = None;
                Some(Err(status))
            }),
            None => Poll::Ready(None),
        }
    }
}
