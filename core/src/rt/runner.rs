//! How a process comes about and ends.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

#[cfg(target_os = "linux")]
use super::Confinement;
#[cfg(unix)]
use super::OpenProgram;
use super::{BoxFuture, BoxReader, BoxWriter, SharedRuntime};
use crate::endpoint::Endpoint;
use crate::exit::Exit;
use crate::reattach::ReattachConfig;

/// A runner, cheap to clone, as hosts hold it.
pub type SharedRunner = Arc<dyn Runner>;

/// Starts programs: by fork and exec, in a container, on another machine.
///
/// One value is used for any number of launches, from any thread. go-plugin's `RunnerFunc`.
pub trait Runner: Send + Sync + fmt::Debug + 'static {
    /// Starts a program; resolves once that has begun. `runtime` is the one whose task polls the
    /// future.
    ///
    /// Dropping the future gives up the launch: nothing is left behind then, as with an error.
    ///
    /// # Errors
    /// The system's error, unchanged, if the program cannot be started.
    fn launch(
        &self,
        runtime: &SharedRuntime,
        launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>>;

    /// A process that this runner has started before, perhaps in another program, for a host that attaches
    /// to it: by the record, whose `id` is [`Child::id`] where the process is none of this system. With the
    /// process come its [addresses](Process::addresses), and nothing else of it counts. go-plugin's
    /// `ReattachFunc`.
    ///
    /// `None`, as by default, has the host look for the number of the record among the processes of this
    /// system.
    ///
    /// # Errors
    /// If there is no such process any more.
    fn attach(
        &self,
        runtime: &SharedRuntime,
        record: &ReattachConfig,
    ) -> Option<BoxFuture<'static, io::Result<Process>>> {
        let _by_its_number = (runtime, record);
        None
    }

    /// What people call its programs where a host has neither a name nor a command: that of an image,
    /// for one. Nothing unless a runner says otherwise.
    fn name(&self) -> Option<String> {
        None
    }

    /// Whether its programs are the host's own files, by the same paths. Then a bare name is looked up
    /// in the host's `PATH`, and a failed start tells what is known of the file. It is so unless a
    /// runner says otherwise.
    fn shares_files(&self) -> bool {
        true
    }

    /// Whether it executes [`Launch::open`] where that is given. It does not unless it says so; what
    /// the host's checksum promises is less then, see `Host::checksum` of the crate `outboard`.
    fn executes_open(&self) -> bool {
        false
    }

    /// Whether it carries out what is in `Launch::confinement` (on Linux): the process that it starts, or
    /// one that this becomes, is the program or its parent and has the restrictions. It does not unless
    /// it says so.
    fn confines(&self) -> bool {
        false
    }

    /// Whether it carries out [`Launch::guarded`]. It does not unless it says so.
    fn guards(&self) -> bool {
        false
    }
}

/// What a child's standard input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stdin {
    /// The parent's own stdin, the same descriptor: terminals keep working. go-plugin's way.
    #[default]
    Inherit,
    /// An empty input.
    Null,
    /// A pipe whose other end is [`Process::stdin`].
    Pipe,
}

/// What is to be started. Its stdout and stderr are to reach the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Launch {
    /// The program: a path, or a name to be looked up in `PATH`.
    pub program: OsString,
    /// The open file that is to be executed in place of what stands at the path by then. Given only to
    /// a runner that [executes it](Runner::executes_open); `program` is still what the process is told
    /// as its name.
    #[cfg(unix)]
    pub open: Option<OpenProgram>,
    /// What the process is no longer to do. Given only to a runner that
    /// [carries it out](Runner::confines).
    #[cfg(target_os = "linux")]
    pub confinement: Option<Confinement>,
    /// Its arguments, without the program's name.
    pub args: Vec<OsString>,
    /// Its whole environment; nothing is inherited beside this. Names occur once.
    pub env: Vec<(OsString, OsString)>,
    /// Its environment without what the parent's own adds to it: for a runner whose programs run in
    /// another system, where the parent's paths mean nothing. Names occur once.
    pub own_env: Vec<(OsString, OsString)>,
    /// The directory in which host and plugin make their sockets, as the host calls it, if there is one
    /// for this launch alone. `PLUGIN_UNIX_SOCKET_DIR` is the same. A runner whose programs see other
    /// files has to make it visible to them, and changes the variables that name it.
    pub socket_dir: Option<PathBuf>,
    /// The group that may use the sockets, by name or number as the host's user gave it.
    pub socket_group: Option<String>,
    /// Its working directory; the parent's if not given.
    pub dir: Option<PathBuf>,
    /// Its standard input.
    pub stdin: Stdin,
    /// Whether it goes on when the parent dies. Otherwise the system kills it then, where it can.
    pub outlive_parent: bool,
    /// Whether a kill leaves the processes alone that it has started itself. Otherwise they are
    /// killed with it, where they can be found.
    pub spare_descendants: bool,
    /// Whether it leads a process group of its own, which ends with it. Otherwise it is in its parent's.
    pub process_group: bool,
    /// Whether a guard ends all that descends from it when it ends or its parent dies. Given only to a
    /// runner that [has guards](Runner::guards).
    pub guarded: bool,
}

impl Launch {
    /// A program without arguments and environment, with the parent's stdin, that is to leave nothing
    /// behind.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            #[cfg(unix)]
            open: None,
            #[cfg(target_os = "linux")]
            confinement: None,
            args: Vec::new(),
            env: Vec::new(),
            own_env: Vec::new(),
            socket_dir: None,
            socket_group: None,
            dir: None,
            stdin: Stdin::default(),
            outlive_parent: false,
            spare_descendants: false,
            process_group: false,
            guarded: false,
        }
    }
}

/// A started process, with as much as there is of it.
#[non_exhaustive]
pub struct Process {
    /// The process itself.
    pub child: Box<dyn Child>,
    /// To its stdin, where that is no other's.
    pub stdin: Option<BoxWriter>,
    /// From its stdout, over which it says where it listens. Without it nothing but its end is
    /// waited for.
    pub stdout: Option<BoxReader>,
    /// From its stderr. Without it there is no log of it, and no evidence if it fails.
    pub stderr: Option<BoxReader>,
    /// How its addresses are translated, if it sees others than the host does.
    pub addresses: Option<Arc<dyn AddressTranslator>>,
}

impl Process {
    /// A process without pipes, which sees the same addresses as the host.
    #[must_use]
    pub fn new(child: Box<dyn Child>) -> Self {
        Self {
            child,
            stdin: None,
            stdout: None,
            stderr: None,
            addresses: None,
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.child.id())
            .finish_non_exhaustive()
    }
}

/// A process that a [`Runner`] has started.
///
/// Dropping one that has not been reaped kills it and reaps it, so that no way out of the parent's
/// code leaves a process or a zombie behind. [`release`](Self::release) is the way to leave it.
pub trait Child: Send {
    /// What it is called where it runs: the number of a process, the name of a container. It stays
    /// the same when the process has ended; the system may use it again then.
    fn id(&self) -> &str;

    /// The number of the process, if it is one of this system and in this host's view of it.
    fn pid(&self) -> Option<u32>;

    /// Its host begins to end it, and asks it over its connection. What it has started by now goes along once
    /// it has ended, with a runner that sees to that; nothing is done by default.
    fn begin_end(&mut self) {}

    /// Tells it to end (SIGTERM), which it may do in its own time or not at all. Begun with the first poll
    /// and polled until it is ready, which says that it was told. No error if it has ended already. A
    /// [kill](Self::poll_kill) takes the place of one that is under way.
    ///
    /// # Errors
    /// The system's error, unchanged. `Unsupported`, as by default, where there is no such way; then it is
    /// killed.
    fn poll_terminate(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _no_way = cx;
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Ends it at once (SIGKILL, `TerminateProcess`). Begun with the first poll and polled until it is
    /// ready, which says that the request was made and not that the process has ended. No error if it
    /// has ended already.
    ///
    /// # Errors
    /// The system's error, unchanged.
    fn poll_kill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when the process has ended and was reaped, woken by an event, not by polling. It does not
    /// wait for the pipes. Later polls give the same exit again.
    ///
    /// # Errors
    /// The system's error, unchanged.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>>;

    /// What can be found out about it for a start that has failed, in a few lines for people; it may
    /// have ended by then. It is waited for a moment only. go-plugin's `Diagnose`. Nothing unless a
    /// runner knows more than its output tells.
    fn diagnose(&self) -> BoxFuture<'static, Option<String>> {
        Box::pin(std::future::ready(None))
    }

    /// Lets go of it: it runs on, as far as it is up to this side. Nobody is told of its end, of which no
    /// zombie stays.
    fn release(self: Box<Self>);
}

/// Between the addresses that a host sees and those that its plugin sees, where these are not the
/// same: in a container, on another machine. go-plugin's `AddrTranslator`.
pub trait AddressTranslator: Send + Sync + fmt::Debug {
    /// Where the host reaches what the plugin calls `endpoint`.
    ///
    /// # Errors
    /// If the host cannot reach it.
    fn plugin_to_host(&self, endpoint: &Endpoint) -> io::Result<Endpoint>;

    /// Where the plugin reaches what the host calls `endpoint`.
    ///
    /// # Errors
    /// If the plugin cannot reach it.
    fn host_to_plugin(&self, endpoint: &Endpoint) -> io::Result<Endpoint>;
}
