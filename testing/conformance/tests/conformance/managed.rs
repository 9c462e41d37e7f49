//! Several plugins: found out about at once, and ended at once.

use std::time::Duration;

use outboard::discover::enumerate;
use outboard::{
    Command, ConfigError, ExitReason, Health, HostError, Managed, RunningPlugin, ShutdownError,
};

use crate::harness::Harness;
use crate::leftovers::{gone, processes_of};

/// Long for a plugin that ends, and short enough to wait for several times.
const GRACE: Duration = Duration::from_millis(600);

/// Plugins of one group.
async fn several(
    h: &Harness,
    managed: &Managed,
    options: &[&str],
    count: usize,
) -> Vec<RunningPlugin> {
    let mut plugins = Vec::new();
    for number in 0..count {
        let host = h.host(options).managed(managed).shutdown_grace(GRACE);
        let host = host.name(format!("number {number}"));
        let started = host.start(h.runtime.clone()).await;
        plugins.push(started.expect("it starts"));
    }
    plugins
}

pub async fn one_call_ends_all_in_parallel(h: Harness) {
    let managed = Managed::new();
    // One after the other they would take twice as long as is waited for here.
    let stubborn = several(&h, &managed, &["--stubborn"], 10).await;
    let good = several(&h, &managed, &[""; 0], 2).await;
    let pids: Vec<u32> = stubborn
        .iter()
        .chain(&good)
        .filter_map(RunningPlugin::pid)
        .collect();
    assert_eq!(pids.len(), 12);
    assert!(!managed.is_over());
    let ends = h.within(GRACE * 5, managed.end_all()).await;
    assert!(managed.is_over());
    let names: Vec<&str> = ends.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        (names[0], names[10], names[11]),
        ("number 0", "number 0", "number 1")
    );
    for (name, ended) in &ends[..10] {
        let grace_expired = matches!(ended, Err(ShutdownError::GraceExpired { .. }));
        assert!(grace_expired, "{name}: {ended:?}");
    }
    for (name, ended) in &ends[10..] {
        let report = ended.as_ref().expect(name);
        assert_eq!(report.reason, ExitReason::Shutdown);
    }
    assert!(stubborn.iter().chain(&good).all(RunningPlugin::is_exited));
    assert!(pids.into_iter().all(gone));
    // All of them are over, and nothing begins any more.
    assert_eq!(managed.end_all().await.len(), 0);
    let again = h.host([""; 0]).managed(&managed);
    let refused = again
        .start(h.runtime.clone())
        .await
        .expect_err("it is over");
    assert_eq!(refused, HostError::Config(ConfigError::GroupOver));
}

pub async fn a_guard_kills_all_when_it_is_dropped(h: Harness) {
    let managed = Managed::new();
    let guard = managed.guard();
    let plugins = several(&h, &managed, &["--stubborn"], 3).await;
    drop(guard);
    for plugin in &plugins {
        assert_eq!(plugin.exited().await.reason, ExitReason::Killed);
    }
    assert!(managed.is_over());
}

/// The group holds none of its plugins.
pub async fn a_plugin_of_a_group_ends_with_its_handle(h: Harness) {
    let managed = Managed::new();
    let plugins = several(&h, &managed, &[""; 0], 2).await;
    let exits: Vec<_> = plugins.iter().map(RunningPlugin::exited).collect();
    drop(plugins);
    for exit in exits {
        assert_eq!(exit.await.reason, ExitReason::Killed);
    }
}

pub async fn candidates_are_tried_side_by_side(h: Harness) {
    let hosts = [
        h.host([""; 0]).name("good"),
        h.script("echo no plugin >&2; exit 3").name("bad"),
        h.host([""; 0]).name("good, too"),
        h.host_of(Command::new("/no/such/program")),
    ];
    let tried = enumerate(h.runtime.clone(), hosts, 2).await;
    let names: Vec<&str> = tried.iter().map(|tried| tried.name.as_str()).collect();
    assert_eq!(names, ["good", "bad", "good, too", "program"]);
    for tried in [&tried[0], &tried[2]] {
        let described = tried.outcome.as_ref().expect("it is a plugin");
        assert_eq!(described.version, 1);
        assert_eq!(described.health, Ok(Health::Serving));
        let interfaces = described.interfaces.as_ref().expect("it says so");
        assert_eq!(
            interfaces,
            &["outboard.suite.Probe", "outboard.suite.Process"]
        );
    }
    for tried in [&tried[1], &tried[3]] {
        let failed = matches!(tried.outcome, Err(HostError::Start { .. }));
        assert!(failed, "{tried:?}");
    }
    let dir = h.dir().to_owned();
    let left = h.elsewhere(move || {
        processes_of(&dir)
            .into_iter()
            .filter(|pid| !gone(*pid))
            .count()
    });
    assert_eq!(left.await, 0);
}

pub async fn a_plugin_gets_the_bytes_for_its_stdin(h: Harness) {
    let script = Command::new("/bin/sh").args(["-c", "cat >&2; exit 3"]);
    let script = script.stdin_bytes("one\ntwo\n".as_bytes());
    let error = h.start_error(h.host([""; 0]).command(script)).await;
    assert_eq!(error.evidence.stderr, ["one", "two"]);
}

pub async fn bytes_and_calls_do_not_share_a_stdin(h: Harness) {
    let command = h.plugin([""; 0]).stdin_bytes(*b"bytes");
    let host = h.host([""; 0]).command(command);
    let refused = host
        .start(h.runtime.clone())
        .await
        .expect_err("two for one");
    assert_eq!(refused, HostError::Config(ConfigError::StdinTaken));
}
