//! Peers that send too much.

use outboard_core::broker::{BrokerMode, MAX_PENDING};

use crate::support::SECOND;
use crate::{MODES, actions, alone, announcement, knock, sent};

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
        broker.accept(now, 1).unwrap();
        broker.dial(now, 2).unwrap();
    }
}

#[test]
fn knocks_and_streams_without_end_do_not_fill_the_outbox() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.accept(now, 1).unwrap();
    broker.accept(now, 2).unwrap();
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
