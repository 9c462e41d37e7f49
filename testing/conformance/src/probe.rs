//! The probe, on either side; it knows no runtime.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use outboard::trace::{TRACEPARENT, TRACESTATE};
use outboard::{Broker, BrokerError, Code, Metadata, Served, Status, Streaming, context};
use outboard_kit::reflect::reflect;

use crate::proto::{
    BrokerId, BrokerIds, Collected, Count, Entries, Entry, FailRequest, Nothing, Payload,
    PourRequest, Probe, ProbeClient, ProbeServer, RelayRequest, RemainingReply, Text,
    relay_request::Op,
};
use crate::watched::{Notes, Watched};

/// The probe. Clones are the same probe.
#[derive(Clone, Debug, Default)]
pub struct Prober(Arc<State>);

#[derive(Debug, Default)]
struct State {
    notes: Notes,
    meeting: Watched<u64>,
    stalled: Mutex<u64>,
    stall: Condvar,
    released: Watched<bool>,
    poured: Watched<u64>,
    served: Mutex<Vec<Served>>,
    id: OnceLock<u32>,
}

impl Prober {
    /// Waits for the next note, for a test that holds the probe itself.
    pub async fn note(&self) -> String {
        self.0.notes.next().await
    }

    /// How many have it: this, its clones, and what serves one of them.
    #[must_use]
    pub fn owners(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Serves so many probes of their own, each of which knows its id.
    ///
    /// # Errors
    /// If one cannot be served.
    pub fn serve_many(broker: &Broker, count: u64) -> Result<Vec<Served>, BrokerError> {
        let one = |_| {
            let probe = Self::default();
            let served = broker.serve(ProbeServer::new(probe.clone()))?;
            // Before anybody is told of it.
            let _first = probe.0.id.set(served.id());
            Ok(served)
        };
        (0..count).map(one).collect()
    }

    /// Adds a note.
    pub fn note_that(&self, text: &str) {
        self.0.notes.add(text);
    }

    /// Waits until it is released.
    pub async fn until_released(&self) {
        self.0.released.until(|open| open.then_some(())).await;
    }

    /// Serves these until the end, or until they are not to be served any more.
    pub fn keep(&self, served: impl IntoIterator<Item = Served>) {
        self.served().extend(served);
    }

    async fn collect_now(mut requests: Streaming<Payload>) -> Result<Collected, Status> {
        let mut seen = Collected::default();
        while let Some(message) = requests.message().await? {
            seen.messages += 1;
            seen.bytes += message.data.len() as u64;
        }
        Ok(seen)
    }

    fn served(&self) -> MutexGuard<'_, Vec<Served>> {
        self.0.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a thread is kept busy at least: nobody would call that quick.
const SHORTEST_STALL: Duration = Duration::from_millis(2);

/// How long it is at most: far more than a healthy case takes.
const LONGEST_STALL: Duration = Duration::from_secs(20);

/// Notes a text when dropped.
struct NoteOnDrop(Prober, &'static str);

impl NoteOnDrop {
    fn new(probe: &Prober, text: &'static str) -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self(probe.clone(), text)
    }
}

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
        self.0.0.notes.add(self.1);
    }
}

/// The metadata that names this trace, for a call that says it itself.
pub(crate) fn named(parent: &[u8]) -> Result<Option<Metadata>, Status> {
    if parent.is_empty() {
        return Ok(None);
    }
    let mut metadata = Metadata::new();
    let named = metadata.insert(TRACEPARENT, &String::from_utf8_lossy(parent));
    named.map_err(|error| Status::invalid_argument(error.to_string()))?;
    Ok(Some(metadata))
}

/// What the side that was called got of a trace.
pub(crate) fn told_of_trace(called_with: &Entries) -> Payload {
    let of = |name: &'static str| {
        let entries = called_with.entries.iter();
        let named = entries.filter(move |entry| entry.key == name);
        named.map(|entry| entry.value.as_slice())
    };
    let found: Vec<&[u8]> = of(TRACEPARENT).chain(of(TRACESTATE)).collect();
    let data = found.join(&b' ');
    Payload { data }
}

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// How many calls that end only with their caller this process has in its handlers.
#[must_use]
pub fn alive() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

impl Probe for Prober {
    async fn echo(&self, request: Payload) -> Result<Payload, Status> {
        Ok(request)
    }

    async fn fail(&self, request: FailRequest) -> Result<Nothing, Status> {
        let status = Status::new(Code::from_number(request.code), request.message);
        Err(if request.details.is_empty() {
            status
        } else {
            status.with_details(request.details)
        })
    }

    async fn panic(&self, request: Text) -> Result<Nothing, Status> {
        panic!("{}", request.text)
    }

    async fn wait(&self, _request: Nothing) -> Result<Nothing, Status> {
        let _dropped = NoteOnDrop::new(self, "wait dropped");
        self.0.notes.add("wait began");
        std::future::pending().await
    }

    async fn meet(&self, request: Count) -> Result<Nothing, Status> {
        self.0.meeting.change(|here| *here += 1);
        let all = |here: &mut u64| (*here >= request.count).then_some(Nothing {});
        Ok(self.0.meeting.until(all).await)
    }

    async fn stall(&self, request: Count) -> Result<Nothing, Status> {
        let State { stalled, stall, .. } = &*self.0;
        let busy = Instant::now() + SHORTEST_STALL;
        while Instant::now() < busy {
            std::hint::spin_loop();
        }
        let mut here = stalled.lock().unwrap_or_else(PoisonError::into_inner);
        *here += 1;
        // The numbers go on: the next meeting is of as many more.
        let all = here.next_multiple_of(request.count.max(1));
        stall.notify_all();
        let waited = stall.wait_timeout_while(here, LONGEST_STALL, |here| *here < all);
        let (_here, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return Err(Status::aborted("the others did not come"));
        }
        Ok(Nothing {})
    }

    async fn hold(&self, _request: Nothing) -> Result<Payload, Status> {
        self.0.notes.add("hold began");
        self.0.released.until(|open| open.then_some(())).await;
        let data = b"held to the end".to_vec();
        Ok(Payload { data })
    }

    async fn release(&self, _request: Nothing) -> Result<Nothing, Status> {
        self.0.released.change(|open| *open = true);
        Ok(Nothing {})
    }

    async fn next_note(&self, _request: Nothing) -> Result<Text, Status> {
        let text = self.0.notes.next().await;
        Ok(Text { text })
    }

    async fn remaining(&self, _request: Nothing) -> Result<RemainingReply, Status> {
        let deadline = context::current().and_then(|call| call.deadline());
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let millis = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        Ok(RemainingReply { millis })
    }

    async fn reflect(&self, _request: Nothing) -> Result<Entries, Status> {
        let call = context::current().ok_or_else(|| Status::internal("no current call"))?;
        let made = reflect(call.metadata()).map_err(|error| Status::internal(error.to_string()))?;
        call.extend_headers(&made.headers);
        call.extend_trailers(&made.trailers);
        let entry = |(key, value)| Entry { key, value };
        let entries = made.entries.into_iter().map(entry).collect();
        Ok(Entries { entries })
    }

    async fn chat(&self, requests: Streaming<Payload>) -> Result<Streaming<Payload>, Status> {
        Ok(requests)
    }

    async fn pour(&self, request: PourRequest) -> Result<Streaming<Payload>, Status> {
        let probe = self.clone();
        let dropped = NoteOnDrop::new(self, "pour dropped");
        let size = usize::try_from(request.size).map_err(|_| Status::out_of_range("size"))?;
        Ok(Streaming::iter((0..request.count).map(move |n| {
            let _alive = &dropped;
            probe.0.poured.change(|count| *count += 1);
            let data = vec![n as u8; size];
            Payload { data }
        })))
    }

    async fn poured(&self, _request: Nothing) -> Result<Count, Status> {
        let count = self.0.poured.change(|count| *count);
        Ok(Count { count })
    }

    async fn collect(&self, requests: Streaming<Payload>) -> Result<Collected, Status> {
        Self::collect_now(requests).await
    }

    async fn collect_late(&self, requests: Streaming<Payload>) -> Result<Collected, Status> {
        self.0.notes.add("collect began");
        self.0.released.until(|open| open.then_some(())).await;
        Self::collect_now(requests).await
    }

    async fn serve(&self, _request: Nothing) -> Result<BrokerId, Status> {
        let served = Broker::current()?.serve(ProbeServer::new(self.clone()))?;
        let id = served.id();
        self.served().push(served);
        Ok(BrokerId { id })
    }

    async fn unserve(&self, request: BrokerId) -> Result<Nothing, Status> {
        self.served().retain(|served| served.id() != request.id);
        Ok(Nothing {})
    }

    async fn serve_many(&self, request: Count) -> Result<BrokerIds, Status> {
        let served = Self::serve_many(&Broker::current()?, request.count)?;
        let ids = served.iter().map(Served::id).collect();
        self.served().extend(served);
        Ok(BrokerIds { ids })
    }

    async fn which(&self, _request: Nothing) -> Result<BrokerId, Status> {
        let id = self.0.id.get().copied();
        let id = id.ok_or_else(|| Status::not_found("it is none of ServeMany"))?;
        Ok(BrokerId { id })
    }

    async fn relay(&self, request: RelayRequest) -> Result<Payload, Status> {
        let peer: ProbeClient = Broker::current()?.dial(request.id).await?;
        let op = request.op();
        let data = request.data;
        match op {
            Op::Echo => peer.echo(Payload { data }).await,
            Op::Remaining => {
                let millis = peer.remaining(Nothing {}).await?.millis;
                let data = millis.map_or_else(String::new, |millis| millis.to_string());
                Ok(Payload { data: data.into() })
            }
            Op::Wait => peer.wait(Nothing {}).await.map(|_| Payload::default()),
            Op::Chat => {
                let messages = std::iter::repeat_n(Payload { data }, 1000);
                let mut answers = peer.chat(Streaming::iter(messages)).await?;
                let mut count = 0;
                while answers.message().await?.is_some() {
                    count += 1;
                }
                let data = format!("{count}").into();
                Ok(Payload { data })
            }
            Op::Which => {
                let id = peer.which(Nothing {}).await?.id;
                let data = id.to_string().into();
                Ok(Payload { data })
            }
            Op::Trace => {
                let peer = match named(&data)? {
                    Some(own) => peer.with_metadata(own),
                    None => peer,
                };
                Ok(told_of_trace(&peer.reflect(Nothing {}).await?))
            }
            Op::Relay => {
                let inner = request.inner;
                let inner = inner.ok_or_else(|| Status::invalid_argument("no inner request"))?;
                peer.relay(*inner).await
            }
        }
    }
}
