//! Frames that are wrong by themselves.

use super::*;

pub(super) fn malformed() -> Vec<Case> {
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
        ("unknown parts of OPEN", raw(1, 0, 1, &[0x08, 0, 0]), |v| {
            *v == V::UnknownBits {
                kind: 1,
                bits: 0x08,
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
        ("a path that is none", raw(1, 0, 1, b"\0\x01\0\xff"), |v| {
            *v == V::NotText { kind: 1 }
        }),
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
