//! What a broker machine is told, what it asks for, and what it reports.

use std::fmt;
use std::time::Duration;

use crate::endpoint::{Endpoint, EndpointError};

/// How brokered connections are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BrokerMode {
    /// Every accepted id has a listener of its own, announced to the peer.
    Listeners,
    /// All connections are streams of one connection; a dialler knocks before it opens one.
    Multiplexed,
}

/// How a [`Broker`](super::Broker) behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// How connections are made; both sides must agree.
    pub mode: BrokerMode,
    /// How long a dial waits for its answer, and how long announcements and knocks that nobody
    /// wants are kept. go-plugin: 5 s for all of these.
    pub timeout: Duration,
}

impl BrokerConfig {
    /// The default timeout.
    #[must_use]
    pub fn new(mode: BrokerMode) -> Self {
        Self {
            mode,
            timeout: Duration::from_secs(5),
        }
    }
}

/// What happened outside, other than messages; see [`Broker::handle`](super::Broker::handle).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerInput {
    /// The control stream is up: messages can be sent.
    ControlOpened,
    /// The control stream is lost with its connection, which may come back with another: what is to be
    /// sent waits, and streams for no id wait for no answer that cannot come.
    ControlInterrupted,
    /// Another control stream has taken the place of a lost one, to a peer that goes on where it
    /// was: what is offered is announced again, in case the first time got lost; when multiplexed, the
    /// knock that has no answer is made again, and those of the peer are forgotten, which makes its own
    /// again. go-plugin's peers do not go on, see [`ControlLost`](Self::ControlLost).
    ControlReopened,
    /// The control stream ended, failed, or could not be opened (the peer has no broker).
    ControlLost {
        /// Why, for people.
        reason: String,
    },
    /// The peer has taken the stream asked for, or it could not be opened: the next dial may go on.
    StreamOpened {
        /// The id it was asked for.
        id: u32,
    },
    /// The peer has taken the stream that [`BrokerAction::OpenMain`] asked for, or it could not be opened.
    MainOpened,
}

/// What the driver is to do; see [`Broker::poll_action`](super::Broker::poll_action).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerAction {
    /// The dial succeeded: this is where the peer serves the id, as the peer knows it (a host
    /// whose plugin sees other addresses translates). Connecting may be put off to the first call
    /// and repeated. Not when multiplexed.
    Connect {
        /// The id.
        id: u32,
        /// The address.
        endpoint: Endpoint,
    },
    /// The dial succeeded: open one stream now, in the order of these actions, and answer with
    /// [`BrokerInput::StreamOpened`] as soon as the peer has taken it, or when it failed: a host of
    /// go-plugin has streams of two knocks that come together be taken by either id. Only when
    /// multiplexed.
    OpenStream {
        /// The id.
        id: u32,
    },
    /// The peer answered a dial that was given up and now takes the next stream for this id: open
    /// one, in the order of these actions, and close it. No answer. Only when multiplexed.
    DiscardStream {
        /// The id.
        id: u32,
    },
    /// Open one of the streams that are for no id, in the order of these actions, and answer with
    /// [`BrokerInput::MainOpened`]. Only when multiplexed.
    OpenMain,
    /// Stop serving this id, finishing calls in flight, and close its listener.
    StopListening {
        /// The id.
        id: u32,
    },
}

/// What the user learns; see [`Broker::poll_event`](super::Broker::poll_event).
///
/// Every dial ends with exactly one of the actions [`Connect`](BrokerAction::Connect) and
/// [`OpenStream`](BrokerAction::OpenStream), the event `DialFailed`, or its cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerEvent {
    /// A dial failed.
    DialFailed {
        /// The dialled id.
        id: u32,
        /// Why.
        error: BrokerError,
    },
    /// An id is no longer served, since the broker is closed.
    AcceptFailed {
        /// The accepted id.
        id: u32,
        /// Why.
        error: BrokerError,
    },
}

/// What a broker machine waits for; see [`Broker::poll_timeout`](super::Broker::poll_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BrokerTimer {
    /// With [`BrokerMode::Listeners`].
    Listeners(ListenersTimer),
    /// With [`BrokerMode::Multiplexed`].
    Multiplexed(StreamsTimer),
}

/// What a broker machine with a listener for each id waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ListenersTimer {
    /// An announcement under this id that nobody dialled is forgotten.
    Announcement(u32),
    /// A dial to this id must have succeeded.
    Dial(u32),
}

/// What a broker machine inside one multiplexed connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StreamsTimer {
    /// A dial to this id must have succeeded.
    Dial(u32),
    /// The stream of an acknowledged dial to this id must be open.
    Open(u32),
    /// A stream for no id must be open.
    OpenMain,
    /// A knock on this id that could not be acknowledged yet is forgotten.
    Knock(u32),
    /// The stream that belongs to an acknowledged knock on this id must have come.
    Stream(u32),
}

/// A phrase that completes "waiting for …".
impl fmt::Display for BrokerTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listeners(ListenersTimer::Announcement(id)) => {
                write!(f, "a dial to the announced id {id}")
            }
            Self::Listeners(ListenersTimer::Dial(id))
            | Self::Multiplexed(StreamsTimer::Dial(id)) => {
                write!(f, "the peer to answer a dial to id {id}")
            }
            Self::Multiplexed(StreamsTimer::Open(id)) => write!(f, "the stream to id {id} to open"),
            Self::Multiplexed(StreamsTimer::OpenMain) => f.write_str("a stream for no id to open"),
            Self::Multiplexed(StreamsTimer::Knock(id)) => {
                write!(f, "someone to accept on id {id}")
            }
            Self::Multiplexed(StreamsTimer::Stream(id)) => {
                write!(f, "the peer's stream to id {id}")
            }
        }
    }
}

/// Where an inbound stream of a multiplexed connection goes; see
/// [`Broker::stream_arrived`](super::Broker::stream_arrived).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// Nobody knocked: to the plugin's main server. A host has none and closes it.
    Main,
    /// To the server of this id.
    To(u32),
    /// It was for an id that is no longer served: close it.
    Refuse,
}

/// Why a brokered connection was not made.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The id is being accepted already: a mistake of the caller.
    #[error("broker id {id} is being accepted already; take a fresh one with next_id")]
    AlreadyAccepting {
        /// The id.
        id: u32,
    },
    /// The id is being dialled already: a mistake of the caller.
    #[error("broker id {id} is being dialled already; each accept serves one dial")]
    AlreadyDialling {
        /// The id.
        id: u32,
    },
    /// The broker is closed: the control stream ended or never came up.
    #[error("the broker is closed: {reason}")]
    Closed {
        /// Why.
        reason: String,
    },
    /// The peer did not answer in time.
    #[error(
        "the peer did not serve broker id {id} within {after:?}; \
         it must accept the id that it passed, and each accept serves one dial"
    )]
    TimedOut {
        /// The dialled id.
        id: u32,
        /// The timeout.
        after: Duration,
    },
    /// The peer refused.
    #[error("the peer refused broker id {id}: {reason}")]
    Refused {
        /// The dialled id.
        id: u32,
        /// The peer's words, shortened.
        reason: String,
    },
    /// The peer answered a knock with something else: it does not multiplex.
    #[error(
        "the peer answered the dial to broker id {id} with neither yes nor no; \
         both sides must agree on multiplexing"
    )]
    BadAnswer {
        /// The dialled id.
        id: u32,
    },
    /// The peer announced an address that is none.
    #[error("the peer announced an unusable address for broker id {id}: {reason}")]
    BadAnnouncement {
        /// The dialled id.
        id: u32,
        /// What is wrong with it.
        reason: EndpointError,
    },
}
