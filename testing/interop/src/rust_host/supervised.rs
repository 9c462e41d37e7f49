//! Plugins that are kept up.

use std::time::Duration;

use outboard::supervisor::{Backoff, Cause, Change, HealthCheck, Phase, State};
use outboard::{Supervised, Supervision, Tokio};

use super::{Peer, run};
use crate::is_alive;
use crate::proto::probe::{CrashRequest, Nothing, Probe as _, ProbeClient, crash_request::Way};

fn policy() -> Supervision {
    let millisecond = Duration::from_millis(1);
    Supervision::new().backoff(Backoff::new().first(millisecond).longest(millisecond))
}

async fn until(plugin: &Supervised, wanted: impl Fn(&State) -> bool) -> State {
    let mut states = plugin.states();
    while let Some(state) = states.next().await {
        if wanted(&state) {
            return state;
        }
    }
    panic!("it is over: {:?}", plugin.state());
}

/// A plugin that crashes is started again under its clients, and one that is to end is asked to.
pub fn supervised(peer: &Peer) {
    run(async {
        // It is asked all the time, and never ended for it, however busy the machine is.
        let check = HealthCheck::new()
            .every(Duration::from_millis(50))
            .misses(u32::MAX);
        let plugin = peer
            .host(&["probe"])
            .supervise(policy().health(check), Tokio::current());
        plugin.ready().await.expect("it starts");
        let probe: ProbeClient = plugin.dispense("probe").await.expect("it has one");
        let mut events = plugin.events();
        let mut pids = Vec::new();
        for generation in 1..4 {
            let up = |state: &State| state.generation == generation && state.phase == Phase::Up;
            let pid = until(&plugin, up).await.pid.expect("it is a process");
            pids.push(pid);
            // Whichever process is there.
            probe.observe(Nothing {}).await.expect("it answers");
            let crash = CrashRequest {
                way: Way::Kill.into(),
                ..CrashRequest::default()
            };
            let status = probe.crash(crash).await.expect_err("it crashed");
            assert!(
                status.is_connection_lost() && !status.is_unsent(),
                "{status}"
            );
        }
        probe
            .observe(Nothing {})
            .await
            .expect("it waits for the next");
        let state = plugin.state();
        assert_eq!((state.generation, state.restarts), (4, 3));
        let failed: Vec<Option<u32>> = state.failures.iter().map(|end| end.pid).collect();
        assert_eq!(failed, pids.iter().copied().map(Some).collect::<Vec<_>>());
        assert!(!pids.into_iter().any(is_alive));
        plugin
            .shutdown()
            .await
            .expect("it ends when it is asked to");
        let mut last = None;
        while let Some(event) = events.next().await {
            if let Change::Ended(end) = event.change {
                last = Some(end);
            }
        }
        let last = last.expect("it has ended");
        assert_eq!(last.cause, Cause::Shutdown);
        assert!(
            last.text.contains("was shut down and exited with status 0"),
            "{last}"
        );
    });
}

/// One that nobody calls is asked to end, and started by the next call.
pub fn supervised_idle(peer: &Peer) {
    run(async {
        let policy = policy()
            .lazy(true)
            .stop_when_idle(Duration::from_millis(20));
        let plugin = peer.host(&["probe"]).supervise(policy, Tokio::current());
        let probe: ProbeClient = plugin.dispense("probe").await.expect("nothing is asked");
        let mut events = plugin.events();
        for _ in 0..2 {
            probe
                .observe(Nothing {})
                .await
                .expect("it is started for this");
            until(&plugin, |state| state.phase == Phase::Resting).await;
        }
        plugin.shutdown().await.expect("nothing runs");
        let mut ends = Vec::new();
        while let Some(event) = events.next().await {
            if let Change::Ended(end) = event.change {
                assert!(
                    end.text.contains("was shut down and exited with status 0"),
                    "{end}"
                );
                ends.push(end.cause);
            }
        }
        assert_eq!(ends, [Cause::Idle, Cause::Idle]);
    });
}
