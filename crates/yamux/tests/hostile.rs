//! Peers that break the rules, and what looks like it and is none.

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_yamux::machine::{Handle, Machine, Read};
use outboard_yamux::{Config, Kind, Role, SessionError, Violation, away, flags};

use self::support::{data, frame, give, headers, machine, open, read, sent};

/// A session with stream 1 of this side, acknowledged, and stream 2 of the peer's, accepted.
fn session(now: Instant) -> (Machine, Handle) {
    let mut machine = machine(Role::Client, now);
    open(&mut machine, now);
    give(
        &mut machine,
        now,
        frame(Kind::WindowUpdate, flags::ACK, 1, 0),
    );
    give(
        &mut machine,
        now,
        frame(Kind::WindowUpdate, flags::SYN, 2, 0),
    );
    let (theirs, _) = machine.accept(now).expect("stream 2");
    sent(&mut machine, now);
    (machine, theirs)
}

#[test]
fn each_violation_ends_the_session_with_a_go_away() {
    use Kind::{Data, WindowUpdate};
    let fin = frame(WindowUpdate, flags::FIN, 2, 0);
    let cases = [
        (
            b"HTTP/1.1 200 OK".to_vec(),
            Violation::Version { version: b'H' },
        ),
        (
            vec![0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Violation::UnknownKind { kind: 4 },
        ),
        (
            frame(WindowUpdate, flags::SYN, 5, 0),
            Violation::WrongParity {
                stream: 5,
                even: true,
            },
        ),
        (
            frame(WindowUpdate, flags::SYN, 0, 0),
            Violation::WrongParity {
                stream: 0,
                even: true,
            },
        ),
        (
            frame(Data, flags::SYN, 2, 0),
            Violation::StreamBusy { stream: 2 },
        ),
        (
            frame(WindowUpdate, 0, 3, 1),
            Violation::NeverOpened { stream: 3 },
        ),
        (
            [fin.clone(), fin].concat(),
            Violation::FinTwice { stream: 2 },
        ),
        (
            [data(flags::FIN, 1, b"x"), data(flags::FIN, 1, b"")].concat(),
            Violation::FinTwice { stream: 1 },
        ),
        (
            // It is not waited for.
            frame(Data, 0, 2, 262_145),
            Violation::WindowExceeded {
                stream: 2,
                len: 262_145,
                left: 262_144,
            },
        ),
        (
            [data(0, 1, &[0; 200_000]), frame(Data, 0, 1, 62_145)].concat(),
            Violation::WindowExceeded {
                stream: 1,
                len: 62_145,
                left: 62_144,
            },
        ),
        (
            frame(WindowUpdate, 0, 1, u32::MAX - 262_143),
            Violation::WindowOverflow { stream: 1 },
        ),
    ];
    for (bytes, expected) in cases {
        let now = Instant::now();
        for cut in [1, 7, usize::MAX] {
            let (mut machine, _) = session(now);
            let pieces = bytes.chunks(cut.min(bytes.len()));
            let mut last = Ok(());
            for piece in pieces {
                if last.is_ok() {
                    last = machine.handle(now, Bytes::copy_from_slice(piece));
                }
            }
            assert_eq!(last, Err(expected.clone()));
            assert!(matches!(
                machine.ended(),
                Some(SessionError::Violation(violation)) if *violation == expected
            ));
            let away = frame(Kind::GoAway, 0, 0, away::PROTOCOL_ERROR);
            assert_eq!(sent(&mut machine, now), away);
            // It is deaf now.
            assert_eq!(machine.handle(now, bytes.clone().into()), Ok(()));
            assert_eq!((machine.pending(), machine.poll_timeout()), (0, None));
        }
    }
}

#[test]
fn what_go_puts_up_with_is_put_up_with() {
    let now = Instant::now();
    let (mut machine, theirs) = session(now);
    let (third, id) = open(&mut machine, now);
    machine.release(now, third);
    sent(&mut machine, now);
    let odd = [
        // For streams that are gone, or never were.
        data(0, id, &[1; 100_000]),
        frame(Kind::WindowUpdate, flags::ACK, id, 0),
        data(flags::FIN, 400, &[1; 300_000]),
        frame(Kind::WindowUpdate, flags::FIN | flags::RST, 400, 9),
        // Flags and numbers without a meaning.
        frame(Kind::Ping, 0xfff0, 9, 1),
        frame(Kind::Ping, flags::ACK, 9, 1),
        data(0xf0f0, 2, b"more "),
        frame(Kind::WindowUpdate, flags::ACK, 2, 0),
        // A program in Go that writes and closes at once.
        data(flags::FIN, 2, b"after"),
        data(0, 2, b"too late"),
    ];
    give(&mut machine, now, odd.concat());
    assert_eq!(machine.pending(), 0);
    assert_eq!(read(&mut machine, now, theirs), b"more after");
}

#[test]
fn go_aways_are_understood() {
    let now = Instant::now();
    let (mut machine, _) = session(now);
    give(&mut machine, now, frame(Kind::GoAway, 0, 0, away::NORMAL));
    assert!(machine.ended().is_none(), "what is open goes on");
    let opened = format!("{:?}", machine.open(now));
    assert!(opened.contains("GoAway(0)"), "{opened}");
    give(&mut machine, now, data(0, 1, b"still here"));
    assert_eq!(machine.buffered(), 10);
    for code in [away::PROTOCOL_ERROR, away::INTERNAL_ERROR, 77] {
        let (mut machine, _) = session(now);
        give(&mut machine, now, frame(Kind::GoAway, 0, 0, code));
        assert!(matches!(machine.ended(), Some(SessionError::GoAway(given)) if *given == code));
        assert_eq!(machine.pending(), 0, "not answered in kind");
    }
}

#[test]
fn streams_that_nobody_takes_are_refused_from_the_257th_on() {
    let now = Instant::now();
    let mut machine = machine(Role::Client, now);
    for number in 1..=300 {
        give(
            &mut machine,
            now,
            frame(Kind::WindowUpdate, flags::SYN, 2 * number, 0),
        );
    }
    let refused = headers(&sent(&mut machine, now));
    assert_eq!(refused.len(), 44);
    assert!(refused.iter().all(|header| header.flags == flags::RST));
    assert_eq!(refused[0].stream, 514);
    assert_eq!(machine.live(), 256);
    // One that is taken makes room for one.
    machine.accept(now).expect("a stream");
    give(
        &mut machine,
        now,
        frame(Kind::WindowUpdate, flags::SYN, 602, 0),
    );
    give(
        &mut machine,
        now,
        frame(Kind::WindowUpdate, flags::SYN, 604, 0),
    );
    let answers = headers(&sent(&mut machine, now));
    assert_eq!(answers.len(), 2);
    assert_eq!(
        (answers[0].flags, answers[1].flags),
        (flags::ACK, flags::RST)
    );
    machine.refuse(now);
    assert_eq!(headers(&sent(&mut machine, now)).len(), 256);
    assert_eq!((machine.live(), machine.kept()), (1, 1));
}

#[test]
fn no_more_streams_than_are_allowed() {
    let now = Instant::now();
    let mut config = Config::new(Role::Server);
    config.max_streams = 3;
    let mut machine = Machine::new(config, now);
    let mut taken = Vec::new();
    for number in 0..5 {
        give(
            &mut machine,
            now,
            frame(Kind::WindowUpdate, flags::SYN, 2 * number + 1, 0),
        );
        taken.extend(machine.accept(now));
    }
    assert_eq!(taken.len(), 3);
    let (handle, _) = taken[0];
    machine.release(now, handle);
    give(
        &mut machine,
        now,
        frame(Kind::WindowUpdate, flags::SYN, 11, 0),
    );
    assert!(machine.accept(now).is_some(), "there is room again");
}

#[test]
fn opening_and_resetting_over_and_over_keeps_no_more_than_the_backlog() {
    let now = Instant::now();
    let mut machine = machine(Role::Client, now);
    let mut refused = 0;
    for number in 1..=20_000 {
        let both = [
            frame(Kind::WindowUpdate, flags::SYN, 2 * number, 0),
            data(0, 2 * number, &[0; 100]),
            frame(Kind::WindowUpdate, flags::RST, 2 * number, 0),
        ];
        give(&mut machine, now, both.concat());
        refused += headers(&sent(&mut machine, now)).len();
        assert!(machine.live() == 0 && machine.kept() <= 256);
    }
    assert_eq!(refused, 20_000 - 256);
    while let Some((handle, _)) = machine.accept(now) {
        machine.release(now, handle);
    }
    assert_eq!((machine.kept(), machine.pending()), (0, 0));
}

#[test]
fn streams_that_were_reset_and_never_taken_go_with_the_others() {
    for by_end in [true, false] {
        let now = Instant::now();
        let mut machine = machine(Role::Client, now);
        for number in 1..=4 {
            let id = 2 * number;
            give(
                &mut machine,
                now,
                frame(Kind::WindowUpdate, flags::SYN, id, 0),
            );
            if number % 2 == 0 {
                give(
                    &mut machine,
                    now,
                    frame(Kind::WindowUpdate, flags::RST, id, 0),
                );
            }
        }
        assert_eq!((machine.live(), machine.kept()), (2, 4));
        if by_end {
            machine.handle_end();
        } else {
            machine.refuse(now);
            let said = headers(&sent(&mut machine, now));
            let refused: Vec<_> = said.iter().map(|header| header.stream).collect();
            assert_eq!(refused, [2, 6], "the others are over");
        }
        assert_eq!((machine.live(), machine.kept()), (0, 0));
        assert!(machine.accept(now).is_none());
    }
}

#[test]
fn a_peer_that_asks_and_does_not_read_ends_the_session() {
    for question in [
        frame(Kind::Ping, flags::SYN, 0, 1),
        // No stream is taken.
        frame(Kind::Data, flags::SYN, 1, 0),
    ] {
        let now = Instant::now();
        let mut config = Config::new(Role::Server);
        config.backlog = 0;
        let mut machine = Machine::new(config, now);
        let mut asked = 0_u64;
        let flood = loop {
            assert!(asked < 100_000, "unbounded");
            match machine.handle(now, question.clone().into()) {
                Ok(()) => asked += 1,
                Err(violation) => break violation,
            }
        };
        assert!(matches!(flood, Violation::Flood { .. }), "{flood}");
        assert!(machine.pending() < 300_000);
        // One that reads may go on for ever.
        let mut machine = Machine::new(config, now);
        for _ in 0..50 {
            give(&mut machine, now, question.repeat(1_000));
            assert_eq!(sent(&mut machine, now).len(), 12_000);
        }
    }
}

#[test]
fn what_comes_for_a_stream_that_was_dropped_resets_it() {
    let now = Instant::now();
    let mut machine = machine(Role::Client, now);
    let (handle, _) = open(&mut machine, now);
    give(
        &mut machine,
        now,
        frame(Kind::WindowUpdate, flags::ACK, 1, 0),
    );
    machine.finish(now, handle);
    machine.release(now, handle);
    let said = headers(&sent(&mut machine, now));
    assert_eq!(said.last().map(|header| header.flags), Some(flags::FIN));
    // It may end by itself, but nobody reads it any more.
    assert_eq!(machine.live(), 1);
    give(&mut machine, now, data(0, 1, b"anybody there?"));
    assert_eq!(
        sent(&mut machine, now),
        frame(Kind::WindowUpdate, flags::RST, 1, 0)
    );
    assert_eq!((machine.live(), machine.kept()), (0, 0));
}

#[test]
fn slow_readers_keep_their_window_and_not_more() {
    let now = Instant::now();
    let mut machine = machine(Role::Server, now);
    give(
        &mut machine,
        now,
        frame(Kind::WindowUpdate, flags::SYN, 1, 0),
    );
    let (handle, _) = machine.accept(now).expect("a stream");
    sent(&mut machine, now);
    // All of the window, in pieces: credit comes back when half of it was read.
    for _ in 0..16 {
        give(&mut machine, now, data(0, 1, &[3; 16_384]));
    }
    let mut target = vec![0; 131_071];
    assert!(matches!(
        machine.read(now, handle, &mut target),
        Read::Bytes(131_071)
    ));
    assert_eq!(machine.pending(), 0);
    let mut target = [0];
    assert!(matches!(
        machine.read(now, handle, &mut target),
        Read::Bytes(1)
    ));
    let update = headers(&sent(&mut machine, now));
    assert_eq!(update.len(), 1);
    assert_eq!((update[0].flags, update[0].len), (0, 131_072));
    // The reader that keeps up gets more, up to a limit.
    let mut granted = 131_072_u32;
    let mut given = 0_u32;
    for _ in 0..20 {
        read(&mut machine, now, handle);
        granted += headers(&sent(&mut machine, now))
            .iter()
            .map(|update| update.len)
            .sum::<u32>();
        while given + 65_536 <= granted {
            give(&mut machine, now, data(0, 1, &[3; 65_536]));
            given += 65_536;
        }
        assert!(machine.buffered() <= 1 << 20);
    }
    assert_eq!(machine.buffered(), 1 << 20, "it has grown that far");
    machine.handle_timeout(now + Duration::from_secs(1));
}
