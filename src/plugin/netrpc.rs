//! What a plugin serves over net/rpc, beside what is dispensed: its end, and what it prints.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use futures_channel::{mpsc, oneshot};
use futures_io::AsyncWrite as _;
use outboard_core::backlog::Source;
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_transport_netrpc::gob::{Limits, Received};
use outboard_transport_netrpc::{Begun, Make, Provided, Service};

use crate::serve::tracked::InFlight;
use crate::services::Asked;
use crate::services::output::{Output, Reader};

/// What is provided in one version. In the extensions of its router.
#[derive(Clone, Default)]
pub(super) struct Instances(BTreeMap<String, Make>);

impl Instances {
    /// Adds what `make` makes under `name`, with its calls counted.
    pub(super) fn add(&mut self, name: String, make: Make, calls: &Arc<InFlight>) {
        let calls = Arc::clone(calls);
        let tracked: Make = Arc::new(move |broker| {
            let tracked = Tracked {
                inner: make(broker)?,
                calls: Arc::clone(&calls),
            };
            Ok(Arc::new(tracked) as Arc<dyn Service>)
        });
        self.0.insert(name, tracked);
    }

    /// All that is served on one connection.
    pub(super) fn provided(
        &self,
        runtime: &SharedRuntime,
        asked: &mpsc::UnboundedSender<Asked>,
        output: &Arc<Output>,
    ) -> Provided {
        let asked = asked.clone();
        let quit = Arc::new(move || -> BoxFuture<'static, ()> {
            let (answer, answered) = oneshot::channel();
            // A closed channel means that the plugin is ending already.
            let _ending = asked.unbounded_send(answer);
            Box::pin(async move {
                let _dropped = answered.await;
            })
        });
        let (runtime, output) = (Arc::clone(runtime), Arc::clone(output));
        Provided {
            plugins: self.0.clone(),
            quit,
            output: Arc::new(move |streams| {
                runtime.spawn(Box::pin(send(output.reader(false), streams)));
            }),
            // The transport's own.
            limits: Limits::default(),
        }
    }
}

/// Sends what the program prints, to its end. The two streams are all there is: lines of a log that its host
/// does not read come on that of stderr.
async fn send(mut reader: Reader, [mut stdout, mut stderr]: [BoxByteStream; 2]) {
    while let Some((on, piece)) = poll_fn(|cx| reader.poll_next(cx)).await {
        let io = match on {
            Source::Stdout => &mut stdout,
            _ => &mut stderr,
        };
        let mut left = &piece[..];
        while !left.is_empty() {
            match poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, left)).await {
                Ok(count) if count > 0 => left = &left[count..],
                // Its host wants no more of this one.
                Ok(_) | Err(_) => break,
            }
        }
    }
    for mut io in [stdout, stderr] {
        // Whoever has reset it wants no end either.
        let _reset = poll_fn(|cx| Pin::new(&mut io).poll_close(cx)).await;
    }
}

/// An instance whose calls are counted.
struct Tracked {
    inner: Arc<dyn Service>,
    calls: Arc<InFlight>,
}

impl Service for Tracked {
    fn begin(&self, method: &str, argument: &mut Received<'_>) -> Begun {
        let guard = self.calls.enter();
        match self.inner.begin(method, argument) {
            Begun::Running(running) => Begun::Running(Box::pin(async move {
                let _guard = guard;
                running.await
            })),
            other => other,
        }
    }
}
