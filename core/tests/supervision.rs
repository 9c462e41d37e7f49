//! A supervisor in a simulated world, over seeded schedules: processes that start slowly, fail to start,
//! crash, hang or end by themselves, programs that replace one another, calls that come and take their time, users who shut it down or let go of
//! it at any moment, and a clock that jumps.
//!
//! A thousand schedules as a rule; `OUTBOARD_SCHEDULES=1000000` for a million, best with `--release`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "asks for how many there are to be, and tells what has happened in them"
)]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outboard_core::exit::Exit;
use outboard_core::handshake::Protocol;
use outboard_core::supervisor::{
    Backoff, Cause, Change, HealthCheck, Restart, Spoken, Supervision, Supervisor,
    SupervisorAction, SupervisorInput, SupervisorPhase, Swap, SwapMode, SwapRefusal, SwapStep,
    Waiting,
};
use support::{Dice, MS, SECOND, epoch};

const MINUTE: Duration = Duration::from_secs(60);

/// What comes at some time.
#[derive(Clone, Copy, Debug)]
enum Coming {
    Placed(u64),
    Up(u64),
    NotUp(u64),
    Crash(u64),
    Stopped(u64),
    Pong(u64, u64, bool),
    Told(u64, bool),
    Call,
    CallDone(usize),
    CallGivenUp(usize),
    Shutdown,
    LetGo,
    Again,
    Swap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Held {
        before: u32,
        marked: bool,
    },
    InFlight {
        generation: u64,
        before: u32,
        marked: bool,
    },
    Answered {
        sent: u32,
        marked: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Held,
    To(u64),
    Refused,
}

/// A process that is not known to have ended.
#[derive(Clone, Copy, Debug)]
struct Live {
    up: bool,
    stopping: bool,
    program: u64,
    /// It tells when its last call has ended.
    draining: bool,
}

/// A swap that is under way.
#[derive(Clone, Copy, Debug)]
struct Swapping {
    number: u64,
    mode: SwapMode,
    /// Calls have moved.
    moved: bool,
    /// How long calls may go on, and until when.
    drain: Duration,
    until: Option<Instant>,
}

struct World {
    policy: Supervision,
    supervisor: Supervisor,
    dice: Dice,
    now: Instant,
    /// What is to come, in order.
    coming: BTreeMap<(Instant, u64), Coming>,
    ticket: u64,
    live: BTreeMap<u64, Live>,
    swap: Option<Swapping>,
    /// The number of the program that is kept up.
    program: u64,
    way: Way,
    calls: Vec<Call>,
    last_call: Option<Instant>,
    /// No process stays up in this one.
    cursed: bool,
    /// It was told to end.
    told: bool,
    starts: u64,
    ups: u64,
    overs: u32,
    swaps: Swaps,
}

/// What came of the swaps of one schedule.
#[derive(Clone, Copy, Debug, Default)]
struct Swaps {
    made: u64,
    exclusive: u64,
    failed: u64,
    refused: u64,
    cut_off: u64,
    ended: u64,
    /// How often two processes were live.
    pairs: u64,
}

/// What came of one schedule.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    starts: u64,
    ups: u64,
    calls: u64,
    answered_by_plugin: u64,
    again: u64,
    crash_loops: u64,
    overs: u64,
    swaps: Swaps,
}

fn policy(dice: &mut Dice, cursed: bool) -> Supervision {
    let seed = dice.roll(u64::MAX);
    let backoff = Backoff::new()
        .first(MS * dice.roll(1000) as u32)
        .longest(SECOND * dice.roll(60) as u32)
        .starts_over_after(SECOND * dice.roll(90) as u32)
        .seed(seed);
    let mut policy = Supervision::new()
        .backoff(backoff)
        .lazy(dice.roll(3) == 0)
        .retries(dice.roll(3) as u32);
    policy = if cursed {
        policy
            .restart(Restart::Always)
            .budget(dice.roll(8) as u32, Duration::MAX)
    } else {
        let restart = [Restart::Never, Restart::AfterCrash, Restart::Always];
        policy
            .restart(restart[dice.roll(3) as usize])
            .budget(1 + dice.roll(10) as u32, SECOND * dice.roll(300) as u32)
    };
    policy = policy.waiting(match dice.roll(3) {
        0 => Waiting::Fail,
        1 => Waiting::UpTo(Duration::MAX),
        _ => Waiting::UpTo(SECOND * dice.roll(60) as u32),
    });
    if dice.roll(2) == 0 {
        let check = HealthCheck::new()
            .every(MS * (1 + dice.roll(10_000) as u32))
            .within(MS * dice.roll(12_000) as u32)
            .misses(dice.roll(4) as u32);
        policy = policy.health(check);
    }
    if dice.roll(2) == 0 {
        policy = policy.stop_when_idle(MS * dice.roll(30_000) as u32);
    }
    policy
}

impl World {
    fn new(seed: u64) -> Self {
        // Small seeds are too much alike.
        let mut dice = Dice((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let cursed = dice.roll(4) == 0;
        let policy = policy(&mut dice, cursed);
        let mut world = Self {
            supervisor: Supervisor::new(policy.clone(), 0),
            policy,
            dice,
            now: epoch() + 100 * MINUTE,
            coming: BTreeMap::new(),
            ticket: 0,
            live: BTreeMap::new(),
            swap: None,
            program: 0,
            way: Way::Held,
            calls: Vec::new(),
            last_call: None,
            cursed,
            told: false,
            starts: 0,
            ups: 0,
            overs: 0,
            swaps: Swaps::default(),
        };
        let calls = 1 + world.dice.roll(12);
        for _ in 0..calls {
            let at = world.within(180 * SECOND);
            world.put(at, Coming::Call);
        }
        if world.dice.roll(4) == 0 {
            let at = world.within(180 * SECOND);
            world.put(at, Coming::Again);
        }
        if world.dice.roll(3) != 0 {
            for _ in 0..=world.dice.roll(6) {
                let at = world.within(90 * SECOND);
                world.put(at, Coming::Swap);
            }
        }
        if !cursed {
            let end = [Coming::Shutdown, Coming::LetGo][world.dice.roll(2) as usize];
            let at = world.within(200 * SECOND);
            world.put(at, end);
            // Whoever has asked it to end may let go of it all the same.
            if world.dice.roll(4) == 0 {
                let at = at + world.within(SECOND);
                world.put(at, Coming::LetGo);
            }
        }
        world
    }

    fn within(&mut self, limit: Duration) -> Duration {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        MS * self.dice.roll(millis.max(1)) as u32
    }

    fn put(&mut self, after: Duration, coming: Coming) {
        self.ticket += 1;
        self.coming.insert((self.now + after, self.ticket), coming);
    }

    fn input(&mut self, input: SupervisorInput) {
        // The clock stood still, or went back a little.
        let back = if self.dice.roll(50) == 0 {
            self.within(SECOND)
        } else {
            Duration::ZERO
        };
        self.supervisor.handle(self.now - back, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            while let Some(action) = self.supervisor.poll_action() {
                self.act(action);
            }
            while let Some(event) = self.supervisor.poll_event() {
                match event.change {
                    Change::Over(_) => self.overs += 1,
                    Change::Up => {
                        self.ups += 1;
                        assert_eq!(Way::To(event.generation), self.way);
                    }
                    _ => assert_eq!(self.overs, 0, "the end is the last that is told"),
                }
            }
            let waits = self
                .calls
                .iter()
                .any(|call| matches!(call, Call::Held { .. }));
            if !(self.supervisor.is_resting() && waits) {
                return;
            }
            self.supervisor.handle(self.now, SupervisorInput::Wanted);
        }
    }

    fn act(&mut self, action: SupervisorAction) {
        match action {
            SupervisorAction::AskPlace { generation, .. } => {
                assert!(!self.told, "it was told to end");
                let delay = if self.dice.roll(4) == 0 {
                    20 * SECOND
                } else {
                    MS
                };
                let delay = self.within(delay);
                self.put(delay, Coming::Placed(generation));
            }
            SupervisorAction::LeavePlace { .. } => {}
            SupervisorAction::Start {
                generation,
                program,
            } => {
                let room = match self.swap {
                    Some(Swapping {
                        mode: SwapMode::Beside,
                        ..
                    }) => 2,
                    _ => 1,
                };
                assert!(self.live.len() < room, "too many: {:?}", self.live);
                let offered = self.swap.map(|swap| swap.number);
                assert!(
                    program == self.program || Some(program) == offered,
                    "nobody knows program {program}"
                );
                self.starts += 1;
                let live = Live {
                    up: false,
                    stopping: false,
                    program,
                    draining: false,
                };
                assert!(self.live.insert(generation, live).is_none());
                self.swaps.pairs += u64::from(self.live.len() == 2);
                let slow = if self.dice.roll(10) == 0 {
                    2 * MINUTE
                } else {
                    SECOND
                };
                let delay = self.within(slow);
                let fails = self.dice.roll(if self.cursed { 2 } else { 5 }) == 0;
                let coming = if fails { Coming::NotUp } else { Coming::Up };
                self.put(delay, coming(generation));
            }
            SupervisorAction::Stop { generation, .. } => {
                let live = self.live.get_mut(&generation).expect("there is one");
                live.stopping = true;
                if live.draining && !self.told {
                    let until = self.swap.and_then(|swap| swap.until);
                    // The clock that the supervisor was told may have been behind.
                    let late = until.is_none_or(|until| until <= self.now + SECOND);
                    let phase = self.supervisor.state().phase;
                    let unwell = phase == SupervisorPhase::Stopping(Cause::Unhealthy);
                    assert!(
                        late || unwell || !self.is_busy(generation),
                        "calls are cut off"
                    );
                }
                let delay = self.within(3 * SECOND);
                self.put(delay, Coming::Stopped(generation));
            }
            SupervisorAction::Hold => self.way = Way::Held,
            SupervisorAction::Admit { generation } => {
                assert!(!self.told, "it was told to end");
                let live = self.live[&generation];
                assert!(live.up && !live.stopping && !live.draining, "{live:?}");
                if let Some(swap) = &mut self.swap
                    && swap.number == live.program
                {
                    swap.moved = true;
                    self.program = live.program;
                }
                assert_eq!(live.program, self.program);
                self.way = Way::To(generation);
                for index in 0..self.calls.len() {
                    if let Call::Held { before, marked } = self.calls[index] {
                        self.send(index, before, marked);
                    }
                }
            }
            SupervisorAction::Refuse(_) => {
                self.way = Way::Refused;
                for call in &mut self.calls {
                    if let Call::Held { before, marked } = *call {
                        *call = Call::Answered {
                            sent: before,
                            marked,
                        };
                    }
                }
            }
            SupervisorAction::Drain { generation } => {
                assert_ne!(self.way, Way::To(generation), "calls go there");
                let live = self.live.get_mut(&generation).expect("there is one");
                live.draining = true;
                if let Some(swap) = &mut self.swap {
                    swap.until = self.now.checked_add(swap.drain);
                }
                self.look_for_drained(generation);
            }
            SupervisorAction::SwapOver { swap, outcome } => {
                let swapping = self.swap.take().expect("there is one");
                assert_eq!(swapping.number, swap);
                assert_eq!(outcome.is_ok(), swapping.moved);
                let both = self.live.len() == 2;
                assert!(!both, "the swap is over: {:?}", self.live);
                match *outcome {
                    Ok(report) => {
                        self.swaps.made += 1;
                        self.swaps.exclusive += u64::from(swapping.mode == SwapMode::Exclusive);
                        self.swaps.cut_off += u64::from(!report.drained);
                    }
                    Err(failure) => {
                        self.swaps.failed += 1;
                        let ended = matches!(failure.step, SwapStep::Over(_));
                        self.swaps.ended += u64::from(ended);
                        let serves = matches!(self.way, Way::To(_));
                        assert!(!failure.old_serves() || serves, "{failure:?}");
                    }
                }
            }
            SupervisorAction::Rest {
                generation,
                unused_since,
            } => {
                let used = self.is_busy(generation);
                let since = self.last_call.filter(|last| *last > unused_since);
                let answer = if used || since.is_some() {
                    let since = if used { None } else { since };
                    SupervisorInput::InUse { generation, since }
                } else {
                    self.way = Way::Held;
                    SupervisorInput::Rested { generation }
                };
                self.supervisor.handle(self.now, answer);
            }
            SupervisorAction::Watch { generation } => {
                if self.dice.roll(2) == 0 {
                    let delay = self.within(60 * SECOND);
                    let serving = self.dice.roll(2) == 0;
                    self.put(delay, Coming::Told(generation, serving));
                }
            }
            SupervisorAction::Probe { generation, probe } => {
                let serving = self.dice.roll(8) != 0;
                // Some never answer.
                if self.dice.roll(8) != 0 {
                    let delay = self.within(4 * SECOND);
                    self.put(delay, Coming::Pong(generation, probe, serving));
                }
            }
        }
    }

    fn call(&mut self, index: usize, before: u32, marked: bool) {
        match self.way {
            Way::Held => {
                self.calls[index] = Call::Held { before, marked };
                let limit = self.policy.waiting.limit();
                if limit != Duration::MAX {
                    self.put(limit, Coming::CallGivenUp(index));
                }
            }
            Way::To(_) => self.send(index, before, marked),
            Way::Refused => {
                self.calls[index] = Call::Answered {
                    sent: before,
                    marked,
                };
            }
        }
    }

    fn send(&mut self, index: usize, before: u32, marked: bool) {
        let Way::To(generation) = self.way else {
            panic!("there is no way: {:?}", self.way);
        };
        self.last_call = Some(self.now);
        self.calls[index] = Call::InFlight {
            generation,
            before,
            marked,
        };
        let delay = self.within(10 * SECOND);
        self.put(delay, Coming::CallDone(index));
    }

    /// Whether it has calls in flight.
    fn is_busy(&self, generation: u64) -> bool {
        let in_flight = |call: &Call| matches!(call, Call::InFlight { generation: at, .. } if *at == generation);
        self.calls.iter().any(in_flight)
    }

    fn look_for_drained(&mut self, generation: u64) {
        let draining = self.live.get(&generation).is_some_and(|live| live.draining);
        if draining && !self.is_busy(generation) {
            self.supervisor
                .handle(self.now, SupervisorInput::Drained { generation });
        }
    }

    fn swap(&mut self) {
        let mut plan = if self.dice.roll(3) == 0 {
            Swap::exclusive()
        } else {
            Swap::beside()
        };
        plan = plan
            .start_within(self.within(MINUTE))
            .check_within(self.within(20 * SECOND))
            .drain_within(self.within(20 * SECOND));
        match self.supervisor.swap(self.now, plan) {
            Ok(number) => {
                assert!(self.swap.is_none() && !self.told);
                self.swap = Some(Swapping {
                    number,
                    mode: plan.mode,
                    moved: false,
                    drain: plan.drain_within,
                    until: None,
                });
            }
            Err(refusal) => {
                self.swaps.refused += 1;
                let swapping = refusal == SwapRefusal::Swapping;
                assert!(!swapping || self.swap.is_some(), "{refusal:?}");
            }
        }
    }

    /// The process of this generation has ended: calls in flight there fail at once.
    fn gone(&mut self, generation: u64) {
        self.live.remove(&generation);
        let mut again = Vec::new();
        for (index, call) in self.calls.iter_mut().enumerate() {
            if let Call::InFlight {
                generation: at,
                before,
                marked,
            } = *call
                && at == generation
            {
                let sent = before + 1;
                *call = Call::Answered { sent, marked };
                if self.policy.tries_again(marked, before, true) {
                    again.push((index, sent, marked));
                }
            }
        }
        // As it is with connections: the calls learn of it first, and no new one is sent there.
        if self.way == Way::To(generation) {
            self.way = Way::Held;
        }
        for (index, before, marked) in again {
            self.call(index, before, marked);
        }
    }

    fn is_live(&self, generation: u64) -> Option<Live> {
        self.live.get(&generation).copied()
    }

    fn happen(&mut self, coming: Coming) {
        match coming {
            Coming::Placed(generation) => self.input(SupervisorInput::Placed { generation }),
            Coming::Up(generation) => {
                let Some(live) = self.is_live(generation) else {
                    return;
                };
                // It was given up.
                if live.stopping {
                    return;
                }
                self.live.insert(generation, Live { up: true, ..live });
                // It may not live long, and most do not live for ever.
                let longest = if self.dice.roll(3) == 0 {
                    SECOND
                } else {
                    90 * SECOND
                };
                if self.cursed || self.dice.roll(4) != 0 {
                    let lives = self.within(longest);
                    self.put(lives, Coming::Crash(generation));
                }
                self.input(SupervisorInput::Started {
                    generation,
                    id: None,
                    pid: Some(generation as u32),
                    spoken: Spoken::new(1 + i64::from(self.cursed), Protocol::Grpc),
                });
            }
            Coming::NotUp(generation) => {
                if self.is_live(generation).is_some() {
                    self.gone(generation);
                    let lasting = !self.cursed && self.dice.roll(20) == 0;
                    self.input(SupervisorInput::StartFailed {
                        generation,
                        text: "it does not start".into(),
                        lasting,
                    });
                }
            }
            Coming::Crash(generation) => {
                let code = self.dice.roll(3) as i32;
                self.exit(generation, Cause::Exited(Exit::Code(code)));
            }
            Coming::Stopped(generation) => self.exit(generation, Cause::Shutdown),
            Coming::Pong(generation, probe, serving) => self.input(SupervisorInput::Probed {
                generation,
                probe,
                serving,
            }),
            Coming::Told(generation, serving) => self.input(SupervisorInput::Told {
                generation,
                serving,
            }),
            Coming::Call => {
                let marked = self.dice.roll(2) == 0;
                self.calls.push(Call::Held { before: 0, marked });
                self.call(self.calls.len() - 1, 0, marked);
            }
            Coming::CallDone(index) => {
                if let Call::InFlight {
                    before,
                    marked,
                    generation,
                } = self.calls[index]
                {
                    let sent = before + 1;
                    self.calls[index] = Call::Answered { sent, marked };
                    self.last_call = Some(self.now);
                    self.look_for_drained(generation);
                }
            }
            Coming::CallGivenUp(index) => {
                if let Call::Held { before, marked } = self.calls[index] {
                    self.calls[index] = Call::Answered {
                        sent: before,
                        marked,
                    };
                }
            }
            Coming::Shutdown => {
                self.told = true;
                self.supervisor.shutdown();
            }
            Coming::LetGo => {
                self.told = true;
                self.supervisor.let_go();
            }
            Coming::Again => self.supervisor.start(),
            Coming::Swap => self.swap(),
        }
        self.drain();
    }

    fn exit(&mut self, generation: u64, cause: Cause) {
        if self.is_live(generation).is_some() {
            self.gone(generation);
            self.input(SupervisorInput::Exited {
                generation,
                cause,
                text: "it has ended".into(),
            });
        }
    }

    /// Lets everything happen that is to come.
    fn run(&mut self) -> Outcome {
        self.drain();
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 1_000_000, "it goes on for ever");
            let phase = self.supervisor.state().phase;
            let timer = self.supervisor.poll_timeout().map(|(at, _)| at);
            let coming = self.coming.first_key_value().map(|((at, _), _)| *at);
            let next = match (timer, coming) {
                (Some(timer), Some(coming)) => timer.min(coming),
                (Some(timer), None) => {
                    // Only pings and the look for calls go on for ever.
                    if phase == SupervisorPhase::Up {
                        self.put(Duration::ZERO, Coming::LetGo);
                    }
                    timer
                }
                (None, Some(coming)) => coming,
                (None, None) if phase.is_final() => break,
                // Nobody calls, or it runs on: its user has to end it.
                (None, None) => {
                    self.put(Duration::ZERO, Coming::LetGo);
                    continue;
                }
            };
            self.now = self.now.max(next);
            if self.dice.roll(40) == 0 {
                // A laptop was closed.
                let asleep = self.within(30 * MINUTE);
                self.now += asleep;
            }
            if timer.is_some_and(|at| at <= self.now) && self.dice.roll(2) == 0 {
                self.timeout();
            }
            // What has come at once is told at once, or one by one.
            while let Some(entry) = self.coming.first_entry()
                && entry.key().0 <= self.now
            {
                let coming = entry.remove();
                self.happen(coming);
            }
            self.timeout();
        }
        self.judge()
    }

    fn timeout(&mut self) {
        self.supervisor.handle_timeout(self.now);
        let left = self.supervisor.poll_timeout();
        assert!(left.is_none_or(|(at, _)| at > self.now), "{left:?}");
        self.drain();
    }

    fn judge(&self) -> Outcome {
        let state = self.supervisor.state();
        assert!(state.phase.is_final());
        assert!(self.live.is_empty(), "left behind: {:?}", self.live);
        assert_eq!(self.way, Way::Refused, "later calls are told");
        assert!(state.failures.len() <= 8);
        let over = matches!(state.phase, SupervisorPhase::Over(_));
        assert_eq!(self.overs, u32::from(over));
        assert!(self.swap.is_none() && state.swap.is_none(), "{state:?}");
        let mut outcome = Outcome {
            starts: self.starts,
            ups: self.ups,
            crash_loops: u64::from(!over),
            overs: u64::from(over),
            swaps: self.swaps,
            ..Outcome::default()
        };
        for call in &self.calls {
            let Call::Answered { sent, marked } = *call else {
                panic!("without an answer: {call:?}");
            };
            assert!(marked || sent <= 1, "made twice: {call:?}");
            assert!(sent <= 1 + self.policy.retries);
            outcome.calls += 1;
            outcome.answered_by_plugin += u64::from(sent > 0);
            outcome.again += u64::from(sent > 1);
        }
        outcome
    }
}

#[test]
fn every_schedule_ends_with_all_calls_answered_and_two_processes_only_in_a_swap() {
    let count = std::env::var("OUTBOARD_SCHEDULES").map_or(1000, |count| {
        count.parse().expect("OUTBOARD_SCHEDULES is a number")
    });
    let mut sum = Outcome::default();
    for seed in 0..count {
        let outcome = std::panic::catch_unwind(|| World::new(seed).run());
        let outcome = outcome.unwrap_or_else(|_| panic!("the schedule of seed {seed} fails"));
        sum.starts += outcome.starts;
        sum.ups += outcome.ups;
        sum.calls += outcome.calls;
        sum.answered_by_plugin += outcome.answered_by_plugin;
        sum.again += outcome.again;
        sum.crash_loops += outcome.crash_loops;
        sum.overs += outcome.overs;
        let (all, swaps) = (&mut sum.swaps, outcome.swaps);
        all.made += swaps.made;
        all.exclusive += swaps.exclusive;
        all.failed += swaps.failed;
        all.refused += swaps.refused;
        all.cut_off += swaps.cut_off;
        all.ended += swaps.ended;
        all.pairs += swaps.pairs;
    }
    println!("{count} schedules: {sum:?}");
    // What is to be proved must have happened.
    assert!(sum.starts > count && sum.ups > count && sum.calls > count);
    assert!(sum.answered_by_plugin > count && sum.again > count / 100);
    assert!(sum.crash_loops > count / 10 && sum.overs > count / 2);
    let swaps = sum.swaps;
    assert!(swaps.made > count / 5 && swaps.exclusive > count / 20 && swaps.failed > count / 20);
    assert!(swaps.refused > count / 50 && swaps.cut_off > count / 400);
    assert!(swaps.ended > count / 100 && swaps.pairs > count / 10);
}
