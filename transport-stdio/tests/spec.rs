//! Every hex example of `docs/stdio-protocol.md` against the codec, both ways, and its recorded
//! session against both sides of a connection.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_core::rpc::{Metadata, OutMessage, Status};
use outboard_transport_stdio::wire::frame::{
    Body, Frame, HEADER_LEN, Header, OpenHead, StatusHead,
};
use outboard_transport_stdio::wire::{
    CallStart, Event, Key, Mux, MuxConfig, OutBuf, Preface, Settings, Taken, close,
};

const DOCUMENT: &str = include_str!("../../docs/stdio-protocol.md");

/// The examples by their captions.
fn examples() -> Vec<(&'static str, Vec<u8>)> {
    captioned("example: ")
}

/// The blocks whose captions begin with `prefix`, by the rest of them.
fn captioned(prefix: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut found = Vec::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        let captions = ["example: ", "recorded: "];
        let Some(caption) = captions.iter().find_map(|c| line.strip_prefix(c)) else {
            assert!(!line.starts_with("```hex"), "an example without a caption");
            continue;
        };
        assert_eq!(lines.next(), Some("```hex"), "{caption}");
        let bytes = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .flat_map(str::split_whitespace)
            .map(|byte| u8::from_str_radix(byte, 16).expect("hex"))
            .collect();
        if line.starts_with(prefix) {
            found.push((caption, bytes));
        }
    }
    found
}

fn meaning(caption: &str) -> Frame<'static> {
    const KV: &[u8] = b"\x01k\x01\x00v";
    let named = caption.split([':', ',']).next().unwrap_or_default();
    match named {
        "unary request" => Frame::Open {
            stream: 0,
            end: true,
            head: OpenHead {
                path: "/proto.KV/Get",
                ..OpenHead::default()
            },
            body: Body::Inline(b"\x0a\x05hello"),
        },
        "its response" => Frame::Status {
            stream: 0,
            head: StatusHead::default(),
            body: Body::Inline(b"\x0a\x05world"),
        },
        "OPEN of stream 1 without a message" => Frame::Open {
            stream: 1,
            end: false,
            head: OpenHead {
                path: "/a.B/C",
                channel: 7,
                timeout: Some(1_000_000_000),
                metadata: KV,
                parts: false,
            },
            body: Body::Absent,
        },
        "MESSAGE of the opener of stream 1" => Frame::Message {
            stream: 1,
            opener: true,
            end: true,
            body: Body::Inline(b"abc"),
        },
        "MESSAGE of the acceptor of stream 1" => Frame::Message {
            stream: 1,
            opener: false,
            end: false,
            body: if caption.contains("LARGE") {
                Body::Large(1_000_000)
            } else {
                Body::Inline(b"")
            },
        },
        "END of stream 1" => Frame::End { stream: 1 },
        "HEADERS of stream 1" => Frame::Headers {
            stream: 1,
            metadata: KV,
            parts: false,
        },
        "PART of the opener of stream 1" => Frame::Part {
            stream: 1,
            opener: true,
            first: true,
            data: b"\x01k\x01\x00\x00\x00v",
        },
        "OPEN of stream 1 whose metadata came in parts" => Frame::Open {
            stream: 1,
            end: false,
            head: OpenHead {
                path: "/a.B/C",
                parts: true,
                ..OpenHead::default()
            },
            body: Body::Absent,
        },
        "PART of the acceptor of stream 1" => Frame::Part {
            stream: 1,
            opener: false,
            first: true,
            data: b"\x06\x05\x07\x00\x00\x00\x01k\x01\x00\x00\x00v\x06\x00\x00\x00no key",
        },
        "HEADERS of stream 1 that came in parts" => Frame::Headers {
            stream: 1,
            metadata: b"",
            parts: true,
        },
        "STATUS of stream 1 whose head came in parts" => Frame::Status {
            stream: 1,
            head: StatusHead {
                code: 5,
                text: "no",
                parts: true,
                ..StatusHead::default()
            },
            body: Body::Absent,
        },
        "STATUS of stream 1" => Frame::Status {
            stream: 1,
            head: StatusHead {
                code: 5,
                trailers: KV,
                text: "no key",
                details: &[8, 5],
                ..StatusHead::default()
            },
            body: Body::Absent,
        },
        "STATUS of stream 2" => Frame::Status {
            stream: 2,
            head: StatusHead {
                code: 14,
                refused: true,
                ..StatusHead::default()
            },
            body: Body::Absent,
        },
        "CANCEL of stream 1" => Frame::Cancel { stream: 1 },
        "CREDIT of the opener of stream 1" => Frame::Credit {
            stream: 1,
            opener: true,
            amount: 65_536,
        },
        "CREDIT for the connection" => Frame::ConnectionCredit { amount: 1 << 20 },
        "GRANT of the opener of stream 1" => Frame::Grant {
            stream: 1,
            opener: true,
        },
        "CHUNK of the acceptor of stream 1" => Frame::Chunk {
            stream: 1,
            opener: false,
            end: false,
            data: &[0xde, 0xad],
        },
        "PING" => Frame::Ping {
            content: [1, 2, 3, 4, 5, 6, 7, 8],
        },
        "PONG" => Frame::Pong {
            content: [1, 2, 3, 4, 5, 6, 7, 8],
        },
        "GOAWAY" => Frame::GoAway { text: "bye" },
        "CLOSE" => Frame::Close {
            code: 0,
            text: "bye",
        },
        "NAMES" => Frame::Names {
            names: b"\x02kv\x07counter",
        },
        "skippable frame of an unknown type" => Frame::Ignored { kind: 0xf0 },
        other => panic!("an example this test does not know: {other}"),
    }
}

#[test]
fn the_examples_of_the_document_are_what_the_codec_does() {
    let examples = examples();
    assert_eq!(examples.len(), 28, "all examples are found");
    for (caption, bytes) in examples {
        if caption.starts_with("preface") {
            let preface = Preface {
                settings: Settings::LEAST,
                names: caption.ends_with("announces names"),
            };
            let mut encoded = Vec::new();
            preface.encode(&mut encoded);
            assert_eq!(encoded, bytes, "{caption}");
            let decoded = Preface::decode(&bytes).expect("valid");
            assert_eq!(decoded, Some((preface, bytes.len())));
            continue;
        }
        let frame = meaning(caption);
        let (header, payload) = bytes.split_first_chunk::<HEADER_LEN>().expect("a header");
        let header = Header::decode(*header);
        assert_eq!(header.len as usize, payload.len(), "{caption}");
        assert_eq!(
            Frame::decode(header, payload).as_ref(),
            Ok(&frame),
            "{caption}"
        );
        // What is skipped is never sent.
        if !matches!(frame, Frame::Ignored { .. }) {
            let mut encoded = Vec::new();
            frame.encode(&mut encoded);
            assert_eq!(encoded, bytes, "{caption}");
        }
    }
}

#[test]
fn every_type_of_the_document_is_known_and_no_other() {
    use outboard_transport_stdio::wire::frame::Kind;
    let listed: Vec<u8> = DOCUMENT
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            // The table of types has five columns, those of bits three.
            (rest.matches(" |").count() == 4).then(|| u8::from_str_radix(number, 16))
        })
        .map(|number| number.expect("hex"))
        .collect();
    let known: Vec<u8> = (0..=u8::MAX)
        .filter(|number| Kind::from_number(*number).is_some())
        .collect();
    assert_eq!(listed, known);
}

fn new() -> Mux {
    let config = MuxConfig {
        settings: Settings::LEAST,
        ..MuxConfig::default()
    };
    Mux::new(config, Instant::now())
}

fn transmitted(mux: &mut Mux) -> Vec<u8> {
    let mut out = OutBuf::default();
    mux.transmit(&mut out);
    let mut slices = [IoSlice::new(&[]); 8];
    let used = out.slices(&mut slices);
    slices.iter().take(used).flat_map(|s| s.to_vec()).collect()
}

fn kv() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("k", "v").expect("valid");
    metadata
}

/// The call that the peer has just made.
fn opened(mux: &mut Mux) -> Key {
    while let Some(event) = mux.poll_event() {
        if let Event::Opened(key, _) = event {
            return key;
        }
    }
    panic!("no call came");
}

fn take(mux: &mut Mux, key: Key, expected: &'static [u8]) {
    let expected = Taken::Message(Bytes::from_static(expected));
    assert_eq!(mux.take_message(key), expected);
}

fn send(mux: &mut Mux, key: Key, message: &[u8]) {
    mux.send(key, OutMessage::copy_from(message)).expect("open");
}

fn open(mux: &mut Mux, path: &'static str, channel: u32, metadata: &Metadata) -> Key {
    let start = CallStart {
        path: path.into(),
        channel,
        timeout: (!metadata.is_empty()).then_some(Duration::from_secs(1)),
        metadata,
        urgent: false,
    };
    mux.open(start, None, false).expect("open")
}

/// Each side of the recorded session does what its caption says and must send just those bytes,
/// though all that it ever receives are the recorded ones of the other side.
#[test]
fn the_recorded_session_is_what_both_sides_do() {
    let (mut host, mut plugin) = (new(), new());
    let mut recorded = captioned("recorded: ").into_iter();
    let mut check = |from: &mut Mux, to: &mut Mux, expected: &str| {
        let (caption, bytes) = recorded.next().expect("another step");
        assert_eq!(caption, expected);
        let sent = transmitted(from);
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|b| format!("{b:02x} "))
                .collect::<String>()
        };
        assert_eq!(hex(&sent), hex(&bytes), "{caption}");
        to.receive(&bytes).expect("valid");
    };

    let get = |host: &mut Mux| {
        let request = OutMessage::copy_from(b"\x0a\x05hello");
        host.call("/proto.KV/Get", request).expect("open")
    };
    let first = get(&mut host);
    check(
        &mut host,
        &mut plugin,
        "host: its preface, and a unary call",
    );
    let key = opened(&mut plugin);
    take(&mut plugin, key, b"\x0a\x05hello");
    send(&mut plugin, key, b"\x0a\x05world");
    plugin.finish(key, &Metadata::new()).expect("fits");
    check(
        &mut plugin,
        &mut host,
        "plugin: its preface, and the answer",
    );
    let answer = host.take_answer(first).expect("complete");
    assert_eq!(answer, Ok(Bytes::from_static(b"\x0a\x05world")));

    let second = get(&mut host);
    check(
        &mut host,
        &mut plugin,
        "host: the call again, on the same stream",
    );
    let key = opened(&mut plugin);
    plugin.fail(key, &Status::not_found("no key"));
    check(&mut plugin, &mut host, "plugin: an error");
    let answer = host.take_answer(second).expect("complete");
    assert_eq!(answer, Err(Status::not_found("no key")));

    let stream = open(&mut host, "/a.B/C", 0, &kv());
    check(
        &mut host,
        &mut plugin,
        "host: a call with metadata and a time limit, and no message yet",
    );
    let key = opened(&mut plugin);
    plugin.headers(key, &kv()).expect("fits");
    check(&mut plugin, &mut host, "plugin: headers before any message");
    assert_eq!(host.headers_of(stream), Some(&kv()));
    send(&mut host, stream, b"abc");
    send(&mut host, stream, b"");
    host.end(stream);
    check(
        &mut host,
        &mut plugin,
        "host: two messages, the second empty and the last",
    );
    take(&mut plugin, key, b"abc");
    take(&mut plugin, key, b"");
    assert_eq!(plugin.take_message(key), Taken::End);
    send(&mut plugin, key, b"one");
    send(&mut plugin, key, b"two");
    plugin.finish(key, &kv()).expect("fits");
    check(
        &mut plugin,
        &mut host,
        "plugin: two messages, the second with the status and trailers",
    );
    take(&mut host, stream, b"one");
    take(&mut host, stream, b"two");
    assert_eq!(host.result(stream), Some(&Ok(kv())));
    host.release(stream);

    let given_up = open(&mut host, "/a.B/C", 0, &Metadata::new());
    check(
        &mut host,
        &mut plugin,
        "host: another call of the same method",
    );
    let key = opened(&mut plugin);
    let back = open(&mut plugin, "/x.Y/Z", 7, &Metadata::new());
    send(&mut plugin, back, b"back");
    plugin.end(back);
    check(
        &mut plugin,
        &mut host,
        "plugin: a call of its own, on channel 7",
    );
    let served = opened(&mut host);
    take(&mut host, served, b"back");
    host.refuse(served, &Status::unavailable("no channel 7"));
    host.release(given_up);
    check(
        &mut host,
        &mut plugin,
        "host: gives its call up, and refuses the other",
    );
    assert!(plugin.result(back).expect("refused").is_err());
    plugin.release(back);
    assert!(std::iter::from_fn(|| plugin.poll_event()).any(|e| e == Event::Cancelled(key)));
    check(
        &mut plugin,
        &mut host,
        "plugin: the status of the call that was given up",
    );

    host.go_away("bye");
    host.close(close::ORDERLY, "drained");
    check(&mut host, &mut plugin, "host: goes away and closes");
    let expected = [
        Event::GoAway("bye".into()),
        Event::Closed(0, "drained".into()),
    ];
    let events: Vec<_> = std::iter::from_fn(|| plugin.poll_event()).collect();
    assert!(events.ends_with(&expected), "{events:?}");
    assert_eq!(recorded.next(), None);
    for side in [&host, &plugin] {
        assert_eq!(
            (side.live_ours(), side.live_theirs(), side.buffered()),
            (0, 0, 0)
        );
    }
}
