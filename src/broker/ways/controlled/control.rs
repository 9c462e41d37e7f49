//! The control stream, on which the sides agree on ids. It may be lost with a connection and come back
//! with the next.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_core::Stream;
use outboard_core::broker::BrokerInput;
use outboard_core::rpc::{Status, Streaming};
use outboard_core::rt::BoxFuture;
use outboard_core::wire::plugin::ConnInfo;

use super::state::State;
use super::{Control, Controlled, Inner, Kind};
use crate::time::Turns;

impl<K: Kind> Control for Controlled<K> {
    fn outgoing(&self) -> Streaming<ConnInfo> {
        self.next_stream(&mut self.lock())
    }

    fn outgoing_once(&self) -> Result<Streaming<ConnInfo>, Status> {
        let mut state = self.lock();
        if state.stream > 0 {
            return Err(Status::failed_precondition(
                "this connection has had its control stream of the broker; another stream needs \
                 another connection",
            ));
        }
        Ok(self.next_stream(&mut state))
    }

    fn received(&self, message: ConnInfo) {
        K::received(self, &message);
        self.update(|machine, now| machine.handle_message(now, message));
    }

    fn attach(&self, incoming: Streaming<ConnInfo>) {
        let way = Arc::downgrade(&self.0);
        self.0.parts.runtime.spawn(Box::pin(async move {
            let ended = receive(&way, incoming).await;
            if let Some(way) = way.upgrade().map(Self) {
                way.ended(&ended);
            }
        }));
    }

    fn listen_to(&self, incoming: Streaming<ConnInfo>) -> BoxFuture<'static, Result<(), Status>> {
        let way = Arc::downgrade(&self.0);
        Box::pin(async move { receive(&way, incoming).await })
    }

    fn ended(&self, ended: &Result<(), Status>) {
        let reason = match ended {
            Ok(()) => "the other side ended its control stream".to_owned(),
            Err(status) => control_lost(status),
        };
        self.update(|machine, now| machine.handle(now, BrokerInput::ControlLost { reason }));
    }
}

impl<K: Kind> Controlled<K> {
    fn next_stream(&self, state: &mut State<K>) -> Streaming<ConnInfo> {
        let opened = if state.stream == 0 {
            BrokerInput::ControlOpened
        } else {
            BrokerInput::ControlReopened
        };
        state.stream += 1;
        Streaming::try_from_stream(Outgoing {
            way: self.clone(),
            stream: state.stream,
            opened: Some(opened),
        })
    }
}

async fn receive<K: Kind>(
    way: &Weak<Inner<K>>,
    mut incoming: Streaming<ConnInfo>,
) -> Result<(), Status> {
    let mut turns = Turns::default();
    while let Some(message) = incoming.message().await? {
        turns.step().await;
        let Some(way) = way.upgrade().map(Controlled) else {
            break;
        };
        way.received(message);
    }
    Ok(())
}

fn control_lost(status: &Status) -> String {
    format!("the control stream ended with {status}; does the other side have a broker?")
}

impl<K: Kind> Drop for Outgoing<K> {
    fn drop(&mut self) {
        let now = self.way.0.parts.runtime.now();
        let mut state = self.way.lock();
        if state.stream == self.stream && self.opened.is_none() {
            state.machine.handle(now, BrokerInput::ControlInterrupted);
        }
        self.way.settle(state);
    }
}

/// The messages of this side of the control stream.
struct Outgoing<K: Kind> {
    way: Controlled<K>,
    /// Counted from 1.
    stream: u64,
    /// What the machine is to be told at first.
    opened: Option<BrokerInput>,
}

impl<K: Kind> Stream for Outgoing<K> {
    type Item = Result<ConnInfo, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The transport asks for messages once there is a stream to put them on.
        if let Some(opened) = self.opened.take() {
            K::begun(&self.way);
            self.way.update(|machine, now| machine.handle(now, opened));
        }
        let mut state = self.way.lock();
        if state.stream != self.stream {
            return Poll::Ready(None);
        }
        if let Some(message) = state.machine.poll_transmit() {
            return Poll::Ready(Some(Ok(message)));
        }
        if state.machine.closed().is_some() {
            return Poll::Ready(None);
        }
        let earlier = state.transmit.replace(cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }
}
