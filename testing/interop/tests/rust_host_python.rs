//! Rust host and Python plugin: a plugin made by hand as go-plugin's guide for other languages says,
//! without a go-plugin library.
#![cfg(unix)]

use std::path::Path;
use std::time::{Duration, Instant};

use outboard::{
    BrokerError, Code, Command, ExitReason, Handshake, Host, HostError, RunningPlugin,
    ShutdownError, Tokio,
};
use outboard_interop::proto::examples::{
    AddHelperClient, GetRequest, Kv as _, KvClient, PutRequest,
};
use outboard_interop::rust_host::{HANDSHAKE, end, recorder::Recorder, run};
use outboard_interop::{PythonPeer, is_alive, python};

fn host(peer: &PythonPeer, flags: &[&str], dir: &Path) -> Host {
    let command = peer.command(flags);
    let (program, arguments) = command.split_first().expect("a program");
    let command = Command::new(program).args(arguments).inherit_stdin(false);
    Host::new(HANDSHAKE).command(command.current_dir(dir))
}

async fn use_kv(plugin: &RunningPlugin) {
    let kv: KvClient = plugin.dispense("kv").await.expect("a client");
    let put = PutRequest {
        key: "hello".into(),
        value: b"world".to_vec(),
    };
    kv.put(put).await.expect("put");
    let get = |key: &str| kv.get(GetRequest { key: key.into() });
    let reply = get("hello").await.expect("get");
    assert_eq!(reply.value, b"world\n\nWritten from plugin-python");
    let missing = get("nothing").await.expect_err("there is no such key");
    assert_eq!(missing.code(), Code::Unknown);
    assert!(!missing.message().is_empty());
}

/// A plugin with health and its own service only: everything works but the end in good order,
/// which needs the controller. The broker says so, and nothing else suffers.
#[test]
fn kv() {
    let Some(peer) = python() else { return };
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let grace = Duration::from_millis(500);
        let host = host(peer, &[], dir.path()).shutdown_grace(grace);
        let plugin = host.start(Tokio::current()).await.expect("a plugin");
        plugin.ping().await.expect("a ping");
        use_kv(&plugin).await;
        let error = plugin.broker().dial::<AddHelperClient>(1).await;
        let error = error.expect_err("it has no broker");
        assert!(matches!(error, BrokerError::Broker(_)), "{error:?}");
        assert!(error.to_string().contains("broker"), "{error}");
        use_kv(&plugin).await;

        let (pid, exited) = (plugin.pid().expect("it runs"), plugin.exited());
        let begin = Instant::now();
        let error = plugin.shutdown().await.expect_err("it cannot be asked");
        assert!((grace..Duration::from_secs(5)).contains(&begin.elapsed()));
        assert!(
            matches!(error, ShutdownError::NoController { grace: g, .. } if g == grace),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains("no controller"), "{text}");
        assert!(!text.contains("after it was asked"), "{text}");
        assert_eq!(exited.await.reason, ExitReason::NoController);
        assert!(!is_alive(pid));
    });
}

/// With a controller the plugin ends by itself, with the stdio service its prints arrive, and its
/// stderr is its log.
#[test]
fn kv_with_extras() {
    let Some(peer) = python() else { return };
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let (out, err, log) = (Recorder::new(), Recorder::new(), Recorder::new());
        let hook = log.clone();
        let host = host(peer, &["--extras"], dir.path())
            .sync_stdout(out.writer())
            .sync_stderr(err.writer())
            .on_log(move |record| hook.extend(&[(record.level, record.message.clone())]));
        let plugin = host.start(Tokio::current()).await.expect("a plugin");
        use_kv(&plugin).await;
        out.until(|out| out == b"stored hello\n").await;
        err.until(|err| err == b"5 bytes\n").await;
        log.until(|log| {
            log.iter().any(|(level, text)| {
                *level == outboard::hclog::Level::Info && text.contains("a value was stored")
            })
        })
        .await;
        end(plugin).await;
    });
}

/// The plugin's own words are in the error.
#[test]
fn cookie_mismatch() {
    let Some(peer) = python() else { return };
    run(async {
        let command = peer.command(&[]);
        let (program, arguments) = command.split_first().expect("a program");
        let command = Command::new(program).args(arguments).inherit_stdin(false);
        let other = Handshake::new(1, "BASIC_PLUGIN", "good bye");
        let outcome = Host::new(other).command(command).start(Tokio::current());
        let error = outcome.await.expect_err("it refuses");
        assert!(matches!(error, HostError::Start { .. }), "{error:?}");
        let text = format!("{error:?}");
        assert!(
            text.contains("This is a plugin") && text.contains("status 1"),
            "{text}"
        );
    });
}
