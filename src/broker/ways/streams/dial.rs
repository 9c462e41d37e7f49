//! Dialling ids: waiting for the acknowledgement, then opening a stream.

use futures_channel::oneshot;
use outboard_core::broker::{self as machine, BrokerInput};
use outboard_core::fault::Fault;
use outboard_core::rpc::Channel;
use outboard_core::rt::{BoxByteStream, BoxFuture};
use outboard_core::tls::TlsFault;

use super::{Knocking, Main, Streams};
use crate::broker::BrokerError;
use crate::broker::ways::controlled::{Again, DialAnswer};
use crate::carrier::{Carried, Unreached};

/// Why a stream is opened.
pub(in crate::broker) enum Opening {
    /// For this id, which somebody dials who may have given up meanwhile.
    Dialled(u32, Option<DialAnswer<Knocking>>),
    /// To be closed: the other side waits for it.
    GivenUp,
    /// For no id, for whoever asked for it first and still wants it.
    Main,
}

impl Streams {
    /// A channel to what the other side serves under `id`.
    pub(super) async fn knock(&self, id: u32) -> Result<Channel, BrokerError> {
        let opened = self.answered(id).await?;
        let carried = self.secure(opened).await;
        let carried = carried.map_err(|unreached| match unreached {
            Unreached::Tls(TlsFault { reason, fault, .. }) => {
                BrokerError::Tls { id, reason, fault }
            }
            unreached => BrokerError::Stream {
                id,
                fault: unreached.into(),
            },
        })?;
        let way = self.downgrade();
        let again = Again {
            by: "by another stream".to_owned(),
            // A go-plugin peer never answers a knock on an id that it serves no more, and other dials
            // would wait for that in vain, five seconds for each client that is merely held.
            on_demand: true,
            dial: Box::new(move || {
                let way = way.upgrade().map(Self);
                Box::pin(async move {
                    let way =
                        way.ok_or_else(|| Unreached::Gone(Fault::other("its side is gone")))?;
                    let opened = way.answered(id).await.map_err(|error| match error {
                        // It is not there any more, or nothing is.
                        machine::BrokerError::Refused { .. }
                        | machine::BrokerError::Closed { .. } => {
                            Unreached::Gone(Fault::other(error))
                        }
                        error => Unreached::Connect(Fault::other(error)),
                    })?;
                    way.secure(opened).await
                })
            }),
        };
        Ok(Channel::new(self.keep_dialled(id, carried, again)))
    }

    /// A stream for no id, which the other side does not take for one that was dialled.
    pub(super) fn open_main(&self) -> BoxFuture<'static, Result<BoxByteStream, Unreached>> {
        let (tell, opened) = oneshot::channel();
        let now = self.parts().runtime.now();
        let mut state = self.lock();
        state.own.mains.push_back(tell);
        state.machine.open_main(now);
        self.settle(state);
        Box::pin(async move {
            opened.await.unwrap_or_else(|_| {
                Err(Unreached::Gone(Fault::other(
                    "the broker of the connection is gone",
                )))
            })
        })
    }

    async fn secure(&self, opened: Result<BoxByteStream, Unreached>) -> Result<Carried, Unreached> {
        let carrier = &self.parts().carrier;
        carrier.secure(carrier.of_streams(opened?)?).await
    }

    /// Opens what is to be opened, until there is nothing more.
    pub(super) async fn open_all(self) {
        while let Some(opening) = self.next_to_open() {
            let main = match opening {
                Opening::Main => self.lock().own.mains.pop_front(),
                Opening::Dialled(..) | Opening::GivenUp => None,
            };
            if main.as_ref().is_some_and(Main::is_canceled) {
                self.opened(BrokerInput::MainOpened);
                continue;
            }
            let opened = match self.session() {
                Some(session) => session.open_told().await,
                None => Err(Unreached::Gone(Fault::other("there is no connection"))),
            };
            let (opened, taken): (_, BoxFuture<'static, ()>) = match opened {
                Ok((opened, taken)) => (Ok(opened), taken),
                Err(unreached) => (Err(unreached), Box::pin(std::future::ready(()))),
            };
            // What nobody waits for any more is closed, as the other side takes note of.
            match opening {
                Opening::GivenUp => drop(opened),
                Opening::Dialled(id, dial) => {
                    self.tell_when(taken, BrokerInput::StreamOpened { id });
                    if let Some(dial) = dial {
                        let _given_up = dial.send(Ok(opened));
                    }
                }
                Opening::Main => {
                    self.tell_when(taken, BrokerInput::MainOpened);
                    if let Some(main) = main {
                        let _given_up = main.send(opened);
                    }
                }
            }
        }
    }

    /// Has the next stream have its turn once the other side has taken this one. go-plugin's host has
    /// whoever waits for a stream take the next one that comes: were there two on their way, they could be
    /// swapped. Who has asked for it does not wait for that.
    fn tell_when(&self, taken: BoxFuture<'static, ()>, what: BrokerInput) {
        let way = self.downgrade();
        self.parts().runtime.spawn(Box::pin(async move {
            taken.await;
            if let Some(way) = way.upgrade().map(Self) {
                way.opened(what);
            }
        }));
    }

    fn opened(&self, what: BrokerInput) {
        self.update(|machine, now| machine.handle(now, what));
    }

    fn next_to_open(&self) -> Option<Opening> {
        let own = &mut self.lock().own;
        let next = own.orders.pop_front();
        own.at_work = next.is_some();
        next
    }
}
