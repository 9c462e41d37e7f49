//! Rust hosts with plugins over net/rpc, go-plugin's and our own.
#![cfg(unix)]

use std::path::PathBuf;
use std::time::Duration;

use outboard::netrpc::{Instance, Value};
use outboard::{Command, DispenseError, Handshake, Host, NetRpc, Protocol, RunningPlugin, Tokio};
use outboard_interop::go;

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

fn host(program: PathBuf) -> Host {
    Host::new(HANDSHAKE)
        .command(Command::new(program))
        .transport(NetRpc::new())
        .start_timeout(Duration::from_secs(30))
}

async fn talk(plugin: &RunningPlugin) {
    assert_eq!(plugin.protocol(), Protocol::NetRpc);
    plugin.ping().await.expect("it is there");
    let unknown = plugin.dispense::<Instance>("nothing").await;
    let Err(DispenseError::Refused(status)) = unknown else {
        panic!("{unknown:?}");
    };
    assert!(status.message().contains("unknown plugin type"), "{status}");
    let greeter: Instance = plugin.dispense("greeter").await.expect("it is provided");
    let text: String = greeter
        .call("Plugin.Greet", &Value::Nil)
        .await
        .expect("a text");
    assert_eq!(text, "Hello!");
}

#[tokio::test]
async fn a_go_plugin() {
    let Some(peers) = go() else { return };
    let plugin = host(peers.netrpc.clone())
        .start(Tokio::current())
        .await
        .expect("starts");
    talk(&plugin).await;
    let greeter: Instance = plugin.dispense("greeter").await.expect("it is provided");
    let lost = greeter
        .call::<_, Value>("Plugin.Unsendable", &Value::Nil)
        .await;
    let lost = lost.expect_err("it cannot be sent").to_string();
    assert!(lost.contains("rpc: gob error encoding body"), "{lost}");
    let report = plugin.shutdown().await.expect("in good order");
    assert!(report.exit.success(), "{report}");
}
