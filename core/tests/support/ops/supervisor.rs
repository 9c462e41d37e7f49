//! A supervisor under any operations.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use outboard_core::exit::Exit;
use outboard_core::handshake::Protocol;
use outboard_core::supervisor::{
    Cause, Change, HealthCheck, Restart, Spoken, Stop, Supervision, Supervisor, SupervisorAction,
    SupervisorInput, SupervisorPhase, Swap, SwapMode, SwapVersion, Waiting,
};

use super::steps::{Op, check_timer, epoch, step};

fn policy(seed: u8) -> Supervision {
    let second = Duration::from_secs(1);
    let mut policy = Supervision::new()
        .lazy(seed & 1 != 0)
        .budget(u32::from(seed & 7), 60 * second)
        .keep_failures(3)
        .restart(match seed & 24 {
            0 => Restart::Never,
            8 => Restart::AfterCrash,
            _ => Restart::Always,
        });
    if seed & 32 != 0 {
        policy = policy.health(HealthCheck::new().misses(u32::from(seed & 3)));
    }
    if seed & 64 != 0 {
        policy = policy.stop_when_idle(5 * second);
    }
    if seed & 128 != 0 {
        policy = policy.waiting(Waiting::Fail);
    }
    policy
}

/// Applies `ops` to a supervisor, ends it, and checks its rules.
pub fn supervisor(seed: u8, ops: &[Op]) {
    let mut now = epoch();
    let mut supervisor = Supervisor::new(policy(seed), seed.into());
    let mut record = Record::default();
    for &[kind, a, b] in ops {
        // The present one or that of a swap, mostly.
        let state = supervisor.state();
        let other = state.swap.filter(|_| b & 64 != 0);
        let generation = other.map_or(state.generation, |swap| swap.generation);
        let generation = generation.saturating_sub(u64::from(b == 0));
        let cause = match a % 4 {
            0 => Cause::Exited(Exit::Code(i32::from(b))),
            1 => Cause::Unreachable,
            2 => Cause::Ended,
            _ => Cause::Exited(Exit::Unknown),
        };
        let serving = a & 1 != 0;
        let input = match kind % 20 {
            0 => Some(SupervisorInput::Placed { generation }),
            1 => Some(SupervisorInput::Started {
                generation,
                id: Some(a.to_string()),
                pid: None,
                spoken: Spoken::new(i64::from(b & 1), Protocol::ALL[usize::from(a) % 3]),
            }),
            2 => Some(SupervisorInput::StartFailed {
                generation,
                text: "no".into(),
                lasting: a == 7,
            }),
            3 | 4 => Some(SupervisorInput::Exited {
                generation,
                cause,
                text: "gone".into(),
            }),
            5 => Some(SupervisorInput::Told {
                generation,
                serving,
            }),
            6 => Some(SupervisorInput::Probed {
                generation,
                probe: record.probe.saturating_sub(u64::from(b & 1)),
                serving,
            }),
            7 => Some(SupervisorInput::Rested { generation }),
            8 => Some(SupervisorInput::InUse {
                generation,
                since: serving.then_some(now),
            }),
            9 => Some(SupervisorInput::Wanted),
            16 => Some(SupervisorInput::Drained { generation }),
            _ => None,
        };
        match (input, kind % 20) {
            (Some(input), _) => record.input(&mut supervisor, now, input),
            (None, 17 | 18) => {
                record.drain(&mut supervisor);
                let limit = step(b);
                let mut plan = [Swap::beside(), Swap::exclusive()][usize::from(kind % 20 - 17)];
                if a & 1 != 0 {
                    plan = plan.start_within(limit).drain_within(limit);
                }
                if a & 2 != 0 {
                    plan = plan.check_within(limit).version(SwapVersion::Any);
                }
                if let Ok(number) = supervisor.swap(now, plan) {
                    assert_eq!(record.swap, None, "one at a time");
                    record.swap = Some((number, plan.mode));
                }
            }
            (None, 10) if a < 64 => supervisor.shutdown(),
            (None, 10) => supervisor.start(),
            (None, 11) if a < 32 => supervisor.let_go(),
            (None, 11 | 12) => record.drain(&mut supervisor),
            (None, 13) => {
                now += step(a);
                supervisor.handle_timeout(now);
                check_timer(supervisor.poll_timeout(), now);
            }
            (None, _) => {
                if let Some((at, _)) = supervisor.poll_timeout() {
                    now = now.max(at);
                    supervisor.handle_timeout(now);
                    check_timer(supervisor.poll_timeout(), now);
                }
            }
        }
        let state = supervisor.state();
        assert!(state.failures.len() <= 3);
    }
    if seed & 2 != 0 {
        supervisor.shutdown();
    } else {
        supervisor.let_go();
    }
    record.drain(&mut supervisor);
    let live: Vec<u64> = record.live.iter().copied().collect();
    for generation in live {
        assert!(record.stopping.contains(&generation), "it is ended");
        let phase = supervisor.state().phase;
        assert!(!matches!(phase, SupervisorPhase::Over(_)), "one is left");
        let gone = SupervisorInput::Exited {
            generation,
            cause: Cause::Shutdown,
            text: "gone".into(),
        };
        record.input(&mut supervisor, now, gone);
        record.drain(&mut supervisor);
    }
    let phase = supervisor.state().phase;
    assert!(matches!(phase, SupervisorPhase::Over(_)), "{phase:?}");
    assert!(record.over && record.refused);
    assert_eq!(record.swap, None, "every swap is told of");
    assert_eq!(supervisor.state().swap, None);
    assert_eq!(supervisor.poll_timeout(), None);
    assert!(record.places.is_empty(), "places are given back");
}

#[derive(Default)]
struct Record {
    started: BTreeSet<u64>,
    stopping: BTreeSet<u64>,
    live: BTreeSet<u64>,
    /// The one that is under way.
    swap: Option<(u64, SwapMode)>,
    refused: bool,
    over: bool,
    probe: u64,
    places: BTreeSet<u64>,
}

impl Record {
    fn input(&mut self, supervisor: &mut Supervisor, now: Instant, input: SupervisorInput) {
        if let SupervisorInput::Exited { generation, .. }
        | SupervisorInput::StartFailed { generation, .. } = &input
        {
            // What is not started cannot end.
            self.drain(supervisor);
            self.live.remove(generation);
        }
        supervisor.handle(now, input);
    }

    fn drain(&mut self, supervisor: &mut Supervisor) {
        while let Some(action) = supervisor.poll_action() {
            match action {
                SupervisorAction::AskPlace { generation, .. } => {
                    assert!(self.places.insert(generation));
                }
                SupervisorAction::LeavePlace { generation } => {
                    assert!(self.places.remove(&generation), "it has none");
                }
                SupervisorAction::Start { generation, .. } => {
                    assert!(self.started.insert(generation), "each once");
                    self.live.insert(generation);
                    let beside = matches!(self.swap, Some((_, SwapMode::Beside)));
                    let room = 1 + usize::from(beside);
                    assert!(self.live.len() <= room, "too many: {:?}", self.live);
                }
                SupervisorAction::Stop { generation, how } => {
                    assert!(self.live.contains(&generation), "it is not there");
                    assert!(self.stopping.insert(generation) || how == Stop::Kill);
                }
                SupervisorAction::Drain { generation } => {
                    assert!(self.live.contains(&generation), "it is not there");
                }
                SupervisorAction::SwapOver { swap, outcome } => {
                    let number = self.swap.take().map(|(number, _)| number);
                    assert_eq!(number, Some(swap));
                    assert!(self.live.len() <= 1, "the swap is over: {:?}", self.live);
                    assert!(outcome.is_ok() || !self.over);
                }
                SupervisorAction::Hold | SupervisorAction::Admit { .. } => self.refused = false,
                SupervisorAction::Refuse(_) => self.refused = true,
                SupervisorAction::Probe { probe, .. } => self.probe = probe,
                SupervisorAction::Rest { .. } | SupervisorAction::Watch { .. } => {}
            }
        }
        while let Some(event) = supervisor.poll_event() {
            assert!(!self.over, "nothing comes after the end");
            self.over = matches!(event.change, Change::Over(_));
        }
    }
}
