//! Peers that send too much.

use outboard_core::broker::{BrokerAction, BrokerMode, MAX_PENDING};

use crate::support::SECOND;
use crate::{MODES, accept, actions, alone, announcement, knock, sent};

#[test]
fn floods_take_bounded_memory_and_pass() {
    for mode in MODES {
        let (mut broker, now) = alone(mode);
        for id in 0..100_000 {
            broker.handle_message(now, announcement(id, "/tmp/p"));
            broker.handle_message(now, knock(id, false));
            broker.handle_message(now, knock(id, true));
            assert!(broker.pending() <= MAX_PENDING);
        }
        assert_eq!(broker.pending(), MAX_PENDING);
        assert_eq!((sent(&mut broker), actions(&mut broker)), (vec![], vec![]));
        broker.handle_timeout(now + 5 * SECOND);
        assert_eq!((broker.pending(), broker.poll_timeout()), (0, None));
        accept(&mut broker, now, 1).unwrap();
        broker.dial(now, 2).unwrap();
    }
}

#[test]
fn what_nobody_dials_gives_way_to_what_comes_later() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    let count = u32::try_from(MAX_PENDING).unwrap();
    // From high to low, so that the oldest is not the lowest.
    for id in (1..=count).rev() {
        broker.handle_message(now, announcement(id, "/tmp/stale"));
    }
    // A second announcement of one that waits does not push another out.
    broker.handle_message(now, announcement(1, "/tmp/again"));
    let later = now + SECOND;
    broker.handle_message(later, announcement(count + 1, "/tmp/new"));
    assert_eq!(
        (broker.pending(), broker.ignored_messages()),
        (MAX_PENDING, 2)
    );
    for id in [count + 1, 1, count - 1] {
        broker.dial(later, id).unwrap();
        let connects = actions(&mut broker);
        assert!(
            matches!(connects[..], [BrokerAction::Connect { id: to, .. }] if to == id),
            "{id}: {connects:?}"
        );
    }
    broker.dial(later, count).unwrap();
    assert_eq!(actions(&mut broker), [], "the oldest gave way");
    // No timer of it is left: the next one is that of those that came with it.
    broker.handle_timeout(now + 5 * SECOND);
    assert_eq!(broker.pending(), 0);
}

#[test]
fn knocks_that_nobody_wants_give_way_to_later_ones() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    let count = u32::try_from(MAX_PENDING).unwrap();
    for id in (1..=count + 1).rev() {
        broker.handle_message(now, knock(id, false));
    }
    assert_eq!(
        (broker.pending(), broker.ignored_messages()),
        (MAX_PENDING, 1)
    );
    accept(&mut broker, now, 1).unwrap();
    assert_eq!(sent(&mut broker), [knock(1, true)], "the newest is there");
    accept(&mut broker, now, count + 1).unwrap();
    assert_eq!(sent(&mut broker), [], "the oldest gave way");
    broker.handle_timeout(now + 5 * SECOND);
    assert_eq!(broker.pending(), 1, "the one that was answered");
}

#[test]
fn knocks_and_streams_without_end_do_not_fill_the_outbox() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    accept(&mut broker, now, 1).unwrap();
    accept(&mut broker, now, 2).unwrap();
    // Nothing is sent, as if the peer did not read.
    for _ in 0..10_000 {
        broker.handle_message(now, knock(1, false));
        broker.handle_message(now, knock(2, false));
        broker.stream_arrived(now);
    }
    broker.handle_timeout(now + 10 * SECOND);
    for _ in 0..10_000 {
        broker.handle_message(now, knock(1, false));
        broker.stream_arrived(now);
    }
    assert!(sent(&mut broker).len() <= 2);
}
