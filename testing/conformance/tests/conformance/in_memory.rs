//! Host and plugin in one process, and in memory. Most cases here are those of other files.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::{Either, poll_immediate, select};
use outboard::{Code, ExitReason, Handshake, Host, NoRecord, Plugin, ReattachConfig, memory};
use outboard_conformance::probe::Prober;
use outboard_conformance::proto::{Nothing, Probe as _, ProbeClient, ProbeServer};
use outboard_conformance::{HANDSHAKE, PROBE, axes};

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::Harness;
use crate::sealed::Sealed;

pub async fn it_is_a_plugin_like_any_other(h: Harness) {
    let rig = h.start().await;
    rig.plugin.ping().await.expect("it is there");
    assert_eq!(
        (rig.plugin.pid(), rig.plugin.negotiated_version()),
        (None, 1)
    );
    assert!(rig.plugin.id().is_some());
    assert_eq!(rig.plugin.reattach_config(), Err(NoRecord::Memory));
    let (lent, (_, borrowed)) = (lend(&rig), borrow(&rig).await);
    let there = rig.probe.relay(relay(lent.id(), "there")).await;
    assert_eq!(there, Ok(payload("there")));
    assert_eq!(borrowed.echo(payload("here")).await, Ok(payload("here")));
    let exited = rig.plugin.exited();
    let report = rig.plugin.shutdown().await.expect("in good order");
    assert_eq!(report.reason, ExitReason::Shutdown, "{report}");
    assert!(report.exit.success(), "{report}");
    assert_eq!(h.promptly(exited).await, report);
}

pub async fn the_version_is_agreed_on(h: Harness) {
    let mut plugin = axes::of_plugin(h.on.transport, Plugin::new(HANDSHAKE));
    for version in [2, 3, 5] {
        plugin = plugin.provide_version(version, PROBE, ProbeServer::new(Prober::default()));
    }
    let host = h.host([""; 0]).versions([1, 2, 3, 4]);
    let plugin = h.start_in_memory(&host, plugin).await;
    assert_eq!(plugin.negotiated_version(), 3);
    plugin.shutdown().await.expect("in good order");
}

/// What happens to a call in the plugin when its end comes so.
async fn a_call_is_ended(h: Harness, end: impl AsyncFnOnce(outboard::RunningPlugin)) {
    let prober = Prober::default();
    let plugin = axes::of_plugin(h.on.transport, Plugin::new(HANDSHAKE));
    let plugin = plugin.provide(PROBE, ProbeServer::new(prober.clone()));
    let plugin = h.start_in_memory(&h.host([""; 0]), plugin).await;
    let probe: ProbeClient = plugin.dispense(PROBE).await.expect("no names are given");
    let mut waiting = pin!(probe.wait(Nothing {}));
    match select(waiting.as_mut(), pin!(prober.note())).await {
        Either::Left((result, _)) => panic!("it never ends by itself: {result:?}"),
        Either::Right((note, _)) => assert_eq!(note, "wait began"),
    }
    end(plugin).await;
    assert_eq!(h.promptly(prober.note()).await, "wait dropped");
    let status = h.promptly(waiting).await.expect_err("it is over");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

pub async fn a_kill_ends_what_runs_in_it(h: Harness) {
    a_call_is_ended(h, async |plugin| {
        let report = plugin.kill().await;
        assert_eq!(report.reason, ExitReason::Killed, "{report}");
    })
    .await;
}

pub async fn it_ends_with_its_handle(h: Harness) {
    a_call_is_ended(h, async |plugin| drop(plugin)).await;
}

pub async fn letting_go_of_it_ends_it(h: Harness) {
    a_call_is_ended(h, async |plugin| {
        let report = plugin.detach().await;
        assert_eq!(report.reason, ExitReason::Released, "{report}");
    })
    .await;
}

/// Why this plugin does not start in memory.
async fn refused(h: &Harness, host: &Host, plugin: Plugin) -> String {
    let starting = memory::start(host, plugin, Sealed::around(h.runtime.clone()));
    match h.promptly(starting).await {
        // As a `main` that returns it prints it, with all evidence.
        Err(error) => format!("{error:?}"),
        Ok(plugin) => panic!("it started: {plugin:?}"),
    }
}

pub async fn what_does_not_start_is_told(h: Harness) {
    let serving = |handshake| {
        let plugin = axes::of_plugin(h.on.transport, Plugin::new(handshake));
        plugin.provide(PROBE, ProbeServer::new(Prober::default()))
    };
    let host = h.host([""; 0]);
    let other = Handshake::new(1, "ANOTHER_COOKIE", "of another plugin");
    let told = refused(&h, &host, serving(other)).await;
    assert!(
        told.contains("exited with status 1") && told.contains("cookie"),
        "{told}"
    );
    let told = refused(
        &h,
        &host,
        axes::of_plugin(h.on.transport, Plugin::new(HANDSHAKE)),
    )
    .await;
    assert!(told.contains("provides no interfaces"), "{told}");
    let told = refused(&h, &host.clone().versions([7]), serving(HANDSHAKE)).await;
    assert!(told.contains('7') && told.contains("version"), "{told}");
    let record = r#"{"Protocol":"grpc","Addr":{"Network":"unix","String":"/none"}}"#;
    let record = ReattachConfig::from_json(record).expect("a record");
    let told = refused(&h, &host.clone().attach(record), serving(HANDSHAKE)).await;
    assert!(told.contains("memory::start"), "{told}");
}

pub async fn a_start_that_is_given_up_leaves_nothing(h: Harness) {
    let prober = Prober::default();
    let plugin = axes::of_plugin(h.on.transport, Plugin::new(HANDSHAKE));
    let plugin = plugin.provide(PROBE, ProbeServer::new(prober.clone()));
    let host = h.host([""; 0]);
    let starting = memory::start(&host, plugin, Sealed::around(h.runtime.clone()));
    assert!(poll_immediate(starting).await.is_none());
    // The service goes with the plugin, and this is its last other owner.
    let only_this = || prober.owners() == 1;
    h.promptly(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if only_this() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }))
    .await;
}
