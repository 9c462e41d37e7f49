//! One host in which plugins are launched, crash, are ended and replaced, again and again: it stays as it was,
//! its descriptors, threads and files, and to a small part its memory; and no child is left unreaped.
//!
//! `OUTBOARD_SOAK` says how many times. Alone in its process, which is what is looked at.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join;
use outboard::supervisor::{Backoff, Phase, Supervision, Swap};
use outboard::{Command, Host, RunningPlugin, Supervised};
use outboard_conformance::axes::{self, RuntimeKind, TransportKind};
use outboard_conformance::proto::{CrashRequest, Process as _, ProcessClient};
use outboard_conformance::proto::{Nothing, Payload, Probe as _, ProbeClient};
use outboard_conformance::{HANDSHAKE, PROBE, PROCESS};
use outboard_core::rt::SharedRuntime;
use outboard_kit::dice::{Dice, number};

const ON: [(RuntimeKind, TransportKind); 4] = [
    (RuntimeKind::Tokio, TransportKind::H2),
    (RuntimeKind::TokioThreads, TransportKind::Stdio),
    (RuntimeKind::Smol, TransportKind::H2),
    (RuntimeKind::Smol, TransportKind::Stdio),
];

/// What grows where something leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    descriptors: usize,
    threads: usize,
    children: usize,
    files: usize,
}

/// How it is now, and the resident memory in KiB.
fn look(dir: &Path) -> (Seen, u64) {
    let count = |path: &str| fs::read_dir(path).expect("it is there").count();
    let tasks = fs::read_dir("/proc/self/task").expect("it is there");
    let children = tasks.filter_map(|task| {
        let children = fs::read_to_string(task.ok()?.path().join("children"));
        // A thread may have ended since.
        Some(children.ok()?.split_whitespace().count())
    });
    let seen = Seen {
        // One of them is open for this look.
        descriptors: count("/proc/self/fd") - 1,
        threads: count("/proc/self/task"),
        children: children.sum(),
        files: fs::read_dir(dir).expect("it is there").count(),
    };
    let status = fs::read_to_string("/proc/self/status").expect("it is there");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|line| line.split_whitespace().next());
    (seen, resident.expect("a size").parse().expect("a number"))
}

impl Seen {
    fn has_grown_since(self, before: Self) -> bool {
        self.descriptors > before.descriptors
            || self.threads > before.threads
            || self.children > before.children
            || self.files > before.files
    }
}

/// One host on one runtime and transport.
struct Soak {
    runtime: SharedRuntime,
    host: Host,
    kept: Supervised,
    probe: ProbeClient,
    process: ProcessClient,
    done: [usize; 4],
}

impl Soak {
    async fn new(
        runtime: SharedRuntime,
        kind: RuntimeKind,
        transport: TransportKind,
        dir: &Path,
    ) -> Self {
        let plugin = env!("CARGO_BIN_EXE_suite-plugin");
        let command = Command::new(plugin).args([kind.to_string(), transport.to_string()]);
        let command = command.env("TMPDIR", dir).inherit_stdin(false);
        let host = axes::of_host(transport, Host::new(HANDSHAKE)).command(command);
        let host = host.socket_dir(dir).shutdown_grace(Duration::from_secs(60));
        let pause = Duration::from_millis(1);
        let policy = Supervision::new()
            .budget(u32::MAX, Duration::MAX)
            .backoff(Backoff::new().first(pause).longest(pause));
        let kept = host.supervise(policy, runtime.clone());
        Self {
            probe: kept.dispense(PROBE).await.expect("it has one"),
            process: kept.dispense(PROCESS).await.expect("it has one"),
            runtime,
            host,
            kept,
            done: [0; 4],
        }
    }

    async fn once(&mut self, dice: &mut Dice) {
        let what = dice.roll(4) as usize;
        self.done[what] += 1;
        match what {
            0 => self
                .launch()
                .await
                .shutdown()
                .await
                .map(drop)
                .expect("in good order"),
            1 => drop(self.launch().await.kill().await),
            2 => self.crash().await,
            _ => self.swap().await,
        }
    }

    /// A plugin beside the one that is kept up.
    async fn launch(&self) -> RunningPlugin {
        let plugin = self
            .host
            .start(self.runtime.clone())
            .await
            .expect("it starts");
        let probe: ProbeClient = plugin.dispense(PROBE).await.expect("it has one");
        echo(&probe).await;
        plugin
    }

    async fn crash(&self) {
        let request = CrashRequest {
            code: 1,
            ..CrashRequest::default()
        };
        let lost = self.process.crash(request).await;
        assert!(lost.expect_err("no answer").is_connection_lost());
        // It waits for the next process.
        echo(&self.probe).await;
        self.process.facts(Nothing {}).await.expect("it answers");
    }

    /// Under a call that is in flight.
    async fn swap(&self) {
        let busy = async {
            for _ in 0..3 {
                echo(&self.probe).await;
            }
        };
        let (swapped, ()) = join(self.kept.swap(&self.host, Swap::beside()), busy).await;
        swapped.expect("it starts");
    }
}

async fn echo(probe: &ProbeClient) {
    let data = b"soak".to_vec();
    let echoed = probe.echo(Payload { data: data.clone() }).await;
    assert_eq!(echoed.expect("an answer").data, data);
}

#[test]
fn a_host_stays_as_it_was() {
    let times = number("OUTBOARD_SOAK").unwrap_or(40);
    let seed = number("OUTBOARD_SOAK_SEED").unwrap_or(1);
    let total = AtomicUsize::new(0);
    for (kind, transport) in ON {
        let dir = tempfile::tempdir().expect("a directory");
        let mut dice = Dice::new(seed);
        axes::block_on(kind, |runtime| {
            let (dice, dir, total) = (&mut dice, dir.path(), &total);
            async move {
                let mut soak = Soak::new(runtime, kind, transport, dir).await;
                // What is made once is made by then.
                for _ in 0..20 {
                    soak.once(dice).await;
                }
                soak.kept.ready().await.expect("it is up");
                // Once nothing of the last one is about to end any more.
                let ((mut before, mut resident), mut same) = (look(dir), 0);
                while same < 5 {
                    echo(&soak.probe).await;
                    let next = look(dir);
                    same = if next.0 == before { same + 1 } else { 0 };
                    (before, resident) = next;
                }
                for _ in 0..times / ON.len() as u64 {
                    soak.once(dice).await;
                }
                soak.kept.ready().await.expect("it is up");
                assert_eq!(soak.kept.state().phase, Phase::Up);
                // A thread or a connection may be about to end.
                let began = Instant::now();
                let mut now = look(dir);
                while now.0.has_grown_since(before) && began.elapsed() < Duration::from_secs(20) {
                    echo(&soak.probe).await;
                    now = look(dir);
                }
                assert!(
                    !now.0.has_grown_since(before),
                    "{kind}, {transport}: {before:?}, then {:?}",
                    now.0
                );
                println!(
                    "{kind}, {transport}: {:?} shutdowns, kills, crashes, swaps; {before:?}; {resident} -> {} KiB",
                    soak.done, now.1
                );
                assert!(
                    now.1 < resident + 4096,
                    "{resident} KiB before, {} after",
                    now.1
                );
                total.fetch_add(soak.done.iter().sum(), Ordering::Relaxed);
                soak.kept.shutdown().await.expect("in good order");
            }
        });
        assert_eq!(
            fs::read_dir(dir.path()).expect("it").count(),
            0,
            "files are left"
        );
    }
    assert!(total.into_inner() as u64 >= times);
}
