//! What go-plugin's own host and plugin said to each other, byte for byte: either side of it can be this
//! machine.

mod support;

use std::time::Instant;

use outboard_yamux::machine::{Handle, Machine};
use outboard_yamux::{Role, SessionError};

use self::support::{give, machine, open, read, sent, write};

/// Hexadecimal digits with spaces.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit") as u8;
    let byte = |pair: &[u8]| digit(pair[0]) << 4 | digit(pair[1]);
    assert_eq!(digits.len() % 2, 0);
    digits.chunks(2).map(byte).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Open,
    Accept,
    Data(&'static str),
    Fin,
}

/// Whether the host does it, what, on which stream, and the frame's header.
const TRANSCRIPT: &[(bool, Does, u32, &str)] = {
    use Does::{Accept, Data, Fin, Open};
    &[
        (true, Open, 1, "00 01 0001 00000001 00000000"),
        (true, Open, 3, "00 01 0001 00000003 00000000"),
        (true, Open, 5, "00 01 0001 00000005 00000000"),
        (false, Accept, 1, "00 01 0002 00000001 00000000"),
        (false, Accept, 3, "00 01 0002 00000003 00000000"),
        (false, Accept, 5, "00 01 0002 00000005 00000000"),
        (
            true,
            Data(
                "2e 7f 03 01 01 07 52 65 71 75 65 73 74 01 ff 80 00 01 02 01 0d 53 65 72 76 69 63 65 4d \
                 65 74 68 6f 64 01 0c 00 01 03 53 65 71 01 06 00 00 00 17 ff 80 01 12 44 69 73 70 65 6e \
                 73 65 72 2e 44 69 73 70 65 6e 73 65 00 0a 0c 00 07 67 72 65 65 74 65 72",
            ),
            1,
            "00 00 0000 00000001 00000052",
        ),
        (
            false,
            Data(
                "3a ff 81 03 01 01 08 52 65 73 70 6f 6e 73 65 01 ff 82 00 01 03 01 0d 53 65 72 76 69 63 \
                 65 4d 65 74 68 6f 64 01 0c 00 01 03 53 65 71 01 06 00 01 05 45 72 72 6f 72 01 0c 00 00 \
                 00 17 ff 82 01 12 44 69 73 70 65 6e 73 65 72 2e 44 69 73 70 65 6e 73 65 00 03 06 00 01",
            ),
            1,
            "00 00 0000 00000001 00000057",
        ),
        (true, Open, 7, "00 01 0001 00000007 00000000"),
        (true, Data("01 00 00 00"), 7, "00 00 0000 00000007 00000004"),
        (false, Accept, 7, "00 01 0002 00000007 00000000"),
        (
            false,
            Data("01 00 00 00"),
            7,
            "00 00 0000 00000007 00000004",
        ),
        (
            true,
            Data(
                "2e 7f 03 01 01 07 52 65 71 75 65 73 74 01 ff 80 00 01 02 01 0d 53 65 72 76 69 63 65 4d \
                 65 74 68 6f 64 01 0c 00 01 03 53 65 71 01 06 00 00 00 11 ff 80 01 0c 50 6c 75 67 69 6e \
                 2e 47 72 65 65 74 00 03 10 00 00",
            ),
            7,
            "00 00 0000 00000007 00000045",
        ),
        (
            false,
            Data(
                "3a ff 81 03 01 01 08 52 65 73 70 6f 6e 73 65 01 ff 82 00 01 03 01 0d 53 65 72 76 69 63 \
                 65 4d 65 74 68 6f 64 01 0c 00 01 03 53 65 71 01 06 00 01 05 45 72 72 6f 72 01 0c 00 00 \
                 00 11 ff 82 01 0c 50 6c 75 67 69 6e 2e 47 72 65 65 74 00 09 0c 00 06 48 65 6c 6c 6f 21",
            ),
            7,
            "00 00 0000 00000007 00000057",
        ),
        (
            true,
            Data("13 ff 80 01 0c 43 6f 6e 74 72 6f 6c 2e 51 75 69 74 01 01 00 03 02 00 01"),
            1,
            "00 00 0000 00000001 00000018",
        ),
        (
            false,
            Data(
                "13 ff 82 01 0c 43 6f 6e 74 72 6f 6c 2e 51 75 69 74 01 01 00 0a ff 83 03 01 02 ff 84 00 \
                 00 00 03 ff 84 00",
            ),
            1,
            "00 00 0000 00000001 00000023",
        ),
        (true, Fin, 1, "00 01 0004 00000001 00000000"),
        (true, Fin, 3, "00 01 0004 00000003 00000000"),
        (true, Fin, 5, "00 01 0004 00000005 00000000"),
    ]
};

/// Plays one side, and has the other's bytes come in pieces of `cut`.
fn play(host: bool, cut: usize) {
    let now = Instant::now();
    let role = if host { Role::Client } else { Role::Server };
    let mut ours: Machine = machine(role, now);
    let mut streams: Vec<(u32, Handle)> = Vec::new();
    let find = |streams: &[(u32, Handle)], id| {
        let found = streams.iter().find(|(other, _)| *other == id);
        found.expect("it is open").1
    };
    let mut expected: Vec<(u32, Vec<u8>)> = Vec::new();
    let check = |ours: &mut Machine, streams: &[(u32, Handle)], expected: &mut Vec<_>| {
        expected.retain(|(id, payload)| {
            let taken = streams.iter().find(|(other, _)| other == id);
            if let Some((_, handle)) = taken {
                assert_eq!(read(ours, now, *handle), *payload);
            }
            taken.is_none()
        });
    };
    for (hosts, does, id, header) in TRANSCRIPT {
        let mut frame = hex(header);
        if let Does::Data(payload) = does {
            frame.extend(hex(payload));
        }
        if *hosts != host {
            for piece in frame.chunks(cut) {
                give(&mut ours, now, piece.to_vec());
            }
            if let Does::Data(payload) = does {
                // What comes before a stream is accepted waits.
                expected.push((*id, hex(payload)));
            }
            check(&mut ours, &streams, &mut expected);
            continue;
        }
        match does {
            Does::Open => {
                let (handle, number) = open(&mut ours, now);
                assert_eq!(number, *id);
                streams.push((number, handle));
            }
            Does::Accept => {
                let (handle, number) = ours.accept(now).expect("a stream");
                assert_eq!(number, *id);
                streams.push((number, handle));
                check(&mut ours, &streams, &mut expected);
            }
            Does::Data(payload) => {
                let payload = hex(payload);
                let handle = find(&streams, *id);
                assert_eq!(write(&mut ours, now, handle, &payload), payload.len());
            }
            Does::Fin => ours.finish(now, find(&streams, *id)),
        }
        assert_eq!(sent(&mut ours, now), frame, "{does:?} {id}");
    }
    assert!(expected.is_empty());
    if host {
        ours.end(SessionError::ended("enough"));
        assert_eq!(ours.pending(), 0, "no go-away");
    } else {
        ours.handle_end();
        let whole = matches!(
            ours.ended(),
            Some(SessionError::Closed {
                within_frame: false
            })
        );
        assert!(whole, "{:?}", ours.ended());
    }
}

#[test]
fn the_host_says_what_gos_says() {
    for cut in [1, 5, 12, 13, 1_000] {
        play(true, cut);
    }
}

#[test]
fn the_plugin_says_what_gos_says() {
    for cut in [1, 5, 12, 13, 1_000] {
        play(false, cut);
    }
}
