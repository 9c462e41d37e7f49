//! Plugins that no host has launched: served inside a test, or started by hand.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use outboard::{
    Code, ExitReason, Host, Plugin, ReattachConfig, ServeError, StopReason, TestPlugin,
};
use outboard_conformance::probe::Prober;
use outboard_conformance::proto::{Nothing, Probe as _, ProbeClient, ProbeServer};
use outboard_conformance::{HANDSHAKE, PROBE, axes};
use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::{Harness, PLUGIN, Rig};

async fn serve(h: &Harness) -> TestPlugin {
    let served = h.plugin_in_memory().serve_in_test(h.runtime.clone()).await;
    served.expect("it can listen")
}

/// A host that attaches by what it is told as text.
async fn attach(h: &Harness, record: &ReattachConfig) -> Rig {
    let record = ReattachConfig::from_json(&record.to_json()).expect("it was just written");
    let host = axes::of_host(h.on.transport, Host::new(HANDSHAKE)).socket_dir(h.dir());
    let host = host.reconnect_within(Duration::ZERO);
    h.start_host(host.attach(record)).await
}

fn socket(record: &ReattachConfig) -> PathBuf {
    let file = record.endpoint.socket_file().expect("a unix socket");
    assert!(file.exists());
    file.to_owned()
}

pub async fn hosts_attach_to_what_a_test_serves(h: Harness) {
    let served = serve(&h).await;
    let record = served.reattach_config();
    assert!(record.test);
    assert_eq!(
        (record.pid, record.version),
        (Some(std::process::id()), Some(1))
    );
    let (one, two) = (attach(&h, record).await, attach(&h, record).await);
    for rig in [&one, &two] {
        rig.plugin.ping().await.expect("it is there");
        let (lent, (_, borrowed)) = (lend(rig), borrow(rig).await);
        let there = rig.probe.relay(relay(lent.id(), "there")).await;
        assert_eq!(there, Ok(payload("there")));
        assert_eq!(borrowed.echo(payload("here")).await, Ok(payload("here")));
    }
    // A host does not end what is its test's.
    let report = one.plugin.shutdown().await.expect("it lets go of it");
    assert_eq!(report.reason, ExitReason::Released, "{report}");
    let report = two.plugin.kill().await;
    assert_eq!(report.reason, ExitReason::Released, "{report}");
    let three = attach(&h, record).await;
    assert_eq!(
        three.probe.echo(payload("still")).await,
        Ok(payload("still"))
    );
    drop(three);
    let file = socket(record);
    assert_eq!(
        served.stop().await.expect("it served"),
        StopReason::Requested
    );
    assert!(!file.exists());
}

pub async fn it_ends_with_its_test(h: Harness) {
    let prober = Prober::default();
    let plugin = axes::of_plugin(h.on.transport, Plugin::new(HANDSHAKE));
    let plugin = plugin.provide(PROBE, ProbeServer::new(prober.clone()));
    let served = plugin.serve_in_test(h.runtime.clone()).await;
    let served = served.expect("it can listen");
    let file = socket(served.reattach_config());
    let rig = attach(&h, served.reattach_config()).await;
    let waiting = rig.probe.wait(Nothing {});
    let dropped = async {
        assert_eq!(prober.note().await, "wait began");
        drop(served);
        assert_eq!(prober.note().await, "wait dropped");
    };
    let (ended, ()) = h
        .promptly(futures_util::future::join(waiting, dropped))
        .await;
    assert_eq!(ended.expect_err("it is over").code(), Code::Unavailable);
    assert!(!file.exists());
}

pub async fn what_cannot_be_served_in_a_test_is_told(h: Harness) {
    let plugin = h.plugin_in_memory();
    let over_pipes = Plugin::new(HANDSHAKE).transport(outboard::Stdio::new());
    let served = over_pipes.serve_in_test(h.runtime.clone()).await;
    let error = served.expect_err("there are no pipes");
    assert!(matches!(error, ServeError::NeedsSocket), "{error}");
    let nothing = Plugin::new(HANDSHAKE).serve_in_test(h.runtime.clone());
    let error = nothing.await.expect_err("it provides nothing");
    assert!(matches!(error, ServeError::Start(_)), "{error}");
    let twice = plugin.provide(PROBE, ProbeServer::new(Prober::default()));
    let error = twice.serve_in_test(h.runtime.clone()).await;
    let error = error.expect_err("two of a name");
    assert!(matches!(error, ServeError::DuplicateName { .. }), "{error}");
}

pub async fn one_that_is_started_by_hand_waits_for_hosts(h: Harness) {
    let mut child = Command::new(PLUGIN)
        .args([h.on.plugin.to_string(), h.on.transport.to_string()])
        .env("TMPDIR", h.dir())
        .env("OUTBOARD_DEBUG", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    stdout.read_line(&mut line).expect("it prints text");
    let record = ReattachConfig::from_json(&line).expect("a record");
    assert!(record.test);
    assert_eq!(record.pid, Some(child.id()));
    for _ in 0..2 {
        let rig = attach(&h, &record).await;
        assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
        let report = rig.plugin.shutdown().await.expect("it lets go of it");
        assert_eq!(report.reason, ExitReason::Released, "{report}");
    }
    let rig = attach(&h, &record).await;
    let probe: ProbeClient = rig
        .plugin
        .dispense(PROBE)
        .await
        .expect("no names are given");
    assert_eq!(probe.echo(payload("x")).await, Ok(payload("x")));
    let file = socket(&record);
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("it runs");
    let report = h.promptly(rig.plugin.exited()).await;
    assert_eq!(report.reason, ExitReason::Crashed, "{report}");
    let status = h.elsewhere(move || child.wait()).await.expect("a child");
    assert_eq!(status.code(), Some(0), "in good order: {status}");
    assert!(!file.exists());
}
