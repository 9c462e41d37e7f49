//! A Go plugin that multiplexes, under a Rust host, and plugins that do not.
#![cfg(unix)]

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join;
use outboard::rt::SharedRuntime;
use outboard::{
    BrokerError, CallOptions, Client as _, Command, Host, HostError, RunningPlugin, StartFailure,
    Status,
};
use outboard_conformance::axes::RuntimeKind;
use outboard_core::handshake::{HandshakeError, MultiplexingRefusal};
use outboard_interop::numbered::{Numbered, dial_numbered};
use outboard_interop::proto::examples::AddHelperClient;
use outboard_interop::proto::probe::{
    BrokerCount, BrokerDialManyRequest, BrokerDialRequest, BrokerDialled, BrokerIds, Nothing,
    Probe as _, ProbeClient,
};
use outboard_interop::rust_host::recorder::Recorder;
use outboard_interop::rust_host::{HANDSHAKE, Peer};
use outboard_interop::tap::Tapped;
use outboard_interop::tls::on;
use outboard_interop::tls::pairs::brokered;
use outboard_interop::{GoPeers, Wait, go, kill, wait_until_gone};

const RUNTIMES: [RuntimeKind; 2] = [RuntimeKind::Tokio, RuntimeKind::Smol];
const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

/// With and without AutoMTLS.
const SECURED: [bool; 2] = [false, true];

fn host_of(command: Command, tls: bool) -> Host {
    let host = Host::new(HANDSHAKE).command(command).multiplex(true);
    host.auto_mtls(tls)
}

async fn start(host: Host, runtime: &SharedRuntime) -> (RunningPlugin, ProbeClient) {
    let plugin = host.start(runtime.clone()).await;
    let plugin = plugin.unwrap_or_else(|error| panic!("it does not start: {error:?}"));
    let probe = ProbeClient::from_channel(plugin.channel());
    let options = CallOptions::new().timeout(Duration::from_secs(60));
    (plugin, probe.with_options(options))
}

async fn end(plugin: RunningPlugin) {
    let report = plugin.shutdown().await.expect("it ends by itself");
    assert!(report.exit.success(), "{report}");
}

/// Runs a scenario on a Go plugin on both runtimes, with and without AutoMTLS.
fn with_each(scenario: impl AsyncFn(&GoPeers, &SharedRuntime, bool)) {
    let Some(peers) = go() else { return };
    for runtime in RUNTIMES {
        for tls in SECURED {
            on(runtime, async |runtime| {
                scenario(peers, &runtime, tls).await;
            });
        }
    }
}

async fn accepted(probe: &ProbeClient, count: u32) -> Vec<u32> {
    let accepted = probe.broker_accept_many(BrokerCount { count }).await;
    accepted.expect("the plugin serves").ids
}

async fn dialled(probe: &ProbeClient, ids: &[u32], at_once: bool) -> Vec<BrokerDialled> {
    let ids = ids.to_vec();
    let request = BrokerDialManyRequest { ids, at_once };
    let dialled = probe.broker_dial_many(request).await;
    dialled.expect("the plugin dials").dialled
}

/// The plugin has reached whom it dialled, and over TLS has agreed on `h2`.
fn assert_reached(ids: &[u32], dialled: &[BrokerDialled], tls: bool) {
    assert_eq!(dialled.len(), ids.len());
    for (id, dialled) in ids.iter().zip(dialled) {
        let alpn = if tls { "h2" } else { "" }.to_owned();
        let (answer, error) = (i64::from(*id), String::new());
        let wanted = BrokerDialled {
            answer,
            error,
            alpn,
        };
        assert_eq!(*dialled, wanted);
    }
}

fn as_answers(ids: &[u32]) -> Vec<Result<i64, Status>> {
    ids.iter().map(|id| Ok(i64::from(*id))).collect()
}

#[test]
fn a_hundred_in_turn() {
    with_each(async |peers, runtime, tls| {
        let command = Peer::go(peers).command(&["all"]);
        let (plugin, probe) = start(host_of(command, tls), runtime).await;
        for _ in 0..100 {
            let served = Numbered::serve(plugin.broker(), 1).expect("the host serves");
            let ours = [served[0].id()];
            assert_reached(&ours, &dialled(&probe, &ours, false).await, tls);
            let theirs = accepted(&probe, 1).await;
            let answers = dial_numbered(plugin.broker(), &theirs, false).await;
            assert_eq!(answers, as_answers(&theirs));
        }
        end(plugin).await;
    });
}

/// A plugin of go-plugin takes its streams in their order, so that this is nothing it minds.
#[test]
fn a_hundred_at_once_on_both_sides() {
    with_each(async |peers, runtime, tls| {
        let command = Peer::go(peers).command(&["all"]);
        let (plugin, probe) = start(host_of(command, tls), runtime).await;
        let served = Numbered::serve(plugin.broker(), 100).expect("the host serves");
        let ours: Vec<u32> = served.iter().map(outboard::Served::id).collect();
        let theirs = accepted(&probe, 100).await;
        let (there, here) = join(
            dialled(&probe, &ours, true),
            dial_numbered(plugin.broker(), &theirs, true),
        )
        .await;
        assert_reached(&ours, &there, tls);
        assert_eq!(here, as_answers(&theirs));
        brokered(&plugin, &probe).await;
        end(plugin).await;
    });
}

/// The plugin dials what the host stops serving meanwhile: each dial reaches its own server or fails
/// with what the host says, and what comes later goes on.
#[test]
fn dials_that_race_with_dropped_servers() {
    with_each(async |peers, runtime, tls| {
        let command = Peer::go(peers).command(&["all"]);
        let (plugin, probe) = start(host_of(command, tls), runtime).await;
        let served = Numbered::serve(plugin.broker(), 100).expect("the host serves");
        let ours: Vec<u32> = served.iter().map(outboard::Served::id).collect();
        let drops = async {
            for served in served {
                drop(served);
                let _turn = accepted(&probe, 0).await;
            }
        };
        let (there, ()) = join(dialled(&probe, &ours, true), drops).await;
        for (id, dialled) in ours.iter().zip(there) {
            if dialled.error.is_empty() {
                assert_eq!(dialled.answer, i64::from(*id), "swapped");
            } else {
                assert!(dialled.error.contains("Unavailable"), "{dialled:?}");
            }
        }
        brokered(&plugin, &probe).await;
        end(plugin).await;
    });
}

fn tapped_by(peers: &GoPeers, record: &Path) -> Command {
    let command = Command::new(PLUGIN).arg("tap").arg(record);
    command.arg(&peers.plugin).arg("all").inherit_stdin(false)
}

/// What passes between the two: one connection, in which each stream is opened by who has knocked, once
/// that was acknowledged, under numbers of its side; and with AutoMTLS each is secured by itself.
#[test]
fn streams_after_knocks() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = dir.path().join("record");
    with_each(async |peers, runtime, tls| {
        let host = host_of(tapped_by(peers, &record), tls);
        let (plugin, probe) = start(host, runtime).await;
        let served = Numbered::serve(plugin.broker(), 10).expect("the host serves");
        let ours: Vec<u32> = served.iter().map(outboard::Served::id).collect();
        let theirs = accepted(&probe, 10).await;
        let (there, here) = join(
            dialled(&probe, &ours, true),
            dial_numbered(plugin.broker(), &theirs, true),
        )
        .await;
        assert_reached(&ours, &there, tls);
        assert_eq!(here, as_answers(&theirs));
        end(plugin).await;
        let tapped = Tapped::read(&record);
        tapped.assert_dialled(10, tls);
        assert!(tapped.waits_until_taken(true), "{tapped}");
    });
}

/// A dial that nobody answers fails after five seconds on both sides, and the session goes on.
#[test]
fn dials_that_nobody_answers() {
    let Some(peers) = go() else { return };
    std::thread::scope(|scope| {
        for (kind, tls) in RUNTIMES.into_iter().zip(SECURED) {
            scope.spawn(move || {
                on(kind, async |runtime| {
                    let command = Peer::go(peers).command(&["all"]);
                    let (plugin, probe) = start(host_of(command, tls), &runtime).await;
                    let began = Instant::now();
                    let (id, a, b) = (4242, 1, 1);
                    let (theirs, ours) = join(
                        probe.broker_dial(BrokerDialRequest { id, a, b }),
                        plugin.broker().dial::<AddHelperClient>(4343),
                    )
                    .await;
                    let took = began.elapsed();
                    assert!(took >= Duration::from_millis(4_900), "{took:?}");
                    assert!(took < Duration::from_secs(12), "{took:?}");
                    let status = theirs.expect_err("nobody serves it");
                    assert!(status.message().contains("4242"), "{status}");
                    let error = ours.expect_err("nobody serves it");
                    assert!(matches!(error, BrokerError::Broker(_)), "{error:?}");
                    assert!(error.to_string().contains("4343"), "{error}");
                    brokered(&plugin, &probe).await;
                    end(plugin).await;
                });
            });
        }
    });
}

/// A plugin that multiplexes gives up if nobody connects within five seconds. A host of ours does so
/// whether anybody has a use for it or not: here nobody makes a call before the plugin says that it has
/// its connection.
#[test]
fn the_connection_is_made_unasked() {
    with_each(async |peers, runtime, tls| {
        let records = Recorder::new();
        let hook = records.clone();
        let began = Instant::now();
        let host = host_of(Peer::go(peers).command(&["all"]), tls);
        let host = host.on_log(move |record| hook.extend(std::slice::from_ref(&record.message)));
        let started = host.start(runtime.clone()).await.expect("it starts");
        let connected = |all: &[String]| all.iter().any(|m| m.contains("connection accepted"));
        let _records = records.until(connected).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        end(started).await;
    });
}

/// A plugin that was killed while an id is dialled: the dial fails at once, with how it ended, and
/// nothing of it is left.
#[test]
fn killed_in_the_middle_of_a_knock() {
    with_each(async |peers, runtime, tls| {
        let sockets = tempfile::tempdir().expect("a directory");
        let command = Peer::go(peers).command(&["all"]);
        let host = host_of(command, tls).socket_dir(sockets.path());
        let (plugin, probe) = start(host, runtime).await;
        let pid = plugin.pid().expect("it runs");
        let began = Instant::now();
        let killing = async {
            // After the knock, which nobody answers.
            let BrokerIds { ids } = probe
                .broker_accept_many(BrokerCount { count: 1 })
                .await
                .expect("it serves");
            assert_eq!(ids.len(), 1);
            kill(pid);
        };
        let dialling = plugin.broker().dial::<AddHelperClient>(4343);
        let (cut_off, ()) = join(dialling, killing).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        let error = cut_off.expect_err("it is dead").to_string();
        assert!(error.contains("SIGKILL"), "{error}");
        let report = plugin.exited().await;
        assert_eq!(report.exit.signal(), Some(9), "{report}");
        let later = plugin.broker().dial::<AddHelperClient>(4343).await;
        let error = later.expect_err("it is dead").to_string();
        assert!(error.contains("SIGKILL"), "{error}");
        probe.observe(Nothing {}).await.expect_err("it is dead");
        plugin.shutdown().await.expect("nothing to wait for");
        let left = std::fs::read_dir(sockets.path()).expect("it").count();
        assert_eq!(left, 0, "sockets");
    });
}

/// A plugin that cannot multiplex, or is not to, is refused with an error of its own, which says what
/// to do, and does not stay.
#[test]
fn plugins_that_cannot() {
    let Some(peers) = go() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pid");
    let program = peers.plugin.display();
    let note = format!("echo $$ > '{}'", file.display());
    let said = |field: &str| {
        format!("{note}; echo '1|1|unix|/nowhere|grpc|{field}'; exec sleep 600 < /dev/null")
    };
    // As one made with go-plugin before 1.6, which does not know the variable.
    let old = format!("{note}; unset PLUGIN_MULTIPLEX_GRPC; exec '{program}' all");
    let rust = format!("{note}; exec '{PLUGIN}' all");
    for (script, refusal) in [
        (old, MultiplexingRefusal::NotMentioned),
        (said(""), MultiplexingRefusal::NotMentioned),
        (said("|false"), MultiplexingRefusal::SaidNo),
        (rust, MultiplexingRefusal::NotMentioned),
    ] {
        for runtime in RUNTIMES {
            let command = Command::new("/bin/sh").arg("-c").arg(&script);
            let command = command.env("INTEROP_MULTIPLEX", "no").inherit_stdin(false);
            let host = host_of(command, false).socket_dir(dir.path());
            let started = on(runtime, async |runtime| host.start(runtime).await);
            let error = match started {
                Err(HostError::Start { error, .. }) => error,
                other => panic!("{script}: {other:?}"),
            };
            let StartFailure::Handshake(HandshakeError::MultiplexingUnsupported(found)) =
                &error.failure
            else {
                panic!("{script}: {error:?}")
            };
            assert_eq!(*found, refusal, "{script}");
            let text = error.to_string();
            for told in ["multiplex", "update", "turn"] {
                assert!(text.contains(told), "{told}: {text}");
            }
            let pid = std::fs::read_to_string(&file).expect("it was started");
            let pid = pid.trim().parse().expect("a process id");
            assert!(wait_until_gone(pid, Wait::default()), "{script}");
            std::fs::remove_file(&file).expect("it is there");
            let left = std::fs::read_dir(dir.path()).expect("it").count();
            assert_eq!(left, 0, "{script}");
        }
    }
}

/// What the seventh field says is read as Go reads a boolean, by a host that asks for it.
#[test]
fn spellings_of_the_seventh_field() {
    let true_or_false = [
        ("1", "0"),
        ("t", "f"),
        ("T", "F"),
        ("true", "false"),
        ("TRUE", "FALSE"),
        ("True", "False"),
    ];
    let script = |script: &str| {
        let command = Command::new("/bin/sh").arg("-c").arg(script);
        host_of(command.inherit_stdin(false), false)
    };
    let line = |field: &str| {
        let line = format!("1|1|unix|/nowhere|grpc||{field}");
        script(&format!("echo '{line}'; exec sleep 600 < /dev/null"))
    };
    for runtime in RUNTIMES {
        let refusal = |host: Host| {
            let started = on(runtime, async |runtime| host.start(runtime).await);
            match started {
                Err(HostError::Start { error, .. }) => error.failure,
                other => panic!("{other:?}"),
            }
        };
        for (yes, no) in true_or_false {
            let said = format!("'{PLUGIN}' all | sed -u '1s/|true$/|{yes}/'");
            on(runtime, async |runtime| {
                let (plugin, probe) = start(script(&said), &runtime).await;
                brokered(&plugin, &probe).await;
                end(plugin).await;
            });
            let unsupported = HandshakeError::MultiplexingUnsupported(MultiplexingRefusal::SaidNo);
            let refused = refusal(line(no));
            let told = matches!(&refused, StartFailure::Handshake(why) if *why == unsupported);
            assert!(told, "{no}: {refused:?}");
        }
        for other in ["yes", "tRUE", "2", ""] {
            let refused = refusal(line(other));
            let told = matches!(
                &refused,
                StartFailure::Handshake(HandshakeError::MultiplexingNotBoolean { .. })
            );
            assert!(told, "{other}: {refused:?}");
        }
    }
}
