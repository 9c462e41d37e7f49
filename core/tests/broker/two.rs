//! Two brokers with latency between them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use outboard_core::broker::{
    Broker, BrokerAction, BrokerConfig, BrokerError, BrokerEvent, BrokerInput, BrokerMode,
    ConnInfo, Route,
};
use outboard_core::endpoint::Endpoint;

use crate::support::{MS, SECOND, epoch};

pub(crate) const SIDES: [usize; 2] = [0, 1];

/// A brokered connection that came about: who dialled, which id, and who got it at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Made {
    pub(crate) dialler: usize,
    pub(crate) dialled: u32,
    pub(crate) reached: Option<u32>,
}

enum Flight {
    Message(ConnInfo),
    /// A stream opened by the other side for no id.
    Main,
    /// A stream opened by the other side, for this id as its opener thinks.
    Stream {
        id: u32,
        discard: bool,
    },
}

/// Two brokers with latency between them. All that goes from one side to the other stays in order.
pub(crate) struct Two {
    pub(crate) now: Instant,
    pub(crate) latency: [Duration; 2],
    pub(crate) brokers: [Broker; 2],
    flights: [VecDeque<(Instant, Flight)>; 2],
    pub(crate) made: Vec<Made>,
    pub(crate) events: [Vec<BrokerEvent>; 2],
    pub(crate) actions: [Vec<BrokerAction>; 2],
    announced: BTreeMap<String, (usize, u32)>,
}

impl Two {
    pub(crate) fn new(mode: BrokerMode) -> Self {
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

    pub(crate) fn accept(&mut self, side: usize, id: u32) {
        self.try_accept(side, id).unwrap();
    }

    /// Listens, and accepts there; with another address each time.
    pub(crate) fn try_accept(&mut self, side: usize, id: u32) -> Result<(), BrokerError> {
        let address = format!("/tmp/plugin-{side}-{id}-{}", self.announced.len());
        let endpoint = Endpoint::Unix(address.clone().into());
        self.brokers[side].accept(self.now, id, Some(&endpoint))?;
        self.announced.insert(address, (side, id));
        Ok(())
    }

    pub(crate) fn dial(&mut self, side: usize, id: u32) {
        self.brokers[side].dial(self.now, id).unwrap();
    }

    pub(crate) fn open_main(&mut self, side: usize) {
        self.brokers[side].open_main(self.now);
    }

    pub(crate) fn run(&mut self) {
        self.run_until(None);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
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
                BrokerAction::OpenMain => {
                    let flight = Flight::Main;
                    self.send(other, self.latency[side], flight);
                    self.brokers[side].handle(self.now, BrokerInput::MainOpened);
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
                Flight::Main => {
                    let route = self.brokers[side].stream_arrived(now);
                    assert_eq!(route, Route::Main, "taken for a dialled one");
                }
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
            }
            self.drain(side);
        }
    }

    pub(crate) fn made(&self, dialler: usize, id: u32) -> usize {
        let wanted = Made {
            dialler,
            dialled: id,
            reached: Some(id),
        };
        self.made.iter().filter(|made| **made == wanted).count()
    }

    pub(crate) fn timed_out(&self, side: usize, id: u32) -> bool {
        let after = 5 * SECOND;
        let error = BrokerError::TimedOut { id, after };
        self.events[side].contains(&BrokerEvent::DialFailed { id, error })
    }
}
