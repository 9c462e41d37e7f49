//! Metadata and statuses of any size that the limits allow, and what is over them.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use outboard_core::rpc::{
    Call, CallContext, CallHead, Channel, Code, ConnectionConfig, Metadata, MethodDescriptor,
    MethodKind, OutMessage, Reply, Router, ServerConfig, Service, ServiceDescriptor, Status,
    StreamReply, Transport,
};
use outboard_core::rt::BoxFuture;
use outboard_kit::metadata::of_size;
use outboard_transport_stdio::Stdio;
use outboard_transport_stdio::wire::MuxConfig;
use support::service::{next, out};
use support::{PairBuilder, TestRuntime, pipe, run};

fn head(path: &'static str, metadata: &Metadata) -> CallHead {
    let mut head = CallHead::new(path);
    head.metadata = metadata.clone();
    head
}

/// Answers with what it was made with.
struct Answers {
    status: Status,
    trailers: Metadata,
}

static ANSWERS: ServiceDescriptor = ServiceDescriptor::new(
    "test.Answers",
    &[
        MethodDescriptor::new("Fail", "/test.Answers/Fail", MethodKind::Unary),
        MethodDescriptor::new("Trail", "/test.Answers/Trail", MethodKind::Unary),
        MethodDescriptor::new(
            "FailStream",
            "/test.Answers/FailStream",
            MethodKind::Bidirectional,
        ),
    ],
    &[],
);

impl Service for Answers {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &ANSWERS
    }

    fn unary(
        &self,
        method: usize,
        _context: CallContext,
        _message: Bytes,
    ) -> BoxFuture<'static, Result<Reply<OutMessage>, Status>> {
        let (status, trailers) = (self.status.clone(), self.trailers.clone());
        Box::pin(async move {
            if method == 0 {
                return Err(status);
            }
            let mut reply = Reply::new(out("done"));
            reply.trailers = trailers;
            Ok(reply)
        })
    }

    fn streaming(
        &self,
        _method: usize,
        _context: CallContext,
        _call: Box<dyn Call>,
    ) -> BoxFuture<'static, Result<StreamReply, Status>> {
        let status = self.status.clone();
        Box::pin(async move {
            let messages = stream::iter([Ok(out("first")), Err(status)]);
            Ok(StreamReply::new(Box::pin(messages)))
        })
    }
}

fn answers(status: &Status, trailers: Metadata, client: Stdio, server: Stdio) -> Channel {
    let runtime = TestRuntime::shared();
    let (near, far) = pipe(10_000);
    let mut router = Router::new();
    let status = status.clone();
    router
        .add(Arc::new(Answers { status, trailers }))
        .expect("the only one");
    let config = ServerConfig::default();
    // It serves until the other side is gone.
    drop(server.serve(&runtime, Box::new(far), Arc::new(router), config));
    let config = ConnectionConfig::default();
    Channel::new(client.connect(&runtime, Box::new(near), config))
}

/// What two calls, a unary one and a stream, end with.
async fn fails(channel: &Channel) -> Status {
    let connection = channel.connection();
    let call = CallHead::new("/test.Answers/Fail");
    let unary = connection.unary(call, out("")).await.expect_err("always");
    let call = CallHead::new("/test.Answers/FailStream");
    let mut call = connection.open(call, Box::pin(stream::empty()));
    assert_eq!(next(&mut call).await.expect("one").expect("well"), "first");
    let streamed = next(&mut call).await.expect("an end").expect_err("always");
    assert_eq!(unary, streamed);
    unary
}

/// A side with these limits for heads in parts.
fn limited(max_head: u32, head_memory: usize) -> Stdio {
    let mut config = MuxConfig {
        head_memory,
        ..MuxConfig::default()
    };
    config.settings.max_head = max_head;
    Stdio::new().limits(config)
}

#[test]
fn a_peer_that_takes_no_parts_gets_what_fits_a_frame() {
    run(async {
        let status = Status::not_found("x".repeat(10_000)).with_details(vec![1; 9_000]);
        let channel = answers(&status, of_size(60_000), limited(0, 1 << 20), Stdio::new());
        let got = fails(&channel).await;
        assert_eq!(got.code(), Code::NotFound);
        let note = "… [6100 of 10000 bytes left out] [details left out]";
        assert!(got.message().ends_with(note), "{got}");
        let call = CallHead::new("/test.Answers/Trail");
        let got = channel.connection().unary(call, out("")).await;
        let got = got.expect_err("too long for this peer");
        assert_eq!(got.code(), Code::ResourceExhausted);
        assert!(
            got.message().contains("the other side takes at most"),
            "{got}"
        );
        // The other way round, before and after the peer's preface has come.
        let channel = answers(&status, Metadata::new(), Stdio::new(), limited(0, 1 << 20));
        for _ in 0..2 {
            let call = head("/test.Answers/Fail", &of_size(60_000));
            let got = channel.connection().unary(call, out("")).await;
            let got = got.expect_err("too long for this peer");
            assert_eq!(got.code(), Code::ResourceExhausted);
            assert!(
                got.message().contains("the other side takes at most"),
                "{got}"
            );
        }
    });
}

#[test]
fn what_the_connection_has_no_room_for_fails_its_call_alone() {
    run(async {
        // Of the one that answers.
        let pair = PairBuilder {
            stdio: limited(1 << 21, 200_000),
            ..PairBuilder::default()
        }
        .build();
        let call = |path, size| pair.connection.unary(head(path, &of_size(size)), out("x"));
        let got = call("/test.Echo/Echo", 300_000).await.expect_err("no room");
        assert_eq!(got.code(), Code::ResourceExhausted);
        assert!(got.message().contains("limit of 200000 bytes"), "{got}");
        // What a call holds is free again when it is over.
        for _ in 0..3 {
            let _hangs = call("/test.Echo/Hang", 10_000);
            call("/test.Echo/Echo", 150_000)
                .await
                .expect("there is room");
        }
        // Of the one that calls: a success without its trailers would be none, an error stays.
        let status = Status::not_found("x".repeat(300_000));
        let client = limited(1 << 21, 200_000);
        let channel = answers(&status, of_size(300_000), client, Stdio::new());
        let trail = CallHead::new("/test.Answers/Trail");
        let got = channel.connection().unary(trail, out("")).await;
        assert_eq!(got.expect_err("no room").code(), Code::ResourceExhausted);
        let got = fails(&channel).await;
        assert_eq!(got.code(), Code::NotFound);
        let note = "… [296100 of 300000 bytes left out]";
        assert!(got.message().ends_with(note), "{got}");
    });
}

#[test]
fn a_call_that_is_given_up_while_its_head_is_sent_leaves_nothing() {
    run(async {
        let pair = PairBuilder {
            capacity: 1_000,
            ..PairBuilder::default()
        }
        .build();
        for round in 0..50 {
            let call = head("/test.Echo/Hang", &of_size(200_000));
            let mut call = pair.connection.unary(call, out("x"));
            let waited = futures_util::future::poll_fn(|cx| {
                let _ = call.as_mut().poll(cx);
                std::task::Poll::Ready(())
            });
            waited.await;
            if round % 2 == 0 {
                let echo = CallHead::new("/test.Echo/Echo");
                pair.connection.unary(echo, out("x")).await.expect("fine");
            }
            drop(call);
        }
        let call = head("/test.Echo/Metadata", &of_size(200_000));
        pair.connection.unary(call, out("x")).await.expect("fine");
    });
}
