//! A plugin behind a wrapper: what the host has launched is a shell that waits for it.

use std::time::Duration;

use outboard::{Command, ExitReason, ShutdownError, StartFailure, StartPhase};
use outboard_conformance::proto::{Nothing, Process as _};

use crate::harness::{Harness, PLUGIN};
use crate::leftovers::{self, gone, gone_within, processes_of};

/// Stays whatever its host does, unless it is killed.
const STAYS: [&str; 2] = ["--outlive", "--stubborn"];

/// Something to do after the plugin, or the shell would become the plugin.
const SHELL: [&str; 4] = ["/bin/sh", "-c", "\"$@\"; true", "wrapper"];

/// A program and its arguments behind this many shells.
fn behind(shells: usize, words: &[&str]) -> Command {
    let all = [SHELL; 3][..shells].concat();
    Command::new(all[0]).args(&all[1..]).args(words)
}

/// The suite's plugin behind this many shells.
fn wrapped(h: &Harness, shells: usize, options: &[&str]) -> Command {
    let on = [h.on.plugin.to_string(), h.on.transport.to_string()];
    behind(shells, &[PLUGIN]).args(on).args(options)
}

/// Waits until nothing runs any more of what was launched.
async fn nothing_is_left(h: &Harness) {
    let dir = h.dir().to_owned();
    let left = move || -> Vec<u32> {
        let left = processes_of(&dir).into_iter();
        left.filter(|pid| !gone(*pid)).collect()
    };
    assert_eq!(h.elsewhere(left).await, [0; 0], "processes");
}

pub async fn a_failed_start_takes_what_is_behind_a_wrapper_along(h: Harness) {
    // It serves, but nothing that this host can use.
    for shells in [1, 3] {
        let options = ["--versions", "7", STAYS[0], STAYS[1]];
        let host = h.host_of(wrapped(&h, shells, &options));
        let error = h.start_error(host).await;
        assert!(
            matches!(error.failure, StartFailure::Handshake(_)),
            "{error:?}"
        );
        nothing_is_left(&h).await;
    }
    // It never prints a line.
    let host = h.host_of(behind(1, &[PLUGIN, "--hold-streams"]));
    let error = h
        .start_error(host.start_timeout(Duration::from_millis(300)))
        .await;
    let phase = StartPhase::Handshake;
    assert!(
        matches!(error.failure, StartFailure::TimedOut { phase: p, .. } if p == phase),
        "{error:?}"
    );
    nothing_is_left(&h).await;
    // It refuses the cookie, and the wrapper goes on.
    let on = [h.on.plugin.to_string(), h.on.transport.to_string()];
    let script = "SUITE_COOKIE=another \"$@\"; sleep 600; true";
    let refusing = Command::new("/bin/sh").args(["-c", script, "wrapper", PLUGIN]);
    let host = h.host_of(refusing.args(on));
    let error = h
        .start_error(host.start_timeout(Duration::from_millis(500)))
        .await;
    let stderr = error.evidence.stderr.join("\n");
    assert!(stderr.contains("plugin"), "{error:?}");
    nothing_is_left(&h).await;
}

pub async fn a_kill_takes_what_is_behind_a_wrapper_along(h: Harness) {
    for (shells, end) in [(1, "kill"), (3, "kill"), (1, "drop"), (1, "grace")] {
        let host = h.host_of(wrapped(&h, shells, &STAYS));
        let rig = h
            .start_host(host.shutdown_grace(Duration::from_millis(200)))
            .await;
        let facts = rig.process.facts(Nothing {}).await.expect("it serves");
        assert_ne!(facts.pid, rig.pid(), "that is the outermost shell's");
        match end {
            "kill" => {
                let report = h.promptly(rig.plugin.kill()).await;
                assert_eq!(report.reason, ExitReason::Killed);
            }
            "drop" => drop(rig),
            _ => {
                let error = h.promptly(rig.plugin.shutdown()).await;
                let error = error.expect_err("it stays");
                assert!(
                    matches!(error, ShutdownError::GraceExpired { .. }),
                    "{error:?}"
                );
            }
        }
        nothing_is_left(&h).await;
    }
}

pub async fn a_kill_spares_what_it_is_told_to_spare(h: Harness) {
    let command = wrapped(&h, 1, &STAYS).spare_descendants(true);
    let rig = h.start_host(h.host_of(command)).await;
    let plugin = rig.process.facts(Nothing {}).await.expect("it serves").pid;
    let shell = rig.pid();
    h.promptly(rig.plugin.kill()).await;
    assert!(!leftovers::exists(shell), "it was reaped");
    // That nothing happens can only be waited for.
    let limit = Duration::from_millis(100);
    let ended = h.elsewhere(move || gone_within(plugin, limit)).await;
    leftovers::kill(plugin);
    assert!(!ended, "the plugin was to be spared");
}
