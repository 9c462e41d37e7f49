//! What a plugin serves over net/rpc, beside what is dispensed: its end, and what it prints.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_io::{AsyncRead as _, AsyncWrite as _};
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

/// Sends what the program prints, to its end or that of both streams. These two are all there is: lines of a
/// log that its host does not read come on that of stderr.
async fn send(mut reader: Reader, streams: [BoxByteStream; 2]) {
    let mut streams = streams.map(Some);
    while let Some((on, piece)) = poll_fn(|cx| poll_next(&mut reader, &mut streams, cx)).await {
        let place = usize::from(on != Source::Stdout);
        let mut left = &piece[..];
        while !left.is_empty()
            && let Some(io) = &mut streams[place]
        {
            match poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, left)).await {
                Ok(count) if count > 0 => left = &left[count..],
                // Its host wants no more of this one.
                Ok(_) | Err(_) => streams[place] = None,
            }
        }
    }
    for mut io in streams.into_iter().flatten() {
        // Whoever has reset it wants no end either.
        let _reset = poll_fn(|cx| Pin::new(&mut io).poll_close(cx)).await;
    }
}

/// The next piece; `None` also once nobody is there to get it: what comes then is for the next host. Hosts write
/// nothing on these streams, so that what can be read there is their end.
fn poll_next(
    reader: &mut Reader,
    streams: &mut [Option<BoxByteStream>; 2],
    cx: &mut Context<'_>,
) -> Poll<Option<(Source, Bytes)>> {
    for stream in streams.iter_mut() {
        let mut nothing = [0; 64];
        if let Some(io) = stream {
            match Pin::new(io).poll_read(cx, &mut nothing) {
                Poll::Pending => {}
                // The rest later: however much there is, it holds up nobody.
                Poll::Ready(Ok(count)) if count > 0 => cx.waker().wake_by_ref(),
                Poll::Ready(_) => *stream = None,
            }
        }
    }
    if streams.iter().all(Option::is_none) {
        return Poll::Ready(None);
    }
    reader.poll_next(cx)
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
