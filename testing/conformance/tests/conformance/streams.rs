//! Streaming calls: large ones, slow ones, abandoned ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join;
use outboard::codegen::Prost;
use outboard::prost::Message;
use outboard::{Code, Status, Streaming};
use outboard_conformance::proto::{Nothing, Payload, PourRequest, Probe as _};

use crate::calls::{pattern, payload};
use crate::harness::{Harness, Rig};

/// The size of messages of large streams.
const PIECE: usize = 64 << 10;

/// What may be under way of a stream that nobody reads, in messages: the windows of the transport
/// and the buffers of the system are a few MiB.
const UNDER_WAY: u64 = 256;

/// Far more than that.
const ENDLESS: u64 = 1 << 20;

pub async fn a_thousand_messages_each_way_in_lock_step(h: Harness) {
    let rig = h.start().await;
    let (mut sender, requests) = Streaming::channel(1);
    let mut answers = rig.probe.chat(requests).await.expect("starts");
    for n in 0..1000_u32 {
        let message = payload(n.to_be_bytes());
        sender.send(message.clone()).await.expect("it is read");
        assert_eq!(answers.message().await, Ok(Some(message)));
    }
    drop(sender);
    assert_eq!(answers.message().await, Ok(None));
    rig.shutdown().await;
}

/// Makes a call with so many equal requests, whatever its kind, and gives how many answers came.
async fn with_requests<R: Message + Default + Clone + 'static>(
    rig: &Rig,
    path: &'static str,
    request: R,
    count: usize,
) -> (usize, Result<(), Status>) {
    let channel = rig.plugin.channel();
    let requests = Streaming::iter(vec![request; count]);
    let mut answers: Streaming<Payload> = channel.streaming(Prost, channel.head(path), requests);
    let mut came = 0;
    loop {
        match answers.message().await {
            Ok(Some(_)) => came += 1,
            Ok(None) => return (came, Ok(())),
            Err(status) => return (came, Err(status)),
        }
    }
}

pub async fn any_number_of_requests_but_one_fails_a_call_that_takes_one(h: Harness) {
    let rig = h.start().await;
    let pour = PourRequest { count: 3, size: 1 };
    for count in 0..=3 {
        let poured = with_requests(&rig, "/outboard.suite.Probe/Pour", pour, count).await;
        let echoed = with_requests(&rig, "/outboard.suite.Probe/Echo", payload("x"), count).await;
        for ((came, ended), expected) in [(poured, 3), (echoed, 1)] {
            if count == 1 {
                assert_eq!((came, ended), (expected, Ok(())));
                continue;
            }
            let status = ended.expect_err("not one request");
            assert_eq!(status.code(), Code::Internal, "{count}: {status}");
            assert!(status.message().contains("cardinality"), "{status}");
            assert_eq!(came, 0, "the handler has not begun");
        }
    }
    rig.shutdown().await;
}

pub async fn a_panic_in_the_requests_ends_their_call_only(h: Harness) {
    let rig = h.start().await;
    for before in [0, 3] {
        let requests = (0..).map(move |n| {
            assert!(n < before, "in the caller");
            payload([n])
        });
        let ended = h.promptly(rig.probe.collect(Streaming::iter(requests)));
        let status = ended.await.expect_err("it cannot end well");
        assert_eq!(status.code(), Code::Internal);
        for part in [
            "stream of requests",
            "/outboard.suite.Probe/Collect panicked",
        ] {
            assert!(status.message().contains(part), "{status}");
        }
    }
    assert!(rig.probe.echo(payload([1])).await.is_ok());
    rig.shutdown().await;
}

pub async fn sixty_four_mebibytes_each_way(h: Harness) {
    let rig = h.start().await;
    let piece = pattern(PIECE);
    let count = (64 << 20) / PIECE;
    let messages = std::iter::repeat_n(payload(piece.clone()), count);
    let mut answers = rig
        .probe
        .chat(Streaming::iter(messages))
        .await
        .expect("starts");
    let mut came = 0;
    while let Some(message) = answers.message().await.expect("ok") {
        assert!(message.data == piece, "message {came} is as sent");
        came += 1;
    }
    assert_eq!(came, count);
    rig.shutdown().await;
}

pub async fn a_reader_that_stops_holds_up_its_stream_only(h: Harness) {
    let rig = h.start().await;
    let endless = PourRequest {
        count: ENDLESS,
        size: PIECE as u64,
    };
    let mut slow = rig.probe.pour(endless).await.expect("starts");
    assert!(slow.message().await.expect("ok").is_some());
    // Plenty of time to send it all, if nothing held it back.
    let data = pattern(1 << 20);
    for _ in 0..32 {
        let answer = rig
            .probe
            .echo(payload(data.clone()))
            .await
            .expect("not held up");
        assert!(answer.data == data);
    }
    let poured = rig.probe.poured(Nothing {}).await.expect("ok").count;
    assert!(
        poured <= UNDER_WAY,
        "{poured} messages are waiting somewhere"
    );
    // And it goes on when the reader does.
    for _ in 0..2 * UNDER_WAY {
        assert!(slow.message().await.expect("ok").is_some());
    }
    drop(slow);
    assert_eq!(
        h.promptly(rig.probe.next_note(Nothing {}))
            .await
            .expect("ok")
            .text,
        "pour dropped"
    );
    rig.shutdown().await;
}

pub async fn a_handler_that_does_not_read_holds_up_its_stream_only(h: Harness) {
    let rig = h.start().await;
    let made = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&made);
    let messages = (0..4 * UNDER_WAY).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        payload(vec![1; PIECE])
    });
    let late = rig.probe.collect_late(Streaming::iter(messages));
    let meanwhile = async {
        let note = rig.probe.next_note(Nothing {}).await.expect("ok");
        assert_eq!(note.text, "collect began");
        for _ in 0..32 {
            let echoed = rig.probe.echo(payload(vec![2; 1 << 20])).await;
            assert!(echoed.is_ok(), "not held up");
        }
        let made = made.load(Ordering::Relaxed);
        assert!(made <= UNDER_WAY, "{made} messages are waiting somewhere");
        rig.probe.release(Nothing {}).await.expect("ok");
    };
    let (collected, ()) = join(late, meanwhile).await;
    assert_eq!(collected.expect("ok").messages, 4 * UNDER_WAY);
    rig.shutdown().await;
}

pub async fn dropping_a_stream_ends_it_on_the_other_side(h: Harness) {
    let rig = h.start().await;
    for _ in 0..3 {
        let endless = PourRequest {
            count: u64::MAX,
            size: 10,
        };
        let mut stream = rig.probe.pour(endless).await.expect("starts");
        assert!(stream.message().await.expect("ok").is_some());
        drop(stream);
        let note = h
            .promptly(rig.probe.next_note(Nothing {}))
            .await
            .expect("ok");
        assert_eq!(note.text, "pour dropped");
    }
    rig.shutdown().await;
}

pub async fn a_failing_request_stream_ends_the_call(h: Harness) {
    let rig = h.start().await;
    let failing = [
        Ok(payload("fine")),
        Err(Status::data_loss("the disk is gone")),
    ];
    let status = rig.probe.collect(Streaming::try_iter(failing)).await;
    let status = status.expect_err("the requests failed");
    // How much of it the other side learns is up to the transport; the caller must see an error.
    assert_ne!(status.code(), Code::Ok, "{status:?}");
    assert_eq!(rig.probe.echo(payload("on")).await, Ok(payload("on")));
    rig.shutdown().await;
}
