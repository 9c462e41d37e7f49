//! Ways for a plugin's process to come about, for [`Host::runner`](crate::Host::runner).
//!
//! | Runner | What it runs |
//! | --- | --- |
//! | [`ForkExec`](crate::ForkExec) | a child of this process: what hosts have unless they are given another |
//! | [`Wrapper`] | the same behind another command: `nice`, `strace`, `gdbserver`, `bwrap` |
//! | [`Container`] | a container, by the command line of a tool such as docker or podman |
//! | `sandbox::Sandbox` (feature `sandbox`, Linux) | a child that may do no more than a policy says |
//! | your own | whatever implements [`Runner`](crate::rt::Runner) |
//!
//! ```no_run
//! # use outboard::{Command, Handshake, Host, Tokio, runner::Wrapper};
//! # async fn example(host: Host) -> Result<(), Box<dyn std::error::Error>> {
//! let calm = Wrapper::new("nice").args(["-n", "10"]);
//! let plugin = host
//!     .command(Command::new("./indexer"))
//!     .runner(calm)
//!     .start(Tokio::current())
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! A runner is told of the directory that the host has made for the sockets of this launch
//! ([`Launch::socket_dir`](crate::rt::Launch::socket_dir)), which only the host's user may enter, and the
//! members of [`Host::socket_group`](crate::Host::socket_group) if there is one. The host removes it when
//! the plugin has ended.

#[cfg(unix)]
mod container;
#[cfg(unix)]
mod oci;
#[cfg(unix)]
mod wrapper;

use outboard_core::rt::SharedRunner;

#[cfg(unix)]
pub use self::container::Container;
#[cfg(unix)]
pub use self::wrapper::Wrapper;

/// As children of this process, each by fork and exec.
#[cfg(unix)]
pub(crate) fn local() -> SharedRunner {
    std::sync::Arc::new(outboard_unix::ForkExec)
}

/// As tokio starts them.
#[cfg(all(windows, feature = "tokio"))]
pub(crate) fn local() -> SharedRunner {
    std::sync::Arc::new(outboard_runtime_tokio::TokioProcesses)
}

#[cfg(not(any(unix, all(windows, feature = "tokio"))))]
pub(crate) fn local() -> SharedRunner {
    std::sync::Arc::new(none::Nobody)
}

#[cfg(not(any(unix, all(windows, feature = "tokio"))))]
mod none {
    use std::io;

    use outboard_core::rt::{BoxFuture, Launch, Process, Runner, SharedRuntime};

    /// Nobody in this build can.
    #[derive(Debug)]
    pub(super) struct Nobody;

    impl Runner for Nobody {
        fn launch(&self, _: &SharedRuntime, _: Launch) -> BoxFuture<'static, io::Result<Process>> {
            Box::pin(std::future::ready(Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "nothing in this build starts processes here: enable the feature `tokio`, or choose \
                 how with Host::runner",
            ))))
        }
    }
}
