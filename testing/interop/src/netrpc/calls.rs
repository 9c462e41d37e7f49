//! Calls: their answers, errors and ends.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{join, join_all, select};
use outboard::DispenseError;
use outboard::netrpc::{CallError, Instance, Value};

use super::Point;
use super::case::Subject;

/// The text of an error that the plugin answered with.
fn answered<R: std::fmt::Debug>(answer: Result<R, CallError>) -> String {
    match answer {
        Err(CallError::Answered { text, .. }) => text,
        other => panic!("{other:?}"),
    }
}

async fn let_go(instance: &Instance, name: &str) {
    let let_go = instance.call::<_, ()>("Plugin.LetGo", name).await;
    let_go.expect("an answer");
}

async fn begun(instance: &Instance, name: &str) {
    let begun = instance.call::<_, ()>("Plugin.Begun", name).await;
    begun.expect("an answer");
}

async fn all(client: &Instance) {
    // Its argument is an interface that holds nothing.
    let text: Result<String, _> = client.call("Plugin.Greet", &Value::Nil).await;
    assert_eq!(text.expect("a text"), "Hello!");
    let doubled: Result<i64, _> = client.call("Plugin.Double", &21).await;
    assert_eq!(doubled.expect("a number"), 42);
    let wrong = client.call::<_, i64>("Plugin.Double", &(1_i64 << 50)).await;
    assert_eq!(answered(wrong), "it is too large");
    let wrong = client.call::<_, i64>("Plugin.Nope", &1).await;
    assert_eq!(answered(wrong), "rpc: can't find method Plugin.Nope");
    let wrong = client.call::<_, i64>("Other.Double", &1).await;
    assert_eq!(answered(wrong), "rpc: can't find service Other.Double");
    let wrong = answered(client.call::<_, i64>("Plugin.Double", "a text").await);
    assert!(wrong.contains("gob") && wrong.contains("string"), "{wrong}");
    // What this side cannot take leaves the stream usable as well.
    let misfit = client.call::<_, String>("Plugin.Double", &21).await;
    assert!(matches!(misfit, Err(CallError::Reply { .. })), "{misfit:?}");
    let point = Point { x: 1, y: 0 };
    let mirrored: Result<Point, _> = client.call("Plugin.Mirror", &point).await;
    assert_eq!(mirrored.expect("a point"), Point { x: -1, y: 0 });
    let values: BTreeMap<String, Value> = [
        ("key".to_owned(), Value::String("k".to_owned())),
        ("value".to_owned(), Value::Bytes(b"v".to_vec())),
    ]
    .into();
    let text: Result<String, _> = client.call("Plugin.PrintKV", &values).await;
    assert_eq!(text.expect("a text"), "k=v");
    let bytes = vec![7_u8; 1 << 20];
    let echoed: Result<Vec<u8>, _> = client.call("Plugin.Echo", &bytes).await;
    assert!(echoed.expect("an echo") == bytes);
}

/// Ping, dispense and calls; names, methods and arguments that there are not are errors of their own, and
/// of nothing else.
///
/// # Panics
/// If not.
pub fn talk(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        running.plugin.ping().await.expect("it is there");
        let unknown = running.plugin.dispense::<Instance>("nothing").await;
        let Err(DispenseError::Refused(status)) = unknown else {
            panic!("{unknown:?}");
        };
        let text = status.message();
        assert!(text.contains("unknown plugin type: nothing"), "{text}");
        all(&greeter).await;
        running.plugin.ping().await.expect("it still is");
        running.end().await;
    });
}

/// An interface that holds nothing, for a method that there is not: go-plugin's plugins never answer that.
///
/// # Panics
/// If the stream is not usable afterwards.
pub fn nil_for_an_unknown_method(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        let wrong = greeter.call::<_, ()>("Plugin.Nope", &Value::Nil).await;
        assert_eq!(answered(wrong), "rpc: can't find method Plugin.Nope");
        all(&greeter).await;
        running.end().await;
    });
}

/// An answer that Go cannot encode closes the stream, and only the plugin's log says why: the error of the call
/// says it as well.
///
/// # Panics
/// If not.
pub fn unsendable(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        let lost = greeter
            .call::<_, Value>("Plugin.Unsendable", &Value::Nil)
            .await;
        let lost = lost.expect_err("it cannot be sent");
        assert!(matches!(lost, CallError::Lost { .. }), "{lost:?}");
        let text = lost.to_string();
        assert!(text.contains("what the plugin logged last"), "{text}");
        assert!(text.contains("gob error encoding body"), "{text}");
        running.end().await;
    });
}

/// Answers come in another order than calls, and those of a hundred calls at once to whom they are for.
///
/// # Panics
/// If not.
pub fn any_order(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        let mut holds = Vec::new();
        for name in ["a", "b", "c"] {
            let hold = greeter.call::<_, String>("Plugin.Hold", name);
            let mut hold = Box::pin(hold);
            // It is sent when it is polled.
            let sent = poll_fn(|cx| Poll::Ready(hold.as_mut().poll(cx).is_ready())).await;
            assert!(!sent, "it waits");
            holds.push((name, hold));
        }
        while let Some((name, hold)) = holds.pop() {
            let_go(&greeter, name).await;
            assert_eq!(hold.await.expect("it is let go"), name);
        }
        let many = (0..100_i64).map(|number| {
            let greeter = &greeter;
            async move {
                let doubled: Result<i64, _> = greeter.call("Plugin.Double", &number).await;
                assert_eq!(doubled.expect("a number"), 2 * number);
            }
        });
        join_all(many).await;
        running.end().await;
    });
}

/// Two instances at once, one of which is dropped while the other one is at work.
///
/// # Panics
/// If that disturbs the other one.
pub fn two_instances(subject: &Subject) {
    subject.each(async |case| {
        let (running, first) = case.greeter().await;
        let second = running.greeter().await;
        let held = second.call::<_, String>("Plugin.Hold", "second");
        let others = async {
            begun(&first, "second").await;
            all(&first).await;
            drop(first);
            let third = running.greeter().await;
            all(&third).await;
            let_go(&third, "second").await;
        };
        let (held, ()) = join(held, others).await;
        assert_eq!(held.expect("it goes on"), "second");
        all(&second).await;
        running.end().await;
    });
}

/// How many calls the client waits for, in words.
fn waiting(instance: &Instance) -> String {
    format!("{:?}", instance.client())
}

/// A call's time is over: its late answer is skipped, and the stream goes on. Calls that are dropped
/// likewise, and a thousand of either leave nothing behind.
///
/// # Panics
/// If not.
pub fn given_up(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        let another = running.greeter().await;
        let hasty = greeter.clone().with_timeout(Duration::from_millis(20));
        let late = hasty.call::<_, String>("Plugin.Hold", "late").await;
        assert!(matches!(late, Err(CallError::TimedOut { .. })), "{late:?}");
        let_go(&another, "late").await;
        let doubled: Result<i64, _> = greeter.call("Plugin.Double", &21).await;
        assert_eq!(doubled.expect("a number"), 42);
        let idle = waiting(&greeter);
        // Half of them by their time, half by a drop.
        let calls = (0..500).map(|_| hasty.call::<_, String>("Plugin.Hold", "many"));
        for late in join_all(calls).await {
            assert!(matches!(late, Err(CallError::TimedOut { .. })), "{late:?}");
        }
        let calls = (0..500).map(|_| greeter.call::<_, String>("Plugin.Hold", "many"));
        drop(select(pin!(join_all(calls)), pin!(begun(&another, "many"))).await);
        assert_eq!(waiting(&greeter), idle, "calls that were given up are kept");
        let_go(&another, "many").await;
        let doubled: Result<i64, _> = greeter.call("Plugin.Double", &4).await;
        assert_eq!(doubled.expect("a number"), 8);
        assert_eq!(waiting(&greeter), idle);
        running.end().await;
    });
}
