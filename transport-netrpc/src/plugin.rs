//! The plugin's side of a connection.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use outboard_core::fault::Fault;
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::told::{Teller, Told};
use outboard_gob::Limits;
use outboard_yamux::{Config, Incoming, Opener, Role, SessionError, session};

use crate::broker::MuxBroker;
use crate::error::BrokerError;
use crate::load::{BOUNDS, Load, Places};
use crate::server::{Services, Until, serve_until};
use crate::service::{Methods, Service};
use crate::wait::{First, first, once, within};
use crate::wire::{NOTHING, Nothing};

/// How long a host may take for its first three streams, which go-plugin's opens as soon as it is connected.
/// (A choice: it holds its connection no longer than that, and no busy machine needs as much.)
const FIRST_STREAMS_WITHIN: Duration = Duration::from_secs(30);

/// How many instances may wait for their host to dial them. (A choice; each waits for five seconds.)
const MAX_UNDIALLED: usize = 256;

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

impl Work {
    async fn serve(self, mut incoming: Incoming, mut provided: Provided) -> Result<(), Fault> {
        let Some([control, stdout, stderr]) = self.standing(&mut incoming).await? else {
            return Ok(());
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
            undialled: Places::new(MAX_UNDIALLED),
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
        // Counted for itself, so that the instances' calls do not keep the host from asking for the end.
        let of_control = Load::new(BOUNDS);
        let ended = self
            .serve_stream(control, services, limits, &of_control)
            .await;
        if ended.is_ok() && self.drained.is_over() {
            // Their last answers.
            let over = first(self.opener.closed(), once(self.aborted.clone()));
            first(instances, over).await;
        }
        ended
    }

    /// The host's first three streams, told apart by their order alone. `None` if this side ends before.
    async fn standing(&self, incoming: &mut Incoming) -> Result<Option<[BoxByteStream; 3]>, Fault> {
        let mut streams: Vec<BoxByteStream> = Vec::new();
        let accepting = async {
            while streams.len() < 3 {
                let stream = poll_fn(|cx| incoming.poll_accept(cx)).await;
                streams.push(Box::new(stream.map_err(Fault::other)?));
            }
            Ok::<(), Fault>(())
        };
        let limit = FIRST_STREAMS_WITHIN;
        let accepting = within(&self.runtime, limit, accepting);
        match first(accepting, once(self.drained.clone())).await {
            First::One(Some(accepted)) => accepted?,
            First::One(None) => {}
            First::Other(()) => return Ok(None),
        }
        <[BoxByteStream; 3]>::try_from(streams)
            .map(Some)
            .map_err(|streams| {
                let why = format!(
                    "expected three streams of a host of net/rpc at once, for control and for both outputs, \
                     and got {} within {limit:?}",
                    streams.len()
                );
                self.opener.close(SessionError::ended(why.as_str()));
                Fault::other(why)
            })
    }

    /// Serves a stream until its end or that of the session.
    async fn serve_stream(
        &self,
        io: BoxByteStream,
        services: Services,
        limits: Limits,
        load: &Load,
    ) -> Result<(), Fault> {
        let closed = self.opener.closed();
        let until = Until {
            closed: async { Fault::other(closed.await) },
            drained: once(self.drained.clone()),
        };
        let runtime = Arc::clone(&self.runtime);
        serve_until(runtime, io, services, limits, load, until).await
    }

    /// Serves an instance, which an abort ends as it is.
    async fn serve_instance(
        self,
        accepting: impl Future<Output = Result<BoxByteStream, BrokerError>>,
        services: Services,
        limits: Limits,
        load: &Load,
    ) -> Result<(), Fault> {
        let serving = async {
            let io = accepting.await.map_err(Fault::other)?;
            self.serve_stream(io, services, limits, load).await
        };
        match first(once(self.aborted.clone()), serving).await {
            First::One(()) => Err(Fault::other("this side has ended the connection")),
            First::Other(ended) => ended,
        }
    }
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
    undialled: Places,
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
        // One that is served, and until then one that waits.
        let places = self.broker.places();
        let place = places.take().ok_or_else(|| {
            let most = places.most();
            format!("{most} instances and services are served on this connection already, at most {most}")
        })?;
        let waiting = self.undialled.take().ok_or_else(|| {
            let most = self.undialled.most();
            format!(
                "{most} instances wait to be dialled already, at most {most}: dial them, or give up"
            )
        })?;
        let instance = make(&self.broker)?;
        let id = self.broker.next_id();
        let accepting = self.broker.accept(id);
        let services: Services = Arc::new(BTreeMap::from([(PLUGIN.to_owned(), instance)]));
        let (work, limits, alive) = (self.work.clone(), self.limits, Arc::clone(&self.alive));
        let load = self.broker.load().clone();
        self.work.runtime.spawn(Box::pin(async move {
            let _place = place;
            let accepting = async {
                let accepted = accepting.await;
                drop(waiting);
                accepted
            };
            let ended = work
                .serve_instance(accepting, services, limits, &load)
                .await;
            if let Err(fault) = ended {
                tracing::debug!(target: "outboard", id, %fault, "an instance has ended");
            }
            drop(alive);
        }));
        Ok(id)
    }
}
