//! Two broker machines against each other, and one against hostile peers.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test's first instant has to come from somewhere"
)]

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use outboard_core::broker::{
    Broker, BrokerAction, BrokerConfig, BrokerError, BrokerEvent, BrokerInput, BrokerMode,
    ConnInfo, Knock, MAX_PENDING, Route,
};
use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;
use outboard_core::timer::TimerKind;

use support::{Dice, MS, SECOND, epoch};

const SIDES: [usize; 2] = [0, 1];

/// A brokered connection that came about: who dialled, which id, and who got it at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Made {
    dialler: usize,
    dialled: u32,
    reached: Option<u32>,
}

enum Flight {
    Message(ConnInfo),
    /// A stream opened by the other side, for this id as its opener thinks.
    Stream {
        id: u32,
        discard: bool,
    },
    Listening(u32),
}

/// Two brokers with latency between them. All that goes from one side to the other stays in order.
struct Two {
    now: Instant,
    latency: [Duration; 2],
    brokers: [Broker; 2],
    flights: [VecDeque<(Instant, Flight)>; 2],
    made: Vec<Made>,
    events: [Vec<BrokerEvent>; 2],
    actions: [Vec<BrokerAction>; 2],
    announced: BTreeMap<String, (usize, u32)>,
}

impl Two {
    fn new(mode: BrokerMode) -> Self {
        let now = epoch();
        let mut two = Self {
            now,
            latency: [MS, MS],
            brokers: SIDES.map(|_| Broker::new(BrokerConfig::new(mode))),
            flights: [VecDeque::new(), VecDeque::new()],
            made: Vec::new(),
            events: [Vec::new(), Vec::new()],
            actions: [Vec::new(), Vec::new()],
            announced: BTreeMap::new(),
        };
        for broker in &mut two.brokers {
            broker.handle(now, BrokerInput::ControlOpened);
        }
        two
    }

    fn accept(&mut self, side: usize, id: u32) {
        self.brokers[side].accept(self.now, id).unwrap();
    }

    fn dial(&mut self, side: usize, id: u32) {
        self.brokers[side].dial(self.now, id).unwrap();
    }

    fn run(&mut self) {
        self.run_until(None);
    }

    fn run_for(&mut self, time: Duration) {
        self.run_until(Some(self.now + time));
    }

    fn run_until(&mut self, end: Option<Instant>) {
        for _ in 0..100_000 {
            for side in SIDES {
                self.drain(side);
            }
            let timers = self.brokers.iter().filter_map(|b| b.poll_timeout());
            let flights = self.flights.iter().filter_map(|queue| queue.front());
            let times = timers.map(|(at, _)| at).chain(flights.map(|(at, _)| *at));
            let Some(next) = times
                .min()
                .filter(|next| end.is_none_or(|end| *next <= end))
            else {
                self.now = end.unwrap_or(self.now);
                return;
            };
            self.now = self.now.max(next);
            for side in SIDES {
                let broker = &mut self.brokers[side];
                broker.handle_timeout(self.now);
                let left = broker.poll_timeout();
                assert!(left.is_none_or(|(at, _)| at > self.now), "{left:?}");
                self.deliver(side);
            }
        }
        panic!("the brokers do not come to rest");
    }

    fn send(&mut self, to: usize, after: Duration, flight: Flight) {
        let at = self.now + after;
        let last = self.flights[to]
            .back()
            .map_or(at, |(last, _)| at.max(*last));
        self.flights[to].push_back((last, flight));
    }

    fn drain(&mut self, side: usize) {
        let other = 1 - side;
        while let Some(message) = self.brokers[side].poll_transmit() {
            self.send(other, self.latency[side], Flight::Message(message));
        }
        while let Some(action) = self.brokers[side].poll_action() {
            self.actions[side].push(action.clone());
            match action {
                BrokerAction::Listen { id } => self.send(side, MS, Flight::Listening(id)),
                BrokerAction::Connect { id, endpoint } => {
                    let (owner, reached) = self.announced[&endpoint.address()];
                    assert_eq!(owner, other, "connected to its own listener");
                    self.made.push(Made {
                        dialler: side,
                        dialled: id,
                        reached: Some(reached),
                    });
                }
                BrokerAction::OpenStream { id } => {
                    let flight = Flight::Stream { id, discard: false };
                    self.send(other, self.latency[side], flight);
                    let opened = BrokerInput::StreamOpened { id };
                    self.brokers[side].handle(self.now, opened);
                }
                BrokerAction::DiscardStream { id } => {
                    let flight = Flight::Stream { id, discard: true };
                    self.send(other, self.latency[side], flight);
                }
                BrokerAction::StopListening { .. } => {}
            }
        }
        while let Some(event) = self.brokers[side].poll_event() {
            self.events[side].push(event);
        }
    }

    fn deliver(&mut self, side: usize) {
        while self.flights[side]
            .front()
            .is_some_and(|(at, _)| *at <= self.now)
        {
            let (_, flight) = self.flights[side].pop_front().unwrap();
            let now = self.now;
            match flight {
                Flight::Message(message) => self.brokers[side].handle_message(now, message),
                Flight::Stream { id, discard } => {
                    let reached = match self.brokers[side].stream_arrived(now) {
                        Route::To(reached) => Some(reached),
                        Route::Main | Route::Refuse => None,
                    };
                    if discard {
                        assert!(
                            reached.is_none_or(|reached| reached == id),
                            "{reached:?} {id}"
                        );
                    } else {
                        self.made.push(Made {
                            dialler: 1 - side,
                            dialled: id,
                            reached,
                        });
                    }
                }
                Flight::Listening(id) => {
                    let address = format!("/tmp/plugin-{side}-{id}-{}", self.announced.len());
                    self.announced.insert(address.clone(), (side, id));
                    let endpoint = Endpoint::Unix(address.into());
                    self.brokers[side].handle(now, BrokerInput::Listening { id, endpoint });
                }
            }
            self.drain(side);
        }
    }

    fn made(&self, dialler: usize, id: u32) -> usize {
        let wanted = Made {
            dialler,
            dialled: id,
            reached: Some(id),
        };
        self.made.iter().filter(|made| **made == wanted).count()
    }

    fn timed_out(&self, side: usize, id: u32) -> bool {
        let after = 5 * SECOND;
        let error = BrokerError::TimedOut { id, after };
        self.events[side].contains(&BrokerEvent::DialFailed { id, error })
    }
}

const MODES: [BrokerMode; 2] = [BrokerMode::Listeners, BrokerMode::Multiplexed];

fn alone(mode: BrokerMode) -> (Broker, Instant) {
    let now = epoch();
    let mut broker = Broker::new(BrokerConfig::new(mode));
    broker.handle(now, BrokerInput::ControlOpened);
    (broker, now)
}

fn announcement(id: u32, address: &str) -> ConnInfo {
    ConnInfo {
        service_id: id,
        network: "unix".to_owned(),
        address: address.to_owned(),
        knock: None,
    }
}

fn knock(id: u32, ack: bool) -> ConnInfo {
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

fn actions(broker: &mut Broker) -> Vec<BrokerAction> {
    std::iter::from_fn(|| broker.poll_action()).collect()
}

fn sent(broker: &mut Broker) -> Vec<ConnInfo> {
    std::iter::from_fn(|| broker.poll_transmit()).collect()
}

fn events(broker: &mut Broker) -> Vec<BrokerEvent> {
    std::iter::from_fn(|| broker.poll_event()).collect()
}

#[test]
fn ids_count_from_one_and_wrap_around_those_in_use() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    assert_eq!([broker.next_id(), broker.next_id()], [1, 2]);
    broker.accept(now, 3).unwrap();
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
        Some((now + SECOND, TimerKind::Dial(4)))
    );
}

#[test]
fn mistakes_of_the_caller_are_errors() {
    for mode in MODES {
        let (mut broker, now) = alone(mode);
        broker.accept(now, 1).unwrap();
        let error = broker.accept(now, 1);
        assert_eq!(error, Err(BrokerError::AlreadyAccepting { id: 1 }));
        broker.dial(now, 1).unwrap();
        let error = broker.dial(now, 1);
        assert_eq!(error, Err(BrokerError::AlreadyDialling { id: 1 }));
        broker.dial(now, 2).unwrap();
        let error = broker.dial(now, 2);
        assert_eq!(error, Err(BrokerError::AlreadyDialling { id: 2 }));
        broker.close_id(now, 1);
        broker.accept(now, 1).unwrap();
    }
}

#[test]
fn losing_the_control_stream_fails_everything_at_once_and_for_good() {
    for mode in MODES {
        let (mut broker, now) = alone(mode);
        broker.accept(now, 1).unwrap();
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
        assert_eq!(broker.accept(now, 7), Err(error.clone()));
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
        broker.accept(now, 1).unwrap();
        let endpoint = Endpoint::Unix("/tmp/p".into());
        broker.handle(now, BrokerInput::Listening { id: 1, endpoint });
        broker.dial(now, 2).unwrap();
        broker.dial(now, 3).unwrap();
        assert_eq!(sent(&mut broker), []);
        broker.handle_timeout(now + 5 * SECOND);
        assert_eq!(events(&mut broker).len(), 2);
        broker.dial(now, 4).unwrap();
        broker.handle(now, BrokerInput::ControlOpened);
        let expected = match mode {
            BrokerMode::Listeners => announcement(1, "/tmp/p"),
            BrokerMode::Multiplexed => knock(4, false),
        };
        assert_eq!(sent(&mut broker), [expected]);
    }
}

// One listener per id.

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
fn failed_and_abandoned_listeners_are_cleaned_up() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    broker.accept(now, 1).unwrap();
    let fault = Fault::other("no descriptors left");
    let input = BrokerInput::ListenFailed {
        id: 1,
        fault: fault.clone(),
    };
    broker.handle(now, input);
    let error = BrokerError::Listen { id: 1, fault };
    assert_eq!(
        events(&mut broker),
        [BrokerEvent::AcceptFailed { id: 1, error }]
    );
    assert!(!broker.is_accepting(1));

    broker.accept(now, 2).unwrap();
    broker.close_id(now, 2);
    actions(&mut broker);
    let endpoint = Endpoint::Unix("/tmp/p".into());
    broker.handle(
        now,
        BrokerInput::Listening {
            id: 2,
            endpoint: endpoint.clone(),
        },
    );
    assert_eq!(
        actions(&mut broker),
        [BrokerAction::StopListening { id: 2 }]
    );
    assert_eq!(sent(&mut broker), []);

    broker.accept(now, 3).unwrap();
    broker.handle(now, BrokerInput::Listening { id: 3, endpoint });
    broker.close_id(now, 3);
    assert_eq!(sent(&mut broker), [], "closed before it was announced");
}

// Multiplexed.

#[test]
fn the_messages_of_a_dial_are_go_plugins() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.dial(now, 1).unwrap();
    assert_eq!(sent(&mut broker), [knock(1, false)]);
    broker.handle_message(now, knock(1, true));
    assert_eq!(actions(&mut broker), [BrokerAction::OpenStream { id: 1 }]);

    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    broker.accept(now, 1).unwrap();
    assert_eq!((sent(&mut broker), actions(&mut broker)), (vec![], vec![]));
    broker.handle_message(now, knock(1, false));
    assert_eq!(sent(&mut broker), [knock(1, true)]);
    assert_eq!(broker.stream_arrived(now), Route::To(1));
}

#[test]
fn streams_without_a_knock_go_to_the_main_server() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    assert_eq!(broker.stream_arrived(now), Route::Main);
    broker.accept(now, 1).unwrap();
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
        broker.accept(now, id).unwrap();
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
        broker.accept(now, id).unwrap();
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
    broker.accept(now + 4 * SECOND, 1).unwrap();
    assert_eq!(sent(&mut broker), [knock(1, true)]);
    broker.handle_timeout(now + 5 * SECOND);
    broker.accept(now + 5 * SECOND, 2).unwrap();
    broker.handle_timeout(now + 20 * SECOND);
    assert_eq!(sent(&mut broker), []);
    assert_eq!(broker.pending(), 0);
}

#[test]
fn queued_knocks_expire_as_well() {
    let (mut broker, now) = alone(BrokerMode::Multiplexed);
    for id in [1, 2] {
        broker.accept(now, id).unwrap();
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
        broker.accept(now, id).unwrap();
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
            1..=3 => drop(two.brokers[side].accept(now, id)),
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

// Hostile peers.

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
