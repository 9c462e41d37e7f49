//! Each timer, on a clock that the test moves.

mod support;

use std::time::{Duration, Instant};

use outboard_yamux::machine::{Event, Machine, Read};
use outboard_yamux::{Config, Kind, Role, SessionError, flags};

use self::support::{data, frame, give, headers, machine, open, sent, write};

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_nanos(1);

/// Moves the time to just before the next timer, where nothing happens, and then to it.
fn next(machine: &mut Machine, start: Instant, seconds: u32) -> Instant {
    let at = machine.poll_timeout().expect("a timer");
    assert_eq!(at - start, seconds * SECOND);
    machine.handle_timeout(at - MOMENT);
    assert_eq!(machine.poll_timeout(), Some(at), "too early for anything");
    machine.handle_timeout(at);
    at
}

fn quiet(role: Role) -> Config {
    let mut config = Config::new(role);
    config.ping_interval = None;
    config
}

#[test]
fn a_peer_that_answers_is_pinged_again_and_again() {
    let start = Instant::now();
    let mut near = machine(Role::Client, start);
    let mut far = Machine::new(quiet(Role::Server), start);
    for round in 1..=5 {
        let now = next(&mut near, start, 30 * round);
        let ping = sent(&mut near, now);
        assert_eq!(ping, frame(Kind::Ping, flags::SYN, 0, round - 1));
        give(&mut far, now, ping);
        let pong = sent(&mut far, now);
        assert_eq!(pong, frame(Kind::Ping, flags::ACK, 0, round - 1));
        give(&mut near, now, pong);
    }
    assert!(near.ended().is_none() && far.ended().is_none());
    assert_eq!(
        far.poll_timeout(),
        None,
        "one that does not ping has nothing to wait for"
    );
}

#[test]
fn a_peer_that_does_not_answer_ends_the_session() {
    let start = Instant::now();
    let mut machine = machine(Role::Server, start);
    let now = next(&mut machine, start, 30);
    sent(&mut machine, now);
    // Neither another answer nor anything else that comes will do.
    give(&mut machine, now, frame(Kind::Ping, flags::ACK, 0, 77));
    give(&mut machine, now, frame(Kind::Ping, flags::SYN, 0, 0));
    sent(&mut machine, now);
    next(&mut machine, start, 40);
    assert!(matches!(
        machine.ended(),
        Some(SessionError::PingTimeout { limit }) if *limit == 10 * SECOND
    ));
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(machine.poll_event(), Some(Event::Ended));
}

#[test]
fn a_stream_that_is_not_acknowledged_ends_the_session() {
    let start = Instant::now();
    let mut machine = Machine::new(quiet(Role::Client), start);
    let (first, _) = open(&mut machine, start);
    let later = start + SECOND;
    let (second, id) = open(&mut machine, later);
    sent(&mut machine, later);
    // Data is no acknowledgement in Go either.
    give(&mut machine, later, data(0, 1, b"x"));
    give(
        &mut machine,
        later,
        frame(Kind::WindowUpdate, flags::ACK, 1, 0),
    );
    next(&mut machine, start, 76);
    let limit = 75 * SECOND;
    assert!(matches!(
        machine.ended(),
        Some(SessionError::OpenTimeout { stream, limit: l }) if *stream == id && *l == limit
    ));
    for handle in [first, second] {
        machine.release(later, handle);
    }
    assert_eq!((machine.live(), machine.kept()), (0, 0));
}

#[test]
fn streams_that_are_gone_are_not_waited_for() {
    let start = Instant::now();
    let mut machine = Machine::new(quiet(Role::Client), start);
    let (released, _) = open(&mut machine, start);
    let (refused, id) = open(&mut machine, start);
    sent(&mut machine, start);
    machine.release(start, released);
    give(
        &mut machine,
        start,
        frame(Kind::WindowUpdate, flags::RST, id, 0),
    );
    let mut target = [0];
    assert!(matches!(
        machine.read(start, refused, &mut target),
        Read::Failed(_)
    ));
    sent(&mut machine, start);
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn a_stream_that_the_peer_does_not_finish_is_reset() {
    let start = Instant::now();
    let mut machine = Machine::new(quiet(Role::Client), start);
    let (handle, id) = open(&mut machine, start);
    let (other, of_other) = open(&mut machine, start);
    for id in [id, of_other] {
        give(
            &mut machine,
            start,
            frame(Kind::WindowUpdate, flags::ACK, id, 0),
        );
    }
    machine.finish(start, handle);
    machine.finish(start, other);
    machine.finish(start + SECOND, handle);
    let fins = headers(&sent(&mut machine, start));
    assert_eq!(
        fins.iter()
            .filter(|header| header.flags == flags::FIN)
            .count(),
        2
    );
    give(
        &mut machine,
        start,
        frame(Kind::WindowUpdate, flags::FIN, of_other, 0),
    );
    let mut target = [0];
    assert!(matches!(
        machine.read(start, handle, &mut target),
        Read::Pending
    ));
    assert!(matches!(machine.read(start, other, &mut target), Read::End));
    let now = next(&mut machine, start, 300);
    assert_eq!(machine.poll_event(), Some(Event::Readable(handle)));
    let Read::Failed(error) = machine.read(now, handle, &mut target) else {
        panic!("it was reset");
    };
    assert!(error.to_string().contains("300s"), "{error}");
    assert_eq!(
        sent(&mut machine, now),
        frame(Kind::WindowUpdate, flags::RST, id, 0)
    );
    assert!(machine.ended().is_none(), "the session goes on");
    assert_eq!((machine.live(), machine.poll_timeout()), (0, None));
}

#[test]
fn a_connection_that_takes_nothing_ends_the_session() {
    let start = Instant::now();
    let mut machine = Machine::new(quiet(Role::Client), start);
    let (handle, id) = open(&mut machine, start);
    give(
        &mut machine,
        start,
        frame(Kind::WindowUpdate, flags::ACK, id, 0),
    );
    assert_eq!(sent(&mut machine, start).len(), 12);
    assert_eq!(machine.poll_timeout(), None, "all was written");
    assert_eq!(write(&mut machine, start, handle, &[7; 1_000]), 1_000);
    // What is added does not give it more time, what is taken does.
    let later = start + 4 * SECOND;
    assert_eq!(write(&mut machine, later, handle, &[7; 1_000]), 1_000);
    assert_eq!(machine.poll_timeout(), Some(start + 10 * SECOND));
    machine.written(start + 8 * SECOND, 1);
    let now = next(&mut machine, start, 18);
    assert!(matches!(
        machine.ended(),
        Some(SessionError::WriteTimeout { limit }) if *limit == 10 * SECOND
    ));
    let mut target = [0];
    assert!(matches!(
        machine.read(now, handle, &mut target),
        Read::Failed(_)
    ));
}

#[test]
fn limits_without_end_never_come() {
    let start = Instant::now();
    let mut config = quiet(Role::Client);
    config.open_timeout = Duration::MAX;
    config.close_timeout = Duration::MAX;
    config.write_timeout = Duration::MAX;
    let mut machine = Machine::new(config, start);
    let (handle, _) = open(&mut machine, start);
    machine.finish(start, handle);
    assert!(machine.pending() > 0);
    assert_eq!(machine.poll_timeout(), None);
}
