//! Every way to start, or not to.

use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::handshake::{HandshakeError, Location, Protocol, StrayTolerance};
use outboard_core::host::{
    Host, HostAction, HostEvent, HostInput, MAX_STRAY_STDOUT, StartFailure, StartPhase,
};

use crate::support::{
    MS, Pair, SECOND, SIGKILL, World, epoch, host_config, plugin_config, printing,
};
use crate::{LINE, failed};

/// A way to fail at starting, and how the failure must look.
struct Failing {
    name: &'static str,
    world: World,
    /// Text that the error, with its sources, must hold.
    says: &'static [&'static str],
    /// When the outcome must be known, at the latest.
    within: Duration,
    kills: bool,
}

fn failing(name: &'static str, world: World, says: &'static [&'static str]) -> Failing {
    Failing {
        name,
        world,
        says,
        within: 100 * MS,
        kills: true,
    }
}

pub(crate) fn ends_with(text: &'static str, exit: Exit) -> World {
    World {
        ends: Some((5 * MS, exit)),
        ..printing(text)
    }
}

fn failures() -> Vec<Failing> {
    let quiet = |failing: Failing| Failing {
        kills: false,
        ..failing
    };
    let slow = |failing: Failing, within| Failing { within, ..failing };
    let only = |change: fn(&mut World)| {
        let mut world = World::default();
        change(&mut world);
        world
    };
    vec![
        quiet(failing(
            "S5",
            only(|w| w.launch_fails = true),
            &["no such file"],
        )),
        slow(
            failing(
                "launch hangs",
                only(|w| w.never_launches = true),
                &["process was not made", "60s"],
            ),
            71 * SECOND,
        ),
        slow(
            failing("S6", printing(""), &["no handshake line within 60s"]),
            61 * SECOND,
        ),
        quiet(failing(
            "S7",
            ends_with("", Exit::Code(3)),
            &["ended before", "exited with status 3"],
        )),
        quiet(failing(
            "S8, half a line",
            ends_with("usage: foo", Exit::Code(2)),
            &["usage: foo", "exited with status 2"],
        )),
        // It may be about to end, which would tell more.
        quiet(failing(
            "S8, a line",
            ends_with("usage: foo\n", Exit::Code(2)),
            &["usage: foo", "exited with status 2"],
        )),
        slow(failing("S8", printing("hello\n"), &["hello"]), 200 * MS),
        slow(
            failing("S8, empty line", printing("\n"), &["unrecognised"]),
            200 * MS,
        ),
        failing("S9", printing("x|1|unix|/tmp/p|grpc\n"), &["core", "x"]),
        failing("S10", printing("2|1|unix|/tmp/p|grpc\n"), &["2"]),
        failing("S11", printing("1|x|unix|/tmp/p|grpc\n"), &["x"]),
        failing("S12", printing("1|9|unix|/tmp/p|grpc\n"), &["version 9"]),
        failing("S14", printing("1|1|tcp|nowhere|grpc\n"), &["nowhere"]),
        failing("S15", printing("1|1|udp|/tmp/p|grpc\n"), &["udp"]),
        failing("S16", printing("1|1|unix|/tmp/p|netrpc\n"), &["netrpc"]),
        slow(
            failing(
                "refused connection",
                only(|w| w.connect_fails = true),
                &["unix:/tmp/plugin1", "connection refused"],
            ),
            200 * MS,
        ),
        slow(
            failing(
                "connection hangs",
                only(|w| w.never_connects = true),
                &["took no connection within 60s"],
            ),
            61 * SECOND,
        ),
        quiet(failing(
            "ends instead of accepting",
            World {
                connect_fails: true,
                ..ends_with(LINE, Exit::Code(4))
            },
            &["ended before", "exited with status 4"],
        )),
        quiet(failing(
            "its listener fails",
            only(|w| w.listen_fails = true),
            &["ended before", "exited with status 1"],
        )),
        quiet(failing(
            "its stdout is broken",
            only(|w| w.stdout_broken = true),
            &["ended before", "exited with status 1"],
        )),
    ]
}

#[test]
fn every_way_to_fail_at_starting() {
    for Failing {
        name,
        world,
        says,
        within,
        kills,
    } in failures()
    {
        let mut pair = Pair::new(world);
        pair.run();
        pair.assert_over();
        let error = failed(&pair);
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            text += &format!(": {error}");
            source = error.source();
        }
        for part in says {
            assert!(text.contains(part), "{name}: {part:?} in {text}");
        }
        assert_eq!(pair.count(&HostAction::Kill), usize::from(kills), "{name}");
        let (at, _) = pair.outcome();
        assert!(*at <= within, "{name}: took {at:?}");
        if kills && error.evidence.exit.is_some() {
            assert_eq!(error.evidence.exit, Some(SIGKILL), "{name}");
            assert!(
                error.evidence.killed && !text.contains("signal 9"),
                "{name}: {text}"
            );
        }
    }
}

#[test]
fn failures_have_their_own_kinds() {
    let failure = |world| {
        let mut pair = Pair::new(world);
        pair.run();
        failed(&pair).failure.clone()
    };
    assert_eq!(
        failure(ends_with("", Exit::Code(3))),
        StartFailure::Exited {
            phase: StartPhase::Handshake
        }
    );
    assert!(matches!(
        failure(printing("hello\n")),
        StartFailure::Handshake(HandshakeError::Unrecognised { .. })
    ));
    assert_eq!(
        failure(printing("")),
        StartFailure::TimedOut {
            phase: StartPhase::Handshake,
            after: 60 * SECOND
        }
    );
}

#[test]
fn stdout_closed_without_a_line_is_told_from_an_exit() {
    let mut pair = Pair::new(printing(""));
    pair.run_for(10 * MS);
    pair.host.handle(pair.now, HostInput::StdoutClosed);
    pair.run();
    pair.assert_over();
    assert_eq!(
        failed(&pair).failure,
        StartFailure::Handshake(HandshakeError::NoLine)
    );
    let (at, _) = pair.outcome();
    assert!(
        *at >= SECOND && *at < 2 * SECOND,
        "a second for the exit: {at:?}"
    );
    assert_eq!(pair.count(&HostAction::Kill), 1);
}

#[test]
fn a_line_that_comes_with_the_exit_does_not_hide_it() {
    let mut pair = Pair::new(printing(""));
    pair.run_for(10 * MS);
    let now = pair.now;
    pair.host.handle(now, HostInput::Exited(Exit::Code(5)));
    pair.host.handle(now, HostInput::Stdout(LINE.as_bytes()));
    pair.host.handle(now, HostInput::Stderr(b"out of memory\n"));
    pair.host.handle(now, HostInput::StdoutClosed);
    pair.host.handle(now, HostInput::StderrClosed);
    pair.run();
    let error = failed(&pair);
    assert_eq!(
        error.failure,
        StartFailure::Exited {
            phase: StartPhase::Handshake
        }
    );
    assert_eq!(error.evidence.exit, Some(Exit::Code(5)));
    assert_eq!(error.evidence.stderr, ["out of memory"]);
    assert!(
        format!("{error:?}").contains("\n  out of memory\n"),
        "{error:?}"
    );
}

#[test]
fn a_bad_line_that_comes_after_the_exit_is_the_reason() {
    for end in [&b"\n"[..], b""] {
        let mut pair = Pair::new(printing(""));
        pair.run_for(10 * MS);
        let now = pair.now;
        pair.host.handle(now, HostInput::Exited(Exit::Code(5)));
        pair.host.handle(now, HostInput::Stdout(b"usage: foo"));
        pair.host.handle(now, HostInput::Stdout(end));
        // Stdout stays open: someone else holds it.
        pair.run();
        let error = failed(&pair);
        assert!(
            matches!(
                &error.failure,
                StartFailure::Handshake(HandshakeError::Unrecognised { .. })
            ),
            "{error:?}"
        );
    }
}

#[test]
fn tolerated_output_before_the_line_is_reported() {
    let mut config = host_config();
    config.tolerance = Some(StrayTolerance::new(4, 100));
    let world = World {
        prints: Some(vec![
            (MS, "banner\n1|1|unix|/tmp/plu"),
            (2 * MS, "gin1|grpc|\nafter"),
        ]),
        ..World::default()
    };
    let mut pair = Pair::with(world, config, plugin_config(&[]));
    pair.run_for(SECOND);
    assert!(pair.host.is_ready());
    let strays: Vec<_> = pair
        .host_events
        .iter()
        .filter_map(|(_, event)| match event {
            HostEvent::StrayStdout { bytes, .. } => Some(bytes.as_slice()),
            _ => None,
        })
        .collect();
    assert_eq!(strays, [&b"banner\n"[..], b"after"]);
}

#[test]
fn stray_stdout_is_bounded_and_counted() {
    let mut pair = Pair::ready(World::default());
    let megabyte = vec![b'x'; 1 << 20];
    for _ in 0..3 {
        pair.host.handle(pair.now, HostInput::Stdout(&megabyte));
    }
    let Some(HostEvent::StrayStdout { bytes, lost }) = pair.host.poll_event() else {
        panic!("no stray stdout");
    };
    assert_eq!(bytes.len(), MAX_STRAY_STDOUT);
    assert_eq!(lost as usize, 3 * megabyte.len() - MAX_STRAY_STDOUT);
    assert_eq!(pair.host.poll_event(), None);
}

#[test]
fn stdio_plugins_hand_the_rest_of_stdout_to_the_transport() {
    let variables = [("OUTBOARD_TRANSPORTS", "stdio")];
    let mut pair = Pair::with(World::default(), host_config(), plugin_config(&variables));
    pair.run_for(SECOND);
    assert!(pair.host.is_ready(), "{:?}", pair.host_events);
    let connect = HostAction::Connect {
        location: Location::Stdio,
        protocol: Protocol::Stdio,
    };
    assert_eq!(pair.count(&connect), 1);
    pair.host.handle(pair.now, HostInput::Stdout(b"ab"));
    pair.host.handle(pair.now, HostInput::Stdout(b"c"));
    let bytes = HostAction::TransportBytes(b"abc".to_vec());
    assert_eq!(pair.host.poll_action(), Some(bytes));
    assert_eq!(pair.host.poll_event(), None);
}

#[test]
fn bytes_that_come_with_the_line_are_the_transports() {
    let start = epoch();
    let mut host = Host::new(host_config(), start);
    host.handle(start, HostInput::Launched { id: None });
    host.handle(start, HostInput::Stdout(b"1|1|stdio|-|stdio|\nframe"));
    let actions: Vec<_> = std::iter::from_fn(|| host.poll_action()).collect();
    assert!(
        matches!(&actions[..], [HostAction::Launch, HostAction::Connect { .. }, HostAction::TransportBytes(b)] if b == b"frame"),
        "{actions:?}"
    );
}

#[test]
fn securing_the_connection_is_a_phase_of_its_own() {
    let silent = || World {
        never_connects: true,
        ..World::default()
    };
    let mut pair = Pair::new(silent());
    pair.run_for(30 * SECOND);
    pair.host.handle(pair.now, HostInput::Reached);
    // It has the whole time again.
    pair.run_for(59 * SECOND);
    assert!(!pair.host.is_finished());
    pair.run();
    let StartFailure::TimedOut { phase, after } = failed(&pair).failure else {
        panic!("{:?}", failed(&pair))
    };
    assert_eq!((phase, after), (StartPhase::Tls, 60 * SECOND));

    let mut pair = Pair::new(silent());
    pair.run_for(SECOND);
    pair.host.handle(pair.now, HostInput::Reached);
    pair.crash(Exit::Code(3));
    pair.run();
    assert_eq!(
        failed(&pair).failure,
        StartFailure::Exited {
            phase: StartPhase::Tls
        }
    );
}

#[test]
fn the_start_timeout_is_a_minute_unless_set() {
    let mut pair = Pair::new(printing(""));
    pair.run();
    let StartFailure::TimedOut { phase, after } = failed(&pair).failure else {
        panic!("{:?}", failed(&pair))
    };
    assert_eq!((phase, after), (StartPhase::Handshake, 60 * SECOND));
}
