//! Plugins that are kept up, whose instances live with their processes.

use std::time::Duration;

use futures_util::future::join;
use outboard::netrpc::{CallError, Instance, Value};
use outboard::supervisor::{Backoff, Cause, Phase, Swap};
use outboard::{DispenseError, Supervision};

use super::case::Subject;
use crate::is_alive;

/// A crash ends the instances of its process, and the next process has others.
///
/// # Panics
/// If not.
pub fn kept_up(subject: &Subject) {
    subject.each(async |case| {
        let millisecond = Duration::from_millis(1);
        let backoff = Backoff::new().first(millisecond).longest(millisecond);
        let policy = Supervision::new()
            .backoff(backoff)
            .budget(1, Duration::MAX)
            .lazy(true);
        let plugin = case.host("plain").supervise(policy, case.runtime.clone());
        let mut pids = Vec::new();
        for generation in 1..3 {
            // It is started for this, or waited for.
            let greeter: Instance = plugin.dispense("greeter").await.expect("there is one");
            let doubled: Result<i64, _> = greeter.call("Plugin.Double", &21).await;
            assert_eq!(doubled.expect("a number"), 42);
            let state = plugin.state();
            assert_eq!(state.generation, generation);
            pids.push(state.pid.expect("it is up"));
            for _ in 0..2 {
                let lost = greeter.call::<_, ()>("Plugin.Die", &Value::Nil).await;
                assert!(matches!(lost, Err(CallError::Lost { .. })), "{lost:?}");
            }
        }
        // Once too often: nobody waits for ever.
        let refused = plugin.dispense::<Instance>("greeter").await;
        let Err(DispenseError::Refused(status)) = refused else {
            panic!("{refused:?}");
        };
        assert!(status.message().contains("Supervised::start"), "{status}");
        assert_eq!(plugin.state().phase, Phase::CrashLoop);
        plugin.start();
        plugin.ready().await.expect("it starts");
        pids.extend(plugin.state().pid);
        plugin
            .shutdown()
            .await
            .expect("it ends when it is asked to");
        assert_eq!(plugin.state().phase, Phase::Over(Cause::Shutdown));
        assert!(!pids.into_iter().any(is_alive));
    });
}

/// Another process takes over: an instance goes on in its own until it is dropped, and the next one that is
/// dispensed is of the new process.
///
/// # Panics
/// If not.
pub fn swapped(subject: &Subject) {
    subject.each(async |case| {
        let host = case.host("plain");
        let plugin = host.supervise(Supervision::new(), case.runtime.clone());
        let double = async |greeter: &Instance| {
            let doubled: Result<i64, _> = greeter.call("Plugin.Double", &21).await;
            assert_eq!(doubled.expect("a number"), 42);
        };
        let old: Instance = plugin.dispense("greeter").await.expect("there is one");
        let first = plugin.state().pid.expect("it is up");
        let calls = async {
            let mut states = plugin.states();
            while plugin.state().generation == 1 {
                double(&old).await;
                states.next().await.expect("it goes on");
            }
            let new: Instance = plugin.dispense("greeter").await.expect("there is one");
            for _ in 0..10 {
                double(&old).await;
                double(&new).await;
            }
            assert!(is_alive(first), "it goes on for its instance");
            drop(old);
            new
        };
        let (report, new) = join(plugin.swap(&host, Swap::beside()), calls).await;
        let report = report.expect("the new one is well");
        assert!(report.drained, "{report:?}");
        assert!(!is_alive(first));
        double(&new).await;
        // An instance that somebody keeps holds nothing up for longer than it may.
        let plan = Swap::beside().drain_within(Duration::from_millis(20));
        let report = plugin.swap(&host, plan).await.expect("the new one is well");
        assert!(!report.drained, "{report:?}");
        let lost: Result<i64, _> = new.call("Plugin.Double", &21).await;
        assert!(matches!(lost, Err(CallError::Lost { .. })), "{lost:?}");
        plugin
            .shutdown()
            .await
            .expect("it ends when it is asked to");
    });
}
