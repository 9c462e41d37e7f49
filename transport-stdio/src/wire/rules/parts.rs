//! Heads in parts that are wrong.

use super::*;

pub(super) fn parts() -> Vec<Case> {
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
