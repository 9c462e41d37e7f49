//! Deadlines and cancelling.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use outboard::Code;
use outboard_conformance::probe::Prober;
use outboard_conformance::proto::{
    Nothing, Probe as _, ProbeClient, ProbeServer, RelayRequest, relay_request::Op,
};

use crate::calls::payload;
use crate::harness::{Harness, timed};

async fn note(h: &Harness, probe: &ProbeClient) -> String {
    let note = h.promptly(probe.next_note(Nothing {})).await;
    note.expect("the plugin lives").text
}

pub async fn the_plugin_sees_the_deadline(h: Harness) {
    let rig = h.start().await;
    let left = rig.probe.remaining(Nothing {}).await.expect("ok");
    assert_eq!(left.millis, None, "none unless asked for");
    let limited = rig.probe.with_timeout(Duration::from_secs(30));
    let left = limited
        .remaining(Nothing {})
        .await
        .expect("ok")
        .millis
        .expect("a deadline");
    assert!((20_000..=30_000).contains(&left), "{left} ms");
    rig.shutdown().await;
}

pub async fn a_call_ends_at_its_deadline_on_both_sides(h: Harness) {
    let rig = h.start().await;
    let limit = Duration::from_millis(200);
    let waiting = rig.probe.with_timeout(limit);
    let (result, took) = timed(h.promptly(waiting.wait(Nothing {}))).await;
    let status = result.expect_err("it never ends by itself");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(took >= limit, "{took:?}");
    assert_eq!(note(&h, &rig.probe).await, "wait began");
    assert_eq!(note(&h, &rig.probe).await, "wait dropped");
    rig.shutdown().await;
}

pub async fn deadlines_cascade_into_brokered_calls(h: Harness) {
    let rig = h.start().await;
    let lent = rig
        .plugin
        .broker()
        .serve(ProbeServer::new(Prober::default()))
        .expect("served");
    let request = RelayRequest {
        id: lent.id(),
        op: Op::Remaining.into(),
        ..RelayRequest::default()
    };
    let limited = rig.probe.with_timeout(Duration::from_secs(30));
    let left = limited.relay(request).await.expect("ok").data;
    let left: u64 = String::from_utf8(left)
        .expect("text")
        .parse()
        .expect("a deadline came");
    assert!((20_000..=30_000).contains(&left), "{left} ms");
    rig.shutdown().await;
}

pub async fn dropping_a_call_cancels_its_handler(h: Harness) {
    let rig = h.start().await;
    {
        let mut waiting = pin!(rig.probe.wait(Nothing {}));
        match select(waiting.as_mut(), pin!(rig.probe.next_note(Nothing {}))).await {
            Either::Left((result, _)) => panic!("it never ends by itself: {result:?}"),
            Either::Right((note, _)) => assert_eq!(note.expect("ok").text, "wait began"),
        }
    }
    assert_eq!(note(&h, &rig.probe).await, "wait dropped");
    rig.shutdown().await;
}

pub async fn dropping_many_calls_leaves_the_connection_usable(h: Harness) {
    const MANY: usize = 300;
    let rig = h.start().await;
    {
        let mut calls: Vec<_> = (0..MANY)
            .map(|_| Box::pin(rig.probe.wait(Nothing {})))
            .collect();
        // Started, but nothing waited for.
        poll_fn(|cx| {
            for call in &mut calls {
                assert_eq!(call.as_mut().poll(cx), Poll::Pending);
            }
            Poll::Ready(())
        })
        .await;
        for _ in 0..MANY / 2 {
            assert_eq!(note(&h, &rig.probe).await, "wait began");
        }
    }
    let echoes = (0..64_u8).map(|n| rig.probe.echo(payload([n])));
    for (n, echo) in join_all(echoes).await.into_iter().enumerate() {
        assert_eq!(echo, Ok(payload([n as u8])));
    }
    rig.shutdown().await;
}

pub async fn cancelling_reaches_through_a_brokered_call(h: Harness) {
    let rig = h.start().await;
    let lent = Prober::default();
    let served = rig
        .plugin
        .broker()
        .serve(ProbeServer::new(lent.clone()))
        .expect("served");
    let request = RelayRequest {
        id: served.id(),
        op: Op::Wait.into(),
        ..RelayRequest::default()
    };
    {
        let mut relayed = pin!(rig.probe.relay(request));
        match select(relayed.as_mut(), pin!(lent.note())).await {
            Either::Left((result, _)) => panic!("it never ends by itself: {result:?}"),
            Either::Right((note, _)) => assert_eq!(note, "wait began"),
        }
    }
    assert_eq!(h.promptly(lent.note()).await, "wait dropped");
    rig.shutdown().await;
}
