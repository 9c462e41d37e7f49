//! Each rule of the document against a peer that breaks it.
#![allow(
    clippy::disallowed_methods,
    reason = "a test's first instant has to come from somewhere"
)]

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::time::Instant;

use outboard_core::rpc::OutMessage;

use super::frame::{Body, Frame, MAX_ENTRIES, OpenHead, StatusHead, UNNUMBERED};
use super::{Mux, MuxConfig, OpenError, OutBuf, PREFACE_LEN, Settings, Violation};

/// A match without a wildcard, so that a violation that is not listed does not compile, and the
/// list, so that one without a case fails.
macro_rules! variants {
    ($($name:ident)*) => {
        fn name(violation: &Violation) -> &'static str {
            match violation {
                $(Violation::$name { .. } => stringify!($name),)*
            }
        }
        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

variants! {
    BadMagic Version BadSettings BadSetting FrameTooLarge UnknownFrame BadFlags UnknownBits
    Truncated TrailingBytes HeadTooLong NotText PathTooLong BadMetadata TooManyEntries
    UnknownMethod BadMethodNumber WrongStream StreamBusy AfterEnd LateHeaders CreditExceeded
    CreditOverflow MessageInMessage ChunkNotGranted ChunkTooLong EmptyChunk EndInMessage
    GrantNotAsked AfterClose EndOfBytes NoParts
}

fn preface() -> Vec<u8> {
    let mut bytes = Vec::new();
    Settings::LEAST.encode(&mut bytes);
    bytes
}

/// A preface whose setting `id` is `value`.
fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut bytes = preface();
    let at = PREFACE_LEN + 6 * (usize::from(id) - 1) + 2;
    bytes
        .get_mut(at..at + 4)
        .expect("in the list")
        .copy_from_slice(&value.to_le_bytes());
    bytes
}

/// A preface with this length of settings.
fn settings_len(len: u16) -> Vec<u8> {
    let [l0, l1] = len.to_le_bytes();
    let mut bytes = preface();
    bytes.truncate(PREFACE_LEN - 2);
    bytes.extend([l0, l1]);
    bytes
}

fn bytes(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

/// A frame with any payload.
fn raw(kind: u8, stream: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [l0, l1, l2, _] = u32::try_from(payload.len()).expect("short").to_le_bytes();
    [&[l0, l1, l2, kind, stream, 0, 0, flags], payload].concat()
}

fn head(path: &str) -> OpenHead<'_> {
    OpenHead {
        method: UNNUMBERED,
        path: Some(path),
        ..OpenHead::default()
    }
}

fn open<'a>(stream: u32, end: bool, body: Body<'a>) -> Frame<'a> {
    open_with(stream, end, head("/a/B"), body)
}

fn open_with<'a>(stream: u32, end: bool, head: OpenHead<'a>, body: Body<'a>) -> Frame<'a> {
    Frame::Open {
        stream,
        end,
        head,
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

fn chunk(stream: u32, end: bool, data: &[u8]) -> Frame<'_> {
    Frame::Chunk {
        stream,
        opener: true,
        end,
        data,
    }
}

fn status(stream: u32) -> Frame<'static> {
    Frame::Status {
        stream,
        head: StatusHead::default(),
        body: Body::Absent,
    }
}

fn headers(stream: u32, metadata: &[u8]) -> Frame<'_> {
    Frame::Headers {
        stream,
        metadata,
        parts: false,
    }
}

fn call(mux: &mut Mux) -> Result<super::Key, OpenError> {
    mux.call("/a/B", OutMessage::copy_from(b"hi"))
}

fn transmitted(mux: &mut Mux) -> Vec<u8> {
    let mut out = OutBuf::default();
    mux.transmit(&mut out);
    let mut slices = [IoSlice::new(&[]); 8];
    let used = out.slices(&mut slices);
    slices.iter().take(used).flat_map(|s| s.to_vec()).collect()
}

/// A machine with one call of its own, stream 0, before it has the peer's preface.
fn fresh() -> Mux {
    let mut mux = Mux::new(MuxConfig::default(), Instant::now());
    call(&mut mux).expect("open");
    transmitted(&mut mux);
    mux
}

/// What a case is called, what the peer sends, and what this side makes of it.
type Case = (&'static str, Vec<u8>, fn(&Violation) -> bool);

/// In place of a preface.
fn prefaces() -> Vec<Case> {
    use Violation as V;
    let mut version_2 = preface();
    if let Some(major) = version_2.get_mut(8) {
        *major = 2;
    }
    vec![
        (
            "rubbish",
            b"hello".to_vec(),
            |v| matches!(v, V::BadMagic { found } if found == b"hello"),
        ),
        ("another version", version_2, |v| {
            *v == V::Version { major: 2 }
        }),
        ("half a setting", settings_len(33), |v| {
            *v == V::BadSettings { len: 33 }
        }),
        ("too many settings", settings_len(606), |v| {
            *v == V::BadSettings { len: 606 }
        }),
        ("too short a frame", setting(1, 16_383), |v| {
            matches!(v, V::BadSetting { id: 1, .. })
        }),
        ("too long a frame", setting(1, 1 << 24), |v| {
            matches!(v, V::BadSetting { id: 1, .. })
        }),
        ("a window of a stream too small", setting(2, 65_535), |v| {
            matches!(v, V::BadSetting { id: 2, .. })
        }),
        (
            "a window for half a frame",
            setting(1, 65_536),
            |v| matches!(v, V::BadSetting { id: 2, least, .. } if *least == 2 * (65_536 + 64)),
        ),
        (
            "a connection smaller than a stream",
            setting(2, 65_537),
            |v| {
                matches!(
                    v,
                    V::BadSetting {
                        id: 3,
                        least: 65_537,
                        ..
                    }
                )
            },
        ),
        ("too few streams", setting(4, 15), |v| {
            matches!(v, V::BadSetting { id: 4, .. })
        }),
        ("too many methods", setting(5, 4_097), |v| {
            matches!(v, V::BadSetting { id: 5, .. })
        }),
        ("too long a message", setting(6, 1 << 31), |v| {
            matches!(v, V::BadSetting { id: 6, .. })
        }),
    ]
}

/// Frames that are wrong by themselves.
fn malformed() -> Vec<Case> {
    use Violation as V;
    let long = "x".repeat(1_025);
    let block = vec![b'x'; 16_001];
    let long_text = String::from_utf8_lossy(&block);
    vec![
        ("an unknown type", raw(0x7f, 0, 0, b""), |v| {
            *v == V::UnknownFrame { kind: 0x7f }
        }),
        ("unknown flags", raw(4, 0, 0x81, b""), |v| {
            *v == V::BadFlags {
                kind: 4,
                flags: 0x81,
            }
        }),
        ("flags of other types", raw(0x20, 0, 1, &[0; 8]), |v| {
            *v == V::BadFlags {
                kind: 0x20,
                flags: 1,
            }
        }),
        ("an end of the acceptor", raw(4, 0, 0, b""), |v| {
            *v == V::BadFlags { kind: 4, flags: 0 }
        }),
        ("a message without a message", raw(2, 0, 1, b""), |v| {
            *v == V::BadFlags { kind: 2, flags: 1 }
        }),
        (
            "two kinds of message",
            raw(2, 0, 0x0d, &[1, 0, 0, 0]),
            |v| {
                *v == V::BadFlags {
                    kind: 2,
                    flags: 0x0d,
                }
            },
        ),
        (
            "the end before chunks",
            raw(2, 0, 0x0b, &[1, 0, 0, 0]),
            |v| {
                *v == V::BadFlags {
                    kind: 2,
                    flags: 0x0b,
                }
            },
        ),
        ("an error with a message", raw(6, 0, 4, &[0, 5]), |v| {
            *v == V::BadFlags { kind: 6, flags: 4 }
        }),
        ("unknown parts of OPEN", raw(1, 0, 1, &[0x10, 0, 0]), |v| {
            *v == V::UnknownBits {
                kind: 1,
                bits: 0x10,
            }
        }),
        ("unknown parts of STATUS", raw(6, 0, 0, &[0x20, 0]), |v| {
            *v == V::UnknownBits {
                kind: 6,
                bits: 0x20,
            }
        }),
        ("too large a frame", vec![1, 0, 2, 2, 0, 0, 0, 5], |v| {
            matches!(v, V::FrameTooLarge { len: 131_073, .. })
        }),
        ("a short payload", raw(0x24, 0, 0, &[1, 2, 3]), |v| {
            matches!(v, V::Truncated { missing: 1, .. })
        }),
        ("a long payload", raw(0x24, 0, 0, &[1, 2, 3, 4, 5]), |v| {
            matches!(v, V::TrailingBytes { extra: 1, .. })
        }),
        ("a head with a long tail", raw(6, 0, 0, &[0, 0, 7]), |v| {
            matches!(v, V::TrailingBytes { kind: 6, extra: 1 })
        }),
        (
            "a connection's frame on a stream",
            raw(0x20, 7, 0, &[0; 8]),
            |v| {
                matches!(
                    v,
                    V::WrongStream {
                        kind: 0x20,
                        stream: 7
                    }
                )
            },
        ),
        ("too long headers", bytes(&[headers(0, &block)]), |v| {
            matches!(
                v,
                V::HeadTooLong {
                    kind: 5,
                    len: 16_001,
                    most: 16_000
                }
            )
        }),
        (
            "too long a head of OPEN",
            bytes(&[open_with(
                0,
                false,
                OpenHead {
                    metadata: &block,
                    ..head("/a/B")
                },
                Body::Absent,
            )]),
            |v| matches!(v, V::HeadTooLong { kind: 1, .. }),
        ),
        (
            "too long a head of STATUS",
            bytes(&[Frame::Status {
                stream: 0,
                head: StatusHead {
                    text: &long_text,
                    ..StatusHead::default()
                },
                body: Body::Absent,
            }]),
            |v| matches!(v, V::HeadTooLong { kind: 6, .. }),
        ),
        (
            "too long a farewell",
            bytes(&[Frame::GoAway { text: &long_text }]),
            |v| matches!(v, V::HeadTooLong { kind: 0x22, .. }),
        ),
        ("a text that is none", raw(0x22, 0, 0, b"\xff"), |v| {
            *v == V::NotText { kind: 0x22 }
        }),
        (
            "a path that is none",
            raw(1, 0, 1, b"\x01\xff\xff\x01\0\xff"),
            |v| *v == V::NotText { kind: 1 },
        ),
        (
            "too long a path",
            bytes(&[open_with(0, false, head(&long), Body::Absent)]),
            |v| *v == V::PathTooLong { len: 1_025 },
        ),
        (
            "half an entry",
            bytes(&[headers(0, b"\x01a\x05\0v")]),
            |v| *v == V::BadMetadata,
        ),
        (
            "too many entries",
            bytes(&[headers(0, &b"\x01a\0\0".repeat(MAX_ENTRIES + 1))]),
            |v| *v == V::TooManyEntries { most: MAX_ENTRIES },
        ),
        ("an empty chunk", raw(3, 0, 1, b""), |v| {
            *v == V::EmptyChunk { stream: 0 }
        }),
    ]
}

/// Heads in parts that are wrong.
fn parts() -> Vec<Case> {
    use Violation as V;
    let part = |stream, opener, first, data| Frame::Part {
        stream,
        opener,
        first,
        data,
    };
    let piece = vec![0; 100_000];
    let long = std::iter::once(part(0, true, true, &piece))
        .chain((0..21).map(|_| part(0, true, false, &piece)));
    let in_parts = |stream| {
        let head = OpenHead {
            parts: true,
            ..head("/a/B")
        };
        open_with(stream, true, head, Body::Absent)
    };
    vec![
        ("an empty part", raw(0x0a, 0, 0x11, b""), |v| {
            *v == V::EmptyChunk { stream: 0 }
        }),
        (
            "a part without a first",
            bytes(&[part(0, true, false, b"x")]),
            |v| {
                *v == V::NoParts {
                    kind: 0x0a,
                    stream: 0,
                }
            },
        ),
        ("a head that is not there", bytes(&[in_parts(0)]), |v| {
            *v == V::NoParts { kind: 1, stream: 0 }
        }),
        (
            "the head of another stream",
            bytes(&[part(0, true, true, b"x"), in_parts(1)]),
            |v| *v == V::NoParts { kind: 1, stream: 1 },
        ),
        (
            "a head that a frame without it has dropped",
            bytes(&[
                part(0, true, true, b"x"),
                open(0, true, Body::Absent),
                Frame::Cancel { stream: 0 },
                part(1, true, false, b"x"),
            ]),
            |v| {
                *v == V::NoParts {
                    kind: 0x0a,
                    stream: 1,
                }
            },
        ),
        (
            "too long a head in parts",
            bytes(&long.collect::<Vec<_>>()),
            |v| matches!(v, V::HeadTooLong { kind: 0x0a, .. }),
        ),
        (
            "a part of an open stream's opener",
            bytes(&[open(0, false, Body::Absent), part(0, true, true, b"x")]),
            |v| *v == V::StreamBusy { stream: 0 },
        ),
        (
            "a part for too high a stream",
            bytes(&[part(4_096, true, true, b"x")]),
            |v| matches!(v, V::WrongStream { stream: 4_096, .. }),
        ),
        (
            "a part for a stream that nobody opened",
            bytes(&[part(9, false, true, b"x")]),
            |v| matches!(v, V::WrongStream { stream: 9, .. }),
        ),
        (
            "a list that is malformed in parts",
            bytes(&[part(0, true, true, b"\x01a\x05\0v"), in_parts(0)]),
            |v| *v == V::BadMetadata,
        ),
    ]
}

/// Frames that are wrong when they come.
fn out_of_order() -> Vec<Case> {
    use Violation as V;
    let inline = Body::Inline(b"x");
    let big = vec![0; 60_000];
    let big = Body::Inline(&big);
    let first = open(0, false, inline);
    let numbered = |stream, method| {
        let head = OpenHead {
            method,
            ..head("/a/B")
        };
        open_with(stream, true, head, Body::Absent)
    };
    let then = |frame, times| std::iter::once(first).chain((0..times).map(move |_| frame));
    let then = |frame, times| bytes(&then(frame, times).collect::<Vec<_>>());
    vec![
        ("busy", bytes(&[first, first]), |v| {
            *v == V::StreamBusy { stream: 0 }
        }),
        (
            "too high a stream",
            bytes(&[open(4_096, false, inline)]),
            |v| matches!(v, V::WrongStream { stream: 4_096, .. }),
        ),
        ("a status for nobody", bytes(&[status(5)]), |v| {
            matches!(v, V::WrongStream { .. })
        }),
        (
            "a message for nobody",
            bytes(&[message(0, false, inline)]),
            |v| matches!(v, V::WrongStream { .. }),
        ),
        (
            "after the status",
            bytes(&[status(0), headers(0, b"")]),
            |v| matches!(v, V::AfterEnd { .. } | V::WrongStream { .. }),
        ),
        (
            "after the end",
            bytes(&[open(0, true, inline), message(0, false, inline)]),
            |v| matches!(v, V::AfterEnd { kind: 2, stream: 0 }),
        ),
        (
            "credit of the stream",
            then(message(0, false, big), 9),
            |v| {
                matches!(
                    v,
                    V::CreditExceeded {
                        scope: "of the stream",
                        ..
                    }
                )
            },
        ),
        (
            "credit of the connection",
            bytes(
                &(0..400)
                    .flat_map(|s| [open(s, false, inline), message(s, false, big)])
                    .collect::<Vec<_>>(),
            ),
            |v| {
                matches!(
                    v,
                    V::CreditExceeded {
                        scope: "of the connection",
                        ..
                    }
                )
            },
        ),
        (
            "even empty messages cost",
            then(message(0, false, Body::Inline(b"")), 8_192),
            |v| matches!(v, V::CreditExceeded { cost: 64, .. }),
        ),
        (
            "credit without end for the connection",
            bytes(&[Frame::ConnectionCredit {
                amount: i32::MAX as u32,
            }]),
            |v| *v == V::CreditOverflow { stream: 0 },
        ),
        (
            "credit without end for a stream",
            bytes(&[Frame::Credit {
                stream: 0,
                opener: false,
                amount: u32::MAX,
            }]),
            |v| *v == V::CreditOverflow { stream: 0 },
        ),
        (
            "second headers",
            bytes(&[headers(0, b""), headers(0, b"")]),
            |v| *v == V::LateHeaders { stream: 0 },
        ),
        (
            "headers after a message",
            bytes(&[
                Frame::Message {
                    stream: 0,
                    opener: false,
                    end: false,
                    body: inline,
                },
                headers(0, b""),
            ]),
            |v| *v == V::LateHeaders { stream: 0 },
        ),
        (
            "a chunk not announced",
            then(chunk(0, false, b"x"), 1),
            |v| matches!(v, V::ChunkNotGranted { .. }),
        ),
        (
            "more than announced",
            bytes(&[open(0, false, Body::Large(2)), chunk(0, false, b"abc")]),
            |v| {
                matches!(
                    v,
                    V::ChunkTooLong {
                        len: 3,
                        left: 2,
                        ..
                    }
                )
            },
        ),
        (
            "a message in a message",
            bytes(&[open(0, false, Body::Large(2)), message(0, false, inline)]),
            |v| matches!(v, V::MessageInMessage { .. }),
        ),
        (
            "the end in a message",
            bytes(&[open(0, false, Body::Large(2)), Frame::End { stream: 0 }]),
            |v| matches!(v, V::EndInMessage { .. }),
        ),
        (
            "success in a message",
            bytes(&[
                Frame::Message {
                    stream: 0,
                    opener: false,
                    end: false,
                    body: Body::Large(2),
                },
                status(0),
            ]),
            |v| matches!(v, V::EndInMessage { .. }),
        ),
        (
            "an announcement of nothing",
            bytes(&[open(0, false, Body::Large(0))]),
            |v| matches!(v, V::EmptyChunk { .. }),
        ),
        (
            "a grant not asked for",
            bytes(&[
                first,
                Frame::Grant {
                    stream: 0,
                    opener: true,
                },
            ]),
            |v| *v == V::GrantNotAsked { stream: 0 },
        ),
        (
            "a method without a name",
            bytes(&[open_with(0, true, OpenHead::default(), inline)]),
            |v| {
                *v == V::UnknownMethod {
                    method: 0,
                    known: 0,
                }
            },
        ),
        ("a number out of turn", bytes(&[numbered(0, 1)]), |v| {
            matches!(
                v,
                V::BadMethodNumber {
                    method: 1,
                    next: 0,
                    ..
                }
            )
        }),
        (
            "a number twice",
            bytes(&[numbered(0, 0), numbered(1, 0)]),
            |v| {
                matches!(
                    v,
                    V::BadMethodNumber {
                        method: 0,
                        next: 1,
                        ..
                    }
                )
            },
        ),
        (
            "frames after the last",
            bytes(&[
                Frame::Close { code: 0, text: "" },
                Frame::Ping { content: [0; 8] },
            ]),
            |v| *v == V::AfterClose { kind: 0x20 },
        ),
    ]
}

#[test]
fn each_rule_of_the_document_has_its_violation() {
    let mut seen = BTreeSet::new();
    let started = || {
        let mut mux = fresh();
        mux.receive(&preface()).expect("valid");
        mux
    };
    let frames = malformed().into_iter().chain(out_of_order()).chain(parts());
    let cases = (prefaces().into_iter().map(|case| (fresh(), case)))
        .chain(frames.map(|case| (started(), case)));
    for (mut mux, (what, bytes, is_expected)) in cases {
        let violation = mux.receive(&bytes).expect_err(what);
        assert!(is_expected(&violation), "{what}: {violation:?}");
        // It sticks, and the peer is told.
        assert_eq!(mux.receive(&[0]), Err(violation.clone()));
        let told = transmitted(&mut mux);
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains(&violation.to_string()), "{what}: {told}");
        assert_eq!(call(&mut mux), Err(OpenError::Closed));
        seen.insert(name(&violation));
    }
    // The bytes may end anywhere: only between frames it is no violation.
    let frame = bytes(&[Frame::Ping { content: [0; 8] }]);
    let all = [preface(), frame].concat();
    for end in 1..all.len() {
        let mut mux = fresh();
        let bytes = all.get(..end).expect("in range");
        mux.receive(bytes).expect("valid so far");
        let expected = if end == preface().len() {
            Ok(())
        } else {
            Err(Violation::EndOfBytes)
        };
        assert_eq!(mux.end_of_bytes(), expected, "{end}");
        seen.extend(expected.as_ref().err().map(name));
    }
    let missing: Vec<_> = ALL.iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "violations without a case: {missing:?}");
}
