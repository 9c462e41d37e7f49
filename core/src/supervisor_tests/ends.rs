//! The end of a plugin that is being replaced.

use super::*;

/// What brings a swap to each of its stages.
const STAGES: [(&str, Reach); 8] = [
    ("queued", |_| {}),
    ("starting", |world| world.begin(2, 1)),
    ("checking", |world| {
        world.begin(2, 1);
        world.started(2);
    }),
    ("going back", |world| {
        world.begin(2, 1);
        world.speaks(2, Spoken::new(9, Protocol::Grpc));
    }),
    ("draining", |world| {
        world.begin(2, 1);
        world.started(2);
        world.answers(2, 1, true);
    }),
    ("stopping", |world| {
        world.begin(2, 1);
        world.started(2);
        world.answers(2, 1, true);
        world.drained(1);
    }),
    ("without the old", |world| {
        world.begin(2, 1);
        world.exit(1, 1);
    }),
    ("without the new", |world| {
        world.begin(2, 1);
        world.started(2);
        world.answers(2, 1, true);
        world.exit(2, 1);
    }),
];

#[test]
fn an_end_at_any_stage_ends_both_and_is_told_once() {
    for (name, reach) in STAGES {
        for kill in [false, true] {
            for new_first in [false, true] {
                let mut world = World::swapping(Supervision::new(), Swap::beside());
                reach(&mut world);
                world.actions();
                if kill {
                    world.supervisor.let_go();
                } else {
                    world.supervisor.shutdown();
                }
                let how = if kill { Stop::Kill } else { Stop::Ask };
                let actions = world.actions();
                let stops = |generation| actions.contains(&stop(generation, how));
                // One that is asked already is only asked again to be killed.
                let asked = |stage: &str| !kill && name == stage;
                let old = name != "without the old";
                let new = name != "queued" && name != "without the new";
                assert_eq!(stops(1), old && !asked("stopping"), "{name}: {actions:?}");
                assert_eq!(stops(2), new && !asked("going back"), "{name}: {actions:?}");
                let order = if new_first { [2, 1] } else { [1, 2] };
                let live: Vec<u64> = order
                    .into_iter()
                    .filter(|generation| if *generation == 1 { old } else { new })
                    .collect();
                for (number, generation) in live.iter().enumerate() {
                    let over = matches!(world.phase(), SupervisorPhase::Over(_));
                    assert!(!over, "{name}: before {generation}, number {number}");
                    world.stopped(*generation);
                }
                let cause = if kill {
                    Cause::Dropped
                } else {
                    Cause::Shutdown
                };
                assert_eq!(world.phase(), SupervisorPhase::Over(cause), "{name}");
                let mut rest = actions;
                rest.extend(world.actions());
                let over = |action: &&Action| matches!(action, Action::SwapOver { .. });
                assert_eq!(rest.iter().filter(over).count(), 1, "{name}: {rest:?}");
                let changes = world.changes();
                assert_eq!(changes.last(), Some(&Change::Over(cause)));
                assert_eq!(world.supervisor.poll_timeout(), None, "{name}");
                let again = world.supervisor.swap(world.now, Swap::beside());
                assert_eq!(again, Err(SwapRefusal::Over(cause)));
            }
        }
    }
}

#[test]
fn a_swap_that_a_shutdown_ends_tells_so() {
    let mut world = World::checking(Supervision::new());
    world.supervisor.shutdown();
    let refused = world.supervisor.swap(world.now, Swap::beside());
    assert_eq!(refused, Err(SwapRefusal::Over(Cause::Shutdown)));
    world.actions();
    world.stopped(2);
    let (_, failure, _) = world.failed();
    assert_eq!(failure.step, SwapStep::Over(Cause::Shutdown));
    world.stopped(1);
    assert_eq!(world.phase(), SupervisorPhase::Over(Cause::Shutdown));
}

#[test]
fn there_is_one_swap_at_a_time() {
    for (name, reach) in STAGES {
        let mut world = World::swapping(Supervision::new(), Swap::beside());
        reach(&mut world);
        world.actions();
        let before = world.supervisor.state();
        for plan in [Swap::beside(), Swap::exclusive()] {
            let second = world.supervisor.swap(world.now, plan);
            assert_eq!(second, Err(SwapRefusal::Swapping), "{name}");
        }
        assert_eq!(world.actions(), []);
        assert_eq!(world.supervisor.state(), before);
    }
}

#[test]
fn an_exclusive_swap_ends_with_its_plugin_at_any_stage() {
    let stages: [fn(&mut World); 4] = [
        |_| {},
        |world| world.drained(1),
        |world| {
            world.drained(1);
            world.stopped(1);
        },
        |world| {
            world.drained(1);
            world.stopped(1);
            world.input(SupervisorInput::Placed { generation: 2 });
        },
    ];
    for (number, reach) in stages.into_iter().enumerate() {
        for kill in [false, true] {
            let mut world = World::swapping(Supervision::new(), Swap::exclusive());
            reach(&mut world);
            world.actions();
            if kill {
                world.supervisor.let_go();
            } else {
                world.supervisor.shutdown();
            }
            let cause = if kill {
                Cause::Dropped
            } else {
                Cause::Shutdown
            };
            match number {
                0 | 1 => world.stopped(1),
                3 => world.stopped(2),
                _ => {}
            }
            assert_eq!(world.phase(), SupervisorPhase::Over(cause), "{number}");
            let (_, failure, _) = world.failed();
            assert_eq!(failure.step, SwapStep::Over(cause));
            assert_eq!(world.supervisor.poll_timeout(), None);
        }
    }
}
