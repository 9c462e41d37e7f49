//! Peers that do not keep to the `.proto`.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use outboard::codegen::{
    Call, CallContext, OutMessage, Prost, Service, ServiceDescriptor, StreamAnswer, StreamReply,
    UnaryAnswer,
};
use outboard::{Client as _, Code, Status, Streaming};
use outboard_generator::counter::{Counter, CounterClient, Number};
use outboard_generator::streamer::{Item, Range, Streamer, StreamerServer};
use support::{block_on, channel_to};

/// Answers any call with these messages, whatever the method asks for.
struct Rogue(Vec<&'static [u8]>);

impl Service for Rogue {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        CounterClient::SERVICE
    }

    fn unary(&self, _method: usize, _context: CallContext, _message: Bytes) -> UnaryAnswer {
        Box::pin(async { Err(Status::unimplemented("only streams")) })
    }

    fn streaming(&self, _: usize, _: CallContext, _call: Box<dyn Call>) -> StreamAnswer {
        let messages = self.0.clone().into_iter();
        let messages = messages.map(|bytes| Ok(OutMessage::copy_from(bytes)));
        let stream = futures_util::stream::iter(messages);
        Box::pin(async { Ok(StreamReply::new(Box::pin(stream))) })
    }
}

fn sum(answers: Vec<&'static [u8]>) -> Result<Number, Status> {
    let client = CounterClient::new(channel_to([Arc::new(Rogue(answers))]));
    block_on(client.sum(Streaming::iter([])))
}

#[test]
fn a_client_stream_must_be_answered_with_exactly_one_message() {
    let answer = b"\x08\x05";
    assert_eq!(sum(vec![answer]), Ok(Number { value: 5 }));
    let none = sum(vec![]).expect_err("no message");
    assert_eq!(none.code(), Code::Internal);
    assert!(
        none.message()
            .contains("one response message, but the call ended well without any"),
        "{none}"
    );
    let two = sum(vec![answer, answer]).expect_err("two messages");
    assert_eq!(two.code(), Code::Internal);
    assert!(two.message().contains("a second one"), "{two}");
}

#[test]
fn an_answer_that_is_no_message_is_internal() {
    let status = sum(vec![b"\xff"]).expect_err("garbage");
    assert_eq!(status.code(), Code::Internal);
}

struct Unreached;

impl Streamer for Unreached {
    async fn count(&self, _range: Range) -> Result<Streaming<Item>, Status> {
        unreachable!("the request is no message")
    }

    async fn reset(&self, (): ()) -> Result<(), Status> {
        unreachable!("the request is no message")
    }
}

#[test]
fn a_request_that_is_no_message_does_not_reach_the_handler() {
    let channel = channel_to([Arc::new(StreamerServer::new(Unreached))]);
    let garbage = OutMessage::copy_from(b"\xff");
    let head = channel.head("/streamer.v1.Streamer/Reset");
    let reply = block_on(channel.connection().unary(head, garbage.clone()));
    assert_eq!(reply.expect_err("garbage").code(), Code::Internal);

    let head = channel.head("/streamer.v1.Streamer/Count");
    let requests = Box::pin(futures_util::stream::iter([Ok(garbage)]));
    let call = channel.connection().open(head, requests);
    let status = block_on(Streaming::<Item>::from_call(Prost, call).message());
    assert_eq!(status.expect_err("garbage").code(), Code::Internal);
}

#[test]
fn a_server_stream_without_a_request_is_internal() {
    let channel = channel_to([Arc::new(StreamerServer::new(Unreached))]);
    let head = channel.head("/streamer.v1.Streamer/Count");
    let mut items: Streaming<Item> = channel.streaming(Prost, head, Streaming::<Range>::iter([]));
    let status = block_on(items.message()).expect_err("no request");
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("without any"), "{status}");
}
