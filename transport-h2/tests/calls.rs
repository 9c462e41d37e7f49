//! All kinds of calls between a client and a server of this crate.

mod support;

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::{Call, CallHead, Code, MessageStream, Metadata, Status};
use support::service::{failure, next, out};
use support::{Event, PairBuilder, pair, run};

fn messages(items: Vec<&'static str>) -> MessageStream {
    Box::pin(stream::iter(items).map(|item| Ok(out(item))))
}

async fn collect(call: &mut Box<dyn Call>) -> Result<Vec<Bytes>, Status> {
    let mut all = Vec::new();
    while let Some(message) = next(call).await {
        all.push(message?);
    }
    Ok(all)
}

#[test]
fn unary() {
    run(async {
        let pair = pair();
        for method in ["/test.Echo/Echo", "/test.Echo/Yield"] {
            let reply = pair.connection.unary(CallHead::new(method), out("hello"));
            let reply = reply.await.expect("an answer");
            assert_eq!(reply.message, "hello", "{method}");
            assert!(reply.headers.is_empty() && reply.trailers.is_empty());
        }
        let reply = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out(""));
        assert_eq!(reply.await.expect("an answer").message, "");
    });
}

#[test]
fn server_streaming() {
    run(async {
        let pair = pair();
        let mut call = pair
            .connection
            .open(CallHead::new("/test.Echo/Count"), messages(vec!["3"]));
        let all = collect(&mut call).await.expect("ends well");
        assert_eq!(all, [0, 1, 2].map(|n| format!("{n:040}")));
        assert!(call.trailers().is_some());
        assert_eq!(next(&mut call).await, None);
    });
}

#[test]
fn client_streaming() {
    run(async {
        let pair = pair();
        let mut call = pair.connection.open(
            CallHead::new("/test.Echo/Collect"),
            messages(vec!["a", "", "b", "c"]),
        );
        assert_eq!(collect(&mut call).await.expect("ends well"), ["abc"]);
    });
}

#[test]
fn bidirectional_in_lock_step() {
    run(async {
        let pair = pair();
        let (sender, receiver) = futures_channel::mpsc::unbounded();
        let mut call = pair
            .connection
            .open(CallHead::new("/test.Echo/Each"), Box::pin(receiver));
        for text in ["one", "two", "three"] {
            sender.unbounded_send(Ok(out(text))).expect("still open");
            assert_eq!(next(&mut call).await, Some(Ok(Bytes::from(text))));
        }
        drop(sender);
        assert_eq!(next(&mut call).await, None);
    });
}
