//! All connections inside one.

use outboard_core::broker::{
    BrokerAction, BrokerError, BrokerEvent, BrokerInput, BrokerMode, Route,
};

use crate::support::{Dice, MS, SECOND};
use crate::two::{SIDES, Two};
use crate::{accept, actions, alone, announcement, events, knock, sent};

#[test]
fn the_messages_of_a_dial_are_go_plugins() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.dial(now, 1).unwrap();
    assert_eq!(sent(&mut broker), [knock(1, false)]);
    broker.handle_message(now, knock(1, true));
    assert_eq!(actions(&mut broker), [BrokerAction::OpenStream { id: 1 }]);

    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    accept(&mut broker, now, 1).unwrap();
    assert_eq!((sent(&mut broker), actions(&mut broker)), (vec![], vec![]));
    broker.handle_message(now, knock(1, false));
    assert_eq!(sent(&mut broker), [knock(1, true)]);
    assert_eq!(broker.stream_arrived(now), Route::To(1));
}

#[test]
fn streams_without_a_knock_go_to_the_main_server() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    assert_eq!(broker.stream_arrived(now), Route::Main);
    accept(&mut broker, now, 1).unwrap();
    broker.handle_message(now, knock(1, false));
    // The acknowledgement is not out yet, so this stream is no answer to it.
    assert_eq!(broker.stream_arrived(now), Route::Main);
    sent(&mut broker);
    assert_eq!(broker.stream_arrived(now), Route::To(1));
    assert_eq!(broker.stream_arrived(now), Route::Main);
}

#[test]
fn the_next_knock_is_acknowledged_when_the_previous_stream_has_come() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    for id in [1, 2] {
        accept(&mut broker, now, id).unwrap();
    }
    broker.handle_message(now, knock(2, false));
    broker.handle_message(now, knock(1, false));
    broker.handle_message(now, knock(1, false));
    assert_eq!(sent(&mut broker), [knock(2, true)]);
    assert_eq!(broker.stream_arrived(now), Route::To(2));
    assert_eq!(sent(&mut broker), [knock(1, true)]);
    assert_eq!(broker.stream_arrived(now), Route::To(1));
    assert_eq!(sent(&mut broker), [], "the repeated knock was lost");
}

#[test]
fn a_stream_that_never_comes_does_not_block_the_next() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    for id in [1, 2] {
        accept(&mut broker, now, id).unwrap();
    }
    broker.handle_message(now, knock(1, false));
    sent(&mut broker);
    let later = now + 8 * SECOND;
    broker.handle_message(later, knock(2, false));
    broker.handle_timeout(now + 10 * SECOND);
    assert_eq!(sent(&mut broker), [knock(2, true)]);
    assert_eq!(broker.stream_arrived(later), Route::To(2));
}

#[test]
fn knocks_wait_for_an_accept_and_expire() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.handle_message(now, knock(1, false));
    broker.handle_message(now, knock(2, false));
    accept(&mut broker, now + 4 * SECOND, 1).unwrap();
    assert_eq!(sent(&mut broker), [knock(1, true)]);
    broker.handle_timeout(now + 5 * SECOND);
    accept(&mut broker, now + 5 * SECOND, 2).unwrap();
    broker.handle_timeout(now + 20 * SECOND);
    assert_eq!(sent(&mut broker), []);
    assert_eq!(broker.pending(), 0);
}

#[test]
fn queued_knocks_expire_as_well() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    for id in [1, 2] {
        accept(&mut broker, now, id).unwrap();
    }
    broker.handle_message(now, knock(2, false));
    broker.handle_message(now, knock(1, false));
    sent(&mut broker);
    // The dialler of 1 has given up by now: an acknowledgement would only swap streams.
    broker.handle_timeout(now + 5 * SECOND);
    assert_eq!((sent(&mut broker), broker.pending()), (vec![], 1));
    broker.handle_timeout(now + 10 * SECOND);
    assert_eq!((sent(&mut broker), broker.pending()), (vec![], 0));
}

#[test]
fn a_closed_id_refuses_its_knocks() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    for id in [1, 2] {
        accept(&mut broker, now, id).unwrap();
    }
    broker.handle_message(now, knock(1, false));
    sent(&mut broker);
    broker.handle_message(now, knock(2, false));
    broker.close_id(now, 2);
    let refusals = sent(&mut broker);
    let refusal = refusals[0].knock.as_ref().unwrap();
    assert!(refusal.knock && refusal.ack && !refusal.error.is_empty());

    broker.close_id(now, 1);
    assert_eq!(broker.stream_arrived(now), Route::Refuse);
    assert_eq!(broker.stream_arrived(now), Route::Main);
}

#[test]
fn closing_an_id_tells_its_dialler_at_once() {
    let mut two = Two::new(BrokerMode::Multiplexed);
    two.accept(1, 1);
    two.accept(1, 2);
    // Someone knocked on 1 and never came, so the knock on 2 waits when 2 is closed.
    let now = two.now;
    two.brokers[1].handle_message(now, knock(1, false));
    two.dial(0, 2);
    two.run_for(10 * MS);
    two.brokers[1].close_id(two.now, 2);
    two.run_for(10 * MS);
    let failed = &two.events[0];
    assert!(
        matches!(
            failed[..],
            [BrokerEvent::DialFailed {
                id: 2,
                error: BrokerError::Refused { .. }
            }]
        ),
        "{failed:?}"
    );
}

#[test]
fn a_refusal_fails_the_dial_with_the_peers_words() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.dial(now, 1).unwrap();
    let mut answer = knock(1, true);
    answer.knock.as_mut().unwrap().error = "no listener".repeat(1000);
    broker.handle_message(now, answer);
    let failed = events(&mut broker);
    let [
        BrokerEvent::DialFailed {
            id: 1,
            error: BrokerError::Refused { reason, .. },
        },
    ] = &failed[..]
    else {
        panic!("{failed:?}");
    };
    assert!(reason.starts_with("no listener") && reason.len() < 400);
}

#[test]
fn a_peer_that_does_not_multiplex_is_noticed() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.dial(now, 1).unwrap();
    broker.handle_message(now, announcement(1, "/tmp/p"));
    assert_eq!(
        events(&mut broker),
        [BrokerEvent::DialFailed {
            id: 1,
            error: BrokerError::BadAnswer { id: 1 }
        }]
    );
}

#[test]
fn dials_take_turns() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    for id in 1..=3 {
        broker.dial(now, id).unwrap();
    }
    assert_eq!(sent(&mut broker), [knock(1, false)]);
    broker.handle_message(now, knock(1, true));
    assert_eq!(sent(&mut broker), [], "the stream of 1 is not open yet");
    broker.handle(now, BrokerInput::StreamOpened { id: 1 });
    assert_eq!(sent(&mut broker), [knock(2, false)]);
    // A dial in the queue can be given up, and its knock is never sent.
    broker.cancel_dial(now, 3);
    broker.handle_message(now, knock(2, true));
    broker.handle(now, BrokerInput::StreamOpened { id: 2 });
    assert_eq!((sent(&mut broker), events(&mut broker)), (vec![], vec![]));
}

#[test]
fn a_stream_that_does_not_open_does_not_block_the_next_dial() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.dial(now, 1).unwrap();
    broker.dial(now, 2).unwrap();
    broker.handle_message(now, knock(1, true));
    sent(&mut broker);
    broker.handle_timeout(now + 5 * SECOND);
    assert_eq!(sent(&mut broker), [knock(2, false)]);
}

#[test]
fn the_stream_of_a_late_acknowledgement_is_discarded() {
    for cancel in [false, true] {
        let (mut broker, now) = alone(BrokerMode::Multiplexed);
        broker.dial(now, 1).unwrap();
        sent(&mut broker);
        let later = now + 5 * SECOND;
        if cancel {
            broker.cancel_dial(now, 1);
        } else {
            broker.handle_timeout(later);
        }
        broker.dial(later, 2).unwrap();
        broker.handle_message(later, knock(1, true));
        broker.handle_message(later, knock(2, true));
        assert_eq!(
            actions(&mut broker),
            [
                BrokerAction::DiscardStream { id: 1 },
                BrokerAction::OpenStream { id: 2 }
            ]
        );
        // Once only.
        broker.handle_message(later, knock(1, true));
        assert_eq!(actions(&mut broker), []);
        assert_eq!(broker.ignored_messages(), 1);
    }
}

#[test]
fn a_stream_for_no_id_waits_until_it_cannot_be_taken_for_a_dialled_one() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.dial(now, 1).unwrap();
    broker.dial(now, 2).unwrap();
    assert_eq!(sent(&mut broker), [knock(1, false)]);
    broker.open_main(now);
    assert_eq!(actions(&mut broker), [], "the peer may have acknowledged");
    broker.handle_message(now, knock(1, true));
    assert_eq!(actions(&mut broker), [BrokerAction::OpenStream { id: 1 }]);
    broker.handle(now, BrokerInput::StreamOpened { id: 1 });
    assert_eq!(actions(&mut broker), [BrokerAction::OpenMain]);
    assert_eq!(sent(&mut broker), [], "nor may a knock overtake it");
    broker.handle(now, BrokerInput::MainOpened);
    assert_eq!(sent(&mut broker), [knock(2, false)]);
    // A knock that is never answered holds it up for no longer than itself, and not at all once no
    // answer can come.
    broker.open_main(now);
    broker.handle_timeout(now + 5 * SECOND);
    assert_eq!(actions(&mut broker), [BrokerAction::OpenMain]);
    broker.handle(now, BrokerInput::MainOpened);
    assert_eq!(broker.poll_timeout(), None);
    broker.dial(now, 3).unwrap();
    broker.open_main(now);
    assert_eq!(actions(&mut broker), []);
    broker.handle(now, BrokerInput::ControlInterrupted);
    broker.open_main(now);
    let opened = [BrokerAction::OpenMain, BrokerAction::OpenMain];
    assert_eq!(actions(&mut broker), opened);
}

#[test]
fn a_stream_for_no_id_is_opened_at_once_where_nobody_knocks() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.open_main(now);
    assert_eq!(actions(&mut broker), [BrokerAction::OpenMain]);
    broker.handle(now, BrokerInput::MainOpened);
    broker.dial(now, 1).unwrap();
    for _ in 0..2 {
        broker.open_main(now);
    }
    assert_eq!(actions(&mut broker), []);
    broker.close("enough");
    let opened = [BrokerAction::OpenMain, BrokerAction::OpenMain];
    assert_eq!(actions(&mut broker), opened, "the connection may go on");
    broker.open_main(now);
    assert_eq!(actions(&mut broker), [BrokerAction::OpenMain]);
    assert_eq!(broker.poll_timeout(), None);
}

#[test]
fn streams_for_no_id_are_never_taken_for_dialled_ones() {
    for seed in 1..40 {
        let mut dice = Dice(seed);
        let mut two = Two::new(BrokerMode::Multiplexed);
        two.latency = SIDES.map(|_| (1 + dice.roll(50) as u32) * MS);
        for id in 1..=6 {
            for side in SIDES {
                two.accept(1 - side, id);
                two.dial(side, id);
                two.open_main(side);
                two.run_for((dice.roll(60) as u32) * MS);
            }
        }
        two.run();
        for id in 1..=6 {
            assert_eq!(SIDES.map(|side| two.made(side, id)), [1, 1], "{seed}: {id}");
        }
    }
}

#[test]
fn slow_answers_never_swap_streams() {
    // Answers take about as long as the timeout, so that many come late.
    for seed in 1..40 {
        let mut dice = Dice(seed);
        let mut two = Two::new(BrokerMode::Multiplexed);
        two.latency = SIDES.map(|_| (2400 + dice.roll(200) as u32) * MS);
        for id in 1..=6 {
            two.accept(1, id);
            two.dial(0, id);
        }
        two.run();
        for made in &two.made {
            assert!(
                made.reached.is_none_or(|id| id == made.dialled),
                "{seed}: {made:?}"
            );
        }
    }
}

#[test]
fn what_was_under_way_on_a_lost_control_stream_is_said_again_or_forgotten() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    accept(&mut broker, now, 1).unwrap();
    broker.dial(now, 2).unwrap();
    broker.handle_message(now, knock(1, false));
    broker.handle_message(now, knock(3, false));
    assert_eq!(sent(&mut broker), [knock(2, false), knock(1, true)]);
    assert_eq!(broker.pending(), 2);
    broker.handle(now, BrokerInput::ControlReopened);
    // The peer knocks again if it still wants it; until then a stream is no answer to anything.
    assert_eq!(broker.pending(), 0);
    assert_eq!(broker.stream_arrived(now), Route::Main);
    assert_eq!(sent(&mut broker), [knock(2, false)]);
    broker.handle_message(now, knock(2, true));
    assert_eq!(actions(&mut broker), [BrokerAction::OpenStream { id: 2 }]);
    broker.handle_message(now, knock(1, false));
    assert_eq!(sent(&mut broker), [knock(1, true)]);
    assert_eq!(broker.stream_arrived(now), Route::To(1));
    broker.handle(now, BrokerInput::StreamOpened { id: 2 });
    assert_eq!(broker.poll_timeout(), None);
}

#[test]
fn a_knock_on_an_id_that_was_accepted_once_is_refused_at_once() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    accept(&mut broker, now, 1).unwrap();
    broker.close_id(now, 1);
    for _ in 0..3 {
        broker.handle_message(now, knock(1, false));
    }
    let refused = sent(&mut broker);
    let [refusal] = &refused[..] else {
        panic!("one refusal tells it: {refused:?}");
    };
    assert!(
        refusal
            .knock
            .as_ref()
            .is_some_and(|knock| !knock.error.is_empty())
    );
    assert_eq!((broker.pending(), broker.poll_timeout()), (0, None));
    accept(&mut broker, now, 1).unwrap();
    broker.handle_message(now, knock(1, false));
    assert_eq!(sent(&mut broker), [knock(1, true)], "it is accepted again");
}
