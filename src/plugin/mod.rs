//! The plugin's side: serving interfaces to a host.

mod background;
mod common;
mod driver;
mod error;
mod events;
#[cfg(feature = "log")]
mod log_level;
#[cfg(feature = "netrpc")]
mod netrpc;
mod parts;
mod provide;
mod security;
mod sets;
mod sockets;
mod testing;
#[cfg(all(test, unix))]
mod without_process;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use outboard_core::admission::Allowed;
use outboard_core::env::{CookieError, PluginEnv};
use outboard_core::handshake::{Handshake, Refusal};
use outboard_core::plugin::StopReason;
use outboard_core::reattach::ReattachConfig;
use outboard_core::rpc::{DEFAULT_MAX_MESSAGE_SIZE, Transport};
use outboard_core::rt::SharedRuntime;
use outboard_core::told::Teller;

use crate::serve::shutdown::Shutdown;
use crate::services::health::{HealthReporter, HealthService};
use crate::sys::events::Events;
use crate::sys::files::EmptyDir;
use crate::sys::stdio::{self, Claim};
use crate::sys::{last_words, private, sigpipe};

pub use self::error::ServeError;
pub use self::provide::{Provide, Provided};
pub use self::testing::TestPlugin;

pub(crate) use self::background::Background;

use self::driver::Around;
use self::events::PluginEvents;

/// Interfaces by name.
type PluginSet = Vec<(String, Provided)>;

/// A plugin: which interfaces a program serves to the host that launched it. go-plugin calls this a
/// server.
///
/// Make it first thing in `main`: if a host has launched this program, [`new`](Self::new) claims the
/// real stdout and stderr. What the program prints from then on, from any thread, child process or C
/// library, goes to the host as output and can corrupt neither the handshake line nor the log.
/// Whatever ends the process, a host of outboard gets what it has written by then, and quotes the
/// last lines of stderr in its error; until the plugin serves, text on stderr is in its log, too.
///
/// Hosts that take no output but over the connection, as Go's, are sent it while the plugin serves.
/// There stderr is claimed only then, and text on it goes to the host's log before; so does what was
/// not sent yet when a plugin that serves ends by `exit`. A plugin that ends in a harder way takes
/// along what was not sent.
///
/// Whatever ends the program before it serves, the host is told on the real stdout in place of the
/// handshake line.
///
/// `tracing` events are sent while it serves if the program has no subscriber of its own, and from
/// [`install_logging`](Self::install_logging) on where that is called.
///
/// ```no_run
/// # async fn example(service: std::sync::Arc<dyn outboard::Service>) {
/// use outboard::{Handshake, Plugin, Tokio};
///
/// const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
///
/// Plugin::new(HANDSHAKE).provide("greeter", service).serve_or_exit(Tokio::current()).await;
/// # }
/// ```
#[must_use = "a plugin does nothing until it serves"]
pub struct Plugin {
    handshake: Handshake,
    environment: Result<PluginEnv, CookieError>,
    claim: Option<std::io::Result<Claim>>,
    /// The directory that the host has made for this plugin.
    dir: Option<EmptyDir>,
    events: Arc<PluginEvents>,
    sets: BTreeMap<i64, PluginSet>,
    transports: Vec<Arc<dyn Transport>>,
    health: HealthService,
    shutdown: Teller<StopReason>,
    max_message_size: usize,
    drain_timeout: Option<Duration>,
    outlive_host: bool,
    alone_limit: Option<Duration>,
    tcp: bool,
    multiplex: bool,
    security: security::Wanted,
    allowed: Allowed,
    given: sockets::Given,
    logging: bool,
    #[cfg(feature = "log")]
    on_log_level: Option<crate::log::level::Hook>,
}

impl Plugin {
    /// A plugin with this handshake, over every transport compiled in.
    ///
    /// If the environment holds the magic cookie, this claims the process's stdout and stderr, and has
    /// panics show at the host as errors. The streams are given back when serving ends or the plugin
    /// is dropped. A stdout that carries the calls is not: what the program prints after serving goes
    /// to stderr then.
    ///
    /// Call it on the program's first thread. It takes the place of the signal by which a host of ours has the
    /// kernel kill its plugin when the host dies (Linux), and that is a matter of each thread: made on another one,
    /// the plugin is killed at its host's death, without a drain.
    pub fn new(handshake: Handshake) -> Self {
        let environment = PluginEnv::read(&handshake, |name| std::env::var_os(name));
        let events = Arc::new(PluginEvents::default());
        let claim = environment
            .as_ref()
            .ok()
            .map(|env| stdio::claim(Arc::clone(&events) as Arc<dyn Events>, env.output_dir()));
        let env = environment.as_ref().ok();
        let dirs = env.map(|env| [env.socket_dir(), env.output_dir()]);
        let dir = dirs
            .into_iter()
            .flatten()
            .flatten()
            .find_map(private::given);
        if matches!(claim, Some(Ok(_))) {
            crate::log::panic::install();
            #[cfg(feature = "log")]
            if let Some(level) = env.and_then(PluginEnv::log_level) {
                crate::log::level::want(level);
            }
        }
        Self {
            handshake,
            environment,
            claim,
            dir,
            events,
            sets: BTreeMap::new(),
            transports: Vec::new(),
            health: HealthService::new(),
            shutdown: Teller::new(),
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            drain_timeout: None,
            outlive_host: false,
            alone_limit: None,
            tcp: false,
            multiplex: cfg!(feature = "multiplex"),
            security: security::Wanted::default(),
            allowed: Allowed::default(),
            given: sockets::Given::default(),
            logging: true,
            #[cfg(feature = "log")]
            on_log_level: None,
        }
    }

    /// Whether a host with this handshake has launched the program: the environment holds its magic
    /// cookie.
    #[must_use]
    pub fn is_launched(handshake: &Handshake) -> bool {
        PluginEnv::read(handshake, |name| std::env::var_os(name)).is_ok()
    }

    /// Has a program that this one is about to start know nothing of this one's host: removes the
    /// magic cookie and the variables of the handshake from what it inherits. Otherwise a child that
    /// is a plugin too might take the host for its own. A [`Host`](crate::Host) does this with its
    /// plugins by itself.
    pub fn strip_env(handshake: &Handshake, command: &mut std::process::Command) {
        for name in PluginEnv::names_to_remove(handshake) {
            command.env_remove(name);
        }
    }

    /// Serves an interface under `name`, in the handshake's version. A name can be given once in each
    /// version; see [`ServeError::DuplicateName`].
    ///
    /// The protocol follows from what is provided, and all of a version share it: services of gRPC travel
    /// over stdio as well, interfaces of Go's net/rpc over that alone.
    pub fn provide(self, name: impl Into<String>, service: impl Provide) -> Self {
        let version = self.handshake.protocol_version();
        self.provide_version(version, name, service)
    }

    /// Serves an interface under `name` to hosts with which this version is negotiated: the highest
    /// that both sides have.
    pub fn provide_version(
        mut self,
        version: impl Into<i64>,
        name: impl Into<String>,
        service: impl Provide,
    ) -> Self {
        let set = self.sets.entry(version.into()).or_default();
        set.push((name.into(), service.into_provided()));
        self
    }

    /// Speaks this transport, and of the others only those chosen in the same way.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transports.push(Arc::new(transport));
        self
    }

    /// The largest message either side may send, in bytes. 2^31 - 1 if this is not called, as for
    /// hosts.
    ///
    /// Whatever its size, a message that is nested deeper than 100 fails its call where it is decoded.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// How long calls in flight may go on after the host asked for the end. 1.5 s if this is not
    /// called; hosts usually kill after 2 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = Some(timeout);
        self
    }

    /// Whether it goes on serving when the host has died, so that another can attach, as go-plugin's
    /// plugins do. It ends with its host unless this is called, and over stdio always: the host holds
    /// the other ends of its pipes.
    ///
    /// What it prints and logs while no host takes it is kept, up to a [limit](Self::backlog_limit), for the
    /// next that attaches. A line of its log waits for a second at most: what a host does not read in that time is
    /// kept, too, and what follows it, until another attaches, or that host has read and the next line is logged
    /// or the plugin ends.
    pub fn outlive_host(mut self, outlive: bool) -> Self {
        self.outlive_host = outlive;
        self.events.set_outlive_host(outlive);
        self
    }

    /// How long a plugin that [outlives its host](Self::outlive_host) goes on without one: it ends by itself
    /// ([`StopReason::Alone`]) when no host has been connected for so long. No limit unless this is called.
    ///
    /// It counts for one that no host has launched as well ([`serve_in_test`](Self::serve_in_test),
    /// [`serve_for_debugging`](Self::serve_for_debugging)), from the start.
    pub fn alone_limit(mut self, limit: Duration) -> Self {
        self.alone_limit = Some(limit);
        self
    }

    /// About how many bytes are kept of what it prints, and as many of what it logs, as long as no host takes
    /// that: the newest. 1 MiB unless this is called, and at least 4 KiB.
    ///
    /// Whatever else there was is counted. The next host that attaches is told so first, in a record of the log
    /// at WARN ([`Missing`](crate::hclog::Missing)), and then gets what was kept, in its order. What was on its way to a host
    /// that has died or let go may be missing uncounted, and so may what one has not read of the log outside Linux.
    pub fn backlog_limit(self, bytes: usize) -> Self {
        self.events.output.set_limit(bytes);
        self
    }

    /// Whether it listens on TCP, on a port of the range that the host gives, instead of on a unix
    /// socket. It does not unless this is called, but on Windows, where it always does.
    pub fn tcp(mut self, tcp: bool) -> Self {
        self.tcp = tcp;
        self
    }

    /// TLS of the plugin's own in place of AutoMTLS, for hosts that have the same. `provide` is called
    /// once when the plugin begins to serve on a socket; a host's `PLUGIN_CLIENT_CERT` is of no effect
    /// then. go-plugin calls this a TLS provider.
    ///
    /// Connections to the plugin and to what it serves through its broker are accepted with the
    /// server's part; without a client's part it cannot dial what the host serves.
    #[cfg(feature = "tls")]
    pub fn tls_provider<E>(
        mut self,
        provide: impl FnOnce() -> Result<outboard_tls::Tls, E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.security.own = Some(Box::new(|| provide().map_err(Into::into)));
        self
    }

    /// The kind of the one-time key that answers a host's AutoMTLS; P-256 if this is not called.
    #[cfg(feature = "tls")]
    pub fn identity_key(mut self, kind: outboard_tls::KeyKind) -> Self {
        self.security.key = kind;
        self
    }

    /// Whether it multiplexes for a host that wants that: everything goes over one connection then, which
    /// is made once. It does unless this is called with `false`; a host that insists refuses it then.
    #[cfg(feature = "multiplex")]
    pub fn multiplex(mut self, multiplex: bool) -> Self {
        self.multiplex = multiplex;
        self
    }

    /// Whether outboard installs its `tracing` subscriber and its panic hook. It does unless this is
    /// called with `false`, for programs that have their own. In a program built with
    /// `panic = "abort"` it is the hook that removes the plugin's socket file.
    pub fn logging(mut self, logging: bool) -> Self {
        self.logging = logging;
        if !logging {
            crate::log::panic::leave();
        } else if self.is_claimed() {
            crate::log::panic::install();
        }
        self
    }

    /// Installs the `tracing` subscriber now, and not only when serving begins: what the program logs
    /// from here on reaches the host, as a Go plugin's log does from the start of `main`. Programs that
    /// build a subscriber of their own with [`Layer`](crate::log::Layer) have that from the moment they set
    /// it and do not need this.
    ///
    /// Of no effect if a global subscriber is set, after [`logging(false)`](Self::logging), and in a
    /// program that no host has launched.
    #[cfg(feature = "log")]
    pub fn install_logging(self) -> Self {
        if self.logging && self.is_claimed() {
            crate::log::install();
        }
        self
    }

    fn is_claimed(&self) -> bool {
        matches!(self.claim, Some(Ok(_)))
    }

    /// A handle to say, at any time, that the plugin takes calls or does not.
    #[must_use]
    pub fn health(&self) -> HealthReporter {
        self.health.reporter()
    }

    /// Tells, at any time and anywhere, that the plugin begins to end: for work in the background, and for
    /// what it serves. Handlers find it in [`Shutdown::current`], too.
    #[must_use]
    pub fn shutdown_token(&self) -> Shutdown {
        Shutdown::new(self.shutdown.told())
    }

    /// Serves until the host asks for the end or dies, and says why it ended. Calls in flight are
    /// finished first. Dropping the future ends it at once.
    ///
    /// While it serves, an interrupt (Ctrl-C) is ignored: the host gets it too, and decides. Only a
    /// plugin that no host holds, one started by hand at a terminal, ends by it in good order
    /// ([`StopReason::Interrupted`]), and dies of the second. A SIGTERM ends every plugin in good order
    /// ([`StopReason::Terminated`]), as if its host had asked for it: no new calls are taken, those in
    /// flight have the [`drain_timeout`](Self::drain_timeout); a second one ends the process at once. Other
    /// signals that end a process by default (SIGHUP, SIGQUIT), and all before the plugin serves, do so
    /// after the socket files are removed. One that the program handles itself stays its own affair.
    /// Afterwards all have their former actions again.
    ///
    /// Unless told otherwise, it also sends `tracing` events to the host as log records, if no
    /// global subscriber is set, and has panics show at the host as errors.
    ///
    /// Once it has returned the process is the program's own, for whatever else it has to do: the
    /// host's death no longer ends it. A program that only serves, as most do, is better off with
    /// [`serve_or_exit`](Self::serve_or_exit).
    ///
    /// # Errors
    /// [`ServeError`] if the plugin cannot start, or [`ServeError::Cookie`] if no host has launched it and
    /// nobody wants to [debug](Self::serve_for_debugging) it.
    pub async fn serve(
        mut self,
        runtime: impl Into<SharedRuntime>,
    ) -> Result<StopReason, ServeError> {
        let runtime = runtime.into();
        if matches!(self.environment, Err(CookieError::NotLaunchedByHost)) && Self::is_debugged() {
            let told = |record: &ReattachConfig| {
                let line = record.to_json();
                // Whoever wants to attach needs it; that they have gone is no reason to end.
                let _unread = sigpipe::without(|| writeln!(std::io::stdout(), "{line}"));
            };
            return self.serve_for_debugging(runtime, told).await;
        }
        let env = std::mem::replace(&mut self.environment, Err(CookieError::NotLaunchedByHost))?;
        let claim = match self.claim.take() {
            Some(Ok(claim)) => claim,
            Some(Err(error)) => {
                let error = ServeError::Claim(error);
                // It is still the real one.
                let line = Refusal::new(crate::text::chain(&error)).to_bytes();
                let _unread = sigpipe::without(|| std::io::stdout().write_all(&line));
                return Err(error);
            }
            None => return Err(ServeError::Cookie(CookieError::NotLaunchedByHost)),
        };
        if self.logging {
            #[cfg(feature = "log")]
            crate::log::install();
        }
        let around = Around {
            claim: Some(claim),
            ..Around::default()
        };
        let outcome = match self.parts(runtime, env) {
            Ok(parts) => parts.within(around).await,
            Err(error) => {
                drop(around);
                Err(error)
            }
        };
        if let Err(error) = &outcome {
            let reason = crate::text::chain(error);
            // Shown by any host at error level.
            crate::log::write(outboard_core::hclog::Level::Error, "outboard", &reason);
            // Quoted by any host in its own error.
            match error {
                ServeError::Start(cause) => last_words::refuse(&crate::text::chain(cause)),
                _ => last_words::refuse(&reason),
            }
        }
        outcome
    }

    /// Serves like [`serve`](Self::serve), in a program that is there for nothing else, and returns
    /// once the host has asked for the end or died.
    ///
    /// **Ends the process** with status 1 and an explanation on stderr if no host has launched it, or
    /// if it cannot start; and without one if it still runs five seconds after the host has died, also
    /// once this has returned: a handler that blocks its thread would keep it for ever. The host's death
    /// does not end what is to [outlive](Self::outlive_host) it.
    pub async fn serve_or_exit(self, runtime: impl Into<SharedRuntime>) {
        self.events.set_only_serves();
        let text = match self.serve(runtime).await {
            Ok(_reason) => return,
            // It explains itself to whoever has started a plugin by hand.
            Err(ServeError::Cookie(error)) => format!("{error}\n"),
            Err(error) => format!("Error: {}\n", crate::text::chain(&error)),
        };
        let _unread = sigpipe::without(|| std::io::stderr().write_all(text.as_bytes()));
        std::process::exit(CookieError::EXIT_CODE);
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = self.sets.iter().map(|(version, set)| {
            (
                version,
                set.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            )
        });
        f.debug_struct("Plugin")
            .field("handshake", &self.handshake)
            .field("provides", &sets.collect::<BTreeMap<_, _>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn without_a_host_serving_is_an_error_and_no_exit() {
        let plugin = Plugin::new(Handshake::new(1, "COOKIE_OF_NOBODY", "chocolate"));
        let served = plugin.serve(crate::Tokio::current()).await;
        let Err(ServeError::Cookie(CookieError::NotLaunchedByHost)) = served else {
            panic!("unexpected: {served:?}");
        };
    }

    #[test]
    fn what_the_host_has_set_is_not_passed_on() {
        let handshake = Handshake::new(1, "COOKIE", "chocolate");
        let mut command = std::process::Command::new("child");
        command.env("COOKIE", "chocolate").env("OTHER", "stays");
        Plugin::strip_env(&handshake, &mut command);
        let names = outboard_core::env::ALL.into_iter().chain(["COOKIE"]);
        let mut expected: Vec<_> = names.map(|name| (name.as_ref(), None)).collect();
        expected.push(("OTHER".as_ref(), Some("stays".as_ref())));
        expected.sort();
        let mut envs: Vec<_> = command.get_envs().collect();
        envs.sort();
        assert_eq!(envs, expected);
    }
}
