//! Metadata and statuses of any size that the limits allow, and what is over them.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use outboard_core::rpc::limits::{
    MAX_METADATA_ENTRIES, MAX_METADATA_SIZE, MAX_STATUS_MESSAGE, METADATA_ENTRY_OVERHEAD,
};
use outboard_core::rpc::{
    Call, CallContext, CallHead, Channel, Code, ConnectionConfig, MessageStream, Metadata,
    MethodDescriptor, MethodKind, OutMessage, Reply, Router, ServerConfig, Service,
    ServiceDescriptor, Status, StreamReply, Transport,
};
use outboard_core::rt::BoxFuture;
use outboard_transport_stdio::Stdio;
use outboard_transport_stdio::wire::MuxConfig;
use support::service::{next, out};
use support::{PairBuilder, TestRuntime, pair, pipe, run};

/// Metadata that counts as this many bytes.
fn of_size(size: usize) -> Metadata {
    let mut metadata = Metadata::new();
    let value = vec![7; size - METADATA_ENTRY_OVERHEAD - "k-bin".len()];
    metadata.insert_bin("k-bin", value).expect("valid");
    assert_eq!(metadata.size(), size);
    metadata
}

fn of_entries(count: usize) -> Metadata {
    let mut metadata = Metadata::new();
    for number in 0..count {
        metadata.insert("k", &number.to_string()).expect("valid");
    }
    metadata
}

fn head(path: &'static str, metadata: &Metadata) -> CallHead {
    let mut head = CallHead::new(path);
    head.metadata = metadata.clone();
    head
}

#[test]
fn metadata_up_to_the_limit_goes_both_ways() {
    run(async {
        let pair = pair();
        let sizes = [100, 14_000, 16_000, 60_000, 300_000, MAX_METADATA_SIZE];
        let lists = sizes.into_iter().map(of_size);
        let lists = lists.chain([128, 129, MAX_METADATA_ENTRIES].map(of_entries));
        for metadata in lists {
            let call = head("/test.Echo/Metadata", &metadata);
            let reply = pair.connection.unary(call, out("x")).await.expect("well");
            assert_eq!(reply.message, "x");
            assert_eq!(reply.headers, metadata);
            assert_eq!(reply.trailers, metadata);
            // The same of a stream, whose headers come before its messages.
            let requests: MessageStream = Box::pin(stream::iter([Ok(out("1"))]));
            let call = head("/test.Echo/Headers", &metadata);
            let mut call = pair.connection.open(call, requests);
            assert_eq!(next(&mut call).await.expect("one").expect("well"), "last");
            let headers = std::future::poll_fn(|cx| call.poll_headers(cx).map(|h| h.cloned()));
            assert_eq!(headers.await.expect("well"), metadata);
            assert!(next(&mut call).await.is_none());
            assert_eq!(call.trailers(), Some(&metadata));
        }
    });
}

#[test]
fn metadata_over_the_limit_fails_its_call_alone() {
    run(async {
        let pair = pair();
        for metadata in [
            of_size(MAX_METADATA_SIZE + 1),
            of_entries(MAX_METADATA_ENTRIES + 1),
        ] {
            let call = head("/test.Echo/Echo", &metadata);
            let status = pair
                .connection
                .unary(call, out("x"))
                .await
                .expect_err("long");
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert!(status.message().contains("over the limit of"), "{status}");
            let requests: MessageStream = Box::pin(stream::empty());
            let mut call = pair
                .connection
                .open(head("/test.Echo/Each", &metadata), requests);
            let status = next(&mut call).await.expect("a status").expect_err("long");
            assert_eq!(status.code(), Code::ResourceExhausted);
            let call = CallHead::new("/test.Echo/Echo");
            pair.connection.unary(call, out("x")).await.expect("fine");
        }
    });
}

/// Answers with what it was made with.
struct Answers {
    status: Status,
    trailers: Metadata,
}

static ANSWERS: ServiceDescriptor = ServiceDescriptor {
    name: "test.Answers",
    methods: &[
        MethodDescriptor {
            name: "Fail",
            path: "/test.Answers/Fail",
            kind: MethodKind::Unary,
        },
        MethodDescriptor {
            name: "Trail",
            path: "/test.Answers/Trail",
            kind: MethodKind::Unary,
        },
        MethodDescriptor {
            name: "FailStream",
            path: "/test.Answers/FailStream",
            kind: MethodKind::Bidirectional,
        },
    ],
    file_descriptor_set: &[],
};

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

#[test]
fn a_status_up_to_the_limits_arrives_whole() {
    run(async {
        for length in [10_000, 70_000, MAX_STATUS_MESSAGE] {
            let status = Status::not_found("\u{1f608}".repeat(length / 4))
                .with_details(vec![1; length / 2])
                .with_metadata(of_size(length / 3));
            let stdio = Stdio::new();
            let channel = answers(&status, Metadata::new(), stdio, stdio);
            assert_eq!(fails(&channel).await, status);
            assert_eq!(fails(&channel).await, status, "the connection lives on");
        }
    });
}

#[test]
fn a_longer_text_is_cut_and_says_so() {
    run(async {
        let text = "\u{1f608}".repeat(5_000_000);
        let status = Status::not_found(text.clone());
        let channel = answers(&status, Metadata::new(), Stdio::new(), Stdio::new());
        let got = fails(&channel).await;
        assert_eq!(got.code(), Code::NotFound);
        let (kept, note) = got.message().rsplit_once('…').expect("a note");
        assert!(text.starts_with(kept) && kept.len() > MAX_STATUS_MESSAGE - 100);
        let missing = text.len() - kept.len();
        let expected = format!(" [{missing} of {} bytes left out]", text.len());
        assert_eq!(note, expected);
    });
}

#[test]
fn trailers_over_the_limit_fail_their_call_alone() {
    run(async {
        let trailers = of_size(MAX_METADATA_SIZE + 1);
        let status = Status::not_found("none");
        let channel = answers(&status, trailers, Stdio::new(), Stdio::new());
        let call = CallHead::new("/test.Answers/Trail");
        let got = channel.connection().unary(call, out("")).await;
        assert_eq!(got.expect_err("long").code(), Code::ResourceExhausted);
        assert_eq!(fails(&channel).await, status);
    });
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
