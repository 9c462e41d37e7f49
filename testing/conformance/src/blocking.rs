//! The probe with handlers that block: what each of them waits for holds up its thread.

use outboard::blocking::{Broker, Streaming};
use outboard::{Served, Status, context};
use outboard_kit::reflect::reflect;

use crate::probe::{Prober, named, told_of_trace};
use crate::proto::{
    BrokerId, BrokerIds, Collected, Count, Entries, Entry, FailRequest, Nothing, Payload,
    PourRequest, Probe, ProbeBlocking, ProbeBlockingClient, ProbeBlockingServer, RelayRequest,
    RemainingReply, Text, relay_request::Op,
};

/// The probe, blocking. Clones are the same probe.
#[derive(Clone, Debug, Default)]
pub struct BlockingProber(Prober);

/// What comes of a future, or an error if the caller of this handler is gone before.
fn wait<T: Send + 'static>(
    future: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    let future = futures_util::stream::once(future);
    let mut only = Streaming::from(outboard::Streaming::try_from_stream(future));
    only.next()
        .unwrap_or_else(|| Err(Status::internal("the future went away")))
}

impl BlockingProber {
    /// What the async probe does, with this thread waiting for it.
    fn as_async<T, F>(&self, call: impl FnOnce(Prober) -> F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Status>> + Send + 'static,
    {
        wait(call(self.0.clone()))
    }

    fn collect_now(requests: Streaming<Payload>) -> Result<Collected, Status> {
        let mut seen = Collected::default();
        for message in requests {
            seen.messages += 1;
            seen.bytes += message?.data.len() as u64;
        }
        Ok(seen)
    }
}

impl ProbeBlocking for BlockingProber {
    fn echo(&self, request: Payload) -> Result<Payload, Status> {
        Ok(request)
    }

    fn fail(&self, request: FailRequest) -> Result<Nothing, Status> {
        self.as_async(|probe| async move { probe.fail(request).await })
    }

    fn panic(&self, request: Text) -> Result<Nothing, Status> {
        panic!("{}", request.text)
    }

    fn wait(&self, request: Nothing) -> Result<Nothing, Status> {
        self.as_async(|probe| async move { probe.wait(request).await })
    }

    fn meet(&self, request: Count) -> Result<Nothing, Status> {
        self.as_async(|probe| async move { probe.meet(request).await })
    }

    fn stall(&self, request: Count) -> Result<Nothing, Status> {
        self.as_async(|probe| async move { probe.stall(request).await })
    }

    fn hold(&self, request: Nothing) -> Result<Payload, Status> {
        self.as_async(|probe| async move { probe.hold(request).await })
    }

    fn release(&self, request: Nothing) -> Result<Nothing, Status> {
        self.as_async(|probe| async move { probe.release(request).await })
    }

    fn next_note(&self, request: Nothing) -> Result<Text, Status> {
        self.as_async(|probe| async move { probe.next_note(request).await })
    }

    fn remaining(&self, request: Nothing) -> Result<RemainingReply, Status> {
        self.as_async(|probe| async move { probe.remaining(request).await })
    }

    fn reflect(&self, _request: Nothing) -> Result<Entries, Status> {
        let call = context::current().ok_or_else(|| Status::internal("no current call"))?;
        let made = reflect(call.metadata()).map_err(|error| Status::internal(error.to_string()))?;
        call.extend_headers(&made.headers);
        call.extend_trailers(&made.trailers);
        let entry = |(key, value)| Entry { key, value };
        let entries = made.entries.into_iter().map(entry).collect();
        Ok(Entries { entries })
    }

    fn chat(&self, requests: Streaming<Payload>) -> Result<Streaming<Payload>, Status> {
        // Through this thread, and not as it came.
        Ok(Streaming::try_iter(requests))
    }

    fn pour(&self, request: PourRequest) -> Result<Streaming<Payload>, Status> {
        self.as_async(|probe| async move { probe.pour(request).await })
            .map(Streaming::from)
            .map(Streaming::try_iter)
    }

    fn poured(&self, request: Nothing) -> Result<Count, Status> {
        self.as_async(|probe| async move { probe.poured(request).await })
    }

    fn collect(&self, requests: Streaming<Payload>) -> Result<Collected, Status> {
        Self::collect_now(requests)
    }

    fn collect_late(&self, requests: Streaming<Payload>) -> Result<Collected, Status> {
        self.0.note_that("collect began");
        self.as_async(|probe| async move {
            probe.until_released().await;
            Ok(())
        })?;
        Self::collect_now(requests)
    }

    fn serve(&self, _request: Nothing) -> Result<BrokerId, Status> {
        let served = Broker::current()?.serve(ProbeBlockingServer::new(self.clone()))?;
        let id = served.id();
        self.0.keep([served]);
        Ok(BrokerId { id })
    }

    fn unserve(&self, request: BrokerId) -> Result<Nothing, Status> {
        self.as_async(|probe| async move { probe.unserve(request).await })
    }

    fn serve_many(&self, request: Count) -> Result<BrokerIds, Status> {
        let broker = outboard::Broker::current()?;
        let served = Prober::serve_many(&broker, request.count)?;
        let ids = served.iter().map(Served::id).collect();
        self.0.keep(served);
        Ok(BrokerIds { ids })
    }

    fn which(&self, request: Nothing) -> Result<BrokerId, Status> {
        self.as_async(|probe| async move { probe.which(request).await })
    }

    fn relay(&self, request: RelayRequest) -> Result<Payload, Status> {
        let peer: ProbeBlockingClient = Broker::current()?.dial(request.id)?;
        let op = request.op();
        let data = request.data;
        match op {
            Op::Echo => peer.echo(Payload { data }),
            Op::Remaining => {
                let millis = peer.remaining(Nothing {})?.millis;
                let data = millis.map_or_else(String::new, |millis| millis.to_string());
                Ok(Payload { data: data.into() })
            }
            Op::Wait => peer.wait(Nothing {}).map(|_| Payload::default()),
            Op::Chat => {
                let messages = std::iter::repeat_n(Payload { data }, 1000);
                let answers = peer.chat(Streaming::iter(messages))?;
                let mut count = 0;
                for answer in answers {
                    answer?;
                    count += 1;
                }
                let data = format!("{count}").into();
                Ok(Payload { data })
            }
            Op::Which => {
                let id = peer.which(Nothing {})?.id;
                let data = id.to_string().into();
                Ok(Payload { data })
            }
            Op::Trace => {
                let peer = match named(&data)? {
                    Some(own) => peer.with_metadata(own),
                    None => peer,
                };
                Ok(told_of_trace(&peer.reflect(Nothing {})?))
            }
            Op::Relay => {
                let inner = request.inner;
                let inner = inner.ok_or_else(|| Status::invalid_argument("no inner request"))?;
                peer.relay(*inner)
            }
        }
    }
}
