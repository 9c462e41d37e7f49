//! `grpc.health.v1.Health`: whether services answer calls.
//!
//! A go-plugin host asks for the service named `plugin` to find out whether a plugin is alive;
//! the empty name stands for the server as a whole. Source: the gRPC project's health checking
//! document.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::{Call, CallContext, Service, ServiceDescriptor, Status, Streaming};
use outboard_core::wire::health::health_check_response::ServingStatus;
use outboard_core::wire::health::{
    CHECK, HEALTH, HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    LIST, WATCH,
};

use crate::codegen::{
    Bytes, Prost, StreamAnswer, UnaryAnswer, no_such_method, serve_server_streaming, serve_unary,
};

/// The health service; what a host learns from it is [`Health`](crate::Health). `plugin` and the
/// empty name are serving to begin with; others are unknown until [reported](HealthReporter::set).
#[derive(Clone, Debug, Default)]
pub struct HealthService {
    reporter: HealthReporter,
}

impl HealthService {
    /// The name under which go-plugin's hosts ask for the plugin.
    pub const PLUGIN: &str = "plugin";

    /// The service.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The handle to change what it says.
    #[must_use]
    pub fn reporter(&self) -> HealthReporter {
        self.reporter.clone()
    }
}

/// Changes what a [`HealthService`] service says. Clones change the same service.
#[derive(Clone)]
pub struct HealthReporter(Arc<Mutex<State>>);

struct State {
    statuses: BTreeMap<String, ServingStatus>,
    /// The tasks that wait for a change, by the number of their stream.
    waiting: BTreeMap<u64, Waker>,
    next_stream: u64,
    shut_down: bool,
}

impl HealthReporter {
    /// Sets whether `service` answers calls, and tells everyone who watches it. Without effect
    /// after [`shut_down`](Self::shut_down).
    pub fn set(&self, service: impl Into<String>, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        let service = service.into();
        self.change(|state| {
            state.statuses.insert(service, status);
        });
    }

    /// Makes `service` unknown. Without effect after [`shut_down`](Self::shut_down).
    pub fn remove(&self, service: &str) {
        self.change(|state| {
            state.statuses.remove(service);
        });
    }

    /// Makes all services not serving, for good, and ends the streams of those who watch with
    /// [`Unavailable`](crate::Code::Unavailable), after telling them: an endless stream would
    /// keep a connection from draining.
    pub fn shut_down(&self) {
        self.change(|state| {
            state.shut_down = true;
            for status in state.statuses.values_mut() {
                *status = ServingStatus::NotServing;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.state();
            if state.shut_down {
                return;
            }
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        // Outside of the lock: a waker may run its task at once.
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    fn check(&self, service: &str) -> Result<HealthCheckResponse, Status> {
        let status = self.state().statuses.get(service).copied();
        status.map(response).ok_or_else(|| {
            Status::not_found(format!("the health of service {service:?} is not known"))
        })
    }

    fn list(&self) -> HealthListResponse {
        let state = self.state();
        let statuses = state.statuses.iter();
        HealthListResponse {
            statuses: statuses
                .map(|(name, status)| (name.clone(), response(*status)))
                .collect(),
        }
    }

    fn watch(&self, service: String) -> Watch {
        let mut state = self.state();
        let number = state.next_stream;
        state.next_stream += 1;
        Watch {
            number,
            reporter: self.clone(),
            service,
            sent: None,
            ended: false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Default for HealthReporter {
    fn default() -> Self {
        let serving =
            ["", HealthService::PLUGIN].map(|name| (name.to_owned(), ServingStatus::Serving));
        let state = State {
            statuses: BTreeMap::from(serving),
            waiting: BTreeMap::new(),
            next_stream: 0,
            shut_down: false,
        };
        Self(Arc::new(Mutex::new(Rank::Driver, state)))
    }
}

impl fmt::Debug for HealthReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The formatter writes to something of the caller's: not under the lock.
        let statuses = self.state().statuses.clone();
        f.debug_tuple("HealthReporter").field(&statuses).finish()
    }
}

impl Service for HealthService {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &HEALTH
    }

    fn unary(&self, method: usize, context: CallContext, message: Bytes) -> UnaryAnswer {
        let reporter = self.reporter();
        match method {
            CHECK => serve_unary(
                Prost,
                context,
                message,
                async move |request: HealthCheckRequest| reporter.check(&request.service),
            ),
            LIST => serve_unary(
                Prost,
                context,
                message,
                async move |_: HealthListRequest| Ok(reporter.list()),
            ),
            _ => no_such_method(&HEALTH, method),
        }
    }

    fn streaming(&self, method: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        let reporter = self.reporter();
        match method {
            WATCH => {
                serve_server_streaming(Prost, context, call, async move |r: HealthCheckRequest| {
                    Ok(Streaming::try_from_stream(reporter.watch(r.service)))
                })
            }
            _ => no_such_method(&HEALTH, method),
        }
    }
}

/// The status of a service now and after each change. Changes that come faster than the stream is
/// read are left out; the last one never is.
struct Watch {
    number: u64,
    reporter: HealthReporter,
    service: String,
    sent: Option<ServingStatus>,
    ended: bool,
}

impl Stream for Watch {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let reporter = self.reporter.clone();
        let mut state = reporter.state();
        let status = state.statuses.get(&self.service).copied();
        let status = status.unwrap_or(ServingStatus::ServiceUnknown);
        if self.sent != Some(status) {
            self.sent = Some(status);
            return Poll::Ready(Some(Ok(response(status))));
        }
        if state.shut_down {
            self.ended = true;
            return Poll::Ready(Some(Err(Status::unavailable(
                "the server is shutting down",
            ))));
        }
        let earlier = state.waiting.insert(self.number, cx.waker().clone());
        drop(state);
        // It may be the last of a task.
        drop(earlier);
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The waker is dropped after the lock is free: its task's destructors may run with it.
        let _waker = self.reporter.state().waiting.remove(&self.number);
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_caller_may_use_the_reporter() {
        struct Name(HealthReporter);
        impl From<Name> for String {
            fn from(name: Name) -> Self {
                name.0.set("inner", false);
                "outer".to_owned()
            }
        }
        struct Writes(HealthReporter);
        impl fmt::Write for Writes {
            fn write_str(&mut self, _: &str) -> fmt::Result {
                self.0.set("written", true);
                Ok(())
            }
        }
        let reporter = HealthReporter::default();
        reporter.set(Name(reporter.clone()), true);
        let mut writes = Writes(reporter.clone());
        fmt::Write::write_fmt(&mut writes, format_args!("{reporter:?}")).expect("ok");
        assert!(
            ["outer", "inner", "written"]
                .iter()
                .all(|name| reporter.check(name).is_ok())
        );
    }
}
