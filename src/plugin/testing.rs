//! A plugin that no host has launched: one that a test serves, or that somebody has started by hand to
//! look into it.

use std::ffi::OsString;
use std::fmt;
use std::future::poll_fn;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use outboard_core::env::PluginEnv;
use outboard_core::handshake::HandshakeLine;
use outboard_core::plugin::StopReason;
use outboard_core::reattach::ReattachConfig;
use outboard_core::rt::{BoxByteStream, SharedRuntime};

use super::background::Background;
use super::driver::{Around, Driver};
use super::{Plugin, ServeError};

/// The variable that has a plugin without a host wait for hosts to attach; see
/// [`Plugin::serve_for_debugging`].
const DEBUG: &str = "OUTBOARD_DEBUG";

/// A plugin that is served inside a test, over a socket: see [`Plugin::serve_in_test`]. Dropping it ends
/// it at once.
#[must_use = "dropping it ends the plugin"]
pub struct TestPlugin {
    record: ReattachConfig,
    stop: oneshot::Sender<()>,
    serving: Background,
}

impl TestPlugin {
    /// The record by which hosts attach to it ([`Host::attach`](crate::Host::attach)), in Go as well. It
    /// tells them not to end it.
    #[must_use]
    pub fn reattach_config(&self) -> &ReattachConfig {
        &self.record
    }

    /// Ends it in good order: calls in flight are finished within
    /// [`Plugin::drain_timeout`], connections are closed, and the socket's file is removed when this
    /// returns. If the future is dropped, it ends at once.
    ///
    /// # Errors
    /// None that a test brings about: those of [`Plugin::serve`] come before this value exists.
    pub async fn stop(self) -> Result<StopReason, ServeError> {
        // If nobody is told, it has ended already.
        let _ended = self.stop.send(());
        ended(self.serving).await
    }
}

impl fmt::Debug for TestPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestPlugin")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

async fn ended(mut serving: Background) -> Result<StopReason, ServeError> {
    let ended = poll_fn(|cx| serving.poll(cx)).await;
    ended.unwrap_or(Ok(StopReason::Requested))
}

impl Plugin {
    /// Serves inside a test, over a socket, to hosts that attach: the test's own, or one in Go, by the
    /// record that this gives. go-plugin has the same as `ServeTestConfig`. What needs no socket and no
    /// other process is shorter with [`memory::start`](crate::memory::start).
    ///
    /// There is no cookie, no handshake line and nobody who launched it. Nothing of the process is touched:
    /// no signal, no standard stream, no logger. What the program prints stays where it is, and hosts see
    /// none of it. Hosts neither ask it to end nor kill it; it ends with the value that this gives.
    ///
    /// What a host says in the environment counts, as in go-plugin, for a test that sets it: the versions
    /// that are offered, the directory of the socket, the ports. Without it the lowest version is served.
    ///
    /// ```
    /// # mod greeter {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/greeter.rs"));
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/shared.rs"));
    /// # }
    /// use greeter::{GreetReply, GreetRequest, Greeter, GreeterClient, GreeterServer, HANDSHAKE};
    /// use outboard::{Host, Plugin, Status, Tokio};
    ///
    /// struct Hello;
    ///
    /// impl Greeter for Hello {
    ///     async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
    ///         Ok(GreetReply { text: format!("Hello, {}!", request.name) })
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let plugin = Plugin::new(HANDSHAKE).provide("greeter", GreeterServer::new(Hello));
    /// let served = plugin.serve_in_test(Tokio::current()).await?;
    ///
    /// let host = Host::new(HANDSHAKE).attach(served.reattach_config().clone());
    /// let plugin = host.start(Tokio::current()).await?;
    /// let greeter: GreeterClient = plugin.dispense("greeter").await?;
    /// let reply = greeter.greet(GreetRequest { name: "world".into() }).await?;
    /// assert_eq!(reply.text, "Hello, world!");
    /// plugin.detach().await;
    /// served.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ServeError`] if it cannot listen, or has no transport that uses a socket.
    pub async fn serve_in_test(
        self,
        runtime: impl Into<SharedRuntime>,
    ) -> Result<TestPlugin, ServeError> {
        self.serve_apart(runtime.into(), false).await
    }

    /// Serves in a program that somebody has started by hand, so that a debugger can hold it, to hosts that
    /// attach by the record that `told` is given, until an interrupt (Ctrl-C) ends it in good order.
    ///
    /// This is for a flag of the program's own, and for records in a form of its own, as Terraform's
    /// providers print them:
    ///
    /// ```no_run
    /// # async fn example(plugin: outboard::Plugin) -> Result<(), outboard::ServeError> {
    /// use outboard::{ReattachConfig, Tokio};
    ///
    /// if std::env::args().any(|argument| argument == "-debug") {
    ///     let told = |record: &ReattachConfig| {
    ///         let map = ReattachConfig::map_to_json([("example.com/acme/thing", record.clone())]);
    ///         println!("TF_REATTACH_PROVIDERS='{map}'");
    ///     };
    ///     plugin.serve_for_debugging(Tokio::current(), told).await?;
    /// } else {
    ///     plugin.serve_or_exit(Tokio::current()).await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Without any code, a plugin that serves with [`serve`](Self::serve) or
    /// [`serve_or_exit`](Self::serve_or_exit) does the same where no host has launched it and the variable
    /// `OUTBOARD_DEBUG` is set and not empty: it prints its record as one line of JSON
    /// ([`ReattachConfig::from_json`]) on stdout.
    ///
    /// All else is as in [`serve_in_test`](Self::serve_in_test): hosts do not end it, and see nothing of
    /// what it prints.
    ///
    /// # Errors
    /// As those of [`serve_in_test`](Self::serve_in_test).
    pub async fn serve_for_debugging(
        self,
        runtime: impl Into<SharedRuntime>,
        told: impl FnOnce(&ReattachConfig),
    ) -> Result<StopReason, ServeError> {
        let served = self.serve_apart(runtime.into(), true).await?;
        told(&served.record);
        let TestPlugin {
            stop: _never,
            serving,
            ..
        } = served;
        ended(serving).await
    }

    /// Whether it is to go on when its host is gone.
    pub(crate) fn outlives_host(&self) -> bool {
        self.outlive_host
    }

    /// Serves in a task, to the host in this process whose environment `lookup` gives and which has the
    /// other end of `pipes`.
    pub(crate) fn serve_in_memory(
        mut self,
        runtime: &SharedRuntime,
        lookup: impl Fn(&str) -> Option<OsString>,
        pipes: BoxByteStream,
    ) -> Result<Background, ServeError> {
        let env = PluginEnv::read(&self.handshake, lookup)?;
        self.claim = None;
        self.dir = None;
        let around = Around {
            pipes: Some(pipes),
            ..Around::default()
        };
        let driver = self.parts(runtime.clone(), env)?.within(around);
        Ok(Background::begin(runtime, driver))
    }

    /// Whether its environment asks a plugin without a host to wait for some.
    pub(super) fn is_debugged() -> bool {
        std::env::var_os(DEBUG).is_some_and(|value| !value.is_empty())
    }

    async fn serve_apart(
        mut self,
        runtime: SharedRuntime,
        interruptible: bool,
    ) -> Result<TestPlugin, ServeError> {
        let env = PluginEnv::read_without_cookie(|name| std::env::var_os(name));
        // Whoever has launched this process, it is not a plugin's.
        self.claim = None;
        self.dir = None;
        let mut spoken = self.transports.iter();
        if !self.transports.is_empty() && spoken.all(|t| !t.protocol().has_socket()) {
            return Err(ServeError::NeedsSocket);
        }
        let secured = self.security.kind(&env);
        let (stop, stopped) = oneshot::channel();
        let (serving, told) = oneshot::channel();
        let around = Around {
            serving: Some(serving),
            stop: Some(stopped),
            interruptible,
            ..Around::default()
        };
        let driver = self.parts(runtime.clone(), env)?.within(around);
        let (serving, line) = until_serving(&runtime, driver, told).await?;
        let endpoint = line.location().endpoint().ok_or(ServeError::NeedsSocket)?;
        let mut record = ReattachConfig::new(line.protocol(), endpoint.clone());
        let pid = std::process::id();
        record.version = Some(line.app_version());
        record.pid = Some(pid);
        record.test = true;
        record.secured = Some(secured);
        record.certificate = line.certificate().map(<[u8]>::to_vec);
        #[cfg(unix)]
        {
            record.started = outboard_unix::started(pid);
            record.owner = Some(rustix::process::getuid().as_raw());
        }
        Ok(TestPlugin {
            record,
            stop,
            serving,
        })
    }
}

/// The plugin once it serves, with its line.
async fn until_serving(
    runtime: &SharedRuntime,
    driver: Driver,
    told: oneshot::Receiver<HandshakeLine>,
) -> Result<(Background, HandshakeLine), ServeError> {
    let mut serving = Background::begin(runtime, driver);
    let over = poll_fn(|cx| serving.poll(cx));
    let line = match select(told, std::pin::pin!(over)).await {
        Either::Left((Ok(line), _)) => line,
        // It has ended before it served; how is about to be told.
        Either::Left((Err(oneshot::Canceled), over)) => return Err(failed(over.await)),
        Either::Right((outcome, _)) => return Err(failed(outcome)),
    };
    Ok((serving, line))
}

fn failed(outcome: Option<Result<StopReason, ServeError>>) -> ServeError {
    match outcome {
        Some(Err(error)) => error,
        Some(Ok(_)) | None => ServeError::RuntimeGone,
    }
}
