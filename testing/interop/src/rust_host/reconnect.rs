//! Connections that a plugin leaves or loses while its process lives.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outboard::{H2, Health, Tokio};
use outboard_conformance::cut::Cuttable;

use super::recorder::Recorder;
use super::{Peer, dispense, end, run};
use crate::proto::probe::{
    Payload, PourRequest, PrintRequest, Probe as _, ProbeClient, SleepRequest,
};

/// How long the plugin lets a connection live.
const AGE: Duration = Duration::from_millis(300);

/// Under a steady load the plugin asks for new connections several times, and ends the old ones. Not
/// one call fails, whatever its kind and length.
pub fn connection_age(peer: &Peer) {
    run(async {
        let command = peer.command(&["probe"]);
        let command = command.env("INTEROP_MAX_AGE_MILLIS", AGE.as_millis().to_string());
        let (runtime, scissors) = Cuttable::around(Tokio::current().into());
        let host = peer.host(&[]).command(command);
        let plugin = host.start(runtime).await.expect("it starts");
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        let calls = AtomicUsize::new(0);
        let over = AtomicBool::new(false);
        let until = Instant::now() + AGE * 60;
        let caller = || async {
            while !over.load(Ordering::Relaxed) {
                let request = Payload {
                    data: b"steady".to_vec(),
                };
                let reply = probe.echo(request.clone()).await.expect("it answers");
                assert_eq!(reply, request);
                let asked = SleepRequest { millis: 20 };
                probe.sleep(asked).await.expect("a call of some length");
                let pour = PourRequest { count: 3, size: 9 };
                let mut poured = probe.pour(pour).await.expect("it pours");
                while poured.message().await.expect("it is whole").is_some() {}
                calls.fetch_add(3, Ordering::Relaxed);
                // A connection was moved to at least five times, and used after each.
                if scissors.connections() > 5 || Instant::now() > until {
                    over.store(true, Ordering::Relaxed);
                }
            }
        };
        tokio::join!(
            caller(),
            caller(),
            caller(),
            caller(),
            caller(),
            caller(),
            caller(),
            caller()
        );
        assert!(scissors.connections() > 5, "the plugin asks for new ones");
        assert!(calls.into_inner() > 100);
        assert_eq!(plugin.health().await, Ok(Health::Serving));
        assert!(!plugin.is_disconnected());
        end(plugin).await;
    });
}

/// Connections whose stream ids are used up are replaced, and not one call fails. (Each has 2^30 in
/// life; here it has some.)
pub fn stream_ids(peer: &Peer) {
    run(async {
        let (runtime, scissors) = Cuttable::around(Tokio::current().into());
        let host = peer.host(&["probe"]).transport(H2::new().last_stream(99));
        let plugin = host.start(runtime).await.expect("it starts");
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        let caller = || async {
            for _ in 0..100 {
                super::calls::works(&probe).await;
                let pour = PourRequest { count: 3, size: 9 };
                let mut poured = probe.pour(pour).await.expect("it pours");
                while poured.message().await.expect("it is whole").is_some() {}
            }
        };
        tokio::join!(caller(), caller(), caller());
        assert!(scissors.connections() > 10, "{}", scissors.connections());
        assert!(!plugin.is_disconnected());
        end(plugin).await;
    });
}

/// A connection that breaks costs the calls in flight and nothing else: clients, output and health
/// go on, and the end is in good order.
pub fn connection_cut(peer: &Peer) {
    run(async {
        let (runtime, scissors) = Cuttable::around(Tokio::current().into());
        let stdout = Recorder::new();
        let host = peer.host(&["probe"]).sync_stdout(stdout.writer());
        let plugin = host.start(runtime).await.expect("it starts");
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        for round in 1..=3 {
            let waiting = tokio::spawn({
                let probe = probe.clone();
                async move { probe.sleep(SleepRequest { millis: 60_000 }).await }
            });
            super::observed(&probe, |seen| seen.started == round).await;
            scissors.cut();
            let status = waiting.await.expect("no panic").expect_err("cut off");
            assert!(status.is_connection_lost(), "{status}");
            super::calls::works(&probe).await;
        }
        assert_eq!(scissors.connections(), 4);
        assert_eq!(plugin.health().await, Ok(Health::Serving));
        // A plugin that has not seen the cut yet may send the first words the old way.
        let printed = async {
            loop {
                let print = PrintRequest {
                    stdout: b"after the cuts;".to_vec(),
                    stderr: Vec::new(),
                };
                probe.print(print).await.expect("it prints");
                let arrived = stdout.until(|bytes| bytes.ends_with(b"after the cuts;"));
                if tokio::time::timeout(AGE, arrived).await.is_ok() {
                    break;
                }
            }
        };
        printed.await;
        end(plugin).await;
    });
}
