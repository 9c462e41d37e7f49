//! What a host tells beside its calls: which trace they belong to, and what is to be logged.

use outboard::hclog::Level;
use outboard::trace::{TRACEPARENT, TRACESTATE};
use outboard::{LevelAnswer, Metadata};

use super::{Language, Peer, dispense, end, run, start};
use crate::proto::probe::{Nothing, Probe as _, ProbeClient, log_field::Value};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

/// The trace of a call is metadata that any plugin finds.
pub fn trace(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let mut sent = Metadata::new();
        sent.insert(TRACEPARENT, PARENT).expect("allowed");
        sent.insert(TRACESTATE, STATE).expect("allowed");
        let reply = probe.with_metadata(sent).metadata(Nothing {}).await;
        let entries = reply.expect("an answer").entries;
        let values = |name: &str| -> Vec<Vec<u8>> {
            let named = entries.iter().filter(|entry| entry.key == name);
            named.map(|entry| entry.value.clone()).collect()
        };
        assert_eq!(values(TRACEPARENT), [PARENT.as_bytes()]);
        assert_eq!(values(TRACESTATE), [STATE.as_bytes()]);
        let entries = probe.metadata(Nothing {}).await.expect("an answer").entries;
        assert!(!entries.iter().any(|entry| entry.key == TRACEPARENT));
        end(plugin).await;
    });
}

/// A logger's own variable has the level, and a plugin that cannot be told another one says so.
pub fn log_level(peer: &Peer) {
    run(async {
        let host = peer.host(&["probe"]).log_level(Level::Warn);
        let host = host.log_level_variables(["INTEROP_LOG_LEVEL"]);
        let (plugin, probe) = dispense::<ProbeClient>(start(host).await, "probe").await;
        let process = probe.process(Nothing {}).await.expect("an answer");
        let mut environment = process.environment.iter();
        let variable = environment.find(|field| field.key == "INTEROP_LOG_LEVEL");
        let value = variable.and_then(|field| field.value.clone());
        assert_eq!(value, Some(Value::Text("WARN".to_owned())));
        let expected = match peer.language {
            Language::Rust => LevelAnswer::Followed,
            Language::Go | Language::Python => LevelAnswer::Unsupported,
        };
        assert_eq!(plugin.set_log_level(Level::Debug).await, Ok(expected));
        end(plugin).await;
    });
}
