//! A broker under any operations.

use std::collections::BTreeSet;
use std::time::Duration;

use outboard_core::broker::{
    Broker, BrokerAction, BrokerConfig, BrokerEvent, BrokerInput, BrokerMode, ConnInfo, Knock,
    MAX_PENDING,
};
use outboard_core::endpoint::Endpoint;

use super::steps::{Op, check_timer, epoch, step};

/// Applies `ops` to a broker, ends it, and checks its rules.
pub fn broker(seed: u8, ops: &[Op]) {
    let mut now = epoch();
    let mut config = BrokerConfig::new(if seed & 1 == 0 {
        BrokerMode::Listeners
    } else {
        BrokerMode::Multiplexed
    });
    if seed & 2 != 0 {
        config.timeout = Duration::ZERO;
    }
    let mut state = BrokerState {
        broker: Broker::new(config),
        dials: BTreeSet::new(),
        accepts: BTreeSet::new(),
    };
    for &[kind, a, b] in ops {
        let id = u32::from(a % 8);
        let endpoint = Endpoint::Unix("/tmp/p".into());
        match kind % 19 {
            0 => state.broker.handle(now, BrokerInput::ControlOpened),
            1 if b > 240 => {
                let reason = "gone".to_owned();
                state
                    .broker
                    .handle(now, BrokerInput::ControlLost { reason });
            }
            2 => {
                let id = if b & 1 == 0 {
                    state.broker.next_id()
                } else {
                    id
                };
                if state
                    .broker
                    .accept(now, id, (a & 8 == 0).then_some(&endpoint))
                    .is_ok()
                {
                    assert!(state.accepts.insert(id), "accepted twice: {id}");
                }
            }
            3 => {
                state.drain();
                state.broker.close_id(now, id);
                state.accepts.remove(&id);
            }
            4 | 5 => {
                if state.broker.dial(now, id).is_ok() {
                    assert!(state.dials.insert(id), "dialled twice: {id}");
                }
            }
            6 => {
                state.drain();
                state.broker.cancel_dial(now, id);
                state.dials.remove(&id);
            }
            7 | 8 => state.broker.handle(now, BrokerInput::ControlReopened),
            9 => state.broker.handle(now, BrokerInput::StreamOpened { id }),
            17 => state.broker.handle(now, BrokerInput::ControlInterrupted),
            15 => state.broker.open_main(now),
            16 => state.broker.handle(now, BrokerInput::MainOpened),
            10 => {
                state.broker.stream_arrived(now);
            }
            11 | 12 => state.broker.handle_message(now, message(id, b)),
            13 => state.drain(),
            14 => {
                now += step(a);
                state.broker.handle_timeout(now);
                check_timer(state.broker.poll_timeout(), now);
            }
            _ => {
                for other in 0..u32::from(b) * 5 {
                    let id = other.wrapping_mul(0x9E37_79B9);
                    state.broker.handle_message(now, message(id, a));
                }
            }
        }
        // Always, so that an id dialled or accepted again is not taken for the first.
        state.drain();
        assert!(state.broker.pending() <= MAX_PENDING + state.accepts.len() + 1);
    }
    if seed & 4 != 0 {
        state.broker.close("enough");
    }
    // Nobody answers any more: the timers alone must end every dial.
    for _ in 0..100_000 {
        let Some((at, _)) = state.broker.poll_timeout() else {
            break;
        };
        now = now.max(at);
        state.broker.handle_timeout(now);
        check_timer(state.broker.poll_timeout(), now);
        state.drain();
    }
    state.drain();
    assert_eq!(state.broker.poll_timeout(), None);
    assert!(
        state.dials.is_empty(),
        "left without an answer: {:?}",
        state.dials
    );
    assert_eq!(state.broker.pending(), 0);
}

fn message(id: u32, how: u8) -> ConnInfo {
    let knock = Knock {
        knock: how & 1 != 0,
        ack: how & 2 != 0,
        error: if how & 12 == 12 {
            "no".to_owned()
        } else {
            String::new()
        },
    };
    ConnInfo {
        service_id: id,
        network: ["unix", "tcp", "udp", ""][usize::from(how >> 6)].to_owned(),
        address: if how & 32 != 0 { "/tmp/p" } else { "" }.to_owned(),
        knock: (how & 16 != 0).then_some(knock),
    }
}

struct BrokerState {
    broker: Broker,
    /// Dials that have not ended.
    dials: BTreeSet<u32>,
    accepts: BTreeSet<u32>,
}

impl BrokerState {
    fn drain(&mut self) {
        let messages = std::iter::from_fn(|| self.broker.poll_transmit()).count();
        assert!(messages <= 64, "messages pile up: {messages}");
        self.drain_events();
        while let Some(action) = self.broker.poll_action() {
            match action {
                BrokerAction::Connect { id, .. } | BrokerAction::OpenStream { id } => {
                    assert!(self.dials.remove(&id), "nobody dials {id}");
                }
                BrokerAction::DiscardStream { .. }
                | BrokerAction::OpenMain
                | BrokerAction::StopListening { .. } => {}
            }
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.broker.poll_event() {
            match event {
                BrokerEvent::DialFailed { id, .. } => {
                    assert!(self.dials.remove(&id), "nobody dials {id}");
                }
                BrokerEvent::AcceptFailed { id, .. } => {
                    assert!(self.accepts.remove(&id), "nobody accepts {id}");
                }
                other => panic!("what is {other:?}?"),
            }
        }
    }
}
