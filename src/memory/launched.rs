//! A host and a plugin in one process: everything of a launch but the process.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_io::AsyncWrite as _;
use outboard_core::exit::Exit;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::memory::{Duplex, pair};
use outboard_core::rt::{BoxFuture, Child, Joined, Launch, Process, Runner, SharedRuntime};

use super::network::InMemory;
use crate::host::{Host, HostError, RunningPlugin};
use crate::plugin::{Background, Plugin, ServeError};

/// What the plugin is called where its host has no name for it.
const NAME: &str = "plugin in memory";

/// Starts `plugin` in this process for `host`, in memory: without a process, a socket or a file.
///
/// Everything else is real, and the same as of a plugin that is launched: the cookie and the environment,
/// the handshake line and the version that is agreed on, TLS where the host wants it, the transport, calls
/// with their deadlines and cancellation, the broker in both directions, health, the end in good order
/// and the [`ExitReport`](crate::ExitReport). What comes of it is the [`RunningPlugin`] that a launch gives, so
/// that tests and the program itself share all code that uses one. The transports are those of the two
/// sides: [`Host::transport`] chooses among them.
///
/// The host may be the program's own: its [`command`](Host::command), [`runner`](Host::runner) and
/// [`checksum`](Host::checksum) count for nothing here. What the plugin prints, logs and panics with stays in
/// this process, since its standard streams belong to that; and
/// [`kill`](RunningPlugin::kill) ends it at its next await.
///
/// ```
/// # mod greeter {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/greeter.rs"));
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/shared.rs"));
/// # }
/// use greeter::{GreetReply, GreetRequest, Greeter, GreeterClient, GreeterServer, HANDSHAKE};
/// use outboard::{Host, Plugin, Status, Tokio, memory};
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
/// let plugin = memory::start(&Host::new(HANDSHAKE), plugin, Tokio::current()).await?;
/// let greeter: GreeterClient = plugin.dispense("greeter").await?;
/// let reply = greeter.greet(GreetRequest { name: "world".into() }).await?;
/// assert_eq!(reply.text, "Hello, world!");
/// assert!(plugin.shutdown().await?.exit.success());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`Host::start`]; also if the host is to [attach](Host::attach) to a plugin.
pub async fn start(
    host: &Host,
    plugin: Plugin,
    runtime: impl Into<SharedRuntime>,
) -> Result<RunningPlugin, HostError> {
    let (host, runtime) = prepare(host, plugin, runtime.into())?;
    host.start(runtime).await
}

/// The host that starts `plugin` on the runtime that comes with it.
pub(crate) fn prepare(
    host: &Host,
    plugin: Plugin,
    runtime: SharedRuntime,
) -> Result<(Host, SharedRuntime), HostError> {
    let program = Program(Arc::new(Mutex::new(Rank::Driver, Some(plugin))));
    let host = host.in_memory(Arc::new(program))?;
    Ok((host, InMemory::around(runtime)))
}

/// The one plugin that is there to be started.
#[derive(Clone)]
struct Program(Arc<Mutex<Option<Plugin>>>);

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

impl Runner for Program {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>> {
        let plugin = self.0.lock().take();
        let launched = match plugin {
            Some(plugin) => Ok(serve(plugin, runtime, &launch)),
            None => Err(io::Error::other("this plugin has been started before")),
        };
        Box::pin(std::future::ready(launched))
    }

    fn name(&self) -> Option<String> {
        Some(NAME.to_owned())
    }

    fn shares_files(&self) -> bool {
        false
    }
}

fn serve(plugin: Plugin, runtime: &SharedRuntime, launch: &Launch) -> Process {
    let (stdin, its_stdin) = pair();
    let (stdout, its_stdout) = pair();
    let (stderr, its_stderr) = pair();
    let lookup = |name: &str| -> Option<OsString> {
        let found = launch.env.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.clone())
    };
    let outlives = plugin.outlives_host();
    let pipes = Box::new(Joined::new(Box::new(its_stdin), Box::new(its_stdout)));
    let mut served = Served {
        serving: None,
        stderr: Some(its_stderr),
        exit: Exit::Unknown,
        outlives,
    };
    match plugin.serve_in_memory(runtime, lookup, pipes) {
        Ok(serving) => served.serving = Some(serving),
        Err(error) => served.fail(&error),
    }
    let mut process = Process::new(Box::new(served));
    process.stdin = Some(Box::new(stdin));
    process.stdout = Some(Box::new(stdout));
    process.stderr = Some(Box::new(stderr));
    process
}

/// What stands for the process.
struct Served {
    /// None once it has ended.
    serving: Option<Background>,
    stderr: Option<Duplex>,
    /// How it ended, once it has. What was ended from outside has no status; of a process a signal would
    /// be told.
    exit: Exit,
    outlives: bool,
}

impl Served {
    /// It has ended by this, which it says as a program does that serves or exits.
    fn fail(&mut self, error: &ServeError) {
        self.exit = Exit::Code(1);
        if let Some(mut stderr) = self.stderr.take() {
            let text = format!("Error: {}\n", crate::text::chain(error));
            let mut cx = Context::from_waker(Waker::noop());
            // There is room for some lines, and nothing was written before.
            let _rest = Pin::new(&mut stderr).poll_write(&mut cx, text.as_bytes());
        }
    }
}

impl Child for Served {
    fn id(&self) -> &str {
        "memory"
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn poll_kill(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        if let Some(serving) = &mut self.serving {
            let ended = ready!(serving.poll(cx));
            self.serving = None;
            match ended {
                Some(Ok(reason)) => self.exit = Exit::Code(reason.code()),
                Some(Err(error)) => self.fail(&error),
                None => {}
            }
            self.stderr = None;
        }
        Poll::Ready(Ok(self.exit))
    }

    fn release(mut self: Box<Self>) {
        if self.outlives
            && let Some(serving) = self.serving.take()
        {
            serving.leave();
        }
    }
}
