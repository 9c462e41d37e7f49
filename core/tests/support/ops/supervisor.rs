//! A supervisor under any operations.

use std::collections::BTreeSet;
use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::supervisor::{
    Cause, Change, HealthCheck, Restart, Stop, Supervision, Supervisor, SupervisorAction,
    SupervisorInput, SupervisorPhase, Waiting,
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
        // The present one, mostly.
        let generation = supervisor
            .state()
            .generation
            .saturating_sub(u64::from(b == 0));
        let cause = match a % 4 {
            0 => Cause::Exited(Exit::Code(i32::from(b))),
            1 => Cause::Unreachable,
            2 => Cause::Ended,
            _ => Cause::Exited(Exit::Unknown),
        };
        let serving = a & 1 != 0;
        let input = match kind % 16 {
            0 => Some(SupervisorInput::Placed { generation }),
            1 => Some(SupervisorInput::Started {
                generation,
                id: Some(a.to_string()),
                pid: None,
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
            _ => None,
        };
        match (input, kind % 16) {
            (Some(input), _) => supervisor.handle(now, input),
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
    let state = supervisor.state();
    if let SupervisorPhase::Stopping(_) = state.phase {
        assert_eq!(record.stopping, Some(state.generation));
        supervisor.handle(
            now,
            SupervisorInput::Exited {
                generation: state.generation,
                cause: Cause::Shutdown,
                text: "gone".into(),
            },
        );
        record.drain(&mut supervisor);
    }
    let phase = supervisor.state().phase;
    assert!(matches!(phase, SupervisorPhase::Over(_)), "{phase:?}");
    assert!(record.over && record.refused);
    assert_eq!(supervisor.poll_timeout(), None);
    assert!(record.places.is_empty(), "places are given back");
}

#[derive(Default)]
struct Record {
    started: u64,
    stopping: Option<u64>,
    refused: bool,
    over: bool,
    probe: u64,
    places: BTreeSet<u64>,
}

impl Record {
    fn drain(&mut self, supervisor: &mut Supervisor) {
        while let Some(action) = supervisor.poll_action() {
            match action {
                SupervisorAction::AskPlace { generation } => {
                    assert!(self.places.insert(generation));
                }
                SupervisorAction::LeavePlace { generation } => {
                    assert!(self.places.remove(&generation), "it has none");
                }
                SupervisorAction::Start { generation } => {
                    assert!(generation > self.started, "one after the other");
                    self.started = generation;
                }
                SupervisorAction::Stop { generation, how } => {
                    assert!(self.stopping != Some(generation) || how == Stop::Kill);
                    self.stopping = Some(generation);
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
