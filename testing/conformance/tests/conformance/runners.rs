//! Plugins whose processes come about in another way than as children of the host by its own hand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use outboard::Endpoint;
use outboard::rt::{AddressTranslator, BoxFuture, Child, Launch, Process, Runner, SharedRuntime};
use outboard::{Exit, ExitReason, ForkExec, StartFailure, StartPhase};
use outboard_conformance::proto::Probe as _;

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::Harness;

/// The working directory of whoever asks: what is in there has a name that means another thing to the
/// plugin than to its host.
const HERE: &str = "/proc/self/cwd";

/// Where a plugin has the case's directory for its working directory, and calls what is in there by
/// such names.
#[derive(Debug)]
struct Elsewhere {
    dir: PathBuf,
    /// The addresses cannot be told by anybody.
    lost: bool,
    stderr: bool,
}

impl Elsewhere {
    fn new(h: &Harness) -> Self {
        Self {
            dir: h.dir().to_owned(),
            lost: false,
            stderr: true,
        }
    }
}

impl Runner for Elsewhere {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        mut launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>> {
        launch.dir = Some(self.dir.clone());
        for (name, value) in &mut launch.env {
            let relative = Path::new(&*value)
                .strip_prefix(&self.dir)
                .map(Path::to_owned);
            if let (true, Ok(relative)) = (name == "PLUGIN_UNIX_SOCKET_DIR", relative) {
                *value = Path::new(HERE).join(relative).into();
            }
        }
        // What a host makes for the output is out of reach.
        launch.env.retain(|(name, _)| name != "OUTBOARD_OUTPUT_DIR");
        let names = Names {
            dir: self.dir.clone(),
            lost: self.lost,
        };
        let launching = ForkExec.launch(runtime, launch);
        let stderr = self.stderr;
        Box::pin(async move {
            let mut process = launching.await?;
            process.child = Box::new(Boxed(process.child));
            process.addresses = Some(Arc::new(names));
            if !stderr {
                process.stderr = None;
            }
            Ok(process)
        })
    }
}

#[derive(Debug)]
struct Names {
    dir: PathBuf,
    lost: bool,
}

impl AddressTranslator for Names {
    fn plugin_to_host(&self, endpoint: &Endpoint) -> io::Result<Endpoint> {
        match endpoint {
            _ if self.lost => Err(io::Error::other("nobody knows the way")),
            Endpoint::Unix(path) => {
                let relative = path.strip_prefix(HERE).map_err(io::Error::other)?;
                Ok(Endpoint::Unix(self.dir.join(relative)))
            }
            other => Ok(other.clone()),
        }
    }

    fn host_to_plugin(&self, endpoint: &Endpoint) -> io::Result<Endpoint> {
        match endpoint {
            Endpoint::Unix(path) => {
                let relative = path.strip_prefix(&self.dir).map_err(io::Error::other)?;
                Ok(Endpoint::Unix(Path::new(HERE).join(relative)))
            }
            other => Ok(other.clone()),
        }
    }
}

/// A process by another name.
struct Boxed(Box<dyn Child>);

impl Child for Boxed {
    fn id(&self) -> &str {
        "box-1"
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn poll_kill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_kill(cx)
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        self.0.poll_wait(cx)
    }

    fn release(self: Box<Self>) {
        self.0.release();
    }
}

pub async fn a_plugin_elsewhere_has_its_own_names_for_everything(h: Harness) {
    let host = h.host([""; 0]).runner(Elsewhere::new(&h));
    let rig = h.start_host(host).await;
    assert_eq!(rig.plugin.id().as_deref(), Some("box-1"));
    assert_eq!(rig.plugin.pid(), None);
    let lent = lend(&rig);
    let there = rig.probe.relay(relay(lent.id(), "there")).await;
    assert_eq!(there, Ok(payload("there")));
    let (_, here) = borrow(&rig).await;
    assert_eq!(here.echo(payload("here")).await, Ok(payload("here")));
    rig.shutdown().await;
    // One that is killed leaves its sockets to its host.
    let host = h.host([""; 0]).runner(Elsewhere::new(&h));
    let rig = h.start_host(host).await;
    let _served = borrow(&rig).await;
    let report = rig.plugin.kill().await;
    assert_eq!(report.reason, ExitReason::Killed);
}

pub async fn a_plugin_without_a_stderr_has_no_log_and_works(h: Harness) {
    let runner = Elsewhere {
        stderr: false,
        ..Elsewhere::new(&h)
    };
    let rig = h.start_host(h.host([""; 0]).runner(runner)).await;
    assert_eq!(rig.probe.echo(payload("on")).await, Ok(payload("on")));
    rig.shutdown().await;
}

pub async fn an_address_that_cannot_be_translated_is_told(h: Harness) {
    let runner = Elsewhere {
        lost: true,
        ..Elsewhere::new(&h)
    };
    let error = h.start_error(h.host([""; 0]).runner(runner)).await;
    assert!(
        matches!(error.failure, StartFailure::Connect { .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("nobody knows the way"), "{text}");
}

/// Starts nothing, ever.
#[derive(Debug)]
struct Stuck(Arc<AtomicBool>);

impl Runner for Stuck {
    fn launch(&self, _: &SharedRuntime, _: Launch) -> BoxFuture<'static, io::Result<Process>> {
        struct GivenUp(Arc<AtomicBool>);
        impl Drop for GivenUp {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let given_up = GivenUp(Arc::clone(&self.0));
        Box::pin(async move {
            let _given_up = given_up;
            std::future::pending().await
        })
    }
}

pub async fn a_launch_that_takes_too_long_is_given_up(h: Harness) {
    let given_up = Arc::new(AtomicBool::new(false));
    let host = h.host([""; 0]).runner(Stuck(Arc::clone(&given_up)));
    let error = h
        .start_error(host.start_timeout(Duration::from_millis(10)))
        .await;
    assert!(
        matches!(
            error.failure,
            StartFailure::TimedOut {
                phase: StartPhase::Launch,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(given_up.load(Ordering::SeqCst));
}
