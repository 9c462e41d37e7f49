//! The control stream of a broker. A plugin's may be opened anew, by the next host.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_core::Stream;
use outboard_core::broker::BrokerInput;
use outboard_core::endpoint::Endpoint;
use outboard_core::rpc::{Status, Streaming};
use outboard_core::wire::plugin::ConnInfo;

use super::state::{AfterUnlock, State, new_machine};
use super::{Broker, Inner, MAX_PEER_FILES};
use crate::time::Turns;

/// Which control stream something belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation {
    machine: u64,
    stream: u64,
}

impl Broker {
    /// The sending half of a new control stream, and what [`attach`](Self::attach) is to be told.
    /// It takes over from the one before, whose end may not be known yet: go-plugin's broker stays
    /// dead when that comes, and a second host can make no brokered calls.
    pub(crate) fn outgoing(&self) -> (Streaming<ConnInfo>, Generation) {
        let mut state = self.lock();
        let mut after = AfterUnlock::default();
        if state.has_control && !state.closed_by_us {
            state.machine.close();
            state.carry_out(&mut after);
            state.machine = new_machine();
            state.generation += 1;
            after.transmit = state.transmit.take();
        }
        state.has_control = true;
        let outgoing = self.next_stream(&mut state, BrokerInput::ControlOpened);
        drop(state);
        after.run(&self.0.parts.runtime);
        outgoing
    }

    /// Another stream for what an earlier one of the same generation was for, after that was lost.
    pub(crate) fn outgoing_again(
        &self,
        generation: Generation,
    ) -> (Streaming<ConnInfo>, Generation) {
        let mut state = self.lock();
        if state.generation == generation.machine {
            return self.next_stream(&mut state, BrokerInput::ControlReopened);
        }
        // Superseded: it has nothing to say.
        let messages = Outgoing {
            broker: self.clone(),
            generation,
            opened: None,
        };
        (Streaming::try_from_stream(messages), generation)
    }

    fn next_stream(
        &self,
        state: &mut State,
        opened: BrokerInput,
    ) -> (Streaming<ConnInfo>, Generation) {
        state.stream += 1;
        let generation = Generation {
            machine: state.generation,
            stream: state.stream,
        };
        let messages = Outgoing {
            broker: self.clone(),
            generation,
            opened: Some(opened),
        };
        (Streaming::try_from_stream(messages), generation)
    }

    /// Takes the receiving half of the control stream.
    pub(crate) fn attach(&self, incoming: Streaming<ConnInfo>, generation: Generation) {
        let broker = Arc::downgrade(&self.0);
        self.0.parts.runtime.spawn(Box::pin(async move {
            let ended = receive(&broker, incoming, generation).await;
            if let Some(broker) = broker.upgrade().map(Self) {
                broker.control_ended(generation, &ended);
            }
        }));
    }

    /// Takes what comes on the receiving half of the control stream, until that ends.
    pub(crate) async fn listen_to(
        &self,
        incoming: Streaming<ConnInfo>,
        generation: Generation,
    ) -> Result<(), Status> {
        receive(&Arc::downgrade(&self.0), incoming, generation).await
    }

    /// The control stream has ended for good. No effect if another has taken its place.
    pub(crate) fn control_ended(&self, generation: Generation, ended: &Result<(), Status>) {
        let reason = match ended {
            Ok(()) => "the other side ended its control stream".to_owned(),
            Err(status) => control_lost(status),
        };
        if self.lock().stream != generation.stream {
            return;
        }
        self.update(generation.machine, |machine, now| {
            machine.handle(now, BrokerInput::ControlLost { reason });
        });
    }

    pub(super) fn received(&self, generation: Generation, message: ConnInfo) {
        if let Ok(endpoint) = Endpoint::parse(&message.network, &message.address)
            && let Some(file) = endpoint.socket_file()
        {
            let files = &mut self.lock().peer_files;
            files.push(file.to_owned(), ());
            if files.len() > MAX_PEER_FILES {
                files.pop();
            }
        }
        self.update(generation.machine, |machine, now| {
            machine.handle_message(now, message);
        });
    }
}

async fn receive(
    broker: &Weak<Inner>,
    mut incoming: Streaming<ConnInfo>,
    generation: Generation,
) -> Result<(), Status> {
    let mut turns = Turns::default();
    while let Some(message) = incoming.message().await? {
        turns.step().await;
        let Some(broker) = broker.upgrade().map(Broker) else {
            break;
        };
        broker.received(generation, message);
    }
    Ok(())
}

fn control_lost(status: &Status) -> String {
    format!("the control stream ended with {status}; does the other side have a broker?")
}

/// The messages of this side of the control stream.
struct Outgoing {
    broker: Broker,
    generation: Generation,
    /// What the machine is to be told at first.
    opened: Option<BrokerInput>,
}

impl Stream for Outgoing {
    type Item = Result<ConnInfo, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The transport asks for messages once there is a stream to put them on.
        if let Some(opened) = self.opened.take() {
            self.broker.update(self.generation.machine, |machine, now| {
                machine.handle(now, opened);
            });
        }
        let mut state = self.broker.lock();
        if state.stream != self.generation.stream {
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
