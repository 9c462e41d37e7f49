//! The calling side of one stream: Go's `rpc.Client`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use outboard_core::fault::Fault;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::guard::catch_panic;
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_core::told::Teller;
use outboard_gob::{Decode, Encode, Limits, Received};

use crate::error::CallError;
use crate::explain::Explain;
use crate::inbox::{Ended, Take, read_all};
use crate::outbox::{Outbox, Ticket};
use crate::split::split;
use crate::wait::within;
use crate::wire::{Answered, Calls, Request, Response};

/// Makes calls over one stream. Cheap to clone; dropping the last one closes the stream, which ends the
/// instance at its other end. Calls in flight hold it.
#[derive(Clone)]
pub struct RpcClient(Arc<Shared>);

struct Shared {
    runtime: SharedRuntime,
    outbox: Outbox,
    calls: Arc<Mutex<Calls<Waiter>>>,
}

/// Who waits for an answer.
type Waiter = Arc<dyn Expects>;

/// Takes the answer of one call. It is called under no lock.
trait Expects: Send + Sync {
    fn answer(&self, answer: Result<&mut Received<'_>, Failure>);
}

/// Why there is no reply to take.
#[derive(Clone, Debug)]
enum Failure {
    Answered(String),
    Malformed(outboard_gob::Error),
    Lost(Fault),
}

impl RpcClient {
    /// Becomes the calling side of `io`. Nothing is sent before the first call.
    #[must_use]
    pub fn new(runtime: &SharedRuntime, io: BoxByteStream, limits: Limits) -> Self {
        Self::explained(runtime, io, limits, None)
    }

    /// The same, the end of which is explained.
    pub(crate) fn explained(
        runtime: &SharedRuntime,
        io: BoxByteStream,
        limits: Limits,
        explain: Option<Explain>,
    ) -> Self {
        let outbox = Outbox::new(limits);
        let calls = Arc::new(Mutex::new(Rank::Call, Calls::default()));
        let (mut reads, mut writes) = split(io);
        let ends = Ends::of(&calls, &outbox);
        let over = Teller::new();
        let mut told = over.told();
        let of_reader = explain.clone();
        runtime.spawn(Box::pin(async move {
            let mut ends = ends;
            let mut answers = Answers {
                calls: Arc::clone(&ends.calls),
                header: None,
            };
            let mut reading = Box::pin(read_all(&mut reads, limits, &mut answers));
            // What is not written any more is not read either.
            let ended = poll_fn(|cx| match reading.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending => match Pin::new(&mut told).poll(cx) {
                    Poll::Ready(Some(())) => Poll::Ready(None),
                    Poll::Ready(None) | Poll::Pending => Poll::Pending,
                },
            });
            let fault = match ended.await {
                Some(Ended::Clean) => Fault::other("the peer has closed the stream"),
                Some(Ended::Fault(fault)) => fault,
                None => Fault::other("it cannot be written"),
            };
            // Nobody asks for the reason of an end in good order.
            let is_wanted = !ends.outbox.is_closed() || ends.calls.lock().waiting() > 0;
            ends.fault = match of_reader {
                Some(explain) if is_wanted => explain.end(fault).await,
                _ => fault,
            };
        }));
        let ends = Ends::of(&calls, &outbox);
        let of_writer = Arc::clone(runtime);
        runtime.spawn(Box::pin(async move {
            let mut ends = ends;
            match writes.write_all(&of_writer, &ends.outbox).await {
                // The answers to what was written still come.
                Ok(()) => ends.disarm(),
                Err(error) => {
                    over.tell(());
                    ends.fault = match explain {
                        Some(explain) => explain.end(error.into()).await,
                        None => error.into(),
                    };
                }
            }
        }));
        Self(Arc::new(Shared {
            runtime: Arc::clone(runtime),
            outbox,
            calls,
        }))
    }

    /// Calls `method`, as in `Plugin.Greet`, and waits for the reply for as long as it takes.
    ///
    /// net/rpc has neither deadlines nor cancellation: dropping the future ends the wait, and the peer goes
    /// on with the call.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call<'a, A, R>(
        &self,
        method: &str,
        argument: &'a A,
    ) -> impl Future<Output = Result<R, CallError>> + Send + use<'a, A, R>
    where
        A: Encode + Sync + ?Sized,
        R: Decode + Send,
    {
        let slot = Arc::new(Slot::<R>(Mutex::new(
            Rank::Wakers,
            SlotState {
                outcome: None,
                waker: None,
            },
        )));
        Calling {
            client: Arc::clone(&self.0),
            method: method.to_owned(),
            argument: Some(argument),
            slot,
            ticket: Ticket::default(),
            seq: None,
        }
    }

    /// The same, and waits no longer than this.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::TimedOut`] once the time is over.
    pub async fn call_within<A, R>(
        &self,
        method: &str,
        argument: &A,
        limit: Duration,
    ) -> Result<R, CallError>
    where
        A: Encode + Sync + ?Sized,
        R: Decode + Send,
    {
        let calling = Box::pin(self.call(method, argument));
        let called = within(&self.0.runtime, limit, calling).await;
        called.unwrap_or_else(|| {
            Err(CallError::TimedOut {
                method: method.to_owned(),
                after: limit,
            })
        })
    }

    /// How the stream ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Fault> {
        self.0.calls.lock().over().cloned()
    }
}

impl fmt::Debug for RpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.0.calls.lock();
        let (waiting, over) = (calls.waiting(), calls.over().cloned());
        drop(calls);
        f.debug_struct("RpcClient")
            .field("waiting", &waiting)
            .field("over", &over)
            .finish()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// Ends what waits when a task of the stream is over, also if it is dropped or panics.
struct Ends {
    calls: Arc<Mutex<Calls<Waiter>>>,
    outbox: Outbox,
    fault: Fault,
    armed: bool,
}

impl Ends {
    fn of(calls: &Arc<Mutex<Calls<Waiter>>>, outbox: &Outbox) -> Self {
        Self {
            calls: Arc::clone(calls),
            outbox: outbox.clone(),
            fault: Fault::other("its task was dropped: the runtime was shut down, or it panicked"),
            armed: true,
        }
    }

    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if self.armed {
            self.outbox.fail(self.fault.clone());
            end(&self.calls, &self.fault);
        }
    }
}

fn end(calls: &Mutex<Calls<Waiter>>, fault: &Fault) {
    let waiters = calls.lock().end(fault.clone());
    for waiter in waiters {
        waiter.answer(Err(Failure::Lost(fault.clone())));
    }
}

/// Takes what comes to those who wait for it.
struct Answers {
    calls: Arc<Mutex<Calls<Waiter>>>,
    /// Of the value that comes next.
    header: Option<Response>,
}

impl Take for Answers {
    fn may_end(&self) -> bool {
        self.header.is_none()
    }

    fn value(&mut self, value: Result<Received<'_>, outboard_gob::Error>) -> Result<(), Fault> {
        let Some(header) = self.header.take() else {
            let header = value.and_then(|mut value| value.decode::<Response>());
            self.header = Some(header.map_err(|error| {
                Fault::other(format!(
                    "what came in front of a reply is none of net/rpc: {error}"
                ))
            })?);
            return Ok(());
        };
        let waiter = match self.calls.lock().answered(header.seq) {
            Answered::For(waiter) => waiter,
            Answered::Late => return Ok(()),
            Answered::Unasked => {
                return Err(Fault::other(format!(
                    "the peer answered a call that nobody made: number {}, {:?}",
                    header.seq, header.service_method
                )));
            }
        };
        match value {
            // What stands in the place of a reply is not looked at.
            _ if !header.error.is_empty() => waiter.answer(Err(Failure::Answered(header.error))),
            Ok(mut value) => waiter.answer(Ok(&mut value)),
            Err(error) => waiter.answer(Err(Failure::Malformed(error))),
        }
        Ok(())
    }
}

/// Where the answer of a call meets who waits for it.
struct Slot<R>(Mutex<SlotState<R>>);

struct SlotState<R> {
    outcome: Option<Result<R, Refused>>,
    waker: Option<Waker>,
}

enum Refused {
    Failure(Failure),
    Panicked(String),
    Misfit {
        sent: String,
        error: outboard_gob::Error,
    },
}

impl<R: Decode + Send> Expects for Slot<R> {
    fn answer(&self, answer: Result<&mut Received<'_>, Failure>) {
        // How a value is decoded is its owner's code.
        let decoded = answer.map(|received| {
            let decoded = catch_panic(|| received.decode());
            decoded.map(|decoded| {
                decoded.map_err(|error| Refused::Misfit {
                    sent: received.shape().to_string(),
                    error,
                })
            })
        });
        let outcome = match decoded {
            Ok(Ok(decoded)) => decoded,
            Ok(Err(panicked)) => Err(Refused::Panicked(panicked.to_string())),
            Err(failure) => Err(Refused::Failure(failure)),
        };
        let mut state = self.0.lock();
        let earlier = state.outcome.replace(outcome);
        let waker = state.waker.take();
        drop(state);
        drop(earlier);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A call being made.
struct Calling<'a, A: ?Sized, R: Decode + Send> {
    client: Arc<Shared>,
    method: String,
    /// Until it is sent.
    argument: Option<&'a A>,
    slot: Arc<Slot<R>>,
    ticket: Ticket,
    seq: Option<u64>,
}

impl<A: Encode + Sync + ?Sized, R: Decode + Send> Calling<'_, A, R> {
    fn poll_send(&mut self, cx: &Context<'_>) -> Poll<Result<(), CallError>> {
        let Some(argument) = self.argument else {
            return Poll::Ready(Ok(()));
        };
        let outbox = &self.client.outbox;
        let mut desk = match outbox.poll_desk(&mut self.ticket, cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(desk)) => desk,
            Poll::Ready(Err(fault)) => return Poll::Ready(Err(self.lost(fault))),
        };
        let waiter = Arc::clone(&self.slot) as Waiter;
        let begun = self.client.calls.lock().begin(waiter);
        let seq = match begun {
            Ok(seq) => seq,
            Err((_waiter, fault)) => return Poll::Ready(Err(self.lost(fault))),
        };
        // From now on it is given up if this is dropped, or panics in what follows.
        self.seq = Some(seq);
        let request = Request {
            service_method: std::mem::take(&mut self.method),
            seq,
        };
        let written = desk.write(|encoder, out| {
            encoder.encode(&request, out)?;
            encoder.encode(argument, out)
        });
        self.method = request.service_method;
        if let Err(error) = written {
            self.seq = None;
            let waiter = self.client.calls.lock().give_up(seq);
            drop(waiter);
            return Poll::Ready(Err(CallError::Argument {
                method: self.method.clone(),
                kind: std::any::type_name::<A>(),
                error,
            }));
        }
        self.argument = None;
        Poll::Ready(Ok(()))
    }

    fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<Result<R, CallError>> {
        let mut state = self.slot.0.lock();
        let Some(outcome) = state.outcome.take() else {
            let earlier = state.waker.replace(cx.waker().clone());
            drop(state);
            drop(earlier);
            return Poll::Pending;
        };
        drop(state);
        self.seq = None;
        Poll::Ready(outcome.map_err(|refused| {
            let (method, kind) = (self.method.clone(), std::any::type_name::<R>());
            match refused {
                Refused::Failure(Failure::Answered(text)) => CallError::Answered { method, text },
                Refused::Failure(Failure::Lost(fault)) => CallError::Lost { method, fault },
                Refused::Failure(Failure::Malformed(error)) => CallError::Reply {
                    method,
                    kind,
                    sent: "value that is malformed".to_owned(),
                    error,
                },
                Refused::Panicked(text) => CallError::Panicked { method, kind, text },
                Refused::Misfit { sent, error } => CallError::Reply {
                    method,
                    kind,
                    sent,
                    error,
                },
            }
        }))
    }
}

impl<A: ?Sized, R: Decode + Send> Calling<'_, A, R> {
    fn lost(&self, fault: Fault) -> CallError {
        CallError::Lost {
            method: self.method.clone(),
            fault,
        }
    }
}

impl<A: Encode + Sync + ?Sized, R: Decode + Send> Future for Calling<'_, A, R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.poll_send(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => this.poll_answer(cx),
        }
    }
}

impl<A: ?Sized, R: Decode + Send> Drop for Calling<'_, A, R> {
    fn drop(&mut self) {
        self.client.outbox.leave(&mut self.ticket);
        if let Some(seq) = self.seq {
            let waiter = self.client.calls.lock().give_up(seq);
            drop(waiter);
        }
    }
}
