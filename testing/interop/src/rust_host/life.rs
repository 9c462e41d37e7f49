//! Crashes, ends, and what is left.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use outboard::{Code, DispenseError, ExitReason, RunningPlugin, ShutdownError, Status};

use super::output::{raw, recording};
use super::recorder::Recorder;
use super::{Language, Peer, dispense, end, observed, run, start};
use crate::proto::probe::{
    CrashRequest, Nothing, PrintRequest, Probe as _, ProbeClient, SleepRequest, SpawnRequest,
    crash_request::Way, log_field::Value, raw_request::Target,
};
use crate::{Wait, is_alive, kill, wait_until_gone};

/// How soon calls must fail after a crash. They do within milliseconds; this allows for a loaded
/// machine.
const PROMPTLY: Duration = Duration::from_secs(2);

async fn crash_in_call(plugin: &RunningPlugin, probe: &ProbeClient, way: Way) -> (Status, Status) {
    let waiting = tokio::spawn({
        let probe = probe.clone();
        async move { probe.sleep(SleepRequest { millis: 60_000 }).await }
    });
    observed(probe, |seen| seen.started == 1).await;
    raw(probe, Target::Stderr, b"famous last words\n".to_vec(), 1).await;
    let begin = Instant::now();
    let crash = CrashRequest {
        way: way.into(),
        code: 7,
        message: "boom and bust".to_owned(),
    };
    let asked = probe.crash(crash).await.expect_err("it crashed");
    let waiting = waiting.await.expect("no panic").expect_err("it crashed");
    let took = begin.elapsed();
    assert!(took < PROMPTLY, "{way:?}: noticed after {took:?}");
    let _report = plugin.exited().await;
    (asked, waiting)
}

/// A crash in mid-call ends all calls at once, with a status that says how it ended; later calls
/// fail in the same way.
pub fn crash(peer: &Peer) {
    run(async {
        for (way, how) in [
            (Way::Exit, "exited with status 7"),
            (Way::Kill, "was killed by signal 9 (SIGKILL)"),
        ] {
            let (plugin, probe) = peer.probe().await;
            let pid = plugin.pid().expect("it runs");
            let (asked, waiting) = crash_in_call(&plugin, &probe, way).await;
            let later = probe.observe(Nothing {}).await.expect_err("it is gone");
            for status in [&asked, &waiting, &later] {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                assert!(status.is_connection_lost(), "{status}");
                for part in [how, "famous last words", plugin.name()] {
                    assert!(status.message().contains(part), "{status}");
                }
            }
            let report = plugin.exit_report().expect("it has ended");
            assert_eq!(report.reason, ExitReason::Crashed);
            assert!(report.stderr.contains(&"famous last words".to_owned()));
            assert!(plugin.is_exited() && plugin.pid().is_none());
            assert!(!is_alive(pid));
            let refused = plugin.dispense::<ProbeClient>("probe").await;
            let refused = refused.expect_err("it has ended");
            assert!(
                matches!(refused, DispenseError::Exited { .. }),
                "{refused:?}"
            );
            plugin.ping().await.expect_err("it has ended");
            // Ending what has ended is fine.
            let report = plugin.shutdown().await.expect("nothing to wait for");
            assert_eq!(report.reason, ExitReason::Crashed);
        }
    });
}

/// A panic that ends the process is an error record, its text and what follows.
pub fn crash_by_panic(peer: &Peer) {
    run(async {
        let (host, records) = recording(peer.host(&["probe"]));
        let (plugin, probe) = dispense::<ProbeClient>(start(host).await, "probe").await;
        let (asked, _) = crash_in_call(&plugin, &probe, Way::Panic).await;
        let how = match peer.language {
            Language::Go => "exited with status 2",
            Language::Rust => "SIGABRT",
            Language::Python => unreachable!("it has no probe"),
        };
        assert!(asked.message().contains(how), "{asked}");
        let panicked = |all: &[outboard::hclog::Record]| {
            all.iter()
                .any(|r| r.message.starts_with("panic: boom and bust"))
        };
        let records = records.until(panicked).await;
        let record = records.iter().find(|r| r.message.contains("boom"));
        let record = record.expect("just found");
        assert_eq!(record.level, outboard::hclog::Level::Error, "{record:?}");
    });
}

/// Where a panic ends the process, one of a handler is the plugin's own.
pub fn handler_panic_aborts(peer: &Peer) {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        // Whoever runs the tests may ask for backtraces, which would be among the lines.
        let command = peer.command(&["probe"]).env_override("RUST_BACKTRACE", "0");
        let host = peer.host(&[]).command(command).socket_dir(dir.path());
        let (host, records) = recording(host);
        let (plugin, probe) = dispense::<ProbeClient>(start(host).await, "probe").await;
        let (asked, waiting) = crash_in_call(&plugin, &probe, Way::Handler).await;
        for status in [asked, waiting] {
            assert!(status.is_connection_lost(), "{status}");
            for part in ["SIGABRT", "after a panic: boom and bust"] {
                assert!(status.message().contains(part), "{status}");
            }
        }
        let report = plugin.exit_report().expect("it has ended");
        assert_eq!(report.reason, ExitReason::Crashed);
        assert_eq!(report.panic.as_deref(), Some("boom and bust"));
        // One panic, told once: before it, what the program said on stderr by itself.
        let [words, panic, place] = &report.stderr[..] else {
            panic!("{report}")
        };
        assert_eq!(words, "famous last words");
        assert_eq!(panic, "panic: boom and bust");
        assert!(place.contains("probe.rs"), "{report}");
        let told = |all: &[outboard::hclog::Record]| {
            all.iter().any(|r| r.message.starts_with("panic: boom"))
        };
        let all = records.until(told).await;
        let of_it = all.iter().filter(|r| r.message.contains("boom"));
        let levels: Vec<_> = of_it.map(|record| record.level).collect();
        assert_eq!(levels, [outboard::hclog::Level::Error]);
        // Nothing unwinds then, and no hook of the exit runs.
        let left = std::fs::read_dir(dir.path()).expect("readable").count();
        assert_eq!(left, 0, "the socket is gone");
    });
}

/// The plugin's own code after serving runs when the host ends it.
pub fn shutdown(peer: &Peer) {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("ended");
        let command = peer.command(&["probe"]).env("INTEROP_EXIT_FILE", &file);
        let plugin = start(peer.host(&[]).command(command)).await;
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        super::calls::works(&probe).await;
        let exited = plugin.exited();
        end(plugin).await;
        assert!(file.is_file(), "the plugin did not get to its end");
        assert_eq!(exited.await.reason, ExitReason::Shutdown);
        let later = probe.observe(Nothing {}).await.expect_err("it is gone");
        assert!(later.message().contains("was shut down"), "{later}");
    });
}

/// It takes no luck: the end never needs force.
pub fn shutdown_is_never_forced(peer: &Peer) {
    run(async {
        for _ in 0..100 {
            end(peer.start(&["kv"]).await).await;
        }
    });
}

/// Nor does a thread of the plugin that keeps the lock on stdout to itself hold up the end.
pub fn shutdown_with_stdout_locked(peer: &Peer) {
    run(async {
        let command = peer.command(&["probe"]).env("INTEROP_LOCK_STDOUT", "1");
        let plugin = start(peer.host(&[]).command(command)).await;
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        super::calls::works(&probe).await;
        end(plugin).await;
    });
}

/// A plugin that does not go is killed after the grace.
pub fn shutdown_ignored(peer: &Peer) {
    run(async {
        let grace = Duration::from_millis(700);
        let plugin = start(peer.host(&["hang"]).shutdown_grace(grace)).await;
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        super::calls::works(&probe).await;
        let (pid, exited) = (plugin.pid().expect("it runs"), plugin.exited());
        let begin = Instant::now();
        let error = plugin.shutdown().await.expect_err("it does not go");
        let took = begin.elapsed();
        assert!(took >= grace && took < grace + PROMPTLY * 2, "{took:?}");
        assert!(
            matches!(error, ShutdownError::GraceExpired { grace: g, .. } if g == grace),
            "{error:?}"
        );
        assert!(!is_alive(pid));
        assert_eq!(exited.await.reason, ExitReason::GraceExpired);
    });
}

/// A call in flight does not keep the plugin from ending.
pub fn shutdown_in_call(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let sleeping = tokio::spawn({
            let probe = probe.clone();
            async move { probe.sleep(SleepRequest { millis: 60_000 }).await }
        });
        observed(&probe, |seen| seen.started == 1).await;
        end(plugin).await;
        let status = sleeping.await.expect("no panic").expect_err("cut short");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    });
}

/// A Rust plugin finishes short calls before it ends, also those of a host that shuts it down.
pub fn shutdown_waits(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let sleeping = tokio::spawn({
            let probe = probe.clone();
            async move { probe.sleep(SleepRequest { millis: 500 }).await }
        });
        observed(&probe, |seen| seen.started == 1).await;
        end(plugin).await;
        sleeping.await.expect("no panic").expect("finished");
    });
}

/// Killing does not ask.
pub fn killed(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let pid = plugin.pid().expect("it runs");
        let report = plugin.kill().await;
        assert_eq!(report.reason, ExitReason::Killed);
        assert_eq!(report.exit.signal(), Some(9));
        assert!(!is_alive(pid));
        let later = probe.observe(Nothing {}).await.expect_err("it is gone");
        assert!(
            later.message().contains("was killed by its host"),
            "{later}"
        );
    });
}

/// A plugin whose handle is dropped is killed and reaped, and its sockets are removed.
pub fn dropped(peer: &Peer) {
    run(async {
        let sockets = tempfile::tempdir().expect("a directory");
        let plugin = start(peer.host(&["all"]).socket_dir(sockets.path())).await;
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        let accepted = probe.broker_accept(Nothing {}).await.expect("it serves");
        // The announcement comes on another stream; the dial waits for it.
        let helper = plugin.broker().dial_channel(accepted.id).await;
        drop(helper.expect("the plugin serves"));
        let (pid, exited) = (plugin.pid().expect("it runs"), plugin.exited());
        drop(plugin);
        assert_eq!(exited.await.reason, ExitReason::Killed);
        assert!(!is_alive(pid));
        // It could not remove them itself; the host does so a moment later.
        while std::fs::read_dir(sockets.path()).expect("it").count() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

/// Nor does a plugin outlive the runtime of its host.
pub fn runtime_dropped(peer: &Peer) {
    let sockets = tempfile::tempdir().expect("a directory");
    let (plugin, pid) = run(async {
        let plugin = start(peer.host(&["probe"]).socket_dir(sockets.path())).await;
        let pid = plugin.pid().expect("it runs");
        (plugin, pid)
    });
    let [service, _] = outboard::Reflection::of(Vec::new());
    let refused = plugin.broker().serve(service).expect_err("nobody is there");
    assert!(refused.to_string().contains("closed"), "{refused}");
    let probe = <ProbeClient as outboard::Client>::from_channel(plugin.channel());
    let status = run(async { probe.observe(Nothing {}).await }).expect_err("it is gone");
    assert!(
        status
            .message()
            .contains("the async runtime that drove it was shut down"),
        "{status}"
    );
    assert!(!is_alive(pid), "the runtime is gone, and the plugin is not");
    assert!(plugin.is_exited() && plugin.pid().is_none());
    let left = std::fs::read_dir(sockets.path()).expect("it").count();
    assert_eq!(left, 0, "sockets");
    let report = run(async { plugin.exited().await });
    assert_eq!(report.reason, ExitReason::Killed);
    let report = run(plugin.shutdown()).expect("nothing to wait for");
    assert_eq!(report.reason, ExitReason::Killed);
}

/// A child of the plugin that holds the pipes open does not hold up its end.
pub fn grandchild(peer: &Peer) {
    run(async {
        let command = peer.command(&["probe"]).spare_descendants(true);
        let plugin = start(peer.host(&[]).command(command)).await;
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        let spawn = SpawnRequest {
            hold_millis: 60_000,
        };
        let child = probe.spawn(spawn).await.expect("a child").pid;
        let child = u32::try_from(child).expect("a process id");
        let begin = Instant::now();
        end(plugin).await;
        let took = begin.elapsed();
        assert!(is_alive(child), "nothing was tested");
        kill(child);
        assert!(took < Duration::from_secs(4), "{took:?}");
        let gone = tokio::task::spawn_blocking(move || wait_until_gone(child, Wait::default()));
        assert!(gone.await.expect("no panic"));
    });
}

/// What the plugin finds in its environment.
pub fn environment(peer: &Peer) {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().canonicalize().expect("it exists");
        let command = peer.command(&["probe"]).env("INTEROP_MARK", "set");
        let host = peer.host(&[]).command(command.current_dir(&dir));
        for inherit in [true, false] {
            // A host is used up by its start.
            let command = peer.command(&["probe"]).env("INTEROP_MARK", "set");
            let host = peer.host(&[]).command(command.current_dir(&dir));
            let plugin = start(host.inherit_env(inherit)).await;
            let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
            let process = probe.process(Nothing {}).await.expect("an answer");
            assert_eq!(Some(process.pid), plugin.pid().map(i64::from));
            assert_eq!(process.working_dir, dir.to_string_lossy());
            let program = std::path::Path::new(&peer.program).file_name();
            assert_eq!(program, Some(plugin.name().as_ref()));
            let value = |name: &str| {
                let field = process.environment.iter().find(|f| f.key == name)?;
                match field.value.as_ref()? {
                    Value::Text(text) => Some(text.as_str()),
                    Value::Number(_) | Value::Flag(_) => None,
                }
            };
            assert_eq!(value("INTEROP_MARK"), Some("set"));
            if peer.language == Language::Go {
                assert_eq!(value("PLUGIN_MIN_PORT"), Some("10000"));
                assert_eq!(value("PLUGIN_MAX_PORT"), Some("25000"));
                assert_eq!(value("PLUGIN_PROTOCOL_VERSIONS"), Some("1"));
            }
            for name in [
                "PLUGIN_CLIENT_CERT",
                "PLUGIN_MULTIPLEX_GRPC",
                "PLUGIN_UNIX_SOCKET_GROUP",
            ] {
                assert_eq!(value(name), None, "{name}");
            }
            let sockets = value("PLUGIN_UNIX_SOCKET_DIR").map(PathBuf::from);
            assert_eq!(sockets.is_some(), !peer.over_stdio);
            end(plugin).await;
            if let Some(dir) = sockets {
                let name = dir.file_name().expect("a name").to_string_lossy();
                assert!(name.starts_with("plugin-dir"), "{name}");
                assert!(!dir.exists(), "it goes with the plugin");
            }
        }
        drop(host);
    });
}

/// Two plugins of one host program do not get in each other's way.
pub fn two_at_once(peer: &Peer) {
    run(async {
        let outs = [Recorder::new(), Recorder::new()];
        let mut plugins = Vec::new();
        for out in &outs {
            let host = peer.host(&["probe"]).sync_stdout(out.writer());
            plugins.push(dispense::<ProbeClient>(start(host).await, "probe").await);
        }
        for ((_, probe), text) in plugins.iter().zip(["first", "second"]) {
            let print = PrintRequest {
                stdout: text.into(),
                stderr: Vec::new(),
            };
            probe.print(print).await.expect("an answer");
        }
        for (plugin, _) in plugins {
            end(plugin).await;
        }
        assert_eq!(outs[0].now(), b"first");
        assert_eq!(outs[1].now(), b"second");
    });
}
