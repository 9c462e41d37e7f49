//! Messages that are nested deeper than prost decodes: their call fails and says so, others go on.

mod support;

use std::sync::Arc;

use futures_util::StreamExt as _;
use outboard::prost_types::value::Kind;
use outboard::prost_types::{ListValue, Value};
use outboard::{Client as _, Code, Status, Streaming};
use outboard_generator::provider::{Answer, Nested, NestedClient, NestedServer, Wanted};
use support::{block_on, channel_to};

/// A value in so many lists.
fn value(depth: usize) -> Value {
    let number = Value {
        kind: Some(Kind::NumberValue(1.0)),
    };
    (0..depth).fold(number, |inner, _| {
        let values = vec![inner];
        Value {
            kind: Some(Kind::ListValue(ListValue { values })),
        }
    })
}

fn depth(value: &Value) -> usize {
    match &value.kind {
        Some(Kind::ListValue(list)) => list.values.first().map_or(0, |inner| 1 + depth(inner)),
        _ => 0,
    }
}

struct Measure;

fn answer(value: &Value) -> Answer {
    let text = depth(value).to_string();
    Answer { text }
}

impl Nested for Measure {
    async fn depth(&self, value: Value) -> Result<Answer, Status> {
        Ok(answer(&value))
    }
    async fn depth_of_each(&self, values: Streaming<Value>) -> Result<Streaming<Answer>, Status> {
        let answers = values.map(|value| value.map(|value| answer(&value)));
        Ok(Streaming::try_from_stream(answers))
    }
    async fn depth_of_one(&self, value: Value) -> Result<Streaming<Answer>, Status> {
        Ok(Streaming::once(answer(&value)))
    }
    async fn make(&self, wanted: Wanted) -> Result<Value, Status> {
        Ok(value(usize::try_from(wanted.depth).expect("a depth")))
    }
    async fn make_many(&self, wanted: Wanted) -> Result<Streaming<Value>, Status> {
        Ok(Streaming::once(value(
            usize::try_from(wanted.depth).expect("a depth"),
        )))
    }
}

/// One level of a list is two messages.
const FINE: usize = 45;
const TOO_DEEP: usize = 60;
/// By far, and yet no matter for the sender's stack.
const FAR_TOO_DEEP: usize = 1000;

#[track_caller]
fn check<T: std::fmt::Debug>(result: Result<T, Status>, what: &str) {
    let status = result.expect_err("too deep");
    assert_eq!(status.code(), Code::Internal);
    let expected = format!("cannot decode the {what}: its messages are nested deeper than 100");
    assert!(status.message().starts_with(&expected), "{status}");
    assert!(!status.message().contains(".proto"), "{status}");
}

#[test]
fn a_request_too_deep_fails_its_call_alone() {
    let server = Arc::new(NestedServer::new(Measure));
    let client = NestedClient::from_channel(channel_to([server]));
    block_on(async {
        for depth in [TOO_DEEP, FAR_TOO_DEEP] {
            check(client.depth(value(depth)).await, "request");
        }
        let text = client.depth(value(FINE)).await.map(|answer| answer.text);
        assert_eq!(text.as_deref(), Ok("45"));
        let each = |depths: [usize; 3]| Streaming::iter(depths.map(value));
        let mut answers = client
            .depth_of_each(each([1, FAR_TOO_DEEP, 2]))
            .await
            .expect("starts");
        let first = answers.message().await.expect("fine").expect("one");
        assert_eq!(first.text, "1");
        check(answers.message().await, "message");
        let mut answers = client.depth_of_one(value(TOO_DEEP)).await.expect("starts");
        check(answers.message().await, "request");
        let mut answers = client
            .depth_of_each(each([1, 2, FINE]))
            .await
            .expect("starts");
        let mut count = 0;
        while answers.message().await.expect("fine").is_some() {
            count += 1;
        }
        assert_eq!(count, 3);
    });
}

#[test]
fn an_answer_too_deep_fails_its_call_alone() {
    let server = Arc::new(NestedServer::new(Measure));
    let client = NestedClient::from_channel(channel_to([server]));
    let wanted = |depth: usize| Wanted {
        depth: i32::try_from(depth).expect("small"),
    };
    block_on(async {
        for depth in [TOO_DEEP, FAR_TOO_DEEP] {
            check(client.make(wanted(depth)).await, "answer");
        }
        let made = client.make(wanted(FINE)).await;
        assert_eq!(made.as_ref().map(depth), Ok(FINE));
        let mut answers = client
            .make_many(wanted(FAR_TOO_DEEP))
            .await
            .expect("starts");
        check(answers.message().await, "message");
        let mut answers = client.make_many(wanted(FINE)).await.expect("starts");
        assert_eq!(
            answers
                .message()
                .await
                .map(|value| value.as_ref().map(depth)),
            Ok(Some(FINE))
        );
    });
}
