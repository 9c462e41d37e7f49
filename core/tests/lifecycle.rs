//! The lifecycle machines against each other and against every kind of misbehaviour.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test's first instant has to come from somewhere"
)]

mod support;

use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::handshake::{HandshakeError, Location, Protocol, StrayTolerance};
use outboard_core::host::{
    ExitReason, Host, HostAction, HostEvent, HostInput, MAX_STRAY_STDOUT, StartError, StartFailure,
    StartPhase,
};
use outboard_core::plugin::{
    Plugin, PluginAction, PluginConfig, PluginError, PluginEvent, PluginInput, StopReason,
};

use support::{MS, Pair, SECOND, SIGKILL, World, epoch, host_config, plugin_config, printing};

const LINE: &str = "1|1|unix|/tmp/plugin1|grpc|\n";

fn failed(pair: &Pair) -> &StartError {
    match &pair.outcome().1 {
        HostEvent::Failed(error) => error,
        other => panic!("expected a failed start, got {other:?}"),
    }
}

fn exited(pair: &Pair) -> (Duration, Exit, ExitReason) {
    match pair.outcome() {
        (at, HostEvent::Exited { exit, reason, .. }) => (*at, *exit, *reason),
        other => panic!("expected an exit, got {other:?}"),
    }
}

#[test]
fn a_healthy_run() {
    for chunk in [usize::MAX, 1, 7] {
        let mut pair = Pair::ready(World {
            chunk,
            ..World::default()
        });
        let accepted = pair.host.handshake().unwrap();
        assert_eq!(accepted.line.app_version(), 1);
        assert_eq!(pair.host.pid(), Some(42));
        pair.shutdown();
        pair.run();
        pair.assert_over();
        let (at, exit, reason) = exited(&pair);
        assert_eq!((exit, reason), (Exit::Code(0), ExitReason::Shutdown));
        assert!(at < 2 * SECOND, "no grace was waited for: {at:?}");
        assert_eq!(pair.count(&HostAction::Kill), 0);
        let order: Vec<_> = pair.host_actions.iter().collect();
        assert!(
            matches!(
                order[..],
                [
                    HostAction::Launch,
                    HostAction::Connect { .. },
                    HostAction::CloseBroker,
                    HostAction::CallShutdown,
                    HostAction::Disconnect,
                    HostAction::Cleanup,
                ]
            ),
            "{order:?}"
        );
        let events: Vec<_> = pair.host_events.iter().map(|(_, event)| event).collect();
        assert!(
            matches!(
                events[..],
                [
                    HostEvent::Negotiated(_),
                    HostEvent::Ready,
                    HostEvent::Exited { .. },
                    HostEvent::Finished
                ]
            ),
            "{events:?}"
        );
        assert!(
            matches!(
                pair.plugin_actions[..],
                [
                    PluginAction::Listen(_),
                    PluginAction::WriteHandshake(_),
                    PluginAction::RedirectStdio,
                    PluginAction::Serve,
                    PluginAction::StopListening,
                    PluginAction::Drain,
                    PluginAction::Finish {
                        code: 0,
                        reason: StopReason::Shutdown
                    },
                ]
            ),
            "{:?}",
            pair.plugin_actions
        );
    }
}

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

fn ends_with(text: &'static str, exit: Exit) -> World {
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
        failing("S8", printing("hello\n"), &["hello"]),
        failing("S8, empty line", printing("\n"), &["unrecognised"]),
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
    assert!(error.to_string().ends_with("\n  out of memory"), "{error}");
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
    config.tolerance = Some(StrayTolerance {
        lines: 4,
        bytes: 100,
    });
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
    host.handle(start, HostInput::Launched { pid: None });
    host.handle(start, HostInput::Stdout(b"1|1|stdio|-|stdio|\nframe"));
    let actions: Vec<_> = std::iter::from_fn(|| host.poll_action()).collect();
    assert!(
        matches!(&actions[..], [HostAction::Launch, HostAction::Connect { .. }, HostAction::TransportBytes(b)] if b == b"frame"),
        "{actions:?}"
    );
}

#[test]
fn a_crash_is_reported_at_once_with_the_last_words() {
    let mut pair = Pair::ready(World::default());
    let before = pair.now - pair.start;
    pair.print_stderr("thread panicked\n");
    pair.run_for(5 * MS);
    pair.crash(Exit::Code(101));
    pair.run();
    pair.assert_over();
    let (
        at,
        HostEvent::Exited {
            exit,
            reason,
            stderr,
        },
    ) = pair.outcome()
    else {
        panic!("no exit");
    };
    assert_eq!((*exit, *reason), (Exit::Code(101), ExitReason::Crashed));
    assert_eq!(stderr, &["thread panicked"]);
    assert!(*at <= before + 10 * MS, "{at:?}");
    let disconnected = pair
        .host_events
        .iter()
        .any(|(_, event)| *event == HostEvent::Disconnected);
    assert!(!disconnected, "the exit explains the lost connection");
}

#[test]
fn a_crash_with_pipes_held_open_is_reported_soon_and_over_in_bounded_time() {
    let mut pair = Pair::ready(World {
        grandchild: true,
        ..World::default()
    });
    let before = pair.now - pair.start;
    pair.crash(Exit::Code(1));
    pair.run();
    pair.assert_over();
    let (at, ..) = exited(&pair);
    assert!(at - before <= 110 * MS, "{at:?}");
    let (end, _) = pair.host_events.last().unwrap();
    assert!(
        *end - before >= SECOND && *end - before <= SECOND + 10 * MS,
        "{end:?}"
    );
}

#[test]
fn output_between_exit_and_end_of_pipe_is_kept() {
    let mut pair = Pair::ready(World {
        grandchild: true,
        ..World::default()
    });
    pair.crash(Exit::Code(1));
    pair.run_for(50 * MS);
    pair.print_stderr("late words\n");
    pair.run();
    let HostEvent::Exited { stderr, .. } = &pair.outcome().1 else {
        panic!("no exit");
    };
    assert_eq!(stderr, &["late words"]);
}

#[test]
fn a_shutdown_that_is_ignored_ends_in_a_kill_after_the_grace() {
    let mut pair = Pair::ready(World {
        ignores_shutdown: true,
        ..World::default()
    });
    let before = pair.now - pair.start;
    pair.shutdown();
    pair.run();
    pair.assert_over();
    let (at, exit, reason) = exited(&pair);
    assert_eq!((exit, reason), (SIGKILL, ExitReason::GraceExpired));
    assert!(
        at - before >= 2 * SECOND && at - before <= 2 * SECOND + 10 * MS,
        "{at:?}"
    );
}

#[test]
fn a_lost_answer_or_connection_does_not_shorten_the_grace() {
    for lose_connection in [false, true] {
        let mut pair = Pair::ready(World {
            loses_answer: true,
            drain_takes: 1200 * MS,
            ..World::default()
        });
        pair.shutdown();
        pair.run_for(10 * MS);
        if lose_connection {
            pair.host.handle(pair.now, HostInput::ConnectionLost);
        }
        pair.run();
        pair.assert_over();
        let (_, exit, reason) = exited(&pair);
        assert_eq!((exit, reason), (Exit::Code(0), ExitReason::Shutdown));
        assert_eq!(pair.count(&HostAction::Kill), 0);
    }
}

#[test]
fn an_answer_does_not_shorten_the_grace_either() {
    let mut pair = Pair::ready(World {
        ignores_shutdown: true,
        ..World::default()
    });
    pair.shutdown();
    pair.run_for(10 * MS);
    pair.host.handle(pair.now, HostInput::ShutdownAnswered);
    pair.run_for(1900 * MS);
    assert_eq!(pair.count(&HostAction::Kill), 0);
    assert_eq!(pair.count(&HostAction::Disconnect), 1);
    pair.run();
    assert_eq!(exited(&pair).2, ExitReason::GraceExpired);
}

#[test]
fn calls_that_do_not_end_are_dropped_before_the_hosts_grace_is_over() {
    let mut pair = Pair::ready(World {
        drain_takes: 60 * SECOND,
        loses_answer: true,
        ..World::default()
    });
    pair.shutdown();
    pair.run();
    let (_, exit, reason) = exited(&pair);
    assert_eq!((exit, reason), (Exit::Code(0), ExitReason::Shutdown));
    assert!(pair.plugin_actions.contains(&PluginAction::Abort));
}

#[test]
fn kill_is_immediate_and_told_apart() {
    let mut pair = Pair::ready(World::default());
    let before = pair.now - pair.start;
    pair.kill();
    pair.run();
    pair.assert_over();
    let (at, exit, reason) = exited(&pair);
    assert_eq!((exit, reason), (SIGKILL, ExitReason::Killed));
    assert!(at - before <= 10 * MS);
    assert_eq!(pair.count(&HostAction::CloseBroker), 1);
}

#[test]
fn ending_it_at_any_time_in_any_way_any_number_of_times() {
    let worlds = [
        World::default(),
        World {
            grandchild: true,
            ..World::default()
        },
        World {
            ignores_shutdown: true,
            ..World::default()
        },
        World {
            launch_fails: true,
            ..World::default()
        },
        World {
            never_launches: true,
            ..World::default()
        },
        World {
            never_connects: true,
            ..World::default()
        },
        World {
            connect_fails: true,
            ..World::default()
        },
        World {
            unkillable: true,
            ignores_shutdown: true,
            ..World::default()
        },
        World {
            drain_takes: SECOND,
            ..World::default()
        },
        ends_with("", Exit::Code(1)),
        ends_with("nonsense\n", Exit::Code(1)),
        ends_with(LINE, Exit::Code(1)),
        printing(""),
        printing(LINE),
    ];
    for world in worlds {
        for first in 0..12 {
            for gap in [0, 1, 3, 1500, 2500] {
                for verbs in [[0, 0], [0, 1], [1, 0], [1, 1]] {
                    let mut pair = Pair::new(world.clone());
                    pair.run_for(first * MS);
                    for (index, verb) in verbs.into_iter().enumerate() {
                        if index > 0 {
                            pair.run_for(gap * MS);
                        }
                        match verb {
                            0 => pair.shutdown(),
                            _ => pair.kill(),
                        }
                    }
                    let asked = pair.now;
                    pair.run();
                    pair.assert_over();
                    let took = pair.now - asked;
                    assert!(
                        took <= 14 * SECOND,
                        "{world:?} {first} {gap} {verbs:?}: {took:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn giving_up_before_the_launch_was_seen_starts_nothing() {
    let mut pair = Pair::new(World::default());
    pair.kill();
    pair.run();
    pair.assert_over();
    assert_eq!(pair.host_actions, [HostAction::Cleanup]);
    assert_eq!(failed(&pair).failure, StartFailure::Cancelled);
}

#[test]
fn a_process_made_after_it_was_given_up_is_killed() {
    let mut pair = Pair::new(World {
        never_launches: true,
        ..World::default()
    });
    pair.run_for(MS);
    pair.kill();
    pair.run_for(MS);
    pair.host
        .handle(pair.now, HostInput::Launched { pid: Some(1) });
    pair.run_for(MS);
    assert_eq!(pair.count(&HostAction::Kill), 2);
    pair.host.handle(pair.now, HostInput::Exited(SIGKILL));
    pair.run();
    pair.assert_over();
}

#[test]
fn a_process_that_refuses_to_die_is_given_up() {
    let mut pair = Pair::ready(World {
        unkillable: true,
        ..World::default()
    });
    pair.kill();
    pair.run();
    pair.assert_over();
    let (at, exit, reason) = exited(&pair);
    assert_eq!((exit, reason), (Exit::Unknown, ExitReason::Killed));
    assert!(at >= 10 * SECOND, "{at:?}");
}

#[test]
fn a_connection_lost_while_the_process_lives_is_reported_and_can_be_shut_down() {
    let mut pair = Pair::ready(World::default());
    pair.lose_connection();
    pair.run_for(SECOND);
    let last = pair.host_events.last().map(|(_, event)| event);
    assert_eq!(last, Some(&HostEvent::Disconnected));
    pair.shutdown();
    pair.run();
    pair.assert_over();
    assert_eq!(exited(&pair).2, ExitReason::GraceExpired);
    assert_eq!(pair.count(&HostAction::CallShutdown), 0);
}

#[test]
fn an_attached_plugin_connects_without_a_handshake() {
    let start = epoch();
    let endpoint = outboard_core::endpoint::Endpoint::Unix("/tmp/plugin1".into());
    let mut host = Host::attach(host_config(), start, Some(9), endpoint, Protocol::Grpc);
    assert!(matches!(
        host.poll_action(),
        Some(HostAction::Connect { .. })
    ));
    host.handle(start, HostInput::Connected);
    assert_eq!(host.poll_event(), Some(HostEvent::Ready));
    host.shutdown(start);
    host.handle(start, HostInput::Exited(Exit::Unknown));
    let events: Vec<_> = std::iter::from_fn(|| host.poll_event()).collect();
    assert!(
        matches!(
            events[..],
            [
                HostEvent::Exited {
                    reason: ExitReason::Shutdown,
                    ..
                },
                HostEvent::Finished
            ]
        ),
        "{events:?}"
    );
}

#[test]
fn durations_without_end_mean_no_limit() {
    let mut config = host_config();
    config.start_timeout = Duration::MAX;
    config.shutdown_grace = Duration::MAX;
    let start = epoch();
    let mut host = Host::new(config, start);
    host.handle(start, HostInput::Launched { pid: None });
    assert_eq!(host.poll_timeout(), None);
}

// The plugin alone.

fn plugin(config: PluginConfig) -> (Plugin, std::time::Instant) {
    let now = epoch();
    (Plugin::new(config, now), now)
}

fn serving(config: PluginConfig) -> (Plugin, std::time::Instant) {
    let (mut plugin, now) = plugin(config);
    let location = if plugin.protocol() == Protocol::Stdio {
        Location::Stdio
    } else {
        Location::Endpoint(outboard_core::endpoint::Endpoint::Unix("/tmp/p".into()))
    };
    plugin.handle(now, PluginInput::Listening(location));
    plugin.handle(now, PluginInput::HandshakeWritten);
    actions(&mut plugin);
    (plugin, now)
}

fn actions(plugin: &mut Plugin) -> Vec<PluginAction> {
    std::iter::from_fn(|| plugin.poll_action()).collect()
}

fn finish(plugin: &mut Plugin) -> (i32, StopReason) {
    match actions(plugin).pop() {
        Some(PluginAction::Finish { code, reason }) => (code, reason),
        other => panic!("not finished: {other:?}"),
    }
}

#[test]
fn a_plugin_writes_the_line_it_negotiated() {
    let variables = [
        ("PLUGIN_PROTOCOL_VERSIONS", "3,1"),
        ("PLUGIN_MULTIPLEX_GRPC", "true"),
    ];
    let (mut plugin, now) = plugin(plugin_config(&variables));
    actions(&mut plugin);
    let endpoint = outboard_core::endpoint::Endpoint::Unix("/tmp/p".into());
    plugin.handle(now, PluginInput::Listening(Location::Endpoint(endpoint)));
    let line = b"1|1|unix|/tmp/p|grpc||true\n".to_vec();
    assert_eq!(actions(&mut plugin), [PluginAction::WriteHandshake(line)]);
    assert!(plugin.multiplexing());
    assert!(plugin.choice().offered);
}

#[test]
fn certificates_are_announced_only_to_hosts_that_sent_theirs() {
    for sent in [false, true] {
        let variables = [("PLUGIN_CLIENT_CERT", "-----BEGIN")];
        let mut config = plugin_config(if sent { &variables } else { &[] });
        config.certificate = Some(vec![0x30; 60]);
        let (plugin, _) = serving(config);
        assert_eq!(plugin.line().unwrap().certificate().is_some(), sent);
    }
}

#[test]
fn a_plugin_that_cannot_start_says_why_and_exits_with_an_error() {
    let mut nothing = plugin_config(&[]);
    nothing.versions.clear();
    let mut empty = plugin_config(&[]);
    empty.versions.insert(1, Vec::new());
    let mut pipes = plugin_config(&[]);
    pipes.versions.insert(1, vec![Protocol::Stdio]);
    let mut ports = plugin_config(&[("PLUGIN_MIN_PORT", "x")]);
    ports.socket = outboard_core::plugin::SocketKind::Tcp;
    for (config, expected) in [
        (nothing, "no interfaces"),
        (empty, "no interfaces"),
        (pipes, "did not offer"),
        (ports, "port"),
    ] {
        let (mut plugin, _) = plugin(config);
        let (code, StopReason::Failed(error)) = finish(&mut plugin) else {
            panic!("not failed");
        };
        assert_eq!(code, 1);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(plugin.is_finished());
    }
}

#[test]
fn a_failed_listener_or_line_ends_the_plugin() {
    let (mut one, now) = plugin(plugin_config(&[]));
    one.handle(now, PluginInput::ListenFailed(Fault::other("full")));
    assert!(matches!(
        finish(&mut one),
        (1, StopReason::Failed(PluginError::Listen(_)))
    ));

    let (mut two, now) = plugin(plugin_config(&[]));
    let endpoint = outboard_core::endpoint::Endpoint::Unix("/tmp/p".into());
    two.handle(now, PluginInput::Listening(Location::Endpoint(endpoint)));
    two.handle(
        now,
        PluginInput::HandshakeWriteFailed(Fault::other("EPIPE")),
    );
    let actions = actions(&mut two);
    assert!(
        actions.contains(&PluginAction::StopListening),
        "{actions:?}"
    );
    assert!(matches!(
        actions.last(),
        Some(PluginAction::Finish { code: 1, .. })
    ));
}

#[test]
fn an_address_that_would_break_the_line_is_refused() {
    for path in ["/tmp/a|b/p", "/tmp/a\nb/p"] {
        let (mut plugin, now) = plugin(plugin_config(&[]));
        let endpoint = outboard_core::endpoint::Endpoint::Unix(path.into());
        plugin.handle(now, PluginInput::Listening(Location::Endpoint(endpoint)));
        let (code, reason) = finish(&mut plugin);
        assert_eq!(code, 1);
        assert!(matches!(
            reason,
            StopReason::Failed(PluginError::UnprintableAddress { .. })
        ));
    }
}

#[test]
fn interrupts_are_counted_once_the_line_is_out_and_deadly_before() {
    let (mut early, now) = plugin(plugin_config(&[]));
    early.handle(now, PluginInput::Interrupted);
    assert_eq!(finish(&mut early), (130, StopReason::Interrupted));

    let (mut plugin, now) = serving(plugin_config(&[]));
    for _ in 0..3 {
        plugin.handle(now, PluginInput::Interrupted);
    }
    let events: Vec<_> = std::iter::from_fn(|| plugin.poll_event()).collect();
    assert!(
        matches!(
            events[..],
            [
                PluginEvent::Serving(_),
                PluginEvent::Interrupted { count: 3 }
            ]
        ),
        "{events:?}"
    );
    assert!(!plugin.is_finished());
}

#[test]
fn a_plugin_ends_with_its_host_unless_told_to_outlive_it() {
    let (mut plugin, now) = serving(plugin_config(&[]));
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::HostGone);
    let done = actions(&mut plugin);
    assert!(
        matches!(
            done[..],
            [
                PluginAction::Abort,
                PluginAction::StopListening,
                PluginAction::Finish {
                    code: 0,
                    reason: StopReason::HostGone
                }
            ]
        ),
        "{done:?}"
    );

    let mut config = plugin_config(&[]);
    config.outlive_host = true;
    let (mut plugin, now) = serving(config);
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::HostGone);
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(actions(&mut plugin), []);
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::ShutdownCalled);
    plugin.handle(now, PluginInput::Drained);
    assert_eq!(finish(&mut plugin), (0, StopReason::Shutdown));
}

#[test]
fn a_stdio_plugin_ends_when_its_stdin_does() {
    let mut config = plugin_config(&[("OUTBOARD_TRANSPORTS", "stdio")]);
    config.outlive_host = true;
    let (mut plugin, now) = serving(config);
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::HostGone));
}

#[test]
fn a_multiplexing_plugin_takes_one_connection_and_does_not_wait_for_ever() {
    let variables = [("PLUGIN_MULTIPLEX_GRPC", "1")];
    let (mut plugin, now) = serving(plugin_config(&variables));
    plugin.handle(now, PluginInput::Accepted);
    assert_eq!(actions(&mut plugin), [PluginAction::StopListening]);
    assert_eq!(plugin.poll_timeout(), None);
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::Disconnected));

    let (mut plugin, now) = serving(plugin_config(&variables));
    plugin.handle_timeout(now + 4 * SECOND);
    assert!(!plugin.is_finished());
    plugin.handle_timeout(now + 5 * SECOND);
    assert_eq!(finish(&mut plugin), (0, StopReason::NobodyConnected));
}

#[test]
fn a_plugin_in_a_test_prints_nothing() {
    let mut config = plugin_config(&[]);
    config.announce = false;
    let (mut plugin, now) = plugin(config);
    let endpoint = outboard_core::endpoint::Endpoint::Unix("/tmp/p".into());
    plugin.handle(now, PluginInput::Listening(Location::Endpoint(endpoint)));
    let done = actions(&mut plugin);
    assert!(
        matches!(done[..], [PluginAction::Listen(_), PluginAction::Serve]),
        "{done:?}"
    );
    assert!(matches!(plugin.poll_event(), Some(PluginEvent::Serving(_))));
    plugin.shutdown(now);
    assert_eq!(finish(&mut plugin), (0, StopReason::Requested));
}
