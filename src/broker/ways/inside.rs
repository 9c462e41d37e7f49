//! Brokered calls inside the connection. Nothing is announced: the transport finds what a call is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::{Channel, ConnectionConfig, Router, Serving, SubChannels};
use outboard_core::rt::BoxFuture;

use super::{Report, Way, closed};
use crate::broker::BrokerError;

pub(in crate::broker) struct Inside {
    /// Of what is dialled.
    config: ConnectionConfig,
    state: Mutex<State>,
}

enum State {
    Open(Open),
    Closed(String),
}

struct Open {
    /// It holds the connection, and what that serves holds the broker.
    channels: Arc<dyn SubChannels>,
    served: BTreeMap<u32, Arc<dyn Serving>>,
}

impl Inside {
    pub(super) fn new(channels: Arc<dyn SubChannels>, config: ConnectionConfig) -> Self {
        let state = State::Open(Open {
            channels,
            served: BTreeMap::new(),
        });
        Self {
            config,
            state: Mutex::new(Rank::Broker, state),
        }
    }

    fn channels(&self) -> Result<Arc<dyn SubChannels>, BrokerError> {
        match &*self.state.lock() {
            State::Open(open) => Ok(Arc::clone(&open.channels)),
            State::Closed(why) => Err(closed(why).into()),
        }
    }
}

impl Way for Inside {
    fn serve(&self, id: u32, router: Arc<Router>) -> Result<(), BrokerError> {
        let accepted = self.channels()?.accept(id, router);
        let serving = accepted.map_err(BrokerError::Channel)?;
        let why = match &mut *self.state.lock() {
            State::Open(open) => {
                open.served.insert(id, serving);
                return Ok(());
            }
            State::Closed(why) => closed(why),
        };
        // Meanwhile.
        serving.drain();
        Err(why.into())
    }

    fn stop(&self, id: u32) {
        let serving = match &mut *self.state.lock() {
            State::Open(open) => open.served.remove(&id),
            State::Closed(_) => None,
        };
        if let Some(serving) = serving {
            serving.drain();
        }
    }

    fn dial(&self, id: u32) -> BoxFuture<'static, Result<Channel, BrokerError>> {
        let channels = self.channels();
        let dialled = channels.map(|channels| Channel::new(channels.dial(id, self.config.clone())));
        Box::pin(std::future::ready(dialled))
    }

    fn close(&self, why: &str) {
        let mut state = self.state.lock();
        if let State::Closed(_) = *state {
            return;
        }
        let earlier = std::mem::replace(&mut *state, State::Closed(why.to_owned()));
        drop(state);
        let State::Open(Open { channels, served }) = earlier else {
            return;
        };
        drop(channels);
        for serving in served.into_values() {
            serving.drain();
        }
    }

    fn report(&self, report: &mut Report) {
        match &*self.state.lock() {
            State::Open(open) => report.serving.extend(open.served.keys()),
            State::Closed(why) => report.closed = Some(closed(why)),
        }
    }
}
