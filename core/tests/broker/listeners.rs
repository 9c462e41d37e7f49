//! One listener per id.

use std::collections::BTreeMap;
use std::time::Instant;

use outboard_core::broker::{
    BrokerAction, BrokerError, BrokerEvent, BrokerInput, BrokerMode, ConnInfo, MAX_PENDING,
};
use outboard_core::endpoint::Endpoint;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{MS, SECOND};
use crate::{accept, actions, alone, announcement, events, sent};

#[test]
fn each_announcement_serves_one_dial() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    broker.handle_message(now, announcement(3, "/tmp/first"));
    broker.handle_message(now, announcement(3, "/tmp/second"));
    broker.dial(now, 3).unwrap();
    let endpoint = Endpoint::Unix("/tmp/first".into());
    assert_eq!(
        actions(&mut broker),
        [BrokerAction::Connect { id: 3, endpoint }]
    );
    assert_eq!(broker.poll_timeout(), None);
    broker.dial(now, 3).unwrap();
    assert_eq!(actions(&mut broker), []);
    assert_eq!(broker.ignored_messages(), 1);
    broker.handle_timeout(now + 5 * SECOND);
    assert!(matches!(
        events(&mut broker)[..],
        [BrokerEvent::DialFailed {
            id: 3,
            error: BrokerError::TimedOut { .. }
        }]
    ));
}

#[test]
fn what_is_offered_is_announced_again_on_a_control_stream_that_came_back() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    accept(&mut broker, now, 1).unwrap();
    assert_eq!(sent(&mut broker), [announcement(1, "/tmp/1")]);
    // This one is under way when the stream is lost.
    accept(&mut broker, now, 2).unwrap();
    broker.handle(now, BrokerInput::ControlReopened);
    let both = [announcement(1, "/tmp/1"), announcement(2, "/tmp/2")];
    assert_eq!(sent(&mut broker), both);
    broker.close_id(now, 1);
    accept(&mut broker, now, 3).unwrap();
    broker.handle(now, BrokerInput::ControlReopened);
    let left = [announcement(2, "/tmp/2"), announcement(3, "/tmp/3")];
    assert_eq!(sent(&mut broker), left);
    // A peer that knows it already takes no notice.
    let (mut peer, now) = alone(BrokerMode::Listeners);
    peer.handle_message(now, announcement(2, "/tmp/2"));
    peer.handle_message(now, announcement(2, "/tmp/2"));
    assert_eq!(peer.pending(), 1);
    broker.close("enough");
    broker.handle(now, BrokerInput::ControlReopened);
    assert!(broker.closed().is_some(), "what is closed stays so");
    assert_eq!(sent(&mut broker), []);
}

#[test]
fn announcements_expire() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    broker.handle_message(now, announcement(3, "/tmp/p"));
    broker.handle_timeout(now + 4999 * MS);
    assert_eq!(broker.pending(), 1);
    broker.handle_timeout(now + 5 * SECOND);
    assert_eq!((broker.pending(), broker.poll_timeout()), (0, None));
}

#[test]
fn bad_announcements_fail_their_dial_with_a_bounded_error() {
    let long = "x".repeat(1 << 20);
    let bad = [
        ConnInfo {
            network: "udp".to_owned(),
            ..announcement(1, "/tmp/p")
        },
        ConnInfo {
            network: String::new(),
            ..announcement(1, "")
        },
        ConnInfo {
            network: "tcp".to_owned(),
            ..announcement(1, "nowhere")
        },
        ConnInfo {
            network: long.clone(),
            ..announcement(1, "/tmp/p")
        },
        announcement(1, &long),
        announcement(1, ""),
    ];
    for message in bad {
        for dial_first in [false, true] {
            let (mut broker, now) = alone(BrokerMode::Listeners);
            if dial_first {
                broker.dial(now, 1).unwrap();
            }
            broker.handle_message(now, message.clone());
            if !dial_first {
                broker.dial(now, 1).unwrap();
            }
            let failed = events(&mut broker);
            assert!(
                matches!(
                    failed[..],
                    [BrokerEvent::DialFailed {
                        id: 1,
                        error: BrokerError::BadAnnouncement { .. }
                    }]
                ),
                "{failed:?}"
            );
            assert!(format!("{failed:?}").len() < 4096);
            assert_eq!(actions(&mut broker), []);
        }
    }
}

#[test]
fn what_is_closed_before_it_was_announced_is_not_announced() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    accept(&mut broker, now, 3).unwrap();
    broker.close_id(now, 3);
    assert_eq!(
        actions(&mut broker),
        [BrokerAction::StopListening { id: 3 }]
    );
    assert_eq!(sent(&mut broker), []);
    broker.close_id(now, 3);
    assert_eq!(actions(&mut broker), [], "once");
}

#[test]
fn a_refusal_is_told_whoever_listens_already() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    accept(&mut broker, now, 1).unwrap();
    assert_eq!(
        accept(&mut broker, now, 1),
        Err(BrokerError::AlreadyAccepting { id: 1 })
    );
    broker.close("enough");
    actions(&mut broker);
    events(&mut broker);
    let refused = accept(&mut broker, now, 2);
    assert!(
        matches!(refused, Err(BrokerError::Closed { .. })),
        "{refused:?}"
    );
    // Whoever was refused closes the listener by itself.
    assert_eq!(
        (actions(&mut broker), events(&mut broker)),
        (vec![], vec![])
    );
    assert!(!broker.is_accepting(2));
}

/// What is done to a broker that is compared with a list.
#[derive(Clone, Debug)]
enum Step {
    /// Announcements of this many ids from this one on.
    Announce(u16, u16),
    Dial(u16),
    GiveUp(u16),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2000u16, 0..1500u16).prop_map(|(first, count)| Step::Announce(first, count)),
        (0..3500u16).prop_map(Step::Dial),
        (0..3500u16).prop_map(Step::GiveUp),
        (0..3000u16).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Announcements wait in a list of bounded length, oldest first; each serves one dial and lives
    /// for five seconds, and so does a dial.
    #[test]
    fn announcements_are_a_list_whose_oldest_gives_way(steps in vec(step(), 0..24)) {
        let (mut broker, mut now) = alone(BrokerMode::Listeners);
        let mut waiting: Vec<(u32, Instant)> = Vec::new();
        let mut dials: BTreeMap<u32, Instant> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Announce(first, count) => {
                    for id in u32::from(first)..u32::from(first) + u32::from(count) {
                        broker.handle_message(now, announcement(id, "/tmp/p"));
                        if dials.remove(&id).is_some() {
                            let connect = actions(&mut broker);
                            let met = matches!(connect[..], [BrokerAction::Connect { id: to, .. }] if to == id);
                            prop_assert!(met, "{connect:?}");
                        } else if !waiting.iter().any(|(known, _)| *known == id) {
                            if waiting.len() == MAX_PENDING {
                                waiting.remove(0);
                            }
                            waiting.push((id, now + 5 * SECOND));
                        }
                    }
                }
                Step::Dial(id) => {
                    let id = u32::from(id);
                    let dialled = broker.dial(now, id);
                    prop_assert_eq!(dialled.is_err(), dials.contains_key(&id));
                    let known = waiting.iter().position(|(known, _)| *known == id);
                    let connect = actions(&mut broker);
                    if let Some(at) = known {
                        waiting.remove(at);
                        let met = matches!(connect[..], [BrokerAction::Connect { id: to, .. }] if to == id);
                        prop_assert!(met, "{connect:?}");
                    } else {
                        prop_assert_eq!(connect, vec![]);
                        dials.entry(id).or_insert(now + 5 * SECOND);
                    }
                }
                Step::GiveUp(id) => {
                    broker.cancel_dial(now, u32::from(id));
                    dials.remove(&u32::from(id));
                }
                Step::Wait(millis) => {
                    now += u32::from(millis) * MS;
                    broker.handle_timeout(now);
                    waiting.retain(|(_, until)| *until > now);
                    let late = dials.values().filter(|until| **until <= now).count();
                    dials.retain(|_, until| *until > now);
                    prop_assert_eq!(events(&mut broker).len(), late);
                }
            }
            prop_assert_eq!((broker.pending(), actions(&mut broker)), (waiting.len(), vec![]));
            let first = waiting.iter().map(|(_, until)| *until).chain(dials.values().copied()).min();
            prop_assert_eq!(broker.poll_timeout().map(|(at, _)| at), first);
        }
    }
}
