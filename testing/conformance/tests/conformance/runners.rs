//! Plugins whose processes come about in another way than as children of the host by its own hand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use outboard::Endpoint;
use outboard::rt::{AddressTranslator, BoxFuture, Child, Launch, Process, Runner, SharedRuntime};
use outboard::runner::Wrapper;
use outboard::{
    AttachError, Exit, ExitReason, ForkExec, Host, HostError, ReattachConfig, StartFailure,
    StartPhase,
};
use outboard_conformance::proto::{Nothing, Probe as _, Process as _};
use outboard_conformance::{HANDSHAKE, axes};

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::{Harness, PLUGIN};
use crate::leftovers::gone;

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

/// Finds what it has started by the name that this has there.
#[derive(Debug)]
struct Finder {
    elsewhere: Elsewhere,
    pid: u32,
}

impl Runner for Finder {
    fn launch(&self, _: &SharedRuntime, _: Launch) -> BoxFuture<'static, io::Result<Process>> {
        unreachable!("it is to find something")
    }

    fn attach(
        &self,
        runtime: &SharedRuntime,
        record: &ReattachConfig,
    ) -> Option<BoxFuture<'static, io::Result<Process>>> {
        assert_eq!(record.pid, None);
        let found = match record.id.as_deref() {
            Some("box-1") => {
                let child = outboard_unix::Attached::find(runtime, self.pid, None);
                let child = child.expect("it runs").trusted(true);
                let mut process = Process::new(Box::new(Boxed(Box::new(child))));
                process.addresses = Some(Arc::new(Names {
                    dir: self.elsewhere.dir.clone(),
                    lost: false,
                }));
                Ok(process)
            }
            _ => Err(io::Error::other("there is no such box")),
        };
        Some(Box::pin(std::future::ready(found)))
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

    fn poll_terminate(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_terminate(cx)
    }

    fn poll_kill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_kill(cx)
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        self.0.poll_wait(cx)
    }

    fn diagnose(&self) -> BoxFuture<'static, Option<String>> {
        Box::pin(std::future::ready(Some("box-1 has no lid".to_owned())))
    }

    fn release(self: Box<Self>) {
        self.0.release();
    }
}

pub async fn what_is_elsewhere_is_attached_to_by_its_runner(h: Harness) {
    let first = h
        .start_host(h.host([""; 0]).runner(Elsewhere::new(&h)))
        .await;
    let record = first.plugin.reattach_config().expect("it listens");
    let record = ReattachConfig::from_json(&record.to_json()).expect("it was just written");
    let pid = first
        .process
        .facts(Nothing {})
        .await
        .expect("it answers")
        .pid;
    let finder = || Finder {
        elsewhere: Elsewhere::new(&h),
        pid,
    };
    let host = |record| {
        let host = axes::of_host(h.on.transport, Host::new(HANDSHAKE)).socket_dir(h.dir());
        host.attach(record).runner(finder())
    };
    let second = h.start_host(host(record.clone())).await;
    assert_eq!(
        (second.plugin.id().as_deref(), second.plugin.pid()),
        (Some("box-1"), None)
    );
    assert_eq!(second.probe.echo(payload("x")).await, Ok(payload("x")));
    let (_, borrowed) = borrow(&second).await;
    assert_eq!(borrowed.echo(payload("y")).await, Ok(payload("y")));
    let mut other = record.clone();
    other.id = Some("box-2".to_owned());
    match host(other).start(h.runtime.clone()).await {
        Err(HostError::Attach { error, .. }) => {
            assert!(matches!(*error, AttachError::Runner(_)), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    let report = second.plugin.kill().await;
    assert_eq!(report.reason, ExitReason::Killed, "{report}");
    let report = h.promptly(first.plugin.exited()).await;
    assert_eq!(report.exit.signal(), Some(9), "{report}");
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

pub async fn commands_in_front_of_a_plugin_are_run_first(h: Harness) {
    let env = Wrapper::new("env").arg("PLUGIN_WRAPPED=by env");
    let both = Wrapper::new("nice").args(["-n", "1"]).before(env);
    let rig = h.start_host(h.host([""; 0]).runner(both)).await;
    let facts = rig.process.facts(Nothing {}).await.expect("ok");
    let wrapped = facts.environment.get("PLUGIN_WRAPPED");
    assert_eq!(wrapped.map(String::as_str), Some("by env"));
    assert_eq!(rig.plugin.name(), "suite-plugin");
    // Such commands become the plugin.
    assert_eq!(facts.pid, rig.pid());
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", facts.pid)).expect("it runs");
    let (_, after) = stat.rsplit_once(") ").expect("a name in brackets");
    let own = std::fs::read_to_string("/proc/self/stat").expect("this runs");
    let (_, before) = own.rsplit_once(") ").expect("a name in brackets");
    let nice = |stat: &str| stat.split(' ').nth(16).and_then(|n| n.parse::<i32>().ok());
    let expected = nice(before).map(|own| (own + 1).min(19));
    assert_eq!(nice(after), expected);
    rig.shutdown().await;
}

pub async fn a_command_in_front_that_stays_ends_with_its_plugin(h: Harness) {
    let shell = || Wrapper::new("sh").args(["-c", "\"$@\"; exit $?", "wrapper"]);
    let rig = h.start_host(h.host([""; 0]).runner(shell())).await;
    let facts = rig.process.facts(Nothing {}).await.expect("ok");
    assert_ne!(facts.pid, rig.pid());
    rig.shutdown().await;
    let rig = h.start_host(h.host(["--stubborn"]).runner(shell())).await;
    let facts = rig.process.facts(Nothing {}).await.expect("ok");
    assert_eq!(rig.plugin.kill().await.reason, ExitReason::Killed);
    assert!(gone(facts.pid));
}

pub async fn a_command_in_front_that_is_missing_is_told(h: Harness) {
    let host = h.host([""; 0]).runner(Wrapper::new("no-such-command"));
    let error = h.start_error(host).await;
    let text = error.to_string();
    assert!(text.contains("in front of it, no-such-command"), "{text}");
    assert!(!text.contains(PLUGIN), "{text}");
}

/// Starts what it is told and knows it by another name.
#[derive(Debug)]
struct Knowing;

impl Runner for Knowing {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        mut launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>> {
        if launch.program.is_empty() {
            launch.program = "/bin/sh".into();
            launch.args = vec!["-c".into(), "exit 3".into()];
        }
        let launching = ForkExec.launch(runtime, launch);
        Box::pin(async move {
            let mut process = launching.await?;
            process.child = Box::new(Boxed(process.child));
            Ok(process)
        })
    }

    fn name(&self) -> Option<String> {
        Some("box".to_owned())
    }

    fn shares_files(&self) -> bool {
        false
    }
}

pub async fn what_a_runner_finds_out_is_told(h: Harness) {
    // Of a program that the runner itself knows, and by the name that it has for it.
    let host = Host::new(HANDSHAKE).socket_dir(h.dir());
    let started = host.runner(Knowing).start(h.runtime.clone());
    let Err(HostError::Start { name, error }) = h.promptly(started).await else {
        panic!("it does not start");
    };
    assert_eq!(name, "box");
    assert_eq!(error.evidence.notes, None, "its files are not the host's");
    let told = error.evidence.diagnosis.as_deref();
    assert_eq!(told, Some("box-1 has no lid"));
    let text = format!("{error:?}");
    assert!(text.contains("says of it:\nbox-1 has no lid"), "{text}");
}

/// Keeps what it is to launch.
#[derive(Debug)]
struct Keeps(Arc<std::sync::Mutex<Option<Launch>>>);

impl Runner for Keeps {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>> {
        *self.0.lock().expect("whole") = Some(launch.clone());
        ForkExec.launch(runtime, launch)
    }
}

pub async fn a_runner_is_told_of_the_directory_for_sockets(h: Harness) {
    use std::os::unix::fs::MetadataExt as _;

    let group = rustix::process::getegid().as_raw().to_string();
    for (group, mode) in [(None, 0o700), (Some(&group), 0o770)] {
        let kept = Arc::default();
        let mut host = h.host([""; 0]).runner(Keeps(Arc::clone(&kept)));
        if let Some(group) = group {
            host = host.socket_group(group);
        }
        let rig = h.start_host(host).await;
        let launch = kept.lock().expect("whole").take().expect("it was launched");
        let dir = launch.socket_dir.clone().expect("there is one");
        let name = dir.file_name().and_then(|name| name.to_str());
        assert!(name.is_some_and(|name| name.starts_with("plugin-dir")));
        assert_eq!(dir.parent(), Some(h.dir()));
        let data = std::fs::metadata(&dir).expect("there");
        assert_eq!(data.mode() & 0o777, mode);
        assert_eq!(launch.socket_group.as_ref(), group);
        let told = |env: &[(std::ffi::OsString, std::ffi::OsString)]| {
            let of = env
                .iter()
                .find(|(name, _)| name == "PLUGIN_UNIX_SOCKET_DIR");
            of.map(|(_, value)| PathBuf::from(value))
        };
        assert_eq!(told(&launch.env).as_ref(), Some(&dir));
        assert_eq!(told(&launch.own_env).as_ref(), Some(&dir));
        rig.shutdown().await;
        assert!(!dir.exists());
    }
}

pub async fn a_directory_with_too_long_a_path_is_no_obstacle(h: Harness) {
    let long = h.dir().join("x".repeat(80));
    std::fs::create_dir(&long).expect("it is new");
    let kept = Arc::default();
    let host = h.host([""; 0]).socket_dir(&long);
    let rig = h.start_host(host.runner(Keeps(Arc::clone(&kept)))).await;
    let launch = kept.lock().expect("whole").take().expect("it was launched");
    let dir = launch.socket_dir.expect("there is one");
    assert!(!dir.starts_with(h.dir()), "{}", dir.display());
    // Sockets of both sides are there.
    let lent = lend(&rig);
    let there = rig.probe.relay(relay(lent.id(), "there")).await;
    assert_eq!(there, Ok(payload("there")));
    let (_, here) = borrow(&rig).await;
    assert_eq!(here.echo(payload("here")).await, Ok(payload("here")));
    rig.shutdown().await;
    assert!(!dir.exists());
    std::fs::remove_dir(&long).expect("nothing is in it");
}
