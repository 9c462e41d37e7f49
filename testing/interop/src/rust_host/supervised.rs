//! Plugins that are kept up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use outboard::supervisor::{Backoff, Cause, Change, HealthCheck, Phase, State, Swap, SwapStep};
use outboard::{Supervised, Supervision, Tokio};
use outboard_conformance::axes::RuntimeKind;

use super::{Peer, run};
use crate::is_alive;
use crate::proto::probe::{
    CrashRequest, Nothing, Payload, Probe as _, ProbeClient, SleepRequest, crash_request::Way,
};
use crate::tls::on;

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

/// Programs of two languages take over from one another on each runtime: no call fails, those that take their
/// time are finished where they began, and what does not fit changes nothing.
///
/// # Panics
/// If not.
pub fn swapped(one: &Peer, other: &Peer) {
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        on(kind, async |runtime| {
            let plugin = one.host(&["probe"]).supervise(policy(), runtime.clone());
            plugin.ready().await.expect("it starts");
            let probe: ProbeClient = plugin.dispense("probe").await.expect("it has one");
            let over = AtomicBool::new(false);
            // Each has calls that take longer than the move does.
            let caller = async |number: u64| {
                while !over.load(Ordering::SeqCst) {
                    let millis = number % 4 * 20;
                    let slept = probe.sleep(SleepRequest { millis }).await;
                    slept.expect("it is finished where it began");
                    let data = number.to_be_bytes().to_vec();
                    let echoed = probe.echo(Payload { data: data.clone() }).await;
                    assert_eq!(echoed.expect("it answers").data, data);
                }
            };
            let swapper = async {
                let mut pids = vec![plugin.state().pid.expect("it is up")];
                for number in 0..8 {
                    let next = if number % 2 == 0 { other } else { one };
                    let plan = if number == 5 {
                        Swap::exclusive()
                    } else {
                        Swap::beside()
                    };
                    let report = plugin.swap(&next.host(&["probe"]), plan).await;
                    let report = report.expect("it takes over");
                    assert!(report.drained, "{report:?}");
                    let old = report.old.expect("there was one");
                    assert_eq!((old.cause, old.pid), (Cause::Swapped, pids.last().copied()));
                    assert!(
                        old.text.contains("was shut down and exited with status 0"),
                        "{old}"
                    );
                    pids.push(report.pid.expect("it is a process"));
                }
                // One that dies before it says anything.
                let broken = other.host(&["no such mode"]);
                let failed = plugin.swap(&broken, Swap::beside()).await;
                let failed = failed.expect_err("it does not start");
                let failure = failed.failure().expect("it was tried");
                assert_eq!(failure.step, SwapStep::Start);
                assert!(failure.old_serves(), "{failure:?}");
                over.store(true, Ordering::SeqCst);
                pids
            };
            let (pids, _) = join(swapper, join_all((0..16).map(caller))).await;
            let state = plugin.state();
            assert_eq!((state.restarts, state.pid), (0, pids.last().copied()));
            plugin
                .shutdown()
                .await
                .expect("it ends when it is asked to");
            assert!(!pids.into_iter().any(is_alive));
        });
    }
}
