//! The plugin's side of a connection.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use outboard_core::fault::Fault;
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::told::{Teller, Told};
use outboard_gob::Limits;
use outboard_yamux::{Config, Incoming, Opener, Role, SessionError, session};

use crate::broker::MuxBroker;
use crate::error::BrokerError;
use crate::server::{Services, Until, serve_until};
use crate::service::{Methods, Service};
use crate::wire::{NOTHING, Nothing};

/// The name under which an instance's methods are called.
const PLUGIN: &str = "Plugin";

/// Makes what is dispensed under one name: an instance each time, which may use the broker.
pub type Make = Arc<dyn Fn(&MuxBroker) -> Result<Arc<dyn Service>, String> + Send + Sync>;

/// What is done when the host asks for the end.
pub type Quit = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What a plugin does for its host. By default nothing.
#[derive(Clone)]
pub struct Provided {
    /// What it provides, by name.
    pub plugins: BTreeMap<String, Make>,
    /// Called when the host asks it to end; its answer is sent once this is done. Before the process ends
    /// the session is to be [drained](PluginSession::drain), so that the answer is out.
    pub quit: Quit,
    /// What it prints: takes the streams for stdout and stderr.
    pub output: Arc<dyn Fn([BoxByteStream; 2]) + Send + Sync>,
    /// Of gob.
    pub limits: Limits,
}

impl Default for Provided {
    fn default() -> Self {
        Self {
            plugins: BTreeMap::new(),
            quit: nothing(),
            output: Arc::new(drop),
            limits: Limits::default(),
        }
    }
}

fn nothing() -> Quit {
    Arc::new(|| Box::pin(std::future::ready(())))
}

impl fmt::Debug for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provided")
            .field("plugins", &self.plugins.keys())
            .finish_non_exhaustive()
    }
}

/// A connection with a host, which is served from the beginning on. Dropping it closes the connection.
pub struct PluginSession {
    opener: Opener,
    drain: Teller<()>,
    abort: Teller<()>,
    ended: Told<Result<(), Fault>>,
    gone: Told<()>,
}

impl PluginSession {
    /// Begins a session over `io`.
    #[must_use]
    pub fn begin(runtime: &SharedRuntime, io: BoxByteStream, provided: Provided) -> Self {
        let (opener, incoming, driver) = session(runtime, io, Config::new(Role::Server));
        let (drain, abort) = (Teller::new(), Teller::new());
        let (going, ended) = (Teller::new(), Teller::new());
        let this = Self {
            opener: opener.clone(),
            drain,
            abort,
            ended: ended.told(),
            gone: going.told(),
        };
        runtime.spawn(Box::pin(async move {
            driver.await;
            drop(going);
        }));
        let work = Work {
            runtime: Arc::clone(runtime),
            opener,
            drained: this.drain.told(),
            aborted: this.abort.told(),
        };
        runtime.spawn(Box::pin(async move {
            ended.tell(work.serve(incoming, provided).await);
        }));
        this
    }

    /// Waits until the host has closed its control stream or the connection, or the last call is answered
    /// after a [`drain`](Self::drain).
    ///
    /// # Errors
    /// How the connection ended, if not in order.
    ///
    /// # Cancel safety
    /// It may be called again.
    pub async fn ended(&self) -> Result<(), Fault> {
        let ended = self.ended.clone().await;
        ended.unwrap_or_else(|| Err(Fault::other("the runtime was shut down")))
    }

    /// Takes no further calls, and ends once those that run are answered.
    pub fn drain(&self) {
        self.drain.tell(());
    }

    /// Ends what was dispensed, with the calls that run there. What the host has asked of the plugin itself,
    /// as to end, is still answered if it is done; then the session [ends](Self::ended).
    pub fn abort(&self) {
        self.abort.tell(());
        self.drain.tell(());
    }

    /// Resolves once it is [aborted](Self::abort).
    pub(crate) fn aborted(&self) -> Told<()> {
        self.abort.told()
    }

    /// Ends the connection. What was answered still goes.
    pub fn close(&self, why: &str) {
        self.opener.close(SessionError::ended(why));
    }

    /// Resolves once the connection is closed, and what was written before has gone or had its time.
    pub(crate) fn gone(&self) -> Told<()> {
        self.gone.clone()
    }
}

impl Drop for PluginSession {
    fn drop(&mut self) {
        self.close("the plugin has let go of the connection");
    }
}

impl fmt::Debug for PluginSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSession").finish_non_exhaustive()
    }
}

/// What a session is served with. Cheap to clone.
#[derive(Clone)]
struct Work {
    runtime: SharedRuntime,
    opener: Opener,
    drained: Told<()>,
    aborted: Told<()>,
}

/// Resolves once it is told, and never if it is not.
async fn once(told: Told<()>) {
    if told.await.is_none() {
        std::future::pending::<()>().await;
    }
}

impl Work {
    async fn serve(self, mut incoming: Incoming, mut provided: Provided) -> Result<(), Fault> {
        let mut streams = Vec::new();
        // The host's first three, told apart by their order alone.
        let mut aborted = std::pin::pin!(once(self.aborted.clone()));
        for _ in 0..3 {
            let stream = poll_fn(|cx| match aborted.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(aborted_by_us())),
                Poll::Pending => incoming.poll_accept(cx).map_err(Fault::other),
            });
            streams.push(Box::new(stream.await?) as BoxByteStream);
        }
        let mut streams = streams.into_iter();
        let (Some(control), Some(stdout), Some(stderr)) =
            (streams.next(), streams.next(), streams.next())
        else {
            return Err(Fault::other("a stream is missing"));
        };
        (provided.output)([stdout, stderr]);
        let limits = provided.limits;
        let broker = MuxBroker::new(&self.runtime, self.opener.clone(), incoming, limits, None);
        // Dropped by the last instance.
        let alive = Arc::new(Teller::new());
        let instances: Told<()> = alive.told();
        let quit = std::mem::replace(&mut provided.quit, nothing());
        let dispenser = Dispenser {
            work: self.clone(),
            broker,
            plugins: provided.plugins,
            limits,
            alive,
        };
        let services: [(String, Arc<dyn Service>); 2] = [
            ("Control".to_owned(), Arc::new(control_service(quit))),
            ("Dispenser".to_owned(), Arc::new(dispenser.service())),
        ];
        let services: Services = Arc::new(BTreeMap::from(services));
        let ended = self.serve_stream(control, services, limits).await;
        if ended.is_ok() && self.drained.is_over() {
            // Their last answers.
            let over = either(self.opener.closed(), once(self.aborted.clone()));
            either(instances, over).await;
        }
        ended
    }

    /// Serves a stream until its end or that of the session.
    async fn serve_stream(
        &self,
        io: BoxByteStream,
        services: Services,
        limits: Limits,
    ) -> Result<(), Fault> {
        let closed = self.opener.closed();
        let until = Until {
            closed: async { Fault::other(closed.await) },
            drained: once(self.drained.clone()),
        };
        serve_until(Arc::clone(&self.runtime), io, services, limits, until).await
    }

    /// Serves an instance, which an abort ends as it is.
    async fn serve_instance(
        self,
        accepting: impl Future<Output = Result<BoxByteStream, BrokerError>>,
        services: Services,
        limits: Limits,
    ) -> Result<(), Fault> {
        let mut aborted = std::pin::pin!(once(self.aborted.clone()));
        let mut serving = std::pin::pin!(async {
            let io = accepting.await.map_err(Fault::other)?;
            self.serve_stream(io, services, limits).await
        });
        poll_fn(|cx| match aborted.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(aborted_by_us())),
            Poll::Pending => serving.as_mut().poll(cx),
        })
        .await
    }
}

fn aborted_by_us() -> Fault {
    Fault::other("this side has ended the connection")
}

/// Waits for one of the two.
async fn either(first: impl Future, second: impl Future) {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    poll_fn(|cx| {
        if first.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        second.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

/// What go-plugin's plugins serve on the control stream, beside what dispenses.
fn control_service(quit: Quit) -> Methods {
    Methods::new()
        .with("Ping", |_: bool| async { Ok::<Nothing, String>(NOTHING) })
        .with("Quit", move |_: bool| {
            let quitting = quit();
            async move {
                quitting.await;
                Ok::<Nothing, String>(NOTHING)
            }
        })
}

/// Makes instances.
struct Dispenser {
    work: Work,
    broker: MuxBroker,
    plugins: BTreeMap<String, Make>,
    limits: Limits,
    alive: Arc<Teller<()>>,
}

impl Dispenser {
    fn service(self) -> Methods {
        let this = Arc::new(self);
        Methods::new().with("Dispense", move |name: String| {
            let dispensed = this.dispense(&name);
            std::future::ready(dispensed)
        })
    }

    /// Makes an instance, which waits for its host.
    fn dispense(&self, name: &str) -> Result<u32, String> {
        let make = self.plugins.get(name).ok_or_else(|| {
            let known: Vec<_> = self.plugins.keys().collect();
            format!("unknown plugin type: {name}; this plugin provides {known:?}")
        })?;
        let instance = make(&self.broker)?;
        let id = self.broker.next_id();
        let accepting = self.broker.accept(id);
        let services: Services = Arc::new(BTreeMap::from([(PLUGIN.to_owned(), instance)]));
        let (work, limits, alive) = (self.work.clone(), self.limits, Arc::clone(&self.alive));
        self.work.runtime.spawn(Box::pin(async move {
            let ended = work.serve_instance(accepting, services, limits).await;
            if let Err(fault) = ended {
                tracing::debug!(target: "outboard", id, %fault, "an instance has ended");
            }
            drop(alive);
        }));
        Ok(id)
    }
}
