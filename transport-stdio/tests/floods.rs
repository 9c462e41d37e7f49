//! What a peer does again and again: nothing of it may add up.

#[path = "support/input.rs"]
mod support;

use std::time::Instant;

use outboard_core::rpc::{OutMessage, Status};
use outboard_transport_stdio::wire::frame::{Body, Frame};
use outboard_transport_stdio::wire::{Event, Mux, MuxConfig, OutBuf, Settings, Violation};
use support::*;

/// Frames that a peer may send as often as it likes.
fn tiny() -> Vec<u8> {
    bytes(&[
        Frame::Ping { content: [1; 8] },
        Frame::Pong { content: [1; 8] },
        Frame::Ignored { kind: 0xee },
        Frame::GoAway { text: "bye" },
        Frame::Cancel { stream: 5 },
        Frame::Cancel { stream: 77 },
        Frame::Grant {
            stream: 77,
            opener: true,
        },
        Frame::Credit {
            stream: 5,
            opener: true,
            amount: 0,
        },
        Frame::ConnectionCredit { amount: 0 },
    ])
}

#[test]
fn a_peer_that_never_reads_cannot_make_us_collect_answers() {
    let mut mux = started();
    let mut out = OutBuf::default();
    // As many calls as it may make, each with an answer.
    let calls: Vec<_> = (0..4_096)
        .map(|stream| open(stream, true, Body::Inline(b"ask")))
        .collect();
    mux.receive(&bytes(&calls)).expect("valid");
    while let Some(event) = mux.poll_event() {
        if let Event::Opened(key, _) = event {
            mux.send(key, OutMessage::copy_from(&[0; 100]))
                .expect("open");
            mux.fail(key, &Status::not_found("no such thing"));
        }
    }
    let (unsent, entries) = (mux.unsent(), mux.queue_entries());
    assert!(unsent > 4_096 * 100 && entries == 4_096);
    for _ in 0..2_000 {
        mux.receive(&tiny()).expect("valid");
        while mux.poll_event().is_some() {}
        mux.transmit(&mut out);
        // A full pipe and the frame that filled it.
        assert!(out.len() < 64 * 1024 + 200, "{}", out.len());
        assert!(mux.unsent() <= unsent, "{} of {unsent}", mux.unsent());
        assert!(mux.queue_entries() <= entries, "{}", mux.queue_entries());
    }
    // A number whose answer has not left cannot be used again.
    let busy = mux.receive(&bytes(&[open(4_000, true, Body::Absent)]));
    assert_eq!(busy, Err(Violation::StreamBusy { stream: 4_000 }));
}

#[test]
fn a_flood_of_tiny_frames_leaves_nothing_behind() {
    let mut mux = started();
    let round = bytes(&[
        open(0, false, Body::Absent),
        message(0, false, Body::Inline(b"")),
        Frame::Cancel { stream: 0 },
        open(1, true, Body::Inline(b"")),
        open(2, false, Body::Large(1)),
        chunk(2, false, b"x"),
        Frame::End { stream: 2 },
    ]);
    for _ in 0..10_000 {
        for piece in [tiny(), round.clone()] {
            mux.receive(&piece).expect("valid");
            assert!(mux.pending_events() < 20, "{}", mux.pending_events());
            while let Some(event) = mux.poll_event() {
                if let Event::Opened(key, _) = event {
                    mux.refuse(key, &Status::unavailable("no"));
                }
            }
            assert!(mux.queue_entries() < 30, "{}", mux.queue_entries());
            // One pong, credit, and the statuses of three calls.
            assert!(transmitted(&mut mux).len() < 200);
        }
        assert_eq!((mux.live_theirs(), mux.unsent()), (0, 0));
        assert_eq!((mux.buffered(), mux.slots_used()), (0, 0));
    }
}

/// Whoever waits is forgotten when its call is.
#[test]
fn calls_that_wait_and_are_cancelled_leave_nothing_behind() {
    const ROUNDS: usize = 20_000;
    let config = MuxConfig {
        large_slots: 1,
        ..MuxConfig::default()
    };
    let new = || {
        let mut mux = Mux::new(config, Instant::now());
        mux.receive(&preface()).expect("valid");
        mux
    };
    let cancel = Frame::Cancel { stream: 1 };

    // For the one slot, which a message that nobody takes holds.
    let mut mux = new();
    let held = [open(0, false, Body::Large(1)), chunk(0, false, b"x")];
    mux.receive(&bytes(&held)).expect("valid");
    let round = bytes(&[open(1, false, Body::Large(9)), cancel]);
    for _ in 0..ROUNDS {
        mux.receive(&round).expect("valid");
        transmitted(&mut mux);
        while mux.poll_event().is_some() {}
        assert!(mux.queue_entries() < 50, "{}", mux.queue_entries());
    }
    assert_eq!((mux.live_theirs(), mux.slots_used()), (1, 1));

    // For credit of the connection, which the peer never gives.
    let mut mux = new();
    let round = bytes(&[open(1, true, Body::Absent)]);
    for _ in 0..ROUNDS {
        mux.receive(&round).expect("valid");
        while let Some(event) = mux.poll_event() {
            if let Event::Opened(key, _) = event {
                let answer = OutMessage::copy_from(&[0; 10_000]);
                mux.send(key, answer).expect("open");
            }
        }
        transmitted(&mut mux);
        mux.receive(&bytes(&[cancel])).expect("valid");
        transmitted(&mut mux);
        assert!(mux.queue_entries() < 50, "{}", mux.queue_entries());
    }
    assert_eq!(mux.live_theirs(), 0);

    // For a number: the peer answers none of the calls that have one.
    let mut mux = new();
    for _ in 0..Settings::LEAST.max_streams {
        call(&mut mux, 0).expect("open");
    }
    for _ in 0..ROUNDS {
        let key = call(&mut mux, 0).expect("open");
        transmitted(&mut mux);
        mux.release(key);
        assert!(mux.queue_entries() < 100, "{}", mux.queue_entries());
    }
    // For a turn: the peer does not read at all.
    let mut mux = new();
    for _ in 0..ROUNDS {
        let key = call(&mut mux, 0).expect("open");
        mux.release(key);
        assert!(mux.queue_entries() < 50, "{}", mux.queue_entries());
    }
}
