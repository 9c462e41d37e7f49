//! What frames do to a machine, alone and in turn.

#[path = "support/input.rs"]
mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_core::rpc::{Code, Keepalive, Metadata, OutMessage, Status};
use outboard_transport_stdio::wire::frame::{Body, Frame, Header, OpenHead, StatusHead};
use outboard_transport_stdio::wire::{
    Event, Key, Mux, MuxConfig, OpenError, OutBuf, Settings, Taken, Violation, close,
};
use support::*;

#[test]
fn what_concerns_a_call_ends_the_call_only() {
    let mut config = MuxConfig::default();
    config.settings.max_message = 100;
    let mut mux = Mux::new(config, Instant::now());
    mux.receive(&preface()).expect("valid");
    let long = [0; 101];
    let bad = OpenHead {
        metadata: b"\x01A\x00\x00",
        ..head("/a/B")
    };
    let frames = [
        open(0, true, Body::Inline(&long)),
        open(1, false, Body::Large(101)),
        Frame::Open {
            stream: 2,
            end: true,
            head: bad,
            body: Body::Absent,
        },
        open(3, true, Body::Inline(b"fine")),
    ];
    mux.receive(&bytes(&frames)).expect("no violation");
    let mut opened = 0;
    while let Some(event) = mux.poll_event() {
        opened += usize::from(matches!(event, Event::Opened(..)));
    }
    assert_eq!(opened, 1);
    let answer = transmitted(&mut mux);
    let mut rest = answer.get(preface().len()..).expect("behind it");
    let mut codes = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let header = Header::decode(*header);
        let (payload, after) = after.split_at(header.len as usize);
        rest = after;
        if let Frame::Status { stream, head, .. } = Frame::decode(header, payload).expect("ours") {
            codes.push((stream, u32::from(head.code)));
        }
    }
    let exhausted = Code::ResourceExhausted.number();
    let internal = Code::Internal.number();
    assert_eq!(codes, [(0, exhausted), (1, exhausted), (2, internal)]);
}

#[test]
fn large_messages_wait_for_a_slot_and_then_all_come() {
    let config = MuxConfig {
        large_slots: 1,
        ..MuxConfig::default()
    };
    let mut mux = Mux::new(config, Instant::now());
    mux.receive(&preface()).expect("valid");
    let grant = |stream| {
        bytes(&[Frame::Grant {
            stream,
            opener: false,
        }])
    };
    let announce = [
        open(0, false, Body::Large(4)),
        open(1, false, Body::Large(4)),
    ];
    mux.receive(&bytes(&announce)).expect("valid");
    let Some(Event::Opened(first, _)) = mux.poll_event() else {
        panic!("opened")
    };
    assert!(transmitted(&mut mux).ends_with(&grant(0)));
    mux.receive(&bytes(&[chunk(0, false, b"ab"), chunk(0, true, b"cd")]))
        .expect("granted");
    // Complete is not taken.
    assert!(transmitted(&mut mux).is_empty());
    assert_eq!(mux.take_message(first), Taken::Message(Bytes::from("abcd")));
    assert_eq!(transmitted(&mut mux), grant(1));
    assert_eq!(mux.take_message(first), Taken::End);
}

#[test]
fn a_peer_that_goes_away_gets_no_more_calls_on_its_main_channel() {
    let mut mux = started();
    let unsent = call(&mut mux, 0).expect("open");
    mux.receive(&bytes(&[Frame::GoAway { text: "bye" }]))
        .expect("valid");
    let result = mux.result(unsent).expect("failed").clone();
    assert_eq!(result.expect_err("unsent").code(), Code::Unavailable);
    assert_eq!(call(&mut mux, 0), Err(OpenError::GoingAway));
    call(&mut mux, 3).expect("brokered channels live on");
}

#[test]
fn calls_that_race_with_going_away_are_refused() {
    let mut mux = started();
    mux.go_away("bye");
    mux.receive(&bytes(&[open(0, true, Body::Inline(b"x"))]))
        .expect("valid");
    assert_eq!(mux.poll_event(), None);
    let answer = transmitted(&mut mux);
    assert!(String::from_utf8_lossy(&answer).contains("going away"));
    assert_eq!(mux.live_theirs(), 0);
}

#[test]
fn second_headers_are_refused_even_when_the_first_were_taken_or_dropped() {
    let headers = Frame::Headers {
        stream: 0,
        metadata: b"\x01k\x01\x00v",
        parts: false,
    };
    let status = Frame::Status {
        stream: 0,
        head: StatusHead {
            headers: b"\x01k\x01\x00v",
            ..StatusHead::default()
        },
        body: Body::Absent,
    };
    type Then = fn(&mut Mux, Key);
    let thens: [Then; 3] = [
        |_, _| {},
        |mux, key| assert_eq!(mux.take_headers(key).get("k"), Some("v")),
        |mux, key| mux.release(key),
    ];
    for then in thens {
        for second in [headers, status] {
            let mut mux = started();
            let key = ours(&mut mux, &[headers]);
            then(&mut mux, key);
            let refused = mux.receive(&bytes(&[second]));
            assert_eq!(refused, Err(Violation::LateHeaders { stream: 0 }));
        }
    }
    // Nobody will take what comes for a call that was given up.
    let mut mux = started();
    let key = ours(&mut mux, &[]);
    mux.release(key);
    mux.receive(&bytes(&[headers])).expect("valid");
    assert_eq!(mux.headers_of(key), None);
}

#[test]
fn a_call_is_cancelled_once() {
    let mut mux = started();
    let key = ours(&mut mux, &[]);
    let cancel = bytes(&[Frame::Cancel { stream: 0 }]);
    mux.cancel(key, Status::aborted("no"));
    assert_eq!(transmitted(&mut mux), cancel);
    mux.release(key);
    assert_eq!(transmitted(&mut mux), b"");
    let status = Frame::Status {
        stream: 0,
        head: StatusHead::default(),
        body: Body::Absent,
    };
    mux.receive(&bytes(&[status])).expect("valid");
    assert_eq!((mux.live_ours(), transmitted(&mut mux)), (0, vec![]));
}

#[test]
fn after_its_own_last_frame_a_side_only_hears_of_the_peers() {
    let mut mux = started();
    mux.close(close::ORDERLY, "drained");
    transmitted(&mut mux);
    let large = vec![0; 9_000];
    let frames = bytes(&[
        open(0, false, Body::Inline(b"late")),
        message(0, false, Body::Inline(&large)),
        // Neither would be allowed before.
        open(0, true, Body::Absent),
        Frame::Cancel { stream: 100_000 },
        Frame::Ping { content: [0; 8] },
        Frame::Close {
            code: 0,
            text: "too",
        },
        Frame::Ping { content: [0; 8] },
    ]);
    for piece in frames.chunks(5_000) {
        mux.receive(piece).expect("of no interest");
    }
    assert_eq!(mux.poll_event(), Some(Event::Closed(0, "too".into())));
    assert_eq!((mux.poll_event(), mux.live_theirs()), (None, 0));
    assert_eq!((mux.buffered(), transmitted(&mut mux)), (0, vec![]));
}

#[test]
fn what_is_said_again_is_ignored() {
    let mut mux = started();
    let bye = Frame::GoAway { text: "bye" };
    let cancel = Frame::Cancel { stream: 0 };
    let frames = [open(0, false, Body::Absent), bye, bye, cancel, cancel];
    mux.receive(&bytes(&frames)).expect("valid");
    let events: Vec<_> = std::iter::from_fn(|| mux.poll_event()).collect();
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
    assert_eq!(count(|event| matches!(event, Event::GoAway(_))), 1);
    assert_eq!(count(|event| matches!(event, Event::Cancelled(_))), 1);
    transmitted(&mut mux);
    mux.receive(&bytes(&[cancel]))
        .expect("after its status too");
    assert_eq!((mux.live_theirs(), transmitted(&mut mux)), (0, vec![]));
}

#[test]
fn late_headers_are_not_sent() {
    let mut mux = started();
    mux.receive(&bytes(&[
        open(0, true, Body::Absent),
        open(1, true, Body::Absent),
    ]))
    .expect("valid");
    let keys: Vec<_> = std::iter::from_fn(|| mux.poll_event())
        .filter_map(|event| match event {
            Event::Opened(key, _) => Some(key),
            _ => None,
        })
        .collect();
    let [first, second] = keys.as_slice() else {
        panic!("two calls: {keys:?}");
    };
    mux.headers(*first, &Metadata::new()).expect("fits");
    mux.send(*second, OutMessage::copy_from(b"x"))
        .expect("open");
    assert!(!transmitted(&mut mux).is_empty());
    // The peer would have to close the connection.
    for key in [*first, *second] {
        mux.headers(key, &Metadata::new()).expect("fits");
        assert_eq!(transmitted(&mut mux), b"");
    }
}

/// Long headers leave in parts, and are headers all the same.
#[test]
fn headers_are_sent_once_also_in_parts() {
    let mut mux = mux();
    let settings = Settings {
        max_head: 100_000,
        ..Settings::LEAST
    };
    let mut preface = Vec::new();
    settings.encode(&mut preface);
    mux.receive(&preface).expect("valid");
    transmitted(&mut mux);
    mux.receive(&bytes(&[open(0, true, Body::Absent)]))
        .expect("valid");
    let Some(Event::Opened(key, _)) = mux.poll_event() else {
        panic!("no call came");
    };
    let mut long = Metadata::new();
    long.insert_bin("a-bin", vec![7; 90_000]).expect("valid");
    let mut out = OutBuf::default();
    mux.headers(key, &long).expect("within the limits");
    // As far as the first parts, which fill the pipe.
    mux.transmit(&mut out);
    assert!(mux.unsent() > 0 && out.len() > 60_000);
    let mut others = Metadata::new();
    others.insert("b", "c").expect("valid");
    mux.headers(key, &others).expect("within the limits");
    let mut sent = flat(&mut out);
    sent.extend(transmitted(&mut mux));
    let mut kinds = Vec::new();
    while let Some((header, rest)) = sent.split_first_chunk::<8>() {
        let header = Header::decode(*header);
        kinds.push(header.kind);
        sent = rest.get(header.len as usize..).expect("whole").to_vec();
    }
    let headers = kinds.iter().filter(|kind| **kind == 0x05).count();
    assert_eq!(headers, 1, "{kinds:?}");
}

/// What is too long for this side is never let come, also if it has to wait for another at first.
#[test]
fn a_message_that_is_too_large_is_not_granted_once_the_one_before_it_is_taken() {
    let config = MuxConfig {
        settings: Settings {
            max_message: 1_000_000,
            ..MuxConfig::default().settings
        },
        ..MuxConfig::default()
    };
    let mut mux = Mux::new(config, Instant::now());
    mux.receive(&preface()).expect("valid");
    let key = call(&mut mux, 0).expect("open");
    transmitted(&mut mux);
    let piece = Frame::Chunk {
        stream: 0,
        opener: false,
        end: false,
        data: b"xy",
    };
    mux.receive(&bytes(&[answer(0, Body::Large(2)), piece]))
        .expect("valid");
    transmitted(&mut mux);
    mux.receive(&bytes(&[answer(0, Body::Large(2_000_000))]))
        .expect("valid");
    assert!(matches!(mux.result(key), Some(Err(_))));
    let taken = mux.take_message(key);
    assert_eq!(taken, Taken::Message(Bytes::from_static(b"xy")));
    let sent = transmitted(&mut mux);
    let cancel = bytes(&[Frame::Cancel { stream: 0 }]);
    assert_eq!(sent, cancel, "and no grant");
    assert_eq!(mux.slots_used(), 0);
}

#[test]
fn handles_of_calls_that_are_over_do_nothing() {
    let mut mux = started();
    let key = call(&mut mux, 0).expect("open");
    mux.release(key);
    let again = call(&mut mux, 0).expect("open");
    assert_ne!(key, again);
    mux.release(key);
    mux.cancel(key, Status::aborted("no"));
    assert_eq!(mux.result(key), None);
    assert_eq!(mux.result(again), None);
    assert_eq!(mux.live_ours(), 1);
}

#[test]
fn keepalive_asks_once_and_fires_once() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let config = MuxConfig {
        keepalive: Some(Keepalive::new(10 * second, second)),
        ..MuxConfig::default()
    };
    let mut mux = Mux::new(config, start);
    assert_eq!(mux.poll_timeout(), Some(start + 10 * second));
    mux.handle_timeout(start + 9 * second);
    mux.receive(&preface()).expect("valid");
    mux.handle_timeout(start + 10 * second);
    assert_eq!(mux.poll_timeout(), Some(start + 20 * second));
    transmitted(&mut mux);
    mux.handle_timeout(start + 20 * second);
    let ping = bytes(&[Frame::Ping { content: [0; 8] }]);
    assert_eq!(transmitted(&mut mux), ping);
    assert_eq!(mux.poll_timeout(), Some(start + 21 * second));
    mux.handle_timeout(start + 21 * second);
    assert_eq!(mux.poll_event(), Some(Event::Unresponsive));
    assert_eq!(mux.poll_timeout(), None);
}
