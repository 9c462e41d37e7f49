//! What bytes do: any bytes, cut anywhere.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_core::rpc::{Code, Keepalive, Metadata, OutMessage, Status};
use outboard_transport_stdio::wire::frame::{
    Body, Frame, Header, OpenHead, StatusHead, UNNUMBERED,
};
use outboard_transport_stdio::wire::{
    CallStart, Event, Key, Mux, MuxConfig, OpenError, OutBuf, Settings, Taken, Violation, close,
};
use proptest::prelude::*;

fn mux() -> Mux {
    Mux::new(MuxConfig::default(), Instant::now())
}

/// A machine that has its peer's preface.
fn started() -> Mux {
    let mut mux = mux();
    mux.receive(&preface()).expect("valid");
    mux
}

fn preface() -> Vec<u8> {
    let mut bytes = Vec::new();
    Settings::LEAST.encode(&mut bytes);
    bytes
}

fn bytes(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

fn head(path: &str) -> OpenHead<'_> {
    OpenHead {
        method: UNNUMBERED,
        path: Some(path),
        ..OpenHead::default()
    }
}

fn open(stream: u32, end: bool, body: Body<'_>) -> Frame<'_> {
    Frame::Open {
        stream,
        end,
        head: head("/a/B"),
        body,
    }
}

fn message<'a>(stream: u32, end: bool, body: Body<'a>) -> Frame<'a> {
    Frame::Message {
        stream,
        opener: true,
        end,
        body,
    }
}

fn answer<'a>(stream: u32, body: Body<'a>) -> Frame<'a> {
    Frame::Message {
        stream,
        opener: false,
        end: false,
        body,
    }
}

fn chunk(stream: u32, end: bool, data: &[u8]) -> Frame<'_> {
    Frame::Chunk {
        stream,
        opener: true,
        end,
        data,
    }
}

fn flat(out: &mut OutBuf) -> Vec<u8> {
    let mut all = Vec::new();
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); 8];
        let used = out.slices(&mut slices);
        let bytes = slices.iter().take(used).flat_map(|s| s.to_vec());
        let before = all.len();
        all.extend(bytes);
        out.advance(all.len() - before);
    }
    all
}

fn transmitted(mux: &mut Mux) -> Vec<u8> {
    let mut out = OutBuf::default();
    mux.transmit(&mut out);
    flat(&mut out)
}

fn call(mux: &mut Mux, channel: u32) -> Result<Key, OpenError> {
    let start = CallStart {
        path: "/a/B".into(),
        channel,
        timeout: None,
        metadata: &Metadata::new(),
        urgent: false,
    };
    mux.open(start, Some(OutMessage::copy_from(b"hi")), true)
}

#[test]
fn the_first_wrong_byte_of_a_preface_is_enough() {
    let good = preface();
    for at in 0..9 {
        let mut mux = mux();
        let mut bytes = good.get(..=at).expect("long enough").to_vec();
        mux.receive(bytes.get(..at).expect("in range"))
            .expect("right so far");
        *bytes.last_mut().expect("a byte") ^= 1;
        let wrong = bytes.get(at..).expect("in range");
        let violation = mux.receive(wrong).expect_err("wrong");
        if at == 8 {
            assert_eq!(violation, Violation::Version { major: 0 });
        } else {
            assert_eq!(violation, Violation::BadMagic { found: bytes });
        }
    }
    let printed = mux().receive(b"Listening on port 80\n");
    let text = printed.expect_err("no preface").to_string();
    assert!(text.contains("got \"Listening on port 80\\n\""), "{text}");
}

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

fn ours(mux: &mut Mux, frames: &[Frame<'_>]) -> Key {
    let key = call(mux, 0).expect("open");
    transmitted(mux);
    mux.receive(&bytes(frames)).expect("valid");
    key
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
        keepalive: Some(Keepalive {
            interval: 10 * second,
            timeout: second,
        }),
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

/// What a machine makes of bytes that come in these pieces: its events, and the messages that
/// are there in the end.
fn events(bytes: &[u8], cuts: &[usize]) -> (Vec<Event>, Vec<Taken>, Result<(), Violation>) {
    let mut mux = mux();
    // Two calls of this side for the answers to belong to.
    let ours = [0, 1].map(|channel| call(&mut mux, channel).expect("open"));
    transmitted(&mut mux);
    let mut events = Vec::new();
    let mut result = Ok(());
    let mut rest = bytes;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() && result.is_ok() {
        let cut = cuts.next().map_or(rest.len(), |cut| *cut);
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        rest = after;
        result = mux.receive(piece);
        events.extend(std::iter::from_fn(|| mux.poll_event()));
    }
    // What comes for a stream in a row is told once, if it was not looked at in between.
    events.dedup();
    let mut messages = Vec::new();
    let theirs = events.iter().filter_map(|event| match event {
        Event::Opened(key, _) => Some(*key),
        _ => None,
    });
    for key in ours.into_iter().chain(theirs) {
        let take = || Some(mux.take_message(key));
        messages.extend(std::iter::from_fn(take).take(20));
    }
    (events, messages, result)
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame =
        (0..3u32, any::<bool>(), 0..11u8, 0..9_000usize).prop_map(|(stream, end, what, len)| {
            let data = vec![what; len];
            let frame = match what {
                0 => open(stream, end, Body::Inline(&data)),
                1 => message(stream, end, Body::Inline(&data)),
                2 => open(stream, false, Body::Large(9_000)),
                3 => chunk(stream, end, &data),
                4 => Frame::Cancel { stream },
                5 => answer(stream, Body::Inline(&data)),
                6 | 7 => answer(stream, Body::Large(9_000)),
                // An end that the acceptor cannot send is among them.
                8 => Frame::Chunk {
                    stream,
                    opener: false,
                    end: end && len % 4 == 0,
                    data: &data,
                },
                9 => Frame::Status {
                    stream,
                    head: StatusHead {
                        code: u8::from(end),
                        ..StatusHead::default()
                    },
                    body: Body::Absent,
                },
                _ => Frame::Ignored { kind: 0xee },
            };
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            bytes
        });
    proptest::collection::vec(frame, 0..12)
        .prop_map(|frames| [vec![preface()], frames].concat().concat())
}

#[test]
fn an_end_that_the_acceptor_sends_is_refused_wherever_it_is_cut() {
    for len in [10, 4_096, 9_000] {
        let data = vec![1; len];
        let frames = [
            answer(0, Body::Large(len as u32)),
            Frame::Chunk {
                stream: 0,
                opener: false,
                end: true,
                data: &data,
            },
        ];
        let bytes = [preface(), bytes(&frames)].concat();
        let expected = Violation::BadFlags { kind: 3, flags: 2 };
        for cuts in [&[] as &[usize], &[1], &[100], &[5_000]] {
            let (_, _, result) = events(&bytes, cuts);
            assert_eq!(result, Err(expected.clone()), "{len} bytes cut at {cuts:?}");
        }
    }
}

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

proptest! {
    /// The same bytes give the same events and messages wherever they are cut.
    #[test]
    fn any_cut_gives_the_same(
        bytes in frames(),
        cuts in proptest::collection::vec(1..10_000usize, 1..6),
    ) {
        let whole = events(&bytes, &[]);
        prop_assert_eq!(&events(&bytes, &cuts), &whole);
        prop_assert_eq!(&events(&bytes, &[1]), &whole);
    }

    /// Arbitrary bytes never panic, and what they make us keep and say is bounded.
    #[test]
    fn arbitrary_bytes_are_survived(
        good in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..4_000),
    ) {
        let mut mux = if good { started() } else { mux() };
        let _ = mux.receive(&bytes);
        while mux.poll_event().is_some() {}
        prop_assert!(mux.buffered() <= 16 << 20);
        let mut out = OutBuf::default();
        mux.transmit(&mut out);
        prop_assert!(out.len() < 200_000);
    }

    /// Arbitrary frames, well formed outside, never panic.
    #[test]
    fn arbitrary_payloads_are_survived(
        frames in proptest::collection::vec(
            (any::<u8>(), 0..3u32, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        for (kind, stream, flags, payload) in frames {
            let header = Header { len: u32::try_from(payload.len()).expect("small"), kind: kind % 0x26, stream, flags: flags % 16 };
            if let Ok(frame) = Frame::decode(header, &payload) {
                // What was understood is written as it was read, except for skipped frames.
                if !matches!(frame, Frame::Ignored { .. }) {
                    let mut again = Vec::new();
                    frame.encode(&mut again);
                    let (header, payload) = again.split_first_chunk::<8>().expect("a header");
                    prop_assert_eq!(Frame::decode(Header::decode(*header), payload), Ok(frame));
                }
            }
            let mut mux = started();
            let mut bytes = header.encode().to_vec();
            bytes.extend_from_slice(&payload);
            let _ = mux.receive(&bytes);
        }
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
