//! TLS under net/rpc, between outboard and go-plugin in both roles: AutoMTLS in both versions of TLS, and the
//! pairs of none, the application's own, and AutoMTLS.
#![cfg(unix)]

use std::ffi::OsString;
use std::path::Path;
use std::process::Command as Process;
use std::time::{Duration, Instant};

use outboard::netrpc::{Instance, Value};
use outboard::rt::SharedRuntime;
use outboard::{Command, Host, NetRpc};
use outboard_conformance::axes::RuntimeKind;
use outboard_interop::rust_host::HANDSHAKE;
use outboard_interop::tls::pairs::{Kind, Sides};
use outboard_interop::tls::{Certificates, Wanted, on};
use outboard_interop::{go, run_to_end};

const RUNTIMES: [RuntimeKind; 2] = [RuntimeKind::Tokio, RuntimeKind::Smol];
const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-netrpc-peer");

/// Starts the plugin, calls it, and ends it; or the whole text of what was in the way.
async fn used(host: Host, runtime: &SharedRuntime) -> Result<(), String> {
    let plugin = host.start(runtime.clone()).await;
    let plugin = plugin.map_err(|error| format!("{error:?}"))?;
    let called = async {
        let dispensed = plugin.dispense::<Instance>("greeter").await;
        let greeter = dispensed.map_err(|error| error.to_string())?;
        let text: Result<String, _> = greeter.call("Plugin.Greet", &Value::Nil).await;
        text.map_err(|error| error.to_string())
    };
    let called = called.await;
    match called {
        Ok(text) => {
            assert_eq!(text, "Hello!");
            let report = plugin.shutdown().await.map_err(|error| error.to_string())?;
            assert!(report.exit.success(), "{report}");
            Ok(())
        }
        Err(text) => {
            let _killed = plugin.kill().await;
            Err(text)
        }
    }
}

fn host_of(program: &Path, variables: Vec<(&str, OsString)>) -> Host {
    let mut command = Command::new(program).inherit_stdin(false);
    for (name, value) in variables {
        command = command.env(name, value);
    }
    Host::new(HANDSHAKE)
        .command(command)
        .transport(NetRpc::new())
}

/// A Rust host asks for AutoMTLS, and go-plugin's plugin has either version of TLS.
#[test]
fn versions_under_a_rust_host() {
    let Some(peers) = go() else { return };
    let certificates = Certificates::new();
    let certified = certificates.make("plugin", Wanted::default());
    for runtime in RUNTIMES {
        for version in ["1.2", "1.3"] {
            let variables = vec![
                ("INTEROP_TLS_ANNOUNCE", certified.file().into()),
                ("INTEROP_TLS_IDENTITY", certified.path().into()),
                ("INTEROP_TLS_VERSION", version.into()),
            ];
            let host = host_of(&peers.netrpc, variables).auto_mtls(true);
            let used = on(runtime, async |runtime| used(host, &runtime).await);
            assert_eq!(used, Ok(()), "{runtime}, TLS {version}");
        }
    }
}

/// Runs a scenario of the Go host on the Rust plugin; what it says.
fn go_host(scenario: &str, flags: &[String], variables: Vec<(&str, OsString)>) -> String {
    let Some(peers) = go() else {
        return String::new();
    };
    let mut host = Process::new(&peers.netrpc);
    host.arg("host").args(flags).args([scenario, "--", PLUGIN]);
    host.envs(variables);
    let output = run_to_end(&mut host, Duration::from_secs(120));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{flags:?}: {told}\n{stderr}");
    told
}

fn on_runtime(runtime: RuntimeKind) -> (&'static str, OsString) {
    ("INTEROP_RUNTIME", runtime.to_string().into())
}

/// go-plugin's host has either version of TLS for its AutoMTLS.
#[test]
fn versions_under_a_go_host() {
    if go().is_none() {
        return;
    }
    for runtime in RUNTIMES {
        for version in ["1.2", "1.3"] {
            let flags = ["-automtls".to_owned(), format!("-tls-version={version}")];
            let told = go_host("logs", &flags, vec![on_runtime(runtime)]);
            assert!(
                told.contains("by itself"),
                "{runtime}, TLS {version}: {told}"
            );
        }
    }
}

/// What suits works; what does not is an error at once, which names TLS if the host has that.
#[test]
fn nine_pairs_under_a_rust_host() {
    let Some(peers) = go() else { return };
    let sides = Sides::default();
    for program in [peers.netrpc.as_path(), PLUGIN.as_ref()] {
        for runtime in RUNTIMES {
            for (host, plugin) in Kind::pairs() {
                let pair = format!("{runtime}: host {host:?}, {} {plugin:?}", program.display());
                let variables = sides.plugin(plugin);
                // A plugin of ours cannot be one that knows no AutoMTLS.
                if program == Path::new(PLUGIN) && (host, plugin) == (Kind::Auto, Kind::None) {
                    continue;
                }
                let of_kind = sides.host(host, host_of(program, variables), None);
                let began = Instant::now();
                let used = on(runtime, async |runtime| used(of_kind, &runtime).await);
                let took = began.elapsed();
                if host.suits(plugin) {
                    assert_eq!(used, Ok(()), "{pair}");
                } else {
                    let text = used.expect_err(&pair);
                    assert!(took < Duration::from_secs(20), "{pair}: {took:?}: {text}");
                    // A host without TLS writes first: whether it reads what the plugin says of that, or finds
                    // the connection broken, is a matter of who is faster.
                    let names_it = host == Kind::None || text.contains("TLS");
                    assert!(names_it, "{pair}: {text}");
                }
            }
        }
    }
}

/// The same where the host is go-plugin's, which has errors of its own.
#[test]
fn nine_pairs_under_a_go_host() {
    if go().is_none() {
        return;
    }
    let sides = Sides::default();
    for runtime in RUNTIMES {
        for (host, plugin) in Kind::pairs() {
            if (host, plugin) == (Kind::Auto, Kind::None) {
                continue;
            }
            let mut variables = sides.plugin(plugin);
            variables.push(on_runtime(runtime));
            let suits = host.suits(plugin);
            let scenario = if suits { "logs" } else { "insecurable" };
            let told = go_host(scenario, &sides.go_host(host), variables);
            let wanted = if suits {
                "by itself"
            } else {
                r#""value":true"#
            };
            assert!(
                told.contains(wanted),
                "host {host:?}, plugin {plugin:?}: {told}"
            );
        }
    }
}
