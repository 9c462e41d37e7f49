//! Two broker machines against each other, and one against hostile peers.
#![allow(clippy::unwrap_used, reason = "tests")]

mod hostile;
mod listeners;
mod multiplexed;
#[path = "../support/mod.rs"]
mod support;
mod two;

use std::time::Instant;

use outboard_core::broker::{
    Broker, BrokerAction, BrokerConfig, BrokerError, BrokerEvent, BrokerInput, BrokerMode,
    BrokerTimer, ConnInfo, Knock, ListenersTimer,
};
use outboard_core::endpoint::Endpoint;

use support::{Dice, MS, SECOND, epoch};
use two::{SIDES, Two};

pub(crate) const MODES: [BrokerMode; 2] = [BrokerMode::Listeners, BrokerMode::Multiplexed];

pub(crate) fn alone(mode: BrokerMode) -> (Broker, Instant) {
    let now = epoch();
    let mut broker = Broker::new(BrokerConfig::new(mode));
    broker.handle(now, BrokerInput::ControlOpened);
    (broker, now)
}

/// Accepts as either mode wants it: where there are listeners, at `/tmp/` and the id.
pub(crate) fn accept(broker: &mut Broker, now: Instant, id: u32) -> Result<(), BrokerError> {
    broker.accept(now, id, Some(&listener(id)))
}

pub(crate) fn listener(id: u32) -> Endpoint {
    Endpoint::Unix(format!("/tmp/{id}").into())
}

pub(crate) fn announcement(id: u32, address: &str) -> ConnInfo {
    ConnInfo {
        service_id: id,
        network: "unix".to_owned(),
        address: address.to_owned(),
        knock: None,
    }
}

pub(crate) fn knock(id: u32, ack: bool) -> ConnInfo {
    ConnInfo {
        service_id: id,
        knock: Some(Knock {
            knock: true,
            ack,
            error: String::new(),
        }),
        ..ConnInfo::default()
    }
}

pub(crate) fn actions(broker: &mut Broker) -> Vec<BrokerAction> {
    std::iter::from_fn(|| broker.poll_action()).collect()
}

pub(crate) fn sent(broker: &mut Broker) -> Vec<ConnInfo> {
    std::iter::from_fn(|| broker.poll_transmit()).collect()
}

pub(crate) fn events(broker: &mut Broker) -> Vec<BrokerEvent> {
    std::iter::from_fn(|| broker.poll_event()).collect()
}

#[test]
fn ids_count_from_one_and_leave_out_those_in_use() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    assert_eq!([broker.next_id(), broker.next_id()], [1, 2]);
    accept(&mut broker, now, 3).unwrap();
    assert_eq!(broker.next_id(), 4);
}

#[test]
fn either_side_accepts_and_the_other_dials_before_or_after() {
    for mode in MODES {
        for side in SIDES {
            for (accept_first, gap) in [(true, 0), (false, 0), (true, 3), (false, 3), (false, 4000)]
            {
                let mut two = Two::new(mode);
                if accept_first {
                    two.accept(side, 1);
                    two.run_for(gap * MS);
                    two.dial(1 - side, 1);
                } else {
                    two.dial(1 - side, 1);
                    two.run_for(gap * MS);
                    two.accept(side, 1);
                }
                two.run();
                assert_eq!(two.made(1 - side, 1), 1, "{mode:?} {accept_first} {gap}");
                assert_eq!(two.events, [[], []]);
            }
        }
    }
}

#[test]
fn both_sides_use_the_same_number_at_once() {
    for mode in MODES {
        let mut two = Two::new(mode);
        for side in SIDES {
            two.accept(side, 1);
            two.dial(side, 1);
        }
        two.run();
        assert_eq!((two.made(0, 1), two.made(1, 1)), (1, 1), "{mode:?}");
    }
}

#[test]
fn a_dial_that_nobody_answers_fails_after_five_seconds() {
    for mode in MODES {
        let mut two = Two::new(mode);
        two.dial(0, 9);
        two.run_for(4999 * MS);
        assert_eq!(two.events[0], []);
        two.run_for(MS);
        assert!(two.timed_out(0, 9));
        // The rest still works.
        two.accept(1, 1);
        two.dial(0, 1);
        two.run();
        assert_eq!(two.made(0, 1), 1);
        assert!(two.made.iter().all(|made| made.dialled == 1));
    }
}

#[test]
fn the_timeout_is_configurable() {
    let now = epoch();
    let mut config = BrokerConfig::new(BrokerMode::Listeners);
    config.timeout = SECOND;
    let mut broker = Broker::new(config);
    broker.dial(now, 4).unwrap();
    assert_eq!(
        broker.poll_timeout(),
        Some((
            now + SECOND,
            BrokerTimer::Listeners(ListenersTimer::Dial(4))
        ))
    );
}

#[test]
fn mistakes_of_the_caller_are_errors() {
    for mode in MODES {
        let (mut broker, now) = alone(mode);
        accept(&mut broker, now, 1).unwrap();
        let error = accept(&mut broker, now, 1);
        assert_eq!(error, Err(BrokerError::AlreadyAccepting { id: 1 }));
        broker.dial(now, 1).unwrap();
        let error = broker.dial(now, 1);
        assert_eq!(error, Err(BrokerError::AlreadyDialling { id: 1 }));
        broker.dial(now, 2).unwrap();
        let error = broker.dial(now, 2);
        assert_eq!(error, Err(BrokerError::AlreadyDialling { id: 2 }));
        broker.close_id(now, 1);
        accept(&mut broker, now, 1).unwrap();
    }
}

#[test]
fn losing_the_control_stream_fails_everything_at_once_and_for_good() {
    for mode in MODES {
        let (mut broker, now) = alone(mode);
        accept(&mut broker, now, 1).unwrap();
        broker.dial(now, 5).unwrap();
        broker.dial(now, 6).unwrap();
        actions(&mut broker);
        let reason = "the plugin exited".to_owned();
        broker.handle(
            now,
            BrokerInput::ControlLost {
                reason: reason.clone(),
            },
        );
        let error = BrokerError::Closed { reason };
        assert_eq!(
            events(&mut broker),
            [
                BrokerEvent::DialFailed {
                    id: 5,
                    error: error.clone()
                },
                BrokerEvent::DialFailed {
                    id: 6,
                    error: error.clone()
                },
                BrokerEvent::AcceptFailed {
                    id: 1,
                    error: error.clone()
                },
            ]
        );
        assert_eq!(
            actions(&mut broker),
            [BrokerAction::StopListening { id: 1 }]
        );
        assert_eq!(broker.poll_timeout(), None);
        assert_eq!(sent(&mut broker), []);
        assert_eq!(broker.dial(now, 7), Err(error.clone()));
        assert_eq!(accept(&mut broker, now, 7), Err(error.clone()));
        assert_eq!(broker.closed(), Some(&error));
        broker.handle(now, BrokerInput::ControlOpened);
        broker.handle_message(now, announcement(7, "/tmp/p"));
        assert_eq!((broker.pending(), broker.closed()), (0, Some(&error)));
    }
}

#[test]
fn sends_wait_for_the_control_stream_but_dials_not_for_ever() {
    for mode in MODES {
        let now = epoch();
        let mut broker = Broker::new(BrokerConfig::new(mode));
        accept(&mut broker, now, 1).unwrap();
        broker.dial(now, 2).unwrap();
        broker.dial(now, 3).unwrap();
        assert_eq!(sent(&mut broker), []);
        broker.handle_timeout(now + 5 * SECOND);
        assert_eq!(events(&mut broker).len(), 2);
        broker.dial(now, 4).unwrap();
        broker.handle(now, BrokerInput::ControlOpened);
        let expected = match mode {
            BrokerMode::Listeners => announcement(1, "/tmp/1"),
            BrokerMode::Multiplexed => knock(4, false),
        };
        assert_eq!(sent(&mut broker), [expected]);
    }
}

#[test]
fn a_hundred_connections_reach_the_right_listener() {
    for mode in MODES {
        let mut two = Two::new(mode);
        for _ in 0..100 {
            for side in SIDES {
                let id = two.brokers[side].next_id();
                two.accept(side, id);
                two.dial(1 - side, id);
            }
        }
        two.run();
        for id in 1..=100 {
            assert_eq!((two.made(0, id), two.made(1, id)), (1, 1), "{mode:?} {id}");
        }
        assert_eq!(two.events, [[], []]);
    }
}

#[test]
fn a_channel_may_reconnect_with_a_knock_each_time() {
    let mut two = Two::new(BrokerMode::Multiplexed);
    two.accept(1, 1);
    for round in 1..=5 {
        two.dial(0, 1);
        two.run_for(10 * MS);
        assert_eq!(two.made(0, 1), round);
    }
}

#[test]
fn random_schedules_connect_everyone_or_say_why_not() {
    for mode in MODES {
        for seed in 1..300 {
            random_schedule(mode, seed);
        }
    }
}

/// Accepts, dials and closings at random times, with random latency.
fn random_schedule(mode: BrokerMode, seed: u64) {
    let mut dice = Dice(seed);
    let mut two = Two::new(mode);
    two.latency = SIDES.map(|_| (1 + dice.roll(50) as u32) * MS);
    let mut dials = [0, 0];
    for _ in 0..40 {
        let side = dice.roll(2) as usize;
        let id = 1 + dice.roll(5) as u32;
        let now = two.now;
        match dice.roll(8) {
            0 => two.brokers[side].close_id(now, id),
            1..=3 => drop(two.try_accept(side, id)),
            _ => dials[side] += usize::from(two.brokers[side].dial(now, id).is_ok()),
        }
        two.run_for(dice.roll(30) as u32 * MS);
    }
    two.run();
    for side in SIDES {
        let made = two.made.iter().filter(|made| made.dialler == side).count();
        assert_eq!(
            made + two.events[side].len(),
            dials[side],
            "{mode:?} {seed}"
        );
        assert_eq!(two.brokers[side].pending(), 0, "{mode:?} {seed}");
    }
    for made in &two.made {
        assert!(
            made.reached.is_none_or(|id| id == made.dialled),
            "{seed}: {made:?}"
        );
    }
}
