//! What both sides of a call share: the messages that arrive, failures of streams.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use outboard_core::grpc::{FrameError, MessageReader, code_from_reset};
use outboard_core::rpc::{Code, SizeLimit, Status};
use outboard_core::turn::Turn;

/// Why a stream cannot go on.
pub(crate) enum Failure {
    /// Something about this call.
    Call(Status),
    /// The peer has not begun with this call, so that it can be made again.
    Untaken(Status),
    /// The connection is gone; its closing status says why.
    Connection,
}

impl Failure {
    pub(crate) fn from_h2(error: &h2::Error) -> Self {
        if error.is_io() || (error.is_go_away() && !error.is_remote()) {
            return Self::Connection;
        }
        let Some(reason) = error.reason() else {
            return Self::Call(Status::internal(format!("HTTP/2: {error}")));
        };
        if error.is_go_away() {
            // Streams that it has begun with are not touched by GOAWAY (RFC 9113, section 6.8).
            return Self::Untaken(not_taken(&error.to_string()));
        }
        if error.is_library() {
            // This side found the peer breaking the protocol, or a limit of its own exceeded.
            return Self::Call(Status::internal(format!(
                "malformed HTTP/2 response: {error}"
            )));
        }
        let code = code_from_reset(reason.into());
        let text = match code {
            Code::Cancelled => "the peer cancelled the call (RST_STREAM CANCEL)".to_owned(),
            _ => format!(
                "the peer reset the stream: {reason} (RST_STREAM {:?})",
                reason
            ),
        };
        let status = Status::new(code, text);
        if reason == Reason::REFUSED_STREAM {
            // Nothing was done with it (RFC 9113, section 8.7).
            return Self::Untaken(status);
        }
        Self::Call(status)
    }
}

/// The status of calls that come after the connection has stopped taking any.
pub(crate) fn not_taken(why: &str) -> Status {
    Status::connection_lost(format!(
        "the peer is closing the connection and did not take the call: {why}"
    ))
}

/// The status of calls that find the connection gone before its end has been explained.
pub(crate) fn connection_gone() -> Status {
    Status::connection_lost("the connection is gone")
}

/// What comes next on a stream of messages.
pub(crate) enum Incoming {
    Message(Bytes),
    /// The end, with trailers if there were any.
    End(Option<HeaderMap>),
    Failed(Failure),
}

/// The receiving half of a stream, cut into messages.
pub(crate) struct Receiver {
    stream: RecvStream,
    reader: MessageReader,
    /// What a compressed message fails the call with, if there is more to say than the reader does.
    compressed: Option<Status>,
}

impl Receiver {
    pub(crate) fn new(stream: RecvStream, limit: SizeLimit) -> Self {
        Self {
            stream,
            reader: MessageReader::new(limit),
            compressed: None,
        }
    }

    /// With this status for the call of a compressed message.
    pub(crate) fn with_compressed(mut self, status: Option<Status>) -> Self {
        self.compressed = status;
        self
    }

    /// Takes one DATA frame at a time, and only when no complete message is left: what a slow
    /// reader leaves unread stays within the stream's flow-control window.
    pub(crate) fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let mut turn = Turn::new();
        loop {
            match self.reader.next() {
                Ok(Some(message)) => return Poll::Ready(Incoming::Message(message)),
                // A message may come in any number of frames.
                Ok(None) if turn.is_over() => return turn.give_way_here(cx),
                Ok(None) => {}
                Err(error) => {
                    let compressed = match error {
                        FrameError::Compressed => self.compressed.take(),
                        _ => None,
                    };
                    let status = compressed.unwrap_or_else(|| error.into());
                    return Poll::Ready(Incoming::Failed(Failure::Call(status)));
                }
            }
            match self.stream.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(data))) => {
                    let length = data.len();
                    turn.spend(Turn::FRAME);
                    turn.spend_bytes(length);
                    self.reader.push(data);
                    // Fails only for more than was received.
                    let _ = self.stream.flow_control().release_capacity(length);
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Incoming::Failed(Failure::from_h2(&error)));
                }
                Poll::Ready(None) => break,
            }
        }
        let trailers = match pin!(self.stream.trailers()).poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(trailers) => trailers,
        };
        Poll::Ready(match trailers {
            Ok(trailers) => Incoming::End(trailers),
            Err(error) => Incoming::Failed(Failure::from_h2(&error)),
        })
    }

    /// Whether the stream ended without trailers and everything was read, known without waiting.
    pub(crate) fn ended_unread(&self) -> bool {
        // Also what lies in the reader: it may be another message.
        self.stream.is_end_stream() && self.reader.finish().is_ok()
    }

    /// Checks that the stream did not end inside a message.
    pub(crate) fn finish(&self) -> Result<(), Status> {
        self.reader.finish().map_err(Status::from)
    }
}
