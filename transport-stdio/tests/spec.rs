//! Every hex example of `docs/stdio-protocol.md` against the codec, both ways.

use outboard_transport_stdio::wire::Settings;
use outboard_transport_stdio::wire::frame::{
    Body, Frame, HEADER_LEN, Header, OpenHead, StatusHead,
};

const DOCUMENT: &str = include_str!("../../docs/stdio-protocol.md");

/// The examples by their captions.
fn examples() -> Vec<(&'static str, Vec<u8>)> {
    let mut examples = Vec::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        let Some(caption) = line.strip_prefix("example: ") else {
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
        examples.push((caption, bytes));
    }
    examples
}

fn meaning(caption: &str) -> Frame<'static> {
    const KV: &[u8] = b"\x01k\x01\x00v";
    let get = |path| Frame::Open {
        stream: 0,
        end: true,
        head: OpenHead {
            path,
            ..OpenHead::default()
        },
        body: Body::Inline(b"\x0a\x05hello"),
    };
    let named = caption.split([':', ',']).next().unwrap_or_default();
    match named {
        "unary request" => get(Some("/proto.KV/Get")),
        "its response" => Frame::Status {
            stream: 0,
            head: StatusHead::default(),
            body: Body::Inline(b"\x0a\x05world"),
        },
        "the next call of the method" => get(None),
        "OPEN of stream 1 without a message" => Frame::Open {
            stream: 1,
            end: false,
            head: OpenHead {
                method: 1,
                path: Some("/a.B/C"),
                channel: 7,
                timeout: Some(1_000_000_000),
                metadata: KV,
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
        "skippable frame of an unknown type" => Frame::Ignored { kind: 0xf0 },
        other => panic!("an example this test does not know: {other}"),
    }
}

#[test]
fn the_examples_of_the_document_are_what_the_codec_does() {
    let examples = examples();
    assert_eq!(examples.len(), 22, "all examples are found");
    for (caption, bytes) in examples {
        if caption.starts_with("preface") {
            let mut encoded = Vec::new();
            Settings::LEAST.encode(&mut encoded);
            assert_eq!(encoded, bytes, "{caption}");
            let decoded = Settings::decode(&bytes).expect("valid");
            assert_eq!(decoded, Some((Settings::LEAST, bytes.len())));
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
