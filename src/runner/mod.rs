//! How processes come about unless the host says otherwise.

use outboard_core::rt::SharedRunner;

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
