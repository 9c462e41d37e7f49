//! The threads of a service whose handlers block.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, PoisonError};
use std::thread;
use std::time::Duration;
use std::{fmt, io};

use futures_channel::oneshot;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::Status;
use outboard_core::rpc::guard::{Panicked, Whose, catch_panic};
use outboard_core::rt::SpanLeft;
use tracing::Span;

use super::streaming::{self, Outgoing};
use super::wait::{Cancel, Handling};
use crate::serve::context::{Answering, CurrentCall, Entered, current};

/// How many handlers of a service run at once unless it is told otherwise: few enough that their stacks do
/// not matter, many enough for handlers that wait for each other's effects. (A choice.)
const THREADS: usize = 64;

/// How long a thread without work stays. (A choice.)
const IDLE: Duration = Duration::from_secs(10);

/// The threads on which a blocking service answers: as many as there are calls, up to a limit. Clones are the
/// same, and the threads go with the last one, or after some time without work.
#[derive(Clone)]
pub struct Pool(Arc<Open>);

/// Its drop lets the threads go.
struct Open {
    limit: usize,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    /// By when they came. Whoever gives one up takes it out: callers that come and go make nothing grow.
    jobs: BTreeMap<u64, Job>,
    tickets: u64,
    threads: usize,
    /// Of these, those that wait for work.
    idle: usize,
    closed: bool,
}

type Job = Box<dyn FnOnce() + Send>;

impl Pool {
    /// Threads for as many calls at once as are usual.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(THREADS)
    }

    /// Threads for at most so many calls at once, and at least one. None is there before it has work.
    #[must_use]
    pub fn with_limit(threads: usize) -> Self {
        let shared = Shared {
            state: Mutex::new(Rank::Driver, State::default()),
            work: Condvar::new(),
        };
        Self(Arc::new(Open {
            limit: threads.max(1),
            shared: Arc::new(shared),
        }))
    }

    /// Runs a handler on a thread, with the present call as the current one there.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        handler: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let (sender, receiver) = oneshot::channel();
        let _place = self.begin(move |around| {
            let answer = around.run(handler);
            // If nobody waits any more, it goes here.
            let _gone = sender.send(answer);
        })?;
        settle(receiver.await)
    }

    /// Runs a handler that answers with a stream, and then, if need be, what makes the messages, on one
    /// thread.
    pub(super) async fn run_stream<T: Send + 'static>(
        &self,
        handler: impl FnOnce() -> Result<super::Streaming<T>, Status> + Send + 'static,
    ) -> Result<crate::Streaming<T>, Status> {
        let (sender, receiver) = oneshot::channel();
        let place = self.begin(move |around| {
            let answer = match around.run(handler) {
                Ok(Ok(stream)) => stream,
                Ok(Err(status)) => return drop(sender.send(Ok(Err(status)))),
                Err(panicked) => return drop(sender.send(Err(panicked))),
            };
            match answer.into_outgoing() {
                Outgoing::Ready(stream) => drop(sender.send(Ok(Ok(stream)))),
                Outgoing::Made(items) => {
                    let (to, stream) = streaming::hand_over();
                    if sender.send(Ok(Ok(stream))).is_err() {
                        return;
                    }
                    let failing = to.clone();
                    let path = around.path();
                    if let Err(panicked) = around.run(|| streaming::send_all(items, to)) {
                        streaming::fail(failing, panicked.status(Whose::Handler(path)));
                    }
                }
            }
        })?;
        let stream = settle(receiver.await)?;
        // Whoever drops the stream cancels what makes it.
        Ok(streaming::with(stream, place))
    }

    /// # Errors
    /// There is no thread, and none to be had.
    fn begin(&self, job: impl FnOnce(&mut Around) + Send + 'static) -> Result<Place, Status> {
        let cancel = Arc::new(Cancel::default());
        let mut around = Around {
            call: current(),
            span: Span::current(),
            left: SpanLeft::is_left(),
        };
        let theirs = Arc::clone(&cancel);
        let job = Box::new(move || {
            if theirs.is_cancelled() {
                return;
            }
            let _handling = Handling::begin(theirs);
            job(&mut around);
        });
        let ticket = self.submit(job).map_err(|error| {
            Status::resource_exhausted(format!("no thread for the handler: {error}"))
        })?;
        Ok(Place {
            shared: Arc::clone(&self.0.shared),
            ticket,
            cancel,
        })
    }

    fn submit(&self, job: Job) -> io::Result<u64> {
        let shared = &self.0.shared;
        let mut state = shared.state.lock();
        let ticket = state.tickets;
        state.tickets += 1;
        state.jobs.insert(ticket, job);
        let grows = state.jobs.len() > state.idle && state.threads < self.0.limit;
        state.threads += usize::from(grows);
        drop(state);
        if !grows {
            shared.work.notify_one();
            return Ok(ticket);
        }
        let theirs = Arc::clone(shared);
        let name = "outboard-handler".to_owned();
        let spawned = thread::Builder::new()
            .name(name)
            .spawn(move || theirs.work());
        let Err(error) = spawned else {
            return Ok(ticket);
        };
        let mut state = shared.state.lock();
        state.threads -= 1;
        if state.threads > 0 {
            // It waits for one of those.
            return Ok(ticket);
        }
        // Others may have trusted in a thread that did not come either: nobody is there to take any of these.
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
        Err(error)
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.shared.state.lock();
        f.debug_struct("Pool")
            .field("limit", &self.0.limit)
            .field("threads", &state.threads)
            .field("waiting", &state.jobs.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            // What a handler panics with is told to its caller; this is for drops of what it leaves.
            let _ = catch_panic(job);
        }
    }

    /// The next job; `None` if the thread is to end, and it is not counted any more then.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some((_, job)) = state.jobs.pop_first() {
                return Some(job);
            }
            let mut timed_out = false;
            if !state.closed {
                state.idle += 1;
                state = state.wait(|state| {
                    let waited = self.work.wait_timeout(state, IDLE);
                    let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                    timed_out = waited.timed_out();
                    state
                });
                state.idle -= 1;
            }
            if (timed_out || state.closed) && state.jobs.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }
}

/// What is around a handler on its thread, as it was where the call came in.
struct Around {
    call: Option<CurrentCall>,
    span: Span,
    /// Whether what the handler brings about is kept out of the span.
    left: bool,
}

impl Around {
    fn run<T>(&mut self, work: impl FnOnce() -> T) -> Result<T, Panicked> {
        let mut slot = self.call.clone().map(Answering::Shared);
        let _span = self.span.enter();
        let _left = self.left.then(SpanLeft::enter);
        catch_panic(|| {
            let _entered = Entered::enter(&mut slot);
            work()
        })
    }

    fn path(&self) -> &'static str {
        self.call.as_ref().map_or("", CurrentCall::path)
    }
}

/// The place of a job among those that wait or run. Its drop gives the job up.
struct Place {
    shared: Arc<Shared>,
    ticket: u64,
    cancel: Arc<Cancel>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.cancel.cancel();
        let job = self.shared.state.lock().jobs.remove(&self.ticket);
        drop(job);
    }
}

/// What a handler has answered. Its panic goes on here, so that the transport deals with it as with any.
fn settle<T>(
    answer: Result<Result<Result<T, Status>, Panicked>, oneshot::Canceled>,
) -> Result<T, Status> {
    match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(panicked)) => resume_unwind(Box::new(panicked.message)),
        Err(oneshot::Canceled) => Err(Status::internal("the handler ended without an answer")),
    }
}
