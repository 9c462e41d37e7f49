//! Plugins that may do less than their user, on Linux: a layer over the runner that starts them.
//!
//! A [`Policy`] says what a plugin may do; a [`Sandbox`] has it carried out between the fork and the
//! program's first instruction, so that neither the program nor what it starts can put it off again.
//!
//! ```no_run
//! # use outboard::{Command, Host, Tokio};
//! use outboard::sandbox::{FileRule, Network, Policy, Sandbox};
//!
//! # async fn example(host: Host) -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Policy::new()
//!     .files(FileRule::system())
//!     .files([FileRule::read("/srv/documents")])
//!     .network(Network::Unix)
//!     .memory(4 << 30)
//!     .no_processes();
//! let plugin = host
//!     .command(Command::new("./indexer"))
//!     .runner(Sandbox::new(policy))
//!     .start(Tokio::current())
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! | Rule | By what | From which kernel on |
//! | --- | --- | --- |
//! | [files](Policy::files) | Landlock | 5.13; truncation 6.2; control of devices 6.10 |
//! | [network](Policy::network) | a seccomp filter; Landlock for names in the abstract namespace | any; 6.12 |
//! | [memory](Policy::memory), [processor time](Policy::processor_time), [size of files](Policy::file_size), [tasks of the user](Policy::tasks_of_user) | limits (`setrlimit`) | any |
//! | [no processes](Policy::no_processes) | a seccomp filter | any |
//! | no new privileges, always | `prctl` | any |
//!
//! What the running kernel lacks is never left out in silence: nothing is launched then, unless the
//! policy says that it is to be [reported](Lacking::Report). [`Policy::lacks`] tells beforehand.
//!
//! # What is not promised
//!
//! - Before Landlock's ABI 9 a plugin may connect to any socket file that its user may connect to, such
//!   as that of a container daemon; [`Network::OwnSocket`] says that it may not, and is lacking there.
//!   [`Network::None`] is for plugins over stdin and stdout, and holds everywhere.
//! - The limits are those of each process, not of all together, so that without
//!   [`Policy::no_processes`] there may be several times as much.
//! - The plugin's user stays the same: it may send signals to that user's processes. A user of its own is
//!   what a [`Container`](crate::runner::Container) gives it.
//! - The kernel's faults are the plugin's chance: this is no virtual machine.

mod files;
mod filter;
mod policy;

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outboard_core::diagnose::{HEADER_BYTES, interpreter};
use outboard_core::rt::{
    BoxFuture, Confinement, Launch, Limit, Process, Runner, SharedRunner, SharedRuntime,
};

use self::files::Needed;
pub use self::policy::{FileAccess, FileRule, Lacking, Network, Policy};

/// What of a policy the running kernel does not carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Lack {
    /// Nothing of [`Policy::files`]: no Landlock, or it was turned off.
    Files,
    /// That files are not truncated which may not be written: Landlock's ABI is below 3.
    Truncation,
    /// That devices are not controlled which may not be written: Landlock's ABI is below 5.
    DeviceControl,
    /// That names of sockets in the abstract namespace are not connected to: Landlock's ABI is below 6.
    AbstractSockets,
    /// That socket files of others are not connected to: Landlock's ABI is below 9.
    OtherSockets,
    /// The filter of system calls, for the network or for processes: it does not know this machine.
    Filter,
    /// [`Policy::tasks_of_user`], which does not bind root or who may manage the system, as this process.
    TasksOfRoot,
}

/// A phrase that completes "it does not …".
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "restrict the use of files (it has no Landlock)",
            Self::Truncation => "restrict truncation (Landlock's ABI 3)",
            Self::DeviceControl => "restrict the control of devices (Landlock's ABI 5)",
            Self::AbstractSockets => {
                "restrict sockets of the abstract namespace (Landlock's ABI 6)"
            }
            Self::OtherSockets => "restrict socket files of others (Landlock's ABI 9)",
            Self::Filter => "filter system calls by numbers that are known here",
            Self::TasksOfRoot => "limit the tasks of root, or of who may manage the system",
        })
    }
}

/// Why a plugin was not launched in a sandbox.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The kernel does not carry out all of the policy.
    #[error(
        "the kernel does not carry out all of the sandbox's policy: it does not {}; ask for less, or let \
         it be reported (Policy::lacking)",
        Listed(.0)
    )]
    Lacking(Vec<Lack>),
    /// A path of the policy cannot be used for a rule.
    #[error(
        "the sandbox's rule for {path:?} cannot be made: {cause}; a rule is for what exists when the \
         plugin is launched"
    )]
    Path {
        /// The path.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The system refused the ruleset.
    #[error("the system refused the sandbox's ruleset: {cause}")]
    Refused {
        /// What it said.
        cause: String,
    },
    /// The runner below the sandbox does not restrict what it starts.
    #[error(
        "the runner below the sandbox does not restrict what it starts: Runner::confines says so; a \
         sandbox stands over ForkExec or Wrapper, and once"
    )]
    Runner,
}

outboard_core::debug_as_text!(SandboxError);

impl From<SandboxError> for io::Error {
    fn from(error: SandboxError) -> Self {
        Self::new(io::ErrorKind::Unsupported, error)
    }
}

struct Listed<'a>(&'a [Lack]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (before, lack) in self.0.iter().enumerate() {
            let between = if before > 0 { ", nor " } else { "" };
            write!(f, "{between}{lack}")?;
        }
        Ok(())
    }
}

/// What is told of what is lacking.
type OnLack = Arc<dyn Fn(&[Lack]) + Send + Sync>;

/// Starts plugins under a [`Policy`], by another runner; see the [module](self).
///
/// That other is [`ForkExec`](crate::ForkExec) unless [`over`](Self::over) says otherwise. It has to be one
/// that [restricts](Runner::confines) what it starts: `ForkExec`, or a
/// [`Wrapper`](crate::runner::Wrapper), which is restricted with the plugin behind it. Nothing is launched
/// otherwise.
///
/// A failure is [`StartFailure::Launch`](crate::StartFailure::Launch) with the text of a [`SandboxError`];
/// [`check`](Self::check) gives the error itself, without a launch.
#[derive(Clone)]
pub struct Sandbox {
    policy: Policy,
    inner: SharedRunner,
    on_lack: Option<OnLack>,
}

impl Sandbox {
    /// A sandbox with this policy.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            inner: crate::runner::local(),
            on_lack: None,
        }
    }

    /// Has another runner start the plugin.
    #[must_use]
    pub fn over(mut self, runner: impl Runner) -> Self {
        self.inner = Arc::new(runner);
        self
    }

    /// Is called at each launch that goes on without what the kernel lacks
    /// ([`Lacking::Report`]), with all of that; in the task that launches.
    #[must_use]
    pub fn on_lack(mut self, hook: impl Fn(&[Lack]) + Send + Sync + 'static) -> Self {
        self.on_lack = Some(Arc::new(hook));
        self
    }

    /// Whether a plugin could be launched in it here and now, and without what.
    ///
    /// # Errors
    /// As a launch would have it. A path of the policy that does not exist is one.
    pub fn check(&self) -> Result<Vec<Lack>, SandboxError> {
        let needed = Needed {
            programs: Vec::new(),
            socket_dir: None,
        };
        self.confinement(&needed).map(|(_, lacks)| lacks)
    }

    fn confinement(&self, needed: &Needed) -> Result<(Confinement, Vec<Lack>), SandboxError> {
        if !self.inner.confines() {
            return Err(SandboxError::Runner);
        }
        let policy = &self.policy;
        let lacks = policy.lacks();
        if policy.lacking == Lacking::Refuse && !lacks.is_empty() {
            return Err(SandboxError::Lacking(lacks));
        }
        let ruleset = files::ruleset(policy, needed, files::abi())?;
        let filter = filter::of(policy).unwrap_or_default();
        let confinement = Confinement::new(policy.limits(), ruleset, filter);
        Ok((confinement, lacks))
    }

    /// Whoever is to know of it is told what is lacking.
    fn report(&self, program: &OsStr, lacks: &[Lack]) {
        if lacks.is_empty() {
            return;
        }
        let program = program.display();
        for lack in lacks {
            tracing::warn!(
                target: "outboard", %program,
                "launched in a sandbox without a part of its policy: the kernel does not {lack}"
            );
        }
        if let Some(hook) = &self.on_lack {
            hook(lacks);
        }
    }
}

impl Policy {
    /// What of it the running kernel does not carry out, for this process's user.
    #[must_use]
    pub fn lacks(&self) -> Vec<Lack> {
        let mut lacks = files::lacks(self, files::abi());
        if filter::of(self).is_none() {
            lacks.push(Lack::Filter);
        }
        if self.tasks.is_some() && may_have_any_number_of_tasks() {
            lacks.push(Lack::TasksOfRoot);
        }
        lacks
    }

    fn limits(&self) -> Vec<(Limit, u64)> {
        let seconds = |time: std::time::Duration| time.as_secs().max(1);
        [
            (Limit::AddressSpace, self.memory),
            (Limit::CpuSeconds, self.processor_time.map(seconds)),
            (Limit::FileSize, self.file_size),
            (Limit::Tasks, self.tasks),
        ]
        .into_iter()
        .filter_map(|(limit, value)| value.map(|value| (limit, value)))
        .collect()
    }
}

/// Whom the kernel does not count: root, and who has one of two capabilities; copy_process in its
/// kernel/fork.c.
fn may_have_any_number_of_tasks() -> bool {
    const SYS_ADMIN: u64 = 1 << 21;
    const SYS_RESOURCE: u64 = 1 << 24;
    if rustix::process::getuid().is_root() {
        return true;
    }
    // Who cannot tell is taken for one who may.
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_none_or(|has| has & (SYS_ADMIN | SYS_RESOURCE) != 0)
}

impl Needed {
    fn of(launch: &Launch) -> Self {
        let mut programs = Vec::new();
        let program = Path::new(&launch.program);
        // A bare name that was found has a path by now.
        if program.components().count() > 1 {
            let dir = launch.dir.as_deref().unwrap_or_else(|| Path::new(""));
            programs.push(dir.join(program));
        }
        // A script's interpreter, and its loader.
        for _ in 0..2 {
            let header = programs.last().and_then(|path| header(path));
            if let Some(path) = header.as_deref().and_then(interpreter) {
                programs.push(PathBuf::from(OsStr::from_bytes(path)));
            }
        }
        let socket_dir = launch.socket_dir.clone();
        Self {
            programs,
            socket_dir,
        }
    }
}

/// The first bytes of a regular file.
fn header(path: &Path) -> Option<Vec<u8>> {
    std::fs::metadata(path).ok().filter(|data| data.is_file())?;
    let mut header = Vec::new();
    let file = File::open(path).ok()?;
    file.take(HEADER_BYTES as u64)
        .read_to_end(&mut header)
        .ok()?;
    Some(header)
}

impl Runner for Sandbox {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        mut launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>> {
        match self.confinement(&Needed::of(&launch)) {
            Ok((confinement, lacks)) => {
                self.report(&launch.program, &lacks);
                launch.confinement = Some(confinement);
                self.inner.launch(runtime, launch)
            }
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        }
    }

    fn name(&self) -> Option<String> {
        self.inner.name()
    }

    fn shares_files(&self) -> bool {
        self.inner.shares_files()
    }

    fn executes_open(&self) -> bool {
        self.inner.executes_open()
    }

    fn guards(&self) -> bool {
        self.inner.guards()
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("policy", &self.policy)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn limits_are_those_of_the_policy() {
        assert_eq!(Policy::new().limits(), []);
        let policy = Policy::new()
            .memory(1 << 30)
            .processor_time(Duration::from_millis(100))
            .file_size(4096)
            .tasks_of_user(7);
        let limits = [
            (Limit::AddressSpace, 1 << 30),
            (Limit::CpuSeconds, 1),
            (Limit::FileSize, 4096),
            (Limit::Tasks, 7),
        ];
        assert_eq!(policy.limits(), limits);
    }

    #[test]
    fn a_program_needs_what_it_is_run_by() {
        let needed = Needed::of(&Launch::new(std::env::current_exe().expect("a path")));
        #[cfg(not(target_env = "musl"))]
        assert_eq!(needed.programs.len(), 2, "a loader: {:?}", needed.programs);
        assert!(needed.programs.iter().all(|path| path.exists()));
        let mut launch = Launch::new("bin/tool");
        launch.dir = Some("/opt".into());
        assert_eq!(Needed::of(&launch).programs, [Path::new("/opt/bin/tool")]);
        assert!(Needed::of(&Launch::new("tool")).programs.is_empty());
    }

    #[test]
    fn a_sandbox_stands_over_what_restricts() {
        let policy = Policy::new().no_processes();
        let once = Sandbox::new(policy.clone());
        assert_eq!(once.check(), Ok(policy.lacks()));
        let wrapped = crate::runner::Wrapper::new("nice");
        let over = Sandbox::new(policy.clone()).over(wrapped);
        assert_eq!(over.check(), Ok(policy.lacks()));
        for twice in [
            Sandbox::new(policy.clone()).over(once),
            Sandbox::new(policy.clone()).over(crate::runner::Container::new("tool", "image")),
        ] {
            assert_eq!(twice.check(), Err(SandboxError::Runner));
        }
    }

    #[test]
    fn what_is_lacking_is_refused_or_told() {
        // Lacking for root by itself, and for others where nothing is.
        let policy = Policy::new().tasks_of_user(1_000_000);
        let lacks = policy.lacks();
        let checked = Sandbox::new(policy.clone()).check();
        if lacks.is_empty() {
            assert_eq!(checked, Ok(lacks));
        } else {
            let error = checked.expect_err("it is to be refused");
            assert!(error.to_string().contains("tasks of root"), "{error}");
            assert_eq!(error, SandboxError::Lacking(lacks.clone()));
            let told = Sandbox::new(policy.lacking(Lacking::Report)).check();
            assert_eq!(told, Ok(lacks));
        }
    }
}
