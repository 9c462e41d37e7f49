//! Swaps of plugins that are not up, and those that stop the old one first.

use super::*;

/// What brings a plugin to where it has no process that is up, and its last generation then.
const IDLE: [(&str, u64, Reach); 6] = [
    ("resting", 1, |world| {
        world.input(SupervisorInput::Rested { generation: 1 });
        world.stopped(1);
    }),
    ("pausing", 1, |world| world.exit(1, 1)),
    ("queued", 2, |world| {
        world.exit(1, 1);
        world.wait();
    }),
    ("starting", 2, |world| {
        world.exit(1, 1);
        world.wait();
        world.input(SupervisorInput::Placed { generation: 2 });
    }),
    ("stopping", 1, |world| {
        world.input(SupervisorInput::Rested { generation: 1 });
    }),
    ("crash loop", 3, |world| {
        world.exit(1, 1);
        world.wait();
        world.input(SupervisorInput::Placed { generation: 2 });
        world.started(2);
        world.exit(2, 1);
        world.wait();
        world.input(SupervisorInput::Placed { generation: 3 });
        world.started(3);
        world.exit(3, 1);
    }),
];

fn idle(name: &str, reach: Reach) -> World {
    let budget = Supervision::new().budget(2, MINUTE);
    let mut world = World::up(budget);
    reach(&mut world);
    world.actions();
    let phase = world.phase();
    assert_ne!(phase, SupervisorPhase::Up, "{name}");
    world
}

#[test]
fn what_is_not_up_is_replaced_too() {
    for (name, last, reach) in IDLE {
        let mut world = idle(name, reach);
        world.swap(Swap::beside());
        world.begin(last + 1, 1);
        world.started(last + 1);
        world.actions();
        world.answers(last + 1, 1, true);
        match name {
            "starting" => assert!(world.actions().contains(&stop(2, Stop::Ask))),
            "stopping" => assert_eq!(world.actions(), [admit(2)]),
            _ => {}
        }
        if name == "starting" || name == "stopping" {
            assert_eq!(world.stage().0, SwapStage::Stopping);
            world.stopped(last);
        }
        let (before, outcome, after) = world.over();
        let report = outcome.expect("it was made");
        assert_eq!(
            (report.drained, after),
            (true, vec![]),
            "{name}: {before:?}"
        );
        assert_eq!(world.phase(), SupervisorPhase::Up);
        assert_eq!(world.supervisor.poll_timeout(), None, "{name}");
        // A new program has a budget of its own.
        world.exit(last + 1, 1);
        world.actions();
        assert!(matches!(world.phase(), SupervisorPhase::Pausing(_)));
    }
}

#[test]
fn what_is_not_up_goes_on_when_its_swap_fails() {
    for exclusive in [false, true] {
        for (name, last, reach) in IDLE {
            let mut world = idle(name, reach);
            let before = world.phase();
            let plan = if exclusive {
                Swap::exclusive()
            } else {
                Swap::beside()
            };
            world.swap(plan);
            if exclusive {
                match name {
                    "starting" => {
                        assert_eq!(world.actions(), [stop(last, Stop::Ask)]);
                        world.stopped(last);
                        assert_eq!(world.supervisor.poll_action(), Some(leave(last)));
                    }
                    "stopping" => {
                        assert_eq!(world.actions(), []);
                        world.stopped(last);
                    }
                    "queued" => assert_eq!(world.supervisor.poll_action(), Some(leave(2))),
                    _ => {}
                }
                assert_eq!(world.phase(), SupervisorPhase::Swapping, "{name}");
                // Nothing of the old program is started meanwhile.
                world.input(SupervisorInput::Wanted);
            }
            world.begin(last + 1, 1);
            world.fails(last + 1);
            let (_, failure, after) = world.failed();
            assert_eq!(failure.step, SwapStep::Start);
            assert_eq!(failure.phase, world.phase(), "{name}");
            let phase = world.phase();
            match name {
                "stopping" if exclusive => assert_eq!(phase, SupervisorPhase::Resting),
                "starting" if exclusive => assert_eq!(phase, SupervisorPhase::Queued),
                _ => assert_eq!(phase, before, "{name}"),
            }
            match name {
                "resting" => {
                    world.input(SupervisorInput::Wanted);
                    world.start(last + 2);
                }
                "pausing" => {
                    world.wait();
                    world.start(last + 2);
                }
                "crash loop" => assert_eq!(world.supervisor.poll_timeout(), None),
                "queued" | "starting" if exclusive => {
                    let [Action::AskPlace { generation, .. }] = after[..] else {
                        panic!("{name}: {after:?}");
                    };
                    assert_eq!(generation, last + 2);
                }
                _ => assert_eq!(after, []),
            }
        }
    }
}

#[test]
fn a_user_who_cannot_wait_starts_the_old_program_beside() {
    let mut world = idle("pausing", IDLE[1].2);
    world.swap(Swap::beside());
    world.begin(2, 1);
    world.supervisor.start();
    world.start(3);
    world.fails(2);
    assert!(world.failed().1.old_serves());
    // In an exclusive swap, once the new one has failed.
    let mut world = idle("crash loop", IDLE[5].2);
    world.swap(Swap::exclusive());
    world.begin(4, 1);
    world.supervisor.start();
    assert_eq!(world.actions(), [Action::Hold]);
    world.fails(4);
    let (_, failure, after) = world.failed();
    assert_eq!(failure.phase, SupervisorPhase::Queued);
    assert_eq!(after.len(), 1, "{after:?}");
}

#[test]
fn one_that_owns_something_exclusive_is_stopped_first() {
    let mut world = World::up(Supervision::new().waiting(Waiting::Fail));
    world.changes();
    world.swap(Swap::exclusive());
    assert_eq!(world.actions(), [Action::Hold, drain(1)]);
    assert_eq!(world.stage(), (SwapStage::Draining, 1, Some(101)));
    world.drained(1);
    assert_eq!(world.actions(), [stop(1, Stop::Ask)]);
    assert_eq!(world.stage(), (SwapStage::Stopping, 1, Some(101)));
    world.stopped(1);
    assert_eq!(world.phase(), SupervisorPhase::Swapping);
    world.begin(2, 1);
    world.started(2);
    world.actions();
    world.answers(2, 1, true);
    let (before, outcome, after) = world.over();
    assert_eq!((before, after), (vec![admit(2)], vec![]));
    let report = outcome.expect("it was made");
    assert!(report.drained);
    let old = report.old.clone().expect("there was one");
    assert_eq!((old.generation, old.cause), (1, Cause::Swapped));
    let expected = [
        Change::Draining,
        Change::Stopping(Cause::Swapped),
        Change::Ended(old),
        Change::Starting,
        Change::Checking,
        Change::Up,
        Change::Swapped(Box::new(report)),
    ];
    assert_eq!(world.changes(), expected);
    assert_eq!(world.supervisor.state().failures.len(), 0);
}

#[test]
fn where_the_new_one_fails_the_old_program_is_started_again() {
    for crashed in [false, true] {
        let mut world = World::swapping(Supervision::new(), Swap::exclusive());
        world.actions();
        if crashed {
            world.exit(1, 1);
        } else {
            assert_eq!(world.wait(), (30 * SECOND, SupervisorTimer::Drain));
            assert_eq!(world.actions(), [stop(1, Stop::Ask)]);
            world.stopped(1);
        }
        world.begin(2, 1);
        world.started(2);
        assert_eq!(world.actions(), [leave(2), probe(2, 1)]);
        world.exit(2, 1);
        let (before, failure, after) = world.failed();
        assert_eq!(before, []);
        assert_eq!(failure.step, SwapStep::Check);
        assert_eq!(failure.phase, SupervisorPhase::Queued);
        assert!(!failure.old_serves());
        let ask = Action::AskPlace {
            generation: 3,
            program: 0,
        };
        assert_eq!(after, [ask]);
        world.input(SupervisorInput::Placed { generation: 3 });
        assert!(matches!(
            world.actions()[..],
            [Action::Start { program: 0, .. }]
        ));
        world.started(3);
        assert_eq!(world.actions(), [leave(3), admit(3)]);
        let state = world.supervisor.state();
        assert_eq!(state.restarts, 0, "it did not end by itself");
        assert_eq!(state.failures.len(), usize::from(crashed));
    }
    // Where the policy starts nothing again, and the old one had ended by itself, that is the end.
    let policy = Supervision::new().restart(Restart::Never);
    let mut world = World::swapping(policy, Swap::exclusive());
    world.actions();
    world.exit(1, 1);
    world.begin(2, 1);
    world.fails(2);
    let cause = Cause::Exited(Exit::Code(1));
    assert_eq!(world.failed().1.phase, SupervisorPhase::Over(cause));
    assert_eq!(world.phase(), SupervisorPhase::Over(cause));
}
