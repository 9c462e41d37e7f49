//! The broker: what either side offers, and much at once.

use std::future::ready;
use std::sync::Arc;

use futures_util::AsyncWriteExt as _;
use futures_util::future::{join, join3, join4};
use outboard::BrokerError;
use outboard::netrpc::{Instance, Value};

use super::Stream;
use super::case::Subject;
use super::service::{pour, service, take};
use crate::proto::examples::AddHelperClient;

/// Each side calls what the other one offers, and reads what it writes.
///
/// # Panics
/// If not.
pub fn both_ways(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        let broker = greeter.broker();
        let offered = broker.offer(Arc::new(service(broker))).expect("an id");
        for _ in 0..3 {
            let doubled: Result<i64, _> = greeter.call("Plugin.Call", &offered.id()).await;
            assert_eq!(doubled.expect("it calls back"), 42);
        }
        drop(offered);
        let id: u32 = greeter
            .call("Plugin.Serve", &Value::Nil)
            .await
            .expect("an id");
        let served = Instance::dial(broker, id).await.expect("it is served");
        let doubled: Result<i64, _> = served.call("Plugin.Double", &4).await;
        assert_eq!(doubled.expect("a number"), 8);
        let id = broker.next_id();
        let accepted = async {
            let mut io = broker.accept(id).await.expect("it is dialled");
            io.write_all(b"from the host").await.expect("writes");
            io.close().await.expect("closes");
        };
        let (text, ()) = join(greeter.call::<_, String>("Plugin.Dial", &id), accepted).await;
        assert_eq!(text.expect("a text"), "from the host");
        // The broker of gRPC is another one.
        let dialled = running.plugin.broker().dial::<AddHelperClient>(1).await;
        assert!(matches!(dialled, Err(BrokerError::NetRpc)));
        running.end().await;
    });
}

/// What nobody serves, on either side, ends in an error, and holds up nothing.
///
/// # Panics
/// If not.
pub fn nobody(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        let broker = greeter.broker();
        let here = greeter.call::<_, i64>("Plugin.Call", &4242_u32);
        let there = Instance::dial(broker, 4242);
        let meanwhile = greeter.call::<_, i64>("Plugin.Double", &21);
        let (here, there, meanwhile) = join3(here, there, meanwhile).await;
        assert!(here.is_err(), "{here:?}");
        let there = there.expect_err("nobody serves it").to_string();
        assert!(there.contains("4242"), "{there}");
        assert_eq!(meanwhile.expect("a number"), 42);
        let doubled: Result<i64, _> = greeter.call("Plugin.Double", &4).await;
        assert_eq!(doubled.expect("a number"), 8);
        running.end().await;
    });
}

const FAST: usize = 100 << 20;
const SLOW: usize = 4 << 20;

fn stream(id: u32, count: usize, hold: &str) -> Stream {
    Stream {
        id,
        count: count as i64,
        hold: hold.to_owned(),
    }
}

/// A hundred MiB through the broker each way, beside a stream that nobody reads until they are through.
///
/// # Panics
/// If not.
pub fn much(subject: &Subject) {
    subject.each(async |case| {
        let (running, greeter) = case.greeter().await;
        let broker = greeter.broker();
        // From the plugin.
        let (slow, fast) = (broker.next_id(), broker.next_id());
        let slow_pour = stream(slow, SLOW, "");
        let fast_pour = stream(fast, FAST, "");
        let (slow_poured, fast_poured, ()) = join3(
            greeter.call::<_, ()>("Plugin.Pour", &slow_pour),
            greeter.call::<_, ()>("Plugin.Pour", &fast_pour),
            async {
                let (slow, fast) = join(broker.accept(slow), broker.accept(fast)).await;
                let slow = slow.expect("it is dialled");
                let fast = fast.expect("it is dialled");
                let count = take(fast, ready(())).await.expect("it comes");
                assert_eq!(count, FAST);
                let count = take(slow, ready(())).await.expect("it comes");
                assert_eq!(count, SLOW);
            },
        )
        .await;
        slow_poured.expect("all is written");
        fast_poured.expect("all is written");
        // From here.
        let (slow, fast) = (broker.next_id(), broker.next_id());
        let slow_take = stream(slow, 0, "slow");
        let fast_take = stream(fast, 0, "");
        let (slow_taken, fast_taken, (), ()) = join4(
            greeter.call::<_, i64>("Plugin.Take", &slow_take),
            async {
                let taken = greeter.call::<_, i64>("Plugin.Take", &fast_take).await;
                let let_go = greeter.call::<_, ()>("Plugin.LetGo", "slow").await;
                let_go.expect("an answer");
                taken
            },
            async {
                let slow = broker.accept(slow).await.expect("it is dialled");
                pour(slow, SLOW).await.expect("it is read");
            },
            async {
                let fast = broker.accept(fast).await.expect("it is dialled");
                pour(fast, FAST).await.expect("it is read");
            },
        )
        .await;
        assert_eq!(slow_taken.expect("a count"), SLOW as i64);
        assert_eq!(fast_taken.expect("a count"), FAST as i64);
        running.end().await;
    });
}
