//! The connection to a plugin, and what is set up on it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use outboard_core::rpc::{
    Channel, Code, Connection, ConnectionConfig, LostHook, Status, Streaming, Transport,
};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::wire::plugin::{BROKER, CONTROLLER, Empty, STDIO, StdioData, stdio_data};

use super::running::{ExitReport, Shared};
use crate::broker::{Broker, BrokerParts};
use crate::codegen::{call_bidirectional, call_server_streaming, call_unary};
use crate::time;

/// A live connection to a plugin. Clones are the same connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) connection: Arc<dyn Connection>,
    pub(super) broker: Broker,
}

/// How long a lost connection waits for the exit that explains it. A process that dies closes its
/// sockets just before its parent learns of its end, so this is hardly ever used up.
const EXPLAIN_WITHIN: Duration = Duration::from_millis(500);

/// How long reading what an ended process printed may take. All of it is there already, and then
/// the stream ends, unless a child of the process holds the other end open.
const LAST_OUTPUT: Duration = Duration::from_millis(100);

impl Link {
    /// Makes the connection over `io` and opens the two streams that go-plugin's host opens on
    /// every connection. Nothing is waited for: a Go plugin sends response headers only with the
    /// first message, which may never come.
    pub(super) fn establish(
        runtime: &SharedRuntime,
        transport: Arc<dyn Transport>,
        io: BoxByteStream,
        authority: String,
        shared: &Arc<Shared>,
    ) -> Self {
        let config = ConnectionConfig {
            max_message_size: shared.settings().max_message_size,
            authority,
            secure: false,
            lost: Some(explain(runtime, shared)),
        };
        let broker = Broker::new(BrokerParts {
            runtime: Arc::clone(runtime),
            transport: Arc::clone(&transport),
            config: config.clone(),
            listen: shared.settings().listen.clone(),
            calls: None,
            servers: Arc::default(),
        });
        let connection = broker.begin(
            || transport.connect(runtime, io, config),
            |connection| connection.sub_channels(),
        );
        let channel = Channel::new(Arc::clone(&connection));
        let stdio = call_server_streaming(&channel, STDIO.methods[0].path, Empty {});
        runtime.spawn(Box::pin(sync_stdio(stdio, Arc::clone(shared))));
        if connection.sub_channels().is_none() {
            let (outgoing, generation) = broker.outgoing();
            let incoming = call_bidirectional(&channel, BROKER.methods[0].path, outgoing);
            broker.attach(incoming, generation);
        }
        Self { connection, broker }
    }

    /// The process has ended: what it printed last is still read, then calls fail with a status
    /// that says how it ended.
    pub(super) fn ended(&self, runtime: &SharedRuntime, shared: &Arc<Shared>, report: &ExitReport) {
        let connection = Arc::clone(&self.connection);
        let status = report.status(shared.name());
        let settled = AtEnd(Arc::clone(shared), Shared::set_settled);
        let limit = time::sleep(runtime, LAST_OUTPUT);
        runtime.spawn(Box::pin(async move {
            select(settled.0.stdio_ended(), limit).await;
            connection.abort(status);
            drop(settled);
        }));
    }

    /// Asks the plugin to end. Whatever comes of it, it was asked: go-plugin's plugins die before
    /// they answer.
    pub(super) fn call_shutdown(&self) -> BoxFuture<'static, ()> {
        let channel = Channel::new(Arc::clone(&self.connection));
        let call = call_unary::<_, Empty>(&channel, CONTROLLER.methods[0].path, &Empty {});
        Box::pin(async move {
            let _outcome = call.await;
        })
    }
}

/// Turns "the connection was closed" into how the process ended, if it did.
fn explain(runtime: &SharedRuntime, shared: &Arc<Shared>) -> LostHook {
    let runtime = Arc::clone(runtime);
    let shared = Arc::clone(shared);
    Arc::new(move |status: Status| {
        let exited = shared.exited();
        let limit = time::sleep(&runtime, EXPLAIN_WITHIN);
        let name = shared.name().to_owned();
        Box::pin(async move {
            match select(exited, limit).await {
                Either::Left((report, _)) => report.status(&name),
                Either::Right(((), _)) => status,
            }
        })
    })
}

/// Hands what the plugin prints to the user's writers until the stream ends.
async fn sync_stdio(mut stream: Streaming<StdioData>, shared: Arc<Shared>) {
    let ended = AtEnd(shared, Shared::set_stdio_ended);
    let shared = &ended.0;
    let plugin = shared.name();
    let writers = &shared.settings().sync;
    // The stream is read to its end also without writers: a Go plugin that nobody reads blocks in
    // its prints.
    loop {
        let data = match stream.message().await {
            Ok(Some(data)) => data,
            Ok(None) => return,
            Err(status) => return note_end(plugin, &status, writers.is_wanted()),
        };
        let written = match data.channel() {
            stdio_data::Channel::Stdout => writers.stdout(&data.data).await,
            stdio_data::Channel::Stderr => writers.stderr(&data.data).await,
            stdio_data::Channel::Invalid => {
                tracing::warn!(
                    target: "outboard",
                    plugin,
                    channel = data.channel,
                    "the plugin sent output of an unknown channel; it is dropped"
                );
                Ok(())
            }
        };
        if let Err(panicked) = written {
            tracing::error!(
                target: "outboard",
                plugin,
                "the writer of what the plugin prints {panicked}; it gets nothing more"
            );
        }
    }
}

/// Says why what the plugin prints does not come, or no longer, unless that goes without saying.
fn note_end(plugin: &str, status: &Status, wanted: bool) {
    match status.code() {
        // The connection has ended, which is told elsewhere.
        Code::Unavailable | Code::Cancelled => {}
        // A normal thing: plugins in other languages often have none.
        Code::Unimplemented if wanted => {
            tracing::warn!(
                target: "outboard",
                plugin,
                "the plugin has no stdio service: what it prints does not get here"
            );
        }
        Code::Unimplemented => {
            tracing::debug!(target: "outboard", plugin, "the plugin has no stdio service");
        }
        _ => {
            tracing::error!(
                target: "outboard",
                plugin,
                %status,
                "what the plugin prints does not get here any more"
            );
        }
    }
}

/// Tells that a task has ended, also if it is dropped with its runtime: then nobody may wait for it,
/// and least of all with a timer, which a runtime that is gone does not have.
struct AtEnd(Arc<Shared>, fn(&Shared));

impl Drop for AtEnd {
    fn drop(&mut self) {
        (self.1)(&self.0);
    }
}

#[cfg(all(test, feature = "log"))]
mod tests {
    use std::sync::Mutex;

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut levels = self.0.lock().expect("no panic");
            levels.push(*event.metadata().level());
        }
    }

    #[test]
    fn only_an_unexpected_end_of_stdio_is_an_error() {
        let told = |status: Status, wanted| {
            let levels = Levels::default();
            let subscriber = tracing_subscriber::registry().with(levels.clone());
            tracing::subscriber::with_default(subscriber, || note_end("it", &status, wanted));
            std::mem::take(&mut *levels.0.lock().expect("no panic"))
        };
        for wanted in [false, true] {
            let nothing: [Level; 0] = [];
            assert_eq!(told(Status::connection_lost("gone"), wanted), nothing);
            assert_eq!(told(Status::cancelled("dropped"), wanted), nothing);
            let absent = if wanted { Level::WARN } else { Level::DEBUG };
            assert_eq!(told(Status::unimplemented("absent"), wanted), [absent]);
            assert_eq!(told(Status::internal("broken"), wanted), [Level::ERROR]);
        }
    }
}
