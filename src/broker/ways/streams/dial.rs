//! Dialling ids: waiting for the acknowledgement, then opening a stream.

use outboard_core::broker::{self as machine, BrokerInput};
use outboard_core::fault::Fault;
use outboard_core::rpc::Channel;
use outboard_core::rt::BoxFuture;

use super::{Knocking, Streams};
use crate::broker::BrokerError;
use crate::broker::ways::controlled::{Again, DialAnswer};
use crate::carrier::{Carried, Raw, Unreached};

/// Why a stream is opened.
pub(in crate::broker) enum Opening {
    /// For this id, which somebody dials who may have given up meanwhile.
    Dialled(u32, Option<DialAnswer<Knocking>>),
    /// To be closed: the other side waits for it.
    GivenUp,
}

impl Streams {
    /// A channel to what the other side serves under `id`.
    pub(super) async fn knock(&self, id: u32) -> Result<Channel, BrokerError> {
        let opened = self.answered(id).await?;
        let carried = self.secure(opened).await;
        let carried = carried.map_err(|unreached| BrokerError::Stream {
            id,
            fault: unreached.into(),
        })?;
        let way = self.downgrade();
        let again = Again {
            by: "by another stream".to_owned(),
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

    async fn secure(&self, opened: Result<Raw, Unreached>) -> Result<Carried, Unreached> {
        self.parts().carrier.secure(opened?).await
    }

    /// Opens what is to be opened, until there is nothing more.
    pub(super) async fn open_all(self) {
        while let Some(opening) = self.next_to_open() {
            let opened = match self.session() {
                Some(session) => session.open_told().await,
                None => Err(Unreached::Gone(Fault::other("there is no connection"))),
            };
            let Opening::Dialled(id, dial) = opening else {
                continue;
            };
            let opened = match opened {
                Ok((opened, taken)) => {
                    self.tell_when(id, taken);
                    Ok(opened)
                }
                Err(unreached) => {
                    self.opened(id);
                    Err(unreached)
                }
            };
            if let Some(dial) = dial {
                // What nobody waits for any more is closed, as the other side takes note of.
                let _given_up = dial.send(Ok(opened));
            }
        }
    }

    /// Has the next dial have its turn once the other side has taken the stream of this one. go-plugin's
    /// host has whoever waits for a stream take the next one that comes: were there two on their way, they
    /// could be swapped. Who has dialled does not wait for that.
    fn tell_when(&self, id: u32, taken: BoxFuture<'static, ()>) {
        let way = self.downgrade();
        self.parts().runtime.spawn(Box::pin(async move {
            taken.await;
            if let Some(way) = way.upgrade().map(Self) {
                way.opened(id);
            }
        }));
    }

    fn opened(&self, id: u32) {
        self.update(|machine, now| machine.handle(now, BrokerInput::StreamOpened { id }));
    }

    fn next_to_open(&self) -> Option<Opening> {
        let own = &mut self.lock().own;
        let next = own.orders.pop_front();
        own.at_work = next.is_some();
        next
    }
}
