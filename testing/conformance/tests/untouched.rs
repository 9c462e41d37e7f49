//! What a plugin in a test leaves alone of its process. A program of its own: other tests have hosts and
//! plugins that touch the same.
#![cfg(target_os = "linux")]

use outboard::{Host, Plugin, RunningPlugin, memory};
use outboard_conformance::axes::{self, RuntimeKind};
use outboard_conformance::probe::Prober;
use outboard_conformance::proto::{Nothing, Payload, Probe as _, ProbeClient, ProbeServer};
use outboard_conformance::{HANDSHAKE, PROBE};

/// Where the standard streams go, and which signals are blocked, ignored or have a handler.
fn process() -> Vec<String> {
    let streams = (0..=2).map(|fd| {
        let file = std::fs::read_link(format!("/proc/self/fd/{fd}"));
        file.expect("it is open").display().to_string()
    });
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux has it");
    let signals = status.lines().filter(|line| {
        ["SigBlk", "SigIgn", "SigCgt"]
            .iter()
            .any(|name| line.starts_with(name))
    });
    streams.chain(signals.map(str::to_owned)).collect()
}

fn plugin() -> Plugin {
    Plugin::new(HANDSHAKE).provide(PROBE, ProbeServer::new(Prober::default()))
}

async fn use_it(plugin: &RunningPlugin) {
    let probe: ProbeClient = plugin.dispense(PROBE).await.expect("it is provided");
    let payload = Payload {
        data: b"x".to_vec(),
    };
    assert_eq!(probe.echo(payload.clone()).await, Ok(payload));
    let id = probe.serve(Nothing {}).await.expect("it is served").id;
    let dialled = plugin.broker().dial::<ProbeClient>(id).await;
    dialled
        .expect("it is there")
        .reflect(Nothing {})
        .await
        .expect("it answers");
    plugin.ping().await.expect("it serves");
}

#[test]
fn streams_and_signals() {
    let before = process();
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        axes::block_on(kind, async |runtime| {
            let served = plugin()
                .serve_in_test(runtime.clone())
                .await
                .expect("it can listen");
            let host = Host::new(HANDSHAKE).attach(served.reattach_config().clone());
            let attached = host.start(runtime.clone()).await.expect("it is there");
            use_it(&attached).await;
            assert_eq!(process(), before, "over a socket, {kind:?}");
            attached.detach().await;
            served.stop().await.expect("it served");
            let started = memory::start(&Host::new(HANDSHAKE), plugin(), runtime).await;
            let started = started.expect("it starts");
            use_it(&started).await;
            assert_eq!(process(), before, "in memory, {kind:?}");
            started.shutdown().await.expect("in good order");
        });
    }
    assert_eq!(process(), before);
}
