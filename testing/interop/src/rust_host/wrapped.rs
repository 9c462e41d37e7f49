//! A plugin behind a wrapper: what the host has launched is a shell that waits for it.

use std::time::Duration;

use outboard::{Command, ExitReason, Host, HostError, StartFailure, Tokio};

use super::{HANDSHAKE, Peer, dispense, run, start};
use crate::proto::probe::{Nothing, Probe as _, ProbeClient};
use crate::{Wait, is_alive, kill, wait_until_gone};

/// A host of the plugin behind a shell, which writes its own pid and that of the plugin to a file.
/// The shell has something to do after it, or it would become the plugin.
fn host(peer: &Peer, pids: &std::path::Path, mode: &[&str]) -> Host {
    let script = "echo $$ > \"$0\"; /bin/sh -c \"$1\" \"$@\"; true";
    let inner = "echo $$ >> \"$1\"; shift; exec \"$@\"";
    let command = Command::new("/bin/sh").args(["-c", script]).arg(pids);
    let command = command.arg(inner).arg(pids);
    let command = command.arg(&peer.program).args(&peer.arguments).args(mode);
    Host::new(HANDSHAKE).command(command.inherit_stdin(false))
}

/// The processes in the file must end.
async fn are_gone(pids: &std::path::Path) {
    let text = std::fs::read_to_string(pids).expect("written");
    let pids: Vec<u32> = text
        .lines()
        .map(|line| line.parse().expect("a pid"))
        .collect();
    assert_eq!(pids.len(), 2, "{text}");
    let gone = tokio::task::spawn_blocking(move || {
        let gone = pids.into_iter().map(|pid| {
            let gone = wait_until_gone(pid, Wait::default());
            if !gone {
                kill(pid);
            }
            gone
        });
        gone.collect::<Vec<_>>()
    });
    assert_eq!(gone.await.expect("no panic"), [true; 2], "{text}");
}

/// A start that fails leaves neither the shell nor the plugin.
pub fn wrapped_failed_start(peer: &Peer) {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let pids = dir.path().join("pids");
        // One serves in a version that the host does not have; one never gets that far.
        for mode in [&["negotiated", "7"][..], &["print-and-block", ""]] {
            let host = host(peer, &pids, mode).start_timeout(Duration::from_secs(2));
            let error = match host.start(Tokio::current()).await {
                Err(HostError::Start { error, .. }) => error,
                other => panic!("{other:?}"),
            };
            assert!(
                matches!(
                    error.failure,
                    StartFailure::Handshake(_) | StartFailure::TimedOut { .. }
                ),
                "{error:?}"
            );
            are_gone(&pids).await;
        }
    });
}

/// Neither does a kill.
pub fn wrapped_killed(peer: &Peer) {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let pids = dir.path().join("pids");
        let plugin = start(host(peer, &pids, &["probe"])).await;
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        let own = probe.process(Nothing {}).await.expect("it serves").pid;
        let shell = plugin.pid().expect("it runs");
        assert_ne!(own, i64::from(shell), "that is the shell's");
        let report = plugin.kill().await;
        assert_eq!(report.reason, ExitReason::Killed);
        assert!(!is_alive(shell), "it was reaped");
        are_gone(&pids).await;
    });
}
