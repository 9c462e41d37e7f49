//! The plugin's side of a connection.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use outboard_core::fault::Fault;
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_gob::Limits;
use outboard_yamux::{Config, Opener, Role, SessionError, session};

use crate::broker::MuxBroker;
use crate::server::{Services, serve_until};
use crate::service::{Methods, Service};
use crate::wire::{NOTHING, Nothing};

/// The name under which an instance's methods are called.
const PLUGIN: &str = "Plugin";

/// Makes what is dispensed under one name: an instance each time, which may use the broker.
pub type Make = Arc<dyn Fn(&MuxBroker) -> Result<Arc<dyn Service>, String> + Send + Sync>;

/// What a plugin does for its host.
#[derive(Clone)]
pub struct Provided {
    /// What it provides, by name.
    pub plugins: BTreeMap<String, Make>,
    /// Called when the host asks it to end; its answer is sent once this is done. Before the process ends
    /// [`PluginSession::run`] is to be waited for, so that the answer is out.
    pub quit: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// What it prints: takes the streams for stdout and stderr.
    pub output: Arc<dyn Fn([BoxByteStream; 2]) + Send + Sync>,
    /// Of gob.
    pub limits: Limits,
}

impl fmt::Debug for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provided")
            .field("plugins", &self.plugins.keys())
            .finish_non_exhaustive()
    }
}

/// A connection with a host. Dropping it closes the connection.
pub struct PluginSession {
    opener: Opener,
    work: Work,
}

enum Work {
    Going(BoxFuture<'static, Result<(), Fault>>),
    Over(Result<(), Fault>),
}

impl PluginSession {
    /// Begins a session over `io`. Nothing is served before [`run`](Self::run).
    #[must_use]
    pub fn begin(runtime: &SharedRuntime, io: BoxByteStream, provided: Provided) -> Self {
        let (opener, mut incoming, driver) = session(runtime, io, Config::new(Role::Server));
        runtime.spawn(Box::pin(driver));
        let (runtime, broker_opener) = (Arc::clone(runtime), opener.clone());
        let work = async move {
            let mut streams = Vec::new();
            // The host's first three, told apart by their order alone.
            for _ in 0..3 {
                let stream = poll_fn(|cx| incoming.poll_accept(cx)).await;
                streams.push(Box::new(stream.map_err(Fault::other)?) as BoxByteStream);
            }
            let mut streams = streams.into_iter();
            let (Some(control), Some(stdout), Some(stderr)) =
                (streams.next(), streams.next(), streams.next())
            else {
                return Err(Fault::other("a stream is missing"));
            };
            (provided.output)([stdout, stderr]);
            let limits = provided.limits;
            let closed = broker_opener.closed();
            let broker = MuxBroker::new(&runtime, broker_opener.clone(), incoming, limits);
            let services = control_services(&runtime, &broker, &broker_opener, provided);
            let ended = async { Fault::other(closed.await) };
            serve_until(Arc::clone(&runtime), control, services, limits, ended).await
        };
        Self {
            opener,
            work: Work::Going(Box::pin(work)),
        }
    }

    /// Serves until the host closes its control stream or the connection.
    ///
    /// # Errors
    /// How the connection ended, if not in order; the same again, if it is called again.
    ///
    /// # Cancel safety
    /// It goes on where it was.
    pub async fn run(&mut self) -> Result<(), Fault> {
        if let Work::Going(work) = &mut self.work {
            let ended = work.await;
            self.work = Work::Over(ended);
        }
        match &self.work {
            Work::Over(ended) => ended.clone(),
            Work::Going(_) => unreachable!("it was waited for"),
        }
    }

    /// Ends the connection.
    pub fn close(&self, why: &str) {
        self.opener.close(SessionError::ended(why));
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

/// What go-plugin's plugins serve on the control stream.
fn control_services(
    runtime: &SharedRuntime,
    broker: &MuxBroker,
    opener: &Opener,
    provided: Provided,
) -> Services {
    let Provided {
        plugins,
        quit,
        limits,
        ..
    } = provided;
    let control = Methods::new()
        .with("Ping", |_: bool| async { Ok::<Nothing, String>(NOTHING) })
        .with("Quit", move |_: bool| {
            let quitting = quit();
            async move {
                quitting.await;
                Ok::<Nothing, String>(NOTHING)
            }
        });
    let (runtime, broker, opener) = (Arc::clone(runtime), broker.clone(), opener.clone());
    let dispenser = Methods::new().with("Dispense", move |name: String| {
        let dispensed = dispense(&runtime, (&broker, &opener), &plugins, &name, limits);
        std::future::ready(dispensed)
    });
    let services: [(String, Arc<dyn Service>); 2] = [
        ("Control".to_owned(), Arc::new(control)),
        ("Dispenser".to_owned(), Arc::new(dispenser)),
    ];
    Arc::new(BTreeMap::from(services))
}

/// Makes an instance, which waits for its host.
fn dispense(
    runtime: &SharedRuntime,
    (broker, opener): (&MuxBroker, &Opener),
    plugins: &BTreeMap<String, Make>,
    name: &str,
    limits: Limits,
) -> Result<u32, String> {
    let make = plugins.get(name).ok_or_else(|| {
        let known: Vec<_> = plugins.keys().collect();
        format!("unknown plugin type: {name}; this plugin provides {known:?}")
    })?;
    let instance = make(broker)?;
    let id = broker.next_id();
    let accepting = broker.accept(id);
    let services: Services = Arc::new(BTreeMap::from([(PLUGIN.to_owned(), instance)]));
    let (of_instance, closed) = (Arc::clone(runtime), opener.closed());
    runtime.spawn(Box::pin(async move {
        let ended = match accepting.await {
            Ok(io) => {
                let ended = async { Fault::other(closed.await) };
                serve_until(of_instance, io, services, limits, ended).await
            }
            Err(error) => Err(Fault::other(error)),
        };
        if let Err(fault) = ended {
            tracing::debug!(target: "outboard", id, %fault, "an instance has ended");
        }
    }));
    Ok(id)
}
