//! The serving side of one stream: Go's `rpc.Server` on a connection.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use outboard_core::fault::Fault;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::guard::{Guarded, catch_panic};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::told::{Teller, Told};
use outboard_gob::{Error, Limits, Received};

use crate::inbox::{Ended, Take, read_all};
use crate::load::{BOUNDS, Coming, Load};
use crate::outbox::{Outbox, Ticket};
use crate::service::{Begun, Reply, Service};
use crate::split::split;
use crate::wait::first;
use crate::wire::{NOTHING, Request, Response, ServiceMethod};

/// How many calls of a stream run at once; further ones are not read until one has ended. Those of a session
/// are bounded as well, see [`BOUNDS`]. (A choice; Go has no bound.)
const MAX_RUNNING: usize = 1024;

/// The most bytes of an error's text that are sent. (A choice.)
const MAX_ERROR: usize = 64 * 1024;

/// The services of a stream by their names.
pub type Services = Arc<BTreeMap<String, Arc<dyn Service>>>;

/// Serves the calls that come on `io`, until it ends: then those that run are finished, and it is closed,
/// as in Go. Dropping the future ends both at once, the calls that run as well.
///
/// # Errors
/// If the peer does not keep the protocol, or the stream fails. Calls that run are ended then.
pub async fn serve(
    runtime: SharedRuntime,
    io: BoxByteStream,
    services: Services,
    limits: Limits,
) -> Result<(), Fault> {
    let until = Until {
        closed: std::future::pending(),
        drained: std::future::pending(),
    };
    serve_until(runtime, io, services, limits, &Load::new(BOUNDS), until).await
}

/// Until when a stream is served.
pub(crate) struct Until<C, D> {
    /// The end of the connection, which is not seen on a stream that is not read for the moment.
    pub(crate) closed: C,
    /// From then on nothing more is read: it ends as if the peer had ended it.
    pub(crate) drained: D,
}

/// The same, and no longer than that; its calls are counted in `load`.
pub(crate) async fn serve_until(
    runtime: SharedRuntime,
    io: BoxByteStream,
    services: Services,
    limits: Limits,
    load: &Load,
    Until { closed, drained }: Until<impl Future<Output = Fault>, impl Future<Output = ()>>,
) -> Result<(), Fault> {
    let (mut reads, mut writes) = split(io);
    let scope = Scope {
        outbox: Outbox::new(limits),
        stop: Teller::new(),
    };
    let outbox = scope.outbox.clone();
    let running = Running::default();
    let mut requests = Requests {
        runtime: Arc::clone(&runtime),
        services,
        outbox: outbox.clone(),
        stopped: scope.stop.told(),
        running: running.clone(),
        coming: load.stream(),
        request: None,
    };
    let reading = async {
        let mut drained = std::pin::pin!(drained);
        let mut reading = std::pin::pin!(read_all(&mut reads, limits, &mut requests));
        let ended = poll_fn(|cx| match reading.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => drained.as_mut().poll(cx).map(|()| Ended::Clean),
        });
        if let Ended::Fault(fault) = ended.await {
            return Err(fault);
        }
        poll_fn(|cx| running.poll_fewer_than(1, cx)).await;
        outbox.close();
        Ok(())
    };
    let written = writes.write_all(&runtime, &outbox);
    let (mut reading, mut written) = (Box::pin(reading), Box::pin(written));
    let mut closed = std::pin::pin!(closed);
    let mut is_read = false;
    let ended = poll_fn(|cx| {
        if !is_read && let Poll::Ready(read) = reading.as_mut().poll(cx) {
            is_read = true;
            if let Err(fault) = read {
                return Poll::Ready(Err(fault));
            }
        }
        // Once nothing can be written, nobody reads any more either.
        if let Poll::Ready(written) = written.as_mut().poll(cx) {
            return Poll::Ready(written.map_err(Fault::from));
        }
        closed.as_mut().poll(cx).map(Err)
    })
    .await;
    drop(scope);
    ended
}

/// What the calls of a stream live within.
struct Scope {
    outbox: Outbox,
    /// Its drop tells them that it is over.
    stop: Teller<()>,
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.outbox
            .fail(Fault::other("this side serves it no more"));
    }
}

/// Begins what comes.
struct Requests {
    runtime: SharedRuntime,
    services: Services,
    outbox: Outbox,
    stopped: Told<()>,
    running: Running,
    coming: Coming,
    /// What the next value is the argument of.
    request: Option<Request>,
}

impl Take for Requests {
    fn value(&mut self, value: Result<Received<'_>, Error>) -> Result<(), Fault> {
        let Some(request) = self.request.take() else {
            let request = value.and_then(|mut value| value.decode::<Request>());
            self.coming.forget();
            self.request = Some(request.map_err(|error| {
                Fault::other(format!(
                    "what came in front of an argument is none of net/rpc: {error}"
                ))
            })?);
            return Ok(());
        };
        let size = value.as_ref().map_or(0, Received::size);
        let begun = self.begin(&request.service_method, value);
        let (answer, size): (BoxFuture<'static, Outcome>, _) = match begun {
            Ok(running) => (running, size),
            // The argument is nobody's.
            Err(text) => (Box::pin(std::future::ready(Err(text))), 0),
        };
        let load = self.coming.begin(size);
        let (outbox, guard) = (self.outbox.clone(), self.running.enter());
        let stopped = self.stopped.clone();
        self.runtime.spawn(Box::pin(async move {
            let (_guard, _load) = (guard, load);
            let call = std::pin::pin!(async {
                let reply = caught(&request.service_method, answer).await;
                send(&outbox, request, reply).await;
            });
            first(stopped, call).await;
        }));
        Ok(())
    }

    fn may_end(&self) -> bool {
        self.request.is_none()
    }

    async fn room(&mut self) {
        poll_fn(|cx| self.running.poll_fewer_than(MAX_RUNNING, cx)).await;
        poll_fn(|cx| self.coming.poll_call(cx)).await;
    }

    async fn more(&mut self, kept: usize) {
        poll_fn(|cx| self.coming.poll_more(kept, cx)).await;
    }
}

type Outcome = Result<Box<dyn Reply>, String>;

impl Requests {
    /// Begins a call, or says as Go does why not.
    fn begin(
        &self,
        name: &str,
        argument: Result<Received<'_>, Error>,
    ) -> Result<BoxFuture<'static, Outcome>, String> {
        let parts = ServiceMethod::parse(name)
            .ok_or_else(|| format!("rpc: service/method request ill-formed: {name}"))?;
        let service = self.services.get(parts.service);
        let service = service.ok_or_else(|| format!("rpc: can't find service {name}"))?;
        let mut argument = argument.map_err(|error| error.to_string())?;
        let begun = catch_panic(|| service.begin(parts.method, &mut argument));
        match begun {
            Ok(Begun::Running(running)) => Ok(running),
            Ok(Begun::Unknown) => Err(format!("rpc: can't find method {name}")),
            Ok(Begun::Argument(error)) => Err(format!(
                "the argument of {name} does not fit, a {} was sent: {error}",
                argument.shape()
            )),
            Err(panicked) => Err(format!("{name} {panicked}")),
        }
    }
}

/// The outcome of a handler, whose panic is an error of its call alone.
async fn caught(name: &str, running: BoxFuture<'static, Outcome>) -> Outcome {
    let mut running = Guarded::new(running);
    let caught = poll_fn(|cx| match catch_panic(|| running.as_mut().poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
        Err(panicked) => Poll::Ready(Err(panicked)),
    });
    match caught.await {
        Ok(outcome) => outcome,
        Err(panicked) => Err(format!("{name} {panicked}")),
    }
}

async fn send(outbox: &Outbox, request: Request, outcome: Outcome) {
    let mut ticket = Ticket::default();
    let desk = poll_fn(|cx| outbox.poll_desk(&mut ticket, cx)).await;
    // Whoever has closed the stream wants no answer.
    let Ok(mut desk) = desk else { return };
    let mut response = Response {
        service_method: request.service_method,
        seq: request.seq,
        error: String::new(),
    };
    let text = match outcome {
        Ok(reply) => {
            // How a reply is encoded, and dropped, is its owner's code.
            let (method, kind) = (&response.service_method, reply.type_name());
            let (desk, response) = (&mut desk, &response);
            let written = catch_panic(move || {
                let written = desk.write(|encoder, out| {
                    encoder.encode(response, out)?;
                    reply.encode(encoder, out)
                });
                drop(reply);
                written
            });
            match written {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    format!("the reply of {method}, a {kind}, cannot be sent: {error}")
                }
                Err(panicked) => format!("encoding the reply of {method}, a {kind}, {panicked}"),
            }
        }
        // An error without a text would be none.
        Err(text) if text.is_empty() => format!("{} failed", response.service_method),
        Err(text) => text,
    };
    response.error = shortened(text);
    let written = desk.write(|encoder, out| {
        encoder.encode(&response, out)?;
        encoder.encode(&NOTHING, out)
    });
    if let Err(error) = written {
        drop(desk);
        // So that the caller, who gets no answer, does not wait for ever.
        outbox.fail(Fault::other(error));
    }
}

/// The text of an error, no longer than any peer takes.
fn shortened(mut text: String) -> String {
    if text.len() > MAX_ERROR {
        let end = (0..=MAX_ERROR).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push_str(" [cut]");
    }
    text
}

/// Counts the calls that run.
#[derive(Clone)]
struct Running(Arc<Mutex<Count>>);

struct Count {
    running: usize,
    waiter: Option<Waker>,
}

/// A call that runs.
struct Guard(Running);

impl Default for Running {
    fn default() -> Self {
        let count = Count {
            running: 0,
            waiter: None,
        };
        Self(Arc::new(Mutex::new(Rank::Wakers, count)))
    }
}

impl Running {
    fn enter(&self) -> Guard {
        self.0.lock().running += 1;
        Guard(self.clone())
    }

    fn poll_fewer_than(&self, limit: usize, cx: &Context<'_>) -> Poll<()> {
        let mut count = self.0.lock();
        if count.running < limit {
            return Poll::Ready(());
        }
        let earlier = count.waiter.replace(cx.waker().clone());
        drop(count);
        drop(earlier);
        Poll::Pending
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut count = self.0.0.lock();
        count.running -= 1;
        let waiter = count.waiter.take();
        drop(count);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}
