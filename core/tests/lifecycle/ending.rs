//! Every way to end.

use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::host::{
    EndStage, ExitReason, Host, HostAction, HostEvent, HostInput, Printed, StageOutcome,
    StartFailure,
};
use outboard_core::plugin::PluginAction;

use crate::starting::ends_with;
use crate::support::{
    MS, Pair, SECOND, SIGKILL, SIGTERM, World, epoch, host_config, plugin_config, printing,
};
use crate::{LINE, exited, failed};

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
            ..
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
        .any(|(_, event)| matches!(event, HostEvent::Disconnected { .. }));
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
fn what_was_printed_is_evidence_and_who_else_holds_its_pipes_is_not_waited_for() {
    for held in [false, true] {
        let mut pair = Pair::ready(World {
            direct_output: true,
            ..World::default()
        });
        let before = pair.now - pair.start;
        let printed = |on, bytes: &'static [u8]| HostInput::Printed { on, bytes };
        let began = printed(Printed::Stderr, b"fatal: ");
        pair.host.handle(pair.now, began);
        pair.print_stderr("of the log\n");
        pair.run_for(MS);
        pair.crash(Exit::Code(1));
        pair.run_for(MS);
        let ended = printed(Printed::Stderr, b"no cheese\n");
        pair.host.handle(pair.now, ended);
        if held {
            // As long as something comes, there may be more.
            for _ in 0..3 {
                pair.run_for(60 * MS);
                let more = printed(Printed::Stdout, b"more");
                pair.host.handle(pair.now, more);
            }
        } else {
            pair.host.handle(pair.now, HostInput::PrintedClosed);
        }
        pair.run();
        pair.assert_over();
        let (at, HostEvent::Exited { stderr, .. }) = pair.outcome() else {
            panic!("no exit");
        };
        assert_eq!(stderr, &["of the log", "fatal: no cheese"]);
        let (end, _) = pair.host_events.last().unwrap();
        let (reported, over) = if held { (110, 300) } else { (10, 10) };
        assert!(*at - before <= reported * MS, "{at:?}");
        assert!(*end - before <= over * MS, "{end:?}");
        assert!(!held || *end - before >= 280 * MS, "{end:?}");
    }
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
    assert_eq!((exit, reason), (SIGTERM, ExitReason::GraceExpired));
    assert!(
        at - before >= 2 * SECOND && at - before <= 2 * SECOND + 10 * MS,
        "{at:?}"
    );
}

/// The stages of the end, without the times that things take to arrive.
fn stages(pair: &Pair) -> Vec<(EndStage, StageOutcome, Duration)> {
    let HostEvent::Exited { stages, .. } = &pair.outcome().1 else {
        panic!("no exit");
    };
    let whole = |took: Duration| took - Duration::from_nanos(took.as_nanos() as u64 % 100_000_000);
    let stages = stages.iter();
    stages
        .map(|stage| (stage.stage, stage.outcome, whole(stage.took)))
        .collect()
}

#[test]
fn each_stage_has_its_limit_and_its_outcome() {
    use EndStage::{Asked, Killed, Terminated};
    use StageOutcome::{Ended, Expired, Refused};
    let at_once = Duration::ZERO;
    let (grace, told) = (2 * SECOND, 500 * MS);
    let stubborn = World {
        ignores_shutdown: true,
        ..World::default()
    };
    let deaf = World {
        ignores_terminate: true,
        ..stubborn.clone()
    };
    let cases = [
        (World::default(), vec![(Asked, Ended, at_once)]),
        (
            stubborn.clone(),
            vec![(Asked, Expired, grace), (Terminated, Ended, at_once)],
        ),
        (
            deaf.clone(),
            vec![
                (Asked, Expired, grace),
                (Terminated, Expired, told),
                (Killed, Ended, at_once),
            ],
        ),
        (
            World {
                cannot_be_told: true,
                ..stubborn
            },
            vec![
                (Asked, Expired, grace),
                (Terminated, Refused, at_once),
                (Killed, Ended, at_once),
            ],
        ),
        (
            World {
                unkillable: true,
                ..deaf
            },
            vec![
                (Asked, Expired, grace),
                (Terminated, Expired, told),
                (Killed, Expired, 10 * SECOND),
            ],
        ),
    ];
    for (world, expected) in cases {
        let answered = !world.ignores_shutdown;
        let mut pair = Pair::ready(world);
        pair.shutdown();
        if !answered {
            pair.run_for(10 * MS);
            pair.host.handle(pair.now, HostInput::ShutdownAnswered);
        }
        pair.run();
        pair.assert_over();
        assert_eq!(stages(&pair), expected, "{:?}", pair.world);
        let told = expected.iter().any(|(stage, ..)| *stage == Terminated);
        assert_eq!(pair.count(&HostAction::Terminate), usize::from(told));
        let killed = expected.iter().any(|(stage, ..)| *stage == Killed);
        assert_eq!(pair.count(&HostAction::Kill), usize::from(killed));
    }
}

#[test]
fn a_kill_cuts_a_stage_short_and_a_crash_has_none() {
    let deaf = World {
        ignores_shutdown: true,
        ignores_terminate: true,
        ..World::default()
    };
    for (after, expected) in [
        (None, vec![]),
        (Some(0), vec![EndStage::Asked, EndStage::Killed]),
        (
            Some(2200),
            vec![EndStage::Asked, EndStage::Terminated, EndStage::Killed],
        ),
    ] {
        let mut pair = Pair::ready(deaf.clone());
        match after {
            None => pair.crash(Exit::Code(1)),
            Some(after) => {
                pair.shutdown();
                pair.run_for(after * MS);
                // Asking once more changes nothing.
                pair.shutdown();
                pair.kill();
            }
        }
        pair.run();
        pair.assert_over();
        let told = stages(&pair);
        let seen: Vec<_> = told.iter().map(|(stage, ..)| *stage).collect();
        assert_eq!(seen, expected);
        if let [.., cut, killed] = &told[..] {
            assert_eq!(cut.1, StageOutcome::CutShort);
            assert_eq!(killed.1, StageOutcome::Ended);
        }
    }
}

#[test]
fn without_time_for_it_the_process_is_not_told() {
    let mut config = host_config();
    config.terminate_grace = Duration::ZERO;
    let world = World {
        ignores_shutdown: true,
        ..World::default()
    };
    let mut pair = Pair::with(world, config, plugin_config(&[]));
    pair.run_for(SECOND);
    pair.shutdown();
    pair.run();
    pair.assert_over();
    let (_, exit, reason) = exited(&pair);
    // Nothing has told that it has a controller, and nothing was answered.
    assert_eq!((exit, reason), (SIGKILL, ExitReason::GraceExpired));
    assert_eq!(pair.count(&HostAction::Terminate), 0);
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
fn a_plugin_that_cannot_be_asked_gets_the_grace_and_is_told_from_one_that_does_not_listen() {
    for drain_takes in [SECOND, 60 * SECOND] {
        let ends = drain_takes == SECOND;
        let mut pair = Pair::ready(World {
            ignores_shutdown: !ends,
            loses_answer: true,
            drain_takes,
            ..World::default()
        });
        let before = pair.now - pair.start;
        pair.shutdown();
        pair.run_for(10 * MS);
        pair.host.handle(pair.now, HostInput::ShutdownUnsupported);
        pair.run_for(900 * MS);
        assert_eq!(pair.count(&HostAction::Kill), 0);
        pair.run();
        pair.assert_over();
        let (at, exit, reason) = exited(&pair);
        if ends {
            assert_eq!((exit, reason), (Exit::Code(0), ExitReason::Shutdown));
        } else {
            assert_eq!((exit, reason), (SIGTERM, ExitReason::NoController));
            let (stage, outcome, _) = stages(&pair)[0];
            let expected = (EndStage::Asked, StageOutcome::NoController);
            assert_eq!((stage, outcome), expected);
            assert!(at - before >= 2 * SECOND, "{at:?}");
        }
    }
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
            ignores_shutdown: true,
            ignores_terminate: true,
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
    pair.host.handle(
        pair.now,
        HostInput::Launched {
            id: Some("1".to_owned()),
        },
    );
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
fn durations_without_end_mean_no_limit() {
    let mut config = host_config();
    config.start_timeout = Duration::MAX;
    config.shutdown_grace = Duration::MAX;
    let start = epoch();
    let mut host = Host::new(config, start);
    host.handle(start, HostInput::Launched { id: None });
    assert_eq!(host.poll_timeout(), None);
}

#[test]
fn requests_that_the_end_has_overtaken_are_taken_back() {
    let start = epoch();
    let mut host = Host::new(host_config(), start);
    assert_eq!(host.poll_action(), Some(HostAction::Launch));
    host.handle(start, HostInput::Launched { id: None });
    host.handle(start, HostInput::Stdout(LINE.as_bytes()));
    host.kill(start);
    host.handle(start, HostInput::Exited(SIGKILL));
    let left: Vec<_> = std::iter::from_fn(|| host.poll_action()).collect();
    assert_eq!(left, [HostAction::Disconnect, HostAction::Cleanup]);
}

#[test]
fn the_first_failure_is_the_one_reported() {
    let start = epoch();
    let mut host = Host::new(host_config(), start);
    host.poll_action();
    host.handle_timeout(start + 60 * SECOND);
    let fault = Fault::other("interrupted");
    host.handle(start + 60 * SECOND, HostInput::LaunchFailed(fault));
    let Some(HostEvent::Failed(error)) = host.poll_event() else {
        panic!("not failed");
    };
    assert!(
        matches!(error.failure, StartFailure::TimedOut { .. }),
        "{error:?}"
    );
}
