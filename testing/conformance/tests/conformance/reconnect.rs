//! Connections that are lost while the processes at both ends live.

use std::time::Duration;

use futures_util::future::{join, join_all};
use outboard::{Code, ExitReason, Health, Host, RunningPlugin, ShutdownError, Streaming};
use outboard_conformance::cut::{Cuttable, Scissors};
use outboard_conformance::proto::{
    Nothing, PourRequest, PrintRequest, Probe as _, Process as _, print_request::How,
};
use outboard_conformance::watched::Sink;
use outboard_conformance::{PROBE, PROCESS};
use outboard_kit::files::sockets_in;

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::{Harness, Rig};
use crate::leftovers::gone;

/// The suite's plugin under this host, and the scissors to its connections.
async fn start(h: &Harness, host: Host) -> (Rig, Scissors) {
    let (runtime, scissors) = Cuttable::around(h.runtime.clone());
    let plugin = host.start(runtime).await.expect("the plugin starts");
    let rig = Rig {
        probe: plugin.dispense(PROBE).await.expect("no names are given"),
        process: plugin.dispense(PROCESS).await.expect("no names are given"),
        plugin,
    };
    (rig, scissors)
}

/// Cuts the connection, and waits until that is noticed: a call in flight fails.
async fn cut(h: &Harness, rig: &Rig, scissors: &Scissors) {
    let cut = async {
        echoes(rig).await;
        scissors.cut();
    };
    let (in_flight, ()) = h.promptly(join(rig.probe.wait(Nothing {}), cut)).await;
    let status = in_flight.expect_err("it was cut off");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.is_connection_lost(), "{status}");
}

async fn echoes(rig: &Rig) {
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
}

/// Waits until the loss has been reported.
async fn until_disconnected(h: &Harness, plugin: &RunningPlugin) {
    let waiting = async {
        while !plugin.is_disconnected() {
            // Lets everybody else run, and gives what is done in threads its time.
            h.elsewhere(|| std::thread::sleep(Duration::from_millis(5)))
                .await;
        }
    };
    h.promptly(waiting).await;
}

pub async fn a_lost_connection_comes_back(h: Harness) {
    let stdout = Sink::default();
    let host = h.host([""; 0]).sync_stdout(stdout.writer());
    let (rig, scissors) = start(&h, host).await;
    for round in 1..=3 {
        cut(&h, &rig, &scissors).await;
        // The clients are the same, and not one call fails.
        h.promptly(echoes(&rig)).await;
        assert_eq!(scissors.connections(), 1 + round);
        assert!(!rig.plugin.is_disconnected() && !rig.plugin.is_exited());
    }
    // All that stands on the connection has come along.
    assert_eq!(h.promptly(rig.plugin.health()).await, Ok(Health::Serving));
    let pour = PourRequest { count: 3, size: 9 };
    let mut poured = rig.probe.pour(pour).await.expect("it pours");
    let mut count = 0;
    while let Some(message) = h.promptly(poured.message()).await.expect("no failure") {
        assert_eq!(message.data.len(), 9);
        count += 1;
    }
    assert_eq!(count, 3);
    let print = PrintRequest {
        how: How::Handler.into(),
        text: "after the cuts".to_owned(),
        repeat: 1,
        ..PrintRequest::default()
    };
    rig.process.print(print).await.expect("it prints");
    h.promptly(stdout.until_contains("after the cuts")).await;
    let lent = lend(&rig);
    let relayed = h.promptly(rig.probe.relay(relay(lent.id(), "lent"))).await;
    assert_eq!(relayed, Ok(payload("lent")));
    let (_, borrowed) = h.promptly(borrow(&rig)).await;
    assert_eq!(borrowed.echo(payload("y")).await, Ok(payload("y")));
    drop((borrowed, lent));
    rig.shutdown().await;
}

pub async fn what_the_host_serves_outlives_a_lost_connection(h: Harness) {
    let (rig, scissors) = start(&h, h.host([""; 0])).await;
    let (used, unused) = (lend(&rig), lend(&rig));
    let relayed = h
        .promptly(rig.probe.relay(relay(used.id(), "before")))
        .await;
    assert_eq!(relayed, Ok(payload("before")));
    cut(&h, &rig, &scissors).await;
    // What the host had offered is still there, dialled or not, and so is the way to offer more.
    // (What the plugin offers ends with its connection, as in go-plugin.)
    let relayed = h
        .promptly(rig.probe.relay(relay(unused.id(), "after")))
        .await;
    assert_eq!(relayed, Ok(payload("after")));
    let another = lend(&rig);
    let relayed = h
        .promptly(rig.probe.relay(relay(another.id(), "new")))
        .await;
    assert_eq!(relayed, Ok(payload("new")));
    let (_, another) = h.promptly(borrow(&rig)).await;
    assert_eq!(another.echo(payload("new")).await, Ok(payload("new")));
    drop((used, another));
    rig.shutdown().await;
}

pub async fn calls_wait_for_the_connection_within_their_limits(h: Harness) {
    let (rig, scissors) = start(&h, h.host([""; 0])).await;
    let (mut sender, requests) = Streaming::channel(4);
    let mut cut_off = rig.probe.chat(requests).await.expect("it starts");
    sender.send(payload("x")).await.expect("room");
    assert_eq!(cut_off.message().await, Ok(Some(payload("x"))));
    // Not taken back by the time that it is noticed, so that what follows has to wait.
    scissors.close(true);
    scissors.cut();
    let status = h.promptly(cut_off.message()).await.expect_err("cut off");
    assert!(status.is_connection_lost(), "{status}");
    let limited = rig.probe.clone().with_timeout(Duration::from_millis(50));
    let late = h.promptly(limited.echo(payload("late"))).await;
    assert_eq!(late.expect_err("no way").code(), Code::DeadlineExceeded);
    let (sender, requests) = Streaming::channel(4);
    let mut late = h.promptly(limited.chat(requests)).await.expect("it starts");
    let status = h.promptly(late.message()).await.expect_err("no way");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    drop(sender);
    // What nobody waits for any more is not made.
    drop(rig.probe.chat(Streaming::channel(1).1).await);
    let waiting = (0..20).map(|n: u8| rig.probe.echo(payload([n])));
    let (mut sender, requests) = Streaming::channel(4);
    let mut chat = rig.probe.chat(requests).await.expect("it starts");
    sender.send(payload("first")).await.expect("room");
    let open = async { scissors.close(false) };
    let (answers, ()) = h.promptly(join(join_all(waiting), open)).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, Ok(payload([n as u8])));
    }
    let first = h.promptly(chat.message()).await;
    assert_eq!(first, Ok(Some(payload("first"))));
    drop(sender);
    assert_eq!(h.promptly(chat.message()).await, Ok(None));
    rig.shutdown().await;
}

pub async fn a_plugin_that_cannot_be_reached_again_is_reported(h: Harness) {
    let host = h.host([""; 0]).reconnect_within(Duration::from_millis(100));
    let (rig, scissors) = start(&h, host).await;
    scissors.close(true);
    cut(&h, &rig, &scissors).await;
    let status = h.promptly(rig.probe.echo(payload("x"))).await;
    let status = status.expect_err("it is not reached");
    assert!(status.is_connection_lost(), "{status}");
    for part in ["could not be made again", "nobody listens", "suite-plugin"] {
        assert!(status.message().contains(part), "{status}");
    }
    until_disconnected(&h, &rig.plugin).await;
    assert!(!rig.plugin.is_exited());
    let later = h.promptly(rig.probe.echo(payload("x"))).await;
    assert_eq!(later.expect_err("nor later"), status);
    // The end is asked for over a connection all the same, if one can be had by then.
    scissors.close(false);
    rig.shutdown().await;
}

pub async fn a_plugin_that_cannot_be_reached_again_is_killed_if_the_host_says_so(h: Harness) {
    let host = h.host([""; 0]);
    let host = host
        .reconnect_within(Duration::from_millis(50))
        .kill_unreachable(true);
    let (rig, scissors) = start(&h, host).await;
    let pid = rig.pid();
    scissors.close(true);
    let status = rig.probe.wait(Nothing {});
    let (status, ()) = h.promptly(join(status, async { scissors.cut() })).await;
    assert!(status.expect_err("cut off").is_connection_lost());
    let report = h.promptly(rig.plugin.exited()).await;
    assert_eq!(report.reason, ExitReason::Unreachable, "{report}");
    assert!(report.to_string().contains("could not be reached again"));
    assert!(h.elsewhere(move || gone(pid)).await);
}

pub async fn a_socket_file_that_is_gone_is_told_as_that(h: Harness) {
    let grace = Duration::from_millis(50);
    let host = h
        .host([""; 0])
        .reconnect_within(grace)
        .shutdown_grace(grace);
    let (rig, scissors) = start(&h, host).await;
    for socket in sockets_in(h.dir()) {
        std::fs::remove_file(socket).expect("it is ours");
    }
    cut(&h, &rig, &scissors).await;
    let status = h.promptly(rig.probe.echo(payload("x"))).await;
    let status = status.expect_err("it is not reached");
    assert!(status.message().contains("its socket file"), "{status}");
    assert!(status.message().contains("is gone"), "{status}");
    let ended = h.promptly(rig.plugin.shutdown()).await;
    assert!(matches!(ended, Err(ShutdownError::NotAsked { .. })));
}
