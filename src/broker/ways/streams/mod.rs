//! Brokered calls in streams of the one connection, as go-plugin's with `GRPCBrokerMultiplex`: whoever
//! dials an id knocks on the control stream, opens a stream once that is acknowledged, and the other
//! side takes the next one for that id.

mod dial;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use futures_channel::oneshot;
use outboard_core::broker::{BrokerAction, BrokerMode, Route};
use outboard_core::fault::Fault;
use outboard_core::rpc::{Channel, Router};
use outboard_core::rt::BoxByteStream;

use super::controlled::{AfterUnlock, Controlled, Inner, Kind, Offer, State};
use super::server::Server;
use crate::broker::BrokerError;
use crate::carrier::{Hand, Opened, Session, Unreached, handed};

use self::dial::Opening;

pub(in crate::broker) type Streams = Controlled<Knocking>;

/// A stream for each knock.
pub(in crate::broker) enum Knocking {}

/// What serves an id, and what hands the id's streams over to it.
pub(in crate::broker) struct Served {
    hand: Hand,
    _server: Server,
}

/// Who waits for a stream for no id.
type Main = oneshot::Sender<Result<BoxByteStream, Unreached>>;

/// What is to be opened, in this order.
#[derive(Default)]
pub(in crate::broker) struct Orders {
    orders: VecDeque<Opening>,
    /// Who waits for streams for no id, in the order of their turns.
    mains: VecDeque<Main>,
    /// Whether a task works them off.
    at_work: bool,
}

impl Kind for Knocking {
    const MODE: BrokerMode = BrokerMode::Multiplexed;

    type Found = Result<BoxByteStream, Unreached>;
    type Server = Served;
    type Own = Orders;

    fn serve(way: &Streams, id: u32, router: Arc<Router>) -> Result<(), BrokerError> {
        way.offer(id, || way.await_streams(router))
    }

    async fn dial(way: Streams, id: u32) -> Result<Channel, BrokerError> {
        way.knock(id).await
    }

    fn act(
        way: &Streams,
        state: &mut State<Self>,
        action: BrokerAction,
        after: &mut AfterUnlock<Self>,
    ) {
        let opening = match action {
            BrokerAction::OpenStream { id } => Opening::Dialled(id, state.take_dial(id)),
            BrokerAction::DiscardStream { .. } => Opening::GivenUp,
            BrokerAction::OpenMain => Opening::Main,
            // Asked for only with listeners, or done already.
            BrokerAction::Connect { .. } | BrokerAction::StopListening { .. } => return,
        };
        state.own.orders.push_back(opening);
        if !std::mem::replace(&mut state.own.at_work, true) {
            after.spawn(Box::pin(way.clone().open_all()));
        }
    }

    fn begun(way: &Streams) {
        if let Some(session) = way.session() {
            let (taking, opening) = (way.downgrade(), way.downgrade());
            session.offer_to(Arc::new(move |io| take(&taking, io)));
            session.open_through(Arc::new(move || {
                let way = opening.upgrade().map(Controlled)?;
                Some(way.open_main())
            }));
        }
    }
}

/// Takes what the other side has opened for one of the ids here, and gives back what it has not.
fn take(way: &Weak<Inner<Knocking>>, io: BoxByteStream) -> Option<BoxByteStream> {
    let Some(way) = way.upgrade().map(Controlled) else {
        return Some(io);
    };
    let now = way.parts().runtime.now();
    let mut state = way.lock();
    let route = state.machine.stream_arrived(now);
    let hand = match route {
        Route::To(id) => state.servers.get(&id).map(|served| served.hand.clone()),
        Route::Main | Route::Refuse => None,
    };
    way.settle(state);
    match (route, hand) {
        (Route::Main, _) => return Some(io),
        (_, Some(hand)) => hand.over(io),
        // It is served no more.
        (_, None) => drop(io),
    }
    None
}

impl Streams {
    fn session(&self) -> Option<&Session> {
        self.parts().carrier.session()
    }

    /// A server with its work, which has no socket.
    fn await_streams(&self, router: Arc<Router>) -> Result<Offer<Served>, Fault> {
        let gone = || Fault::other("the connection has yet to begin");
        let endpoint = self.session().ok_or_else(gone)?.endpoint().clone();
        let (hand, listener) = handed(endpoint);
        let (server, work) = self.server(router, Opened::private(listener))?;
        Ok(Offer {
            server: Served {
                hand,
                _server: server,
            },
            work,
            at: None,
        })
    }
}
