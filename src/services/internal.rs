//! go-plugin's own services, as a plugin serves them: controller, stdio and broker.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_core::Stream;
use futures_util::stream::{self, StreamExt as _};
use outboard_core::backlog::Source;
use outboard_core::rpc::{Call, CallContext, Service, ServiceDescriptor, Status, Streaming};
use outboard_core::wire::plugin::{
    BROKER, CONTROLLER, ConnInfo, Empty, STDIO, STDIO_LOG, STDIO_LOG_APART, StdioData, stdio_data,
};

use super::output::{Output, Reader};
use crate::broker::Broker;
use crate::codegen::{
    Prost, StreamAnswer, UnaryAnswer, no_such_method, serve_bidirectional, serve_server_streaming,
    serve_unary,
};
use crate::time::Turns;

use super::health::HealthService;

/// A host's request to end. Dropping it answers the call.
pub(crate) type Asked = oneshot::Sender<()>;

/// What these services reach in the plugin's driver.
pub(crate) struct Internal {
    pub(crate) asked: mpsc::UnboundedSender<Asked>,
    pub(crate) output: Arc<Output>,
    pub(crate) broker: Broker,
    pub(crate) health: HealthService,
    #[cfg(feature = "log")]
    pub(crate) log_level: crate::log::level::Follower,
}

/// `plugin.GRPCController`: the host's request to end.
///
/// It is answered when the calls in flight are done and what they printed is sent: go-plugin's
/// hosts close the connection as soon as they have the answer.
pub(crate) struct Controller {
    asked: mpsc::UnboundedSender<Asked>,
}

impl Controller {
    /// Each request to end is a message on `asked`.
    pub(crate) fn new(asked: mpsc::UnboundedSender<Asked>) -> Self {
        Self { asked }
    }
}

impl Service for Controller {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &CONTROLLER
    }

    fn unary(&self, _method: usize, context: CallContext, message: Bytes) -> UnaryAnswer {
        let asked = self.asked.clone();
        serve_unary(Prost, context, message, |_request: Empty| async move {
            let (answer, answered) = oneshot::channel();
            // A closed channel means that the plugin is ending already.
            let _ending = asked.unbounded_send(answer);
            let _dropped = answered.await;
            Ok(Empty {})
        })
    }

    fn streaming(&self, method: usize, _: CallContext, _: Box<dyn Call>) -> StreamAnswer {
        no_such_method(&CONTROLLER, method)
    }
}

/// `plugin.GRPCStdio`: what the program prints, and what it logs where its host does not read that.
pub(crate) struct Stdio {
    output: Arc<Output>,
}

impl Stdio {
    pub(crate) fn new(output: Arc<Output>) -> Self {
        Self { output }
    }
}

impl Service for Stdio {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &STDIO
    }

    fn unary(&self, method: usize, _: CallContext, _: Bytes) -> UnaryAnswer {
        no_such_method(&STDIO, method)
    }

    fn streaming(&self, _: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        let output = Arc::clone(&self.output);
        let apart = context.metadata.get(STDIO_LOG_APART).is_some();
        serve_server_streaming(Prost, context, call, move |_request: Empty| async move {
            Ok(Streaming::try_from_stream(Pieces(output.reader(apart))))
        })
    }
}

struct Pieces(Reader);

impl Stream for Pieces {
    type Item = Result<StdioData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx).map(|piece| {
            let (source, data) = piece?;
            let channel = match source {
                Source::Stdout => stdio_data::Channel::Stdout.into(),
                Source::Log => STDIO_LOG,
                _ => stdio_data::Channel::Stderr.into(),
            };
            Some(Ok(StdioData { channel, data }))
        })
    }
}

/// `plugin.GRPCBroker`: the control stream of one connection's broker.
pub(crate) struct BrokerControl {
    broker: Broker,
}

impl BrokerControl {
    pub(crate) fn new(broker: Broker) -> Self {
        Self { broker }
    }
}

impl Service for BrokerControl {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &BROKER
    }

    fn unary(&self, method: usize, _: CallContext, _: Bytes) -> UnaryAnswer {
        no_such_method(&BROKER, method)
    }

    fn streaming(&self, _: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        let broker = self.broker.clone();
        serve_bidirectional(
            Prost,
            context,
            call,
            |incoming: Streaming<ConnInfo>| async move {
                let Some(control) = broker.control() else {
                    return Ok(silent(incoming));
                };
                let outgoing = control.outgoing_once()?;
                control.attach(incoming);
                Ok(outgoing)
            },
        )
    }
}

/// Where nothing is announced there is nothing to say, for as long as the other side goes on.
fn silent(mut incoming: Streaming<ConnInfo>) -> Streaming<ConnInfo> {
    let ended = async move {
        let mut turns = Turns::default();
        while let Ok(Some(_)) = incoming.message().await {
            turns.step().await;
        }
        None
    };
    Streaming::try_from_stream(stream::once(ended).filter_map(std::future::ready))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_silent_control_stream_takes_what_comes_and_ends_with_its_other_half() {
        let (mut peer, incoming) = Streaming::channel(1);
        let mut outgoing = silent(incoming);
        for _ in 0..3 {
            let sent = peer.send(ConnInfo::default()).now_or_never();
            assert!(matches!(sent, Some(Ok(()))), "{sent:?}");
            assert!(outgoing.message().now_or_never().is_none());
        }
        drop(peer);
        assert_eq!(outgoing.message().now_or_never(), Some(Ok(None)));
    }
}
