//! Frames that are wrong when they come.

use super::*;

pub(super) fn out_of_order() -> Vec<Case> {
    use Violation as V;
    let inline = Body::Inline(b"x");
    let big = vec![0; 60_000];
    let big = Body::Inline(&big);
    let first = open(0, false, inline);
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
            "frames after the last",
            bytes(&[
                Frame::Close { code: 0, text: "" },
                Frame::Ping { content: [0; 8] },
            ]),
            |v| *v == V::AfterClose { kind: 0x20 },
        ),
    ]
}
