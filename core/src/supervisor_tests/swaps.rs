//! Another program takes over, or does not.

use super::*;

#[path = "ends.rs"]
mod ends;
#[path = "idle.rs"]
mod idle;

/// What brings a world to where it is to be.
type Reach = fn(&mut World);

fn stop(generation: u64, how: Stop) -> Action {
    Action::Stop { generation, how }
}

fn probe(generation: u64, probe: u64) -> Action {
    Action::Probe { generation, probe }
}

fn leave(generation: u64) -> Action {
    Action::LeavePlace { generation }
}

fn admit(generation: u64) -> Action {
    Action::Admit { generation }
}

fn drain(generation: u64) -> Action {
    Action::Drain { generation }
}

impl World {
    fn swap(&mut self, plan: Swap) -> u64 {
        let swap = self.supervisor.swap(self.now, plan);
        swap.expect("nothing is in the way")
    }

    /// One that is up, whose swap has come to this process.
    fn swapping(policy: Supervision, plan: Swap) -> Self {
        let mut world = Self::up(policy);
        assert_eq!(world.swap(plan), 1);
        world
    }

    /// As [`swapping`](Self::swapping), and the new one is asked whether it is well.
    fn checking(policy: Supervision) -> Self {
        let mut world = Self::swapping(policy, Swap::beside());
        world.begin(2, 1);
        world.started(2);
        assert_eq!(world.actions(), [leave(2), probe(2, 1)]);
        world.changes();
        world
    }

    fn answers(&mut self, generation: u64, probe: u64, serving: bool) {
        self.input(SupervisorInput::Probed {
            generation,
            probe,
            serving,
        });
    }

    fn drained(&mut self, generation: u64) {
        self.input(SupervisorInput::Drained { generation });
    }

    fn fails(&mut self, generation: u64) {
        self.input(SupervisorInput::StartFailed {
            generation,
            text: "no such file".into(),
            lasting: false,
        });
    }

    /// The actions before the swap was over, what came of it, and those after.
    fn over(&mut self) -> (Vec<Action>, Result<SwapReport, SwapFailure>, Vec<Action>) {
        let mut before = self.actions();
        let is_over = |action: &Action| matches!(action, Action::SwapOver { swap: 1, .. });
        let place = before.iter().position(is_over);
        let after = before.split_off(place.expect("it is over") + 1);
        let Some(Action::SwapOver { outcome, .. }) = before.pop() else {
            panic!("{before:?}");
        };
        assert_eq!(self.supervisor.state().swap, None);
        (before, *outcome, after)
    }

    fn failed(&mut self) -> (Vec<Action>, SwapFailure, Vec<Action>) {
        let (before, outcome, after) = self.over();
        (before, outcome.expect_err("it failed"), after)
    }

    fn stage(&self) -> (SwapStage, u64, Option<u32>) {
        let swap = self.supervisor.state().swap.expect("one is under way");
        (swap.stage, swap.generation, swap.pid)
    }
}

#[test]
fn calls_move_once_the_new_one_is_well_and_the_old_one_finishes_its_own() {
    let mut world = World::up(Supervision::new());
    world.changes();
    assert_eq!(world.swap(Swap::beside()), 1);
    assert_eq!(world.stage(), (SwapStage::Queued, 2, None));
    world.begin(2, 1);
    assert_eq!(world.stage(), (SwapStage::Starting, 2, None));
    world.started(2);
    assert_eq!(world.actions(), [leave(2), probe(2, 1)]);
    assert_eq!(world.stage(), (SwapStage::Checking, 2, Some(102)));
    let state = world.supervisor.state();
    assert_eq!((state.generation, state.pid), (1, Some(101)));
    assert_eq!(state.phase, SupervisorPhase::Up, "the old one serves");
    // Not yet, and too late for the one before.
    world.answers(2, 1, false);
    assert_eq!(world.wait(), (50 * MS, SupervisorTimer::SwapProbe));
    assert_eq!(world.actions(), [probe(2, 2)]);
    world.answers(2, 1, true);
    assert_eq!(world.actions(), []);
    world.now += SECOND;
    world.answers(2, 2, true);
    assert_eq!(world.actions(), [admit(2), drain(1)]);
    assert_eq!(world.stage(), (SwapStage::Draining, 1, Some(101)));
    let state = world.supervisor.state();
    assert_eq!((state.generation, state.pid), (2, Some(102)));
    world.drained(1);
    assert_eq!(world.actions(), [stop(1, Stop::Ask)]);
    assert_eq!(world.stage(), (SwapStage::Stopping, 1, Some(101)));
    world.stopped(1);
    let (before, outcome, after) = world.over();
    assert_eq!((before, after), (vec![], vec![]));
    let report = outcome.expect("it was made");
    assert!(report.drained);
    assert_eq!((report.generation, report.pid), (2, Some(102)));
    let old = report.old.clone().expect("there was one");
    assert_eq!((old.generation, old.pid), (1, Some(101)));
    assert_eq!((old.cause, old.lived), (Cause::Swapped, SECOND + 50 * MS));
    let expected = [
        Change::Starting,
        Change::Checking,
        Change::Up,
        Change::Draining,
        Change::Stopping(Cause::Swapped),
        Change::Ended(old),
        Change::Swapped(Box::new(report)),
    ];
    assert_eq!(world.changes(), expected);
    // From now on it is the new program that is started again.
    world.exit(2, 1);
    world.actions();
    world.wait();
    world.begin(3, 1);
    let state = world.supervisor.state();
    assert_eq!((state.restarts, state.failures.len()), (1, 1));
}

#[test]
fn events_tell_which_process_they_are_about() {
    let mut world = World::checking(Supervision::new());
    world.answers(2, 1, true);
    world.drained(1);
    world.stopped(1);
    let events = std::iter::from_fn(|| world.supervisor.poll_event());
    let told: Vec<_> = events.map(|event| (event.generation, event.pid)).collect();
    let (old, new) = ((1, Some(101)), (2, Some(102)));
    assert_eq!(told, [new, old, old, old, new]);
}

#[test]
fn an_old_one_that_does_not_finish_is_ended_all_the_same() {
    let mut world = World::checking(Supervision::new());
    world.answers(2, 1, true);
    world.actions();
    assert_eq!(world.wait(), (30 * SECOND, SupervisorTimer::Drain));
    assert_eq!(world.actions(), [stop(1, Stop::Ask)]);
    world.drained(1);
    assert_eq!(world.actions(), [], "too late");
    world.stopped(1);
    let (_, outcome, _) = world.over();
    assert!(!outcome.expect("it was made").drained);
}

#[test]
fn a_new_one_that_does_not_start_leaves_the_old_one_alone() {
    for slow in [false, true] {
        let mut world = World::swapping(Supervision::new(), Swap::beside().start_within(SECOND));
        world.begin(2, 1);
        world.changes();
        let mut expected = vec![leave(2)];
        if slow {
            assert_eq!(world.wait(), (SECOND, SupervisorTimer::SwapStart));
            assert_eq!(world.actions(), [stop(2, Stop::Ask)]);
            assert_eq!(world.stage(), (SwapStage::GoingBack, 2, None));
            world.exit(2, 0);
        } else {
            world.fails(2);
        }
        let (before, failure, after) = world.failed();
        assert_eq!((before, after), (std::mem::take(&mut expected), vec![]));
        assert_eq!(failure.step, SwapStep::Start);
        assert!(failure.old_serves());
        let text = failure.to_string();
        let why = if slow { "start_within" } else { "no such file" };
        assert!(
            text.contains(why) && text.contains("still serves"),
            "{text}"
        );
        let new = failure.new.expect("it was begun with");
        assert_eq!((new.generation, new.cause), (2, Cause::NotStarted));
        let state = world.supervisor.state();
        assert_eq!((state.generation, state.pid), (1, Some(101)));
        assert!(state.failures.is_empty(), "it is not the plugin's");
        let told = world.changes();
        assert!(matches!(told.last(), Some(Change::SwapFailed(_))));
        assert_eq!(world.supervisor.poll_timeout(), None);
        // The old program goes on, and another swap is another program.
        world.exit(1, 1);
        world.actions();
        world.wait();
        world.start(3);
        assert_eq!(world.swap(Swap::beside()), 2);
        world.begin(4, 2);
    }
}

#[test]
fn a_new_one_waits_for_its_place_no_longer_than_for_its_start() {
    let mut world = World::swapping(Supervision::new(), Swap::beside());
    assert_eq!(world.wait(), (MINUTE, SupervisorTimer::SwapStart));
    let (before, failure, _) = world.failed();
    assert_eq!(before[1..], [leave(2)], "it was asked for before");
    assert_eq!((failure.step, failure.new), (SwapStep::Start, None));
    world.input(SupervisorInput::Placed { generation: 2 });
    assert_eq!(world.actions(), []);
}

#[test]
fn a_new_one_that_speaks_something_else_does_not_take_over() {
    let grpc = |version| Spoken::new(version, Protocol::Grpc);
    let netrpc = Spoken::new(1, Protocol::NetRpc);
    let version = |expected, found| SwapStep::Version { expected, found };
    let protocol = SwapStep::Protocol {
        expected: Protocol::Grpc,
        found: Protocol::NetRpc,
    };
    let cases = [
        (SwapVersion::Same, grpc(1), None),
        (SwapVersion::Same, Spoken::new(1, Protocol::Stdio), None),
        (SwapVersion::Same, grpc(2), Some(version(1, 2))),
        (SwapVersion::Is(2), grpc(2), None),
        (SwapVersion::Is(2), grpc(1), Some(version(2, 1))),
        (SwapVersion::Any, grpc(7), None),
        (SwapVersion::Any, netrpc, Some(protocol)),
    ];
    for (wanted, spoken, step) in cases {
        let plan = Swap::beside().version(wanted);
        let mut world = World::swapping(Supervision::new(), plan);
        world.begin(2, 1);
        world.speaks(2, spoken);
        let Some(step) = step else {
            assert_eq!(world.actions(), [leave(2), probe(2, 1)], "{spoken:?}");
            continue;
        };
        assert_eq!(world.actions(), [leave(2), stop(2, Stop::Ask)]);
        // Whatever it says.
        world.answers(2, 1, true);
        world.stopped(2);
        let (_, failure, _) = world.failed();
        assert_eq!(failure.step, step);
        let new = failure.new.clone().expect("it was up");
        assert_eq!((new.cause, new.pid), (Cause::Unfit, Some(102)));
        assert!(failure.old_serves(), "{failure}");
    }
}

#[test]
fn a_new_one_that_is_not_well_does_not_take_over() {
    // It says so for too long, or hangs.
    for says in [true, false] {
        let mut world = World::checking(Supervision::new());
        let mut pings = 1;
        loop {
            if says {
                world.answers(2, pings, false);
            }
            let (_, timer) = world.wait();
            if timer == SupervisorTimer::SwapCheck {
                break;
            }
            pings += 1;
            assert_eq!(world.actions(), [probe(2, pings)]);
        }
        assert_eq!(pings > 100, says, "every 50 ms of ten seconds: {pings}");
        assert_eq!(world.actions(), [stop(2, Stop::Kill)]);
        world.exit(2, 0);
        let (_, failure, _) = world.failed();
        assert_eq!(failure.step, SwapStep::Check);
        assert!(failure.text.contains("check_within"), "{failure}");
        assert!(failure.old_serves());
    }
    // It crashes.
    let mut world = World::checking(Supervision::new());
    world.exit(2, 9);
    let (before, failure, after) = world.failed();
    assert_eq!((before, after), (vec![], vec![]));
    assert_eq!(failure.step, SwapStep::Check);
    let new = failure.new.expect("it was up");
    assert_eq!(new.cause, Cause::Exited(Exit::Code(9)));
    assert_eq!(world.phase(), SupervisorPhase::Up);
}

#[test]
fn an_old_one_that_crashes_meanwhile_is_started_again_beside() {
    // How far its restart has come when the new one is well.
    for reached in 0..4 {
        let mut world = World::checking(Supervision::new());
        world.exit(1, 1);
        assert_eq!(world.actions(), [Action::Hold]);
        if reached > 0 {
            world.wait();
            let (generation, program) = (3, 0);
            let ask = Action::AskPlace {
                generation,
                program,
            };
            assert_eq!(world.actions(), [ask]);
        }
        if reached > 1 {
            world.input(SupervisorInput::Placed { generation: 3 });
            world.actions();
        }
        if reached > 2 {
            world.started(3);
            assert_eq!(world.actions(), [leave(3), admit(3)]);
        }
        world.answers(2, 1, true);
        let report = match reached {
            0 => {
                let (before, report, _) = world.over();
                assert_eq!(before, [admit(2)]);
                report
            }
            1 => {
                let (before, report, _) = world.over();
                assert_eq!(before, [admit(2), leave(3)]);
                report
            }
            2 => {
                assert_eq!(world.actions(), [admit(2), stop(3, Stop::Ask)]);
                world.stopped(3);
                let (before, report, _) = world.over();
                assert_eq!(before, [leave(3)]);
                report
            }
            _ => {
                assert_eq!(world.actions(), [admit(2), drain(3)]);
                world.drained(3);
                world.stopped(3);
                world.over().1
            }
        };
        let report = report.expect("it was made");
        assert_eq!((report.generation, report.drained), (2, true));
        let old = report.old.map(|old| old.generation);
        assert_eq!(old, (reached > 1).then_some(3));
        let state = world.supervisor.state();
        assert_eq!((state.phase, state.generation), (SupervisorPhase::Up, 2));
        assert_eq!(world.supervisor.poll_timeout(), None, "nothing is started");
    }
}

#[test]
fn both_may_crash() {
    let mut world = World::checking(Supervision::new());
    world.exit(1, 1);
    world.exit(2, 1);
    let (before, failure, _) = world.failed();
    assert_eq!(before, [Action::Hold]);
    assert!(!failure.old_serves());
    assert!(failure.to_string().contains("is started again"));
    assert!(matches!(failure.phase, SupervisorPhase::Pausing(_)));
    world.wait();
    world.start(3);
    // Either after calls had moved.
    for new_first in [false, true] {
        let mut world = World::checking(Supervision::new());
        world.answers(2, 1, true);
        assert_eq!(world.actions(), [admit(2), drain(1)]);
        if new_first {
            world.exit(2, 1);
            assert_eq!(world.actions(), [Action::Hold]);
            world.exit(1, 1);
        } else {
            world.exit(1, 1);
        }
        let report = world.over().1.expect("calls had moved");
        assert!(!report.drained);
        let old = report.old.expect("there was one");
        assert_eq!(old.cause, Cause::Exited(Exit::Code(1)));
        if !new_first {
            world.exit(2, 1);
            world.actions();
        }
        world.wait();
        world.begin(3, 1);
    }
}

#[test]
fn one_that_is_not_started_again_waits_for_what_becomes_of_the_swap() {
    for works in [true, false] {
        let mut world = World::checking(Supervision::new().restart(Restart::Never));
        world.exit(1, 1);
        assert_eq!(world.actions(), [Action::Hold], "calls wait for the new");
        assert_eq!(world.phase(), SupervisorPhase::Swapping);
        world.answers(2, 1, works);
        if works {
            let (before, outcome, after) = world.over();
            assert_eq!((before, after), (vec![admit(2)], vec![]));
            assert_eq!(outcome.map(|report| report.old), Ok(None));
            assert_eq!(world.phase(), SupervisorPhase::Up);
        } else {
            world.exit(2, 1);
            let (_, failure, after) = world.failed();
            let cause = Cause::Exited(Exit::Code(1));
            assert_eq!(failure.phase, SupervisorPhase::Over(cause));
            assert_eq!(after, [Action::Refuse(Refusal::Over(cause))]);
            assert_eq!(world.changes().last(), Some(&Change::Over(cause)));
        }
    }
    // After calls have moved, the end of the new one is the end; not before the old one is gone.
    let mut world = World::checking(Supervision::new().restart(Restart::Never));
    world.answers(2, 1, true);
    world.actions();
    world.exit(2, 1);
    let cause = Cause::Exited(Exit::Code(1));
    assert_eq!(world.actions(), [Action::Refuse(Refusal::Over(cause))]);
    assert_eq!(world.phase(), SupervisorPhase::Stopping(cause));
    world.drained(1);
    world.actions();
    world.stopped(1);
    let (_, outcome, _) = world.over();
    assert!(outcome.is_ok());
    assert_eq!(world.phase(), SupervisorPhase::Over(cause));
}

#[test]
fn nothing_is_stopped_for_want_of_calls_while_it_is_replaced() {
    let policy = Supervision::new().stop_when_idle(10 * SECOND);
    let mut world = World::checking(policy);
    let next = world.supervisor.poll_timeout();
    assert!(matches!(next, Some((_, SupervisorTimer::SwapCheck))));
    world.input(SupervisorInput::InUse {
        generation: 1,
        since: None,
    });
    world.now += 5 * SECOND;
    world.answers(2, 1, true);
    world.now += 15 * SECOND;
    world.drained(1);
    world.stopped(1);
    assert!(world.over().1.is_ok());
    assert_eq!(world.wait(), (10 * SECOND, SupervisorTimer::Idle));
    let rest = Action::Rest {
        generation: 2,
        unused_since: world.now - 10 * SECOND,
    };
    assert_eq!(world.actions(), [rest]);
    // After one that failed as well.
    let policy = Supervision::new().stop_when_idle(10 * SECOND);
    let mut world = World::checking(policy);
    world.exit(2, 1);
    world.actions();
    assert_eq!(world.wait(), (10 * SECOND, SupervisorTimer::Idle));
}

#[test]
fn health_is_watched_of_whoever_calls_go_to() {
    let mut world = World::swapping(checked(), Swap::beside().check_within(MINUTE));
    world.begin(2, 1);
    world.started(2);
    world.actions();
    // The old one, until calls move.
    let (_, timer) = world.wait();
    assert_eq!(timer, SupervisorTimer::Probe);
    assert_eq!(world.actions(), [probe(1, 1)]);
    world.answers(1, 1, true);
    world.answers(2, 1, true);
    let watch = Action::Watch { generation: 2 };
    assert_eq!(world.actions(), [admit(2), watch, drain(1)]);
    // It may say of itself what it likes now.
    world.input(SupervisorInput::Told {
        generation: 1,
        serving: false,
    });
    assert_eq!(world.wait().1, SupervisorTimer::Probe);
    assert_eq!(world.actions(), [probe(2, 2)]);
}
