//! Hosts that attach to a plugin that another one has launched.

use outboard::{ExitReason, Host, NoRecord, ReattachConfig};
use outboard_conformance::HANDSHAKE;
use outboard_conformance::axes;
use outboard_conformance::proto::Probe as _;

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::{Harness, Rig};
use crate::leftovers;

/// A second host of the plugin, by what the first one hands on as text.
async fn attach(h: &Harness, first: &Rig) -> Rig {
    let record = first.plugin.reattach_config().expect("it listens");
    assert_eq!(record.pid, first.plugin.pid());
    assert_eq!(record.version, Some(first.plugin.negotiated_version()));
    let record = ReattachConfig::from_json(&record.to_json()).expect("it was just written");
    let host = axes::of_host(h.on.transport, Host::new(HANDSHAKE)).socket_dir(h.dir());
    h.start_host(host.attach(record)).await
}

pub async fn what_was_launched_is_used_by_a_second_host_too(h: Harness) {
    let first = h.start().await;
    // Each leaves it as it was.
    for _ in 0..3 {
        let second = attach(&h, &first).await;
        second.plugin.ping().await.expect("it is there");
        assert_eq!(second.probe.echo(payload("one")).await, Ok(payload("one")));
        let lent = lend(&second);
        let there = second.probe.relay(relay(lent.id(), "there")).await;
        assert_eq!(there, Ok(payload("there")));
        let (_, here) = borrow(&second).await;
        assert_eq!(here.echo(payload("here")).await, Ok(payload("here")));
        // Each host has a directory of its own for them.
        let dirs = leftovers::files_in(h.dir());
        assert_eq!(dirs.len(), 2, "{dirs:?}");
        drop((here, lent));
        let report = second.plugin.detach().await;
        assert_eq!(report.reason, ExitReason::Released);
        assert_eq!(
            leftovers::files_in(h.dir()).len(),
            1,
            "it takes its own along"
        );
        assert_eq!(first.probe.echo(payload("two")).await, Ok(payload("two")));
    }
    first.shutdown().await;
}

pub async fn what_was_attached_to_is_ended_in_good_order(h: Harness) {
    let first = h.start().await;
    let second = attach(&h, &first).await;
    let report = second.plugin.shutdown().await.expect("in good order");
    assert_eq!(report.reason, ExitReason::Shutdown, "{report}");
    let report = h.promptly(first.plugin.exited()).await;
    assert!(report.exit.success(), "{report}");
}

pub async fn what_was_attached_to_is_killed(h: Harness) {
    let first = h.start().await;
    let second = attach(&h, &first).await;
    let report = h.promptly(second.plugin.kill()).await;
    assert_eq!(report.reason, ExitReason::Killed, "{report}");
    let report = h.promptly(first.plugin.exited()).await;
    assert_eq!(report.exit.signal(), Some(9), "{report}");
}

pub async fn an_end_that_was_not_asked_for_is_noticed(h: Harness) {
    let first = h.start().await;
    let second = attach(&h, &first).await;
    leftovers::kill(first.plugin.pid().expect("it runs"));
    let report = h.promptly(second.plugin.exited()).await;
    assert_eq!(report.reason, ExitReason::Crashed, "{report}");
    h.promptly(first.plugin.exited()).await;
}

pub async fn a_plugin_on_its_own_pipes_has_no_record(h: Harness) {
    let rig = h.start().await;
    assert_eq!(rig.plugin.reattach_config(), Err(NoRecord::Pipes));
    rig.shutdown().await;
}

pub async fn what_has_ended_has_no_record(h: Harness) {
    let rig = h.start().await;
    leftovers::kill(rig.plugin.pid().expect("it runs"));
    h.promptly(rig.plugin.exited()).await;
    assert_eq!(rig.plugin.reattach_config(), Err(NoRecord::Exited));
}
