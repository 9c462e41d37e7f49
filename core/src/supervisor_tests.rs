#[path = "supervisor_tests/swaps.rs"]
mod swaps;

use std::time::Duration;

use super::*;
use crate::exit::Exit;
use crate::handshake::Protocol;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Action = SupervisorAction;

/// A supervisor and the time.
struct World {
    supervisor: Supervisor,
    now: Instant,
}

impl World {
    fn new(policy: Supervision) -> Self {
        Self {
            supervisor: Supervisor::new(policy, 7),
            now: Instant::now(),
        }
    }

    /// One whose first process is up.
    fn up(policy: Supervision) -> Self {
        let mut world = Self::new(policy.lazy(false));
        world.start(1);
        world
    }

    fn input(&mut self, input: SupervisorInput) {
        self.supervisor.handle(self.now, input);
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.supervisor.poll_action()).collect()
    }

    fn changes(&mut self) -> Vec<Change> {
        let events = std::iter::from_fn(|| self.supervisor.poll_event());
        events.map(|event| event.change).collect()
    }

    fn phase(&self) -> SupervisorPhase {
        self.supervisor.state().phase
    }

    /// Lets a process start that is asked for.
    fn start(&mut self, generation: u64) {
        self.begin(generation, self.supervisor.program);
        self.started(generation);
        let leave = Action::LeavePlace { generation };
        let admit = Action::Admit { generation };
        let mut expected = vec![leave, admit];
        if self.supervisor.policy.health.is_some() {
            expected.push(Action::Watch { generation });
        }
        assert_eq!(self.actions(), expected);
        assert_eq!(self.phase(), SupervisorPhase::Up);
    }

    /// Lets this be launched.
    fn begin(&mut self, generation: u64, program: u64) {
        let ask = Action::AskPlace {
            generation,
            program,
        };
        assert_eq!(self.actions(), [ask]);
        self.input(SupervisorInput::Placed { generation });
        let start = Action::Start {
            generation,
            program,
        };
        assert_eq!(self.actions(), [start]);
    }

    fn started(&mut self, generation: u64) {
        self.speaks(generation, Spoken::new(1, Protocol::Grpc));
    }

    fn speaks(&mut self, generation: u64, spoken: Spoken) {
        let pid = Some(100 + generation as u32);
        let id = pid.map(|pid| pid.to_string());
        self.input(SupervisorInput::Started {
            generation,
            id,
            pid,
            spoken,
        });
    }

    fn exit(&mut self, generation: u64, code: i32) {
        self.input(SupervisorInput::Exited {
            generation,
            cause: Cause::Exited(Exit::Code(code)),
            text: "exited".into(),
        });
    }

    fn stopped(&mut self, generation: u64) {
        self.input(SupervisorInput::Exited {
            generation,
            cause: Cause::Shutdown,
            text: "ended".into(),
        });
    }

    /// Runs to the next timer, and gives how long that took and what it was.
    fn wait(&mut self) -> (Duration, SupervisorTimer) {
        let (at, timer) = self
            .supervisor
            .poll_timeout()
            .expect("something is waited for");
        let waited = at.saturating_duration_since(self.now);
        self.now = self.now.max(at);
        self.supervisor.handle_timeout(self.now);
        let next = self.supervisor.poll_timeout();
        assert!(next.is_none_or(|(at, _)| at > self.now), "{next:?}");
        (waited, timer)
    }
}

#[test]
fn a_crash_starts_the_next_process_after_a_pause_and_calls_wait() {
    let mut world = World::up(Supervision::new());
    assert_eq!(world.changes(), [Change::Starting, Change::Up]);
    world.now += SECOND;
    world.exit(1, 3);
    assert_eq!(world.actions(), [Action::Hold]);
    let event = world.supervisor.poll_event().expect("it has ended");
    assert_eq!((event.generation, event.pid), (1, Some(101)));
    let Change::Ended(end) = &event.change else {
        panic!("{event:?}");
    };
    assert_eq!(end.cause, Cause::Exited(Exit::Code(3)));
    assert_eq!((end.lived, end.id.as_deref()), (SECOND, Some("101")));
    let next = event.next_attempt.expect("there is one");
    assert_eq!(world.phase(), SupervisorPhase::Pausing(next));
    let (waited, timer) = world.wait();
    assert_eq!((timer, world.now), (SupervisorTimer::Restart, next));
    assert!(waited <= 100 * MS);
    world.start(2);
    let state = world.supervisor.state();
    assert_eq!((state.generation, state.restarts), (2, 1));
    assert_eq!((state.pid, state.failures.len()), (Some(102), 1));
}

#[test]
fn who_is_restarted_when() {
    use Restart::{AfterCrash, Always, Never};
    let cases = [
        (Never, 0, false),
        (Never, 1, false),
        (AfterCrash, 0, false),
        (AfterCrash, 1, true),
        (Always, 0, true),
        (Always, 1, true),
    ];
    for (restart, code, again) in cases {
        let mut world = World::up(Supervision::new().restart(restart));
        world.exit(1, code);
        let over = SupervisorPhase::Over(Cause::Exited(Exit::Code(code)));
        if again {
            assert!(matches!(world.phase(), SupervisorPhase::Pausing(_)));
        } else {
            assert_eq!(world.phase(), over, "{restart:?} {code}");
            assert!(matches!(
                world.actions()[..],
                [Action::Refuse(Refusal::Over(_))]
            ));
            assert_eq!(world.supervisor.poll_timeout(), None);
        }
    }
}

#[test]
fn too_many_restarts_are_a_crash_loop_with_its_last_failures() {
    let policy = Supervision::new().budget(3, 60 * SECOND).keep_failures(2);
    let mut world = World::up(policy);
    for generation in 1..4 {
        world.exit(generation, 1);
        assert_eq!(world.actions(), [Action::Hold]);
        world.wait();
        world.start(generation + 1);
    }
    world.exit(4, 9);
    assert_eq!(world.actions(), [Action::Refuse(Refusal::CrashLoop)]);
    assert_eq!(world.phase(), SupervisorPhase::CrashLoop);
    assert!(world.phase().is_final());
    assert_eq!(world.supervisor.poll_timeout(), None);
    assert_eq!(world.changes().last(), Some(&Change::CrashLoop(3)));
    let state = world.supervisor.state();
    let kept: Vec<u64> = state.failures.iter().map(|end| end.generation).collect();
    assert_eq!(kept, [3, 4]);
    // Nobody is started by a call any more, but by the user.
    world.input(SupervisorInput::Wanted);
    assert_eq!(world.actions(), []);
    world.supervisor.start();
    assert_eq!(world.supervisor.poll_action(), Some(Action::Hold));
    world.start(5);
    world.exit(5, 1);
    assert!(matches!(world.phase(), SupervisorPhase::Pausing(_)));
}

#[test]
fn restarts_that_are_long_ago_do_not_count() {
    let policy = Supervision::new().budget(1, 10 * SECOND);
    let mut world = World::up(policy);
    for generation in 1..20 {
        world.now += 11 * SECOND;
        world.exit(generation, 1);
        world.actions();
        world.wait();
        world.start(generation + 1);
    }
}

#[test]
fn a_start_that_fails_counts_and_one_that_never_will_is_the_end() {
    let mut world = World::new(Supervision::new());
    world.actions();
    world.input(SupervisorInput::Placed { generation: 1 });
    world.actions();
    let failed = |lasting| SupervisorInput::StartFailed {
        generation: 1,
        text: "no such file".into(),
        lasting,
    };
    let mut other = World {
        supervisor: world.supervisor.clone(),
        now: world.now,
    };
    world.input(failed(false));
    let leave = Action::LeavePlace { generation: 1 };
    // Calls wait already.
    assert_eq!(world.actions(), std::slice::from_ref(&leave));
    assert!(matches!(world.phase(), SupervisorPhase::Pausing(_)));
    other.input(failed(true));
    let refuse = Action::Refuse(Refusal::Over(Cause::NotStarted));
    assert_eq!(other.actions(), [leave, refuse]);
    assert_eq!(other.supervisor.state().failures.len(), 1);
}

#[test]
fn a_lazy_plugin_is_started_by_a_call_and_an_idle_one_stopped_until_the_next() {
    let policy = Supervision::new().lazy(true).stop_when_idle(10 * SECOND);
    let mut world = World::new(policy);
    assert!(world.supervisor.is_resting());
    assert_eq!(
        (world.actions(), world.supervisor.poll_timeout()),
        (vec![], None)
    );
    world.input(SupervisorInput::Wanted);
    world.start(1);
    assert_eq!(world.wait(), (10 * SECOND, SupervisorTimer::Idle));
    let rest = |world: &World| Action::Rest {
        generation: 1,
        unused_since: world.now - 10 * SECOND,
    };
    assert_eq!(world.actions(), [rest(&world)]);
    // A call is in flight; later one has ended three seconds ago.
    let in_use = |since| SupervisorInput::InUse {
        generation: 1,
        since,
    };
    world.input(in_use(None));
    assert_eq!(world.wait().0, 10 * SECOND);
    world.actions();
    world.input(in_use(Some(world.now - 3 * SECOND)));
    assert_eq!(world.wait().0, 7 * SECOND);
    assert_eq!(world.actions(), [rest(&world)]);
    world.input(SupervisorInput::Rested { generation: 1 });
    let how = Stop::Ask;
    let stop = Action::Stop { generation: 1, how };
    assert_eq!(world.actions(), [stop]);
    assert_eq!(world.phase(), SupervisorPhase::Stopping(Cause::Idle));
    // Not before the process is gone.
    world.input(SupervisorInput::Wanted);
    assert_eq!(world.actions(), []);
    world.stopped(1);
    assert!(world.supervisor.is_resting());
    assert_eq!(world.actions(), [], "calls wait already");
    world.input(SupervisorInput::Wanted);
    world.start(2);
    let state = world.supervisor.state();
    assert_eq!((state.restarts, state.failures.len()), (0, 0));
}

#[test]
fn a_time_without_calls_however_short_keeps_nobody_busy_during_a_call() {
    for idle in [Duration::ZERO, MS] {
        let mut world = World::up(Supervision::new().stop_when_idle(idle));
        world.wait();
        for _ in 0..3 {
            world.actions();
            world.input(SupervisorInput::InUse {
                generation: 1,
                since: None,
            });
            assert_eq!(world.wait(), (100 * MS, SupervisorTimer::Idle));
        }
        // It ended long ago, but something else was in the way.
        world.actions();
        world.input(SupervisorInput::InUse {
            generation: 1,
            since: Some(world.now - MINUTE),
        });
        assert_eq!(world.wait(), (MS, SupervisorTimer::Idle));
    }
}

#[test]
fn pauses_start_over_after_a_process_that_was_up_for_long_however_it_ended() {
    let pauses = Backoff::new().first(SECOND).longest(MINUTE).seed(3);
    let policy = Supervision::new().backoff(pauses).budget(u32::MAX, MINUTE);
    let mut world = World::up(policy);
    for generation in 1..8 {
        world.exit(generation, 1);
        world.actions();
        world.wait();
        world.start(generation + 1);
    }
    world.now += 10 * MINUTE;
    world.input(SupervisorInput::Rested { generation: 8 });
    world.actions();
    world.stopped(8);
    world.input(SupervisorInput::Wanted);
    world.start(9);
    world.exit(9, 1);
    assert!(world.wait().0 <= SECOND, "not the eighth");
}

#[test]
fn one_that_says_that_it_is_well_and_answers_no_ping_is_not() {
    let mut world = World::up(checked());
    world.wait();
    world.actions();
    world.wait();
    let told = SupervisorInput::Told {
        generation: 1,
        serving: true,
    };
    world.input(told.clone());
    assert_eq!(world.phase(), SupervisorPhase::Up);
    world.wait();
    world.input(told);
    world.wait();
    assert_eq!(world.phase(), SupervisorPhase::Stopping(Cause::Unhealthy));
}

fn checked() -> Supervision {
    let check = HealthCheck::new()
        .every(10 * SECOND)
        .within(2 * SECOND)
        .misses(2);
    Supervision::new().health(check)
}

#[test]
fn pings_without_an_answer_end_the_process_and_an_answer_starts_over() {
    let mut world = World::up(checked());
    for (probe, answered) in [(1, false), (2, true), (3, false), (4, false)] {
        let (_, timer) = world.wait();
        assert_eq!(timer, SupervisorTimer::Probe);
        let generation = 1;
        assert_eq!(world.actions(), [Action::Probe { generation, probe }]);
        if answered {
            // That of the one before is too late.
            for (probe, serving) in [(probe - 1, false), (probe, true)] {
                world.input(SupervisorInput::Probed {
                    generation,
                    probe,
                    serving,
                });
            }
        } else {
            assert_eq!(world.wait(), (2 * SECOND, SupervisorTimer::Answer));
        }
    }
    let how = Stop::Kill;
    assert_eq!(
        world.actions(),
        [Action::Hold, Action::Stop { generation: 1, how }]
    );
    let missed: Vec<Change> = world.changes();
    let expected = [
        Change::Starting,
        Change::Up,
        Change::Missed(1),
        Change::Missed(1),
        Change::Missed(2),
        Change::Stopping(Cause::Unhealthy),
    ];
    assert_eq!(missed, expected);
    // However it ended: it was ended for this.
    world.exit(1, 0);
    assert_eq!(world.supervisor.state().failures[0].cause, Cause::Unhealthy);
    assert!(matches!(world.phase(), SupervisorPhase::Pausing(_)));
}

#[test]
fn one_that_tells_that_it_takes_no_calls_misses_at_once_and_is_asked_to_end() {
    let mut world = World::up(checked());
    let told = |serving| SupervisorInput::Told {
        generation: 1,
        serving,
    };
    world.input(told(false));
    world.input(told(true));
    world.input(told(false));
    assert_eq!(world.phase(), SupervisorPhase::Up);
    world.wait();
    world.actions();
    world.input(SupervisorInput::Probed {
        generation: 1,
        probe: 1,
        serving: false,
    });
    let how = Stop::Ask;
    assert_eq!(
        world.actions(),
        [Action::Hold, Action::Stop { generation: 1, how }]
    );
}

#[test]
fn a_limit_beyond_the_interval_ends_with_it() {
    let check = HealthCheck::new()
        .every(SECOND)
        .within(Duration::MAX)
        .misses(3);
    let mut world = World::up(Supervision::new().health(check));
    for _ in 0..6 {
        if world.phase() == SupervisorPhase::Up {
            world.wait();
        }
    }
    assert_eq!(world.phase(), SupervisorPhase::Stopping(Cause::Unhealthy));
}

#[test]
fn calls_that_do_not_wait_fail_from_the_crash_to_the_next_process() {
    let mut world = World::up(Supervision::new().waiting(Waiting::Fail));
    world.exit(1, 1);
    assert_eq!(world.actions(), [Action::Refuse(Refusal::Restarting)]);
    world.wait();
    world.start(2);
}

#[test]
fn an_end_in_any_phase_is_final_and_told_once() {
    let phases: [fn(&mut World); 6] = [
        |_| {},
        |world| world.input(SupervisorInput::Placed { generation: 1 }),
        |world| {
            world.input(SupervisorInput::Placed { generation: 1 });
            world.started(1);
        },
        |world| {
            world.input(SupervisorInput::Placed { generation: 1 });
            world.started(1);
            world.exit(1, 1);
        },
        |world| {
            world.input(SupervisorInput::Placed { generation: 1 });
            world.started(1);
            world.input(SupervisorInput::Rested { generation: 1 });
        },
        |world| {
            world.input(SupervisorInput::Placed { generation: 1 });
            world.started(1);
            world.supervisor.shutdown();
        },
    ];
    for (number, reach) in phases.into_iter().enumerate() {
        for drop in [false, true] {
            let mut world = World::new(Supervision::new());
            reach(&mut world);
            world.actions();
            if drop {
                world.supervisor.let_go();
            } else {
                world.supervisor.shutdown();
            }
            if let SupervisorPhase::Stopping(cause) = world.phase() {
                assert!(cause.is_final(), "{number}: {cause:?}");
                world.stopped(1);
            }
            let SupervisorPhase::Over(cause) = world.phase() else {
                panic!("{number}: {:?}", world.phase());
            };
            let expected = if drop {
                Cause::Dropped
            } else {
                Cause::Shutdown
            };
            assert_eq!(cause, expected, "{number}");
            let over = |change: &Change| matches!(change, Change::Over(_));
            assert_eq!(world.changes().into_iter().filter(over).count(), 1);
            // Nothing moves it any more.
            world.actions();
            world.supervisor.start();
            world.supervisor.shutdown();
            world.input(SupervisorInput::Wanted);
            world.exit(1, 1);
            assert_eq!((world.actions(), world.changes()), (vec![], vec![]));
        }
    }
}

#[test]
fn one_that_is_let_go_of_while_it_is_asked_to_end_is_killed() {
    let mut world = World::up(Supervision::new());
    world.supervisor.shutdown();
    world.actions();
    world.supervisor.let_go();
    let kill = Action::Stop {
        generation: 1,
        how: Stop::Kill,
    };
    assert!(world.actions().contains(&kill));
    world.supervisor.let_go();
    assert_eq!(world.actions(), [], "once");
}

#[test]
fn news_of_an_earlier_process_change_nothing() {
    let mut world = World::up(checked());
    world.exit(1, 1);
    world.actions();
    world.wait();
    world.start(2);
    let before = world.supervisor.state();
    world.exit(1, 1);
    world.started(1);
    world.input(SupervisorInput::Placed { generation: 1 });
    world.input(SupervisorInput::Rested { generation: 1 });
    world.input(SupervisorInput::Told {
        generation: 1,
        serving: false,
    });
    assert_eq!(world.actions(), []);
    assert_eq!(world.supervisor.state(), before);
}

#[test]
fn calls_that_are_lost_are_made_again_only_where_that_is_allowed() {
    let policy = Supervision::new().retries(2);
    assert!(policy.tries_again(true, 0, true) && policy.tries_again(true, 1, true));
    assert!(!policy.tries_again(true, 2, true), "often enough");
    assert!(!policy.tries_again(false, 0, true), "not marked");
    assert!(!policy.tries_again(true, 0, false), "an answer");
    assert!(!policy.retries(0).tries_again(true, 0, true));
}
