//! What bytes do: any bytes, cut anywhere.

#[path = "support/input.rs"]
mod support;

use outboard_transport_stdio::wire::frame::{Body, Frame, Header, StatusHead};
use outboard_transport_stdio::wire::{Event, OutBuf, Taken, Violation};
use proptest::prelude::*;
use support::*;

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
            assert_eq!(violation, Violation::Version { major: 3 });
        } else {
            assert_eq!(violation, Violation::BadMagic { found: bytes });
        }
    }
    let printed = mux().receive(b"Listening on port 80\n");
    let text = printed.expect_err("no preface").to_string();
    assert!(text.contains("got \"Listening on port 80\\n\""), "{text}");
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
