//! The ends of plugins, and of hosts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::future::{Either, join, join_all, select};
use outboard::{Code, Exit, ExitReason, Health, PingError, ShutdownError, Streaming};
use outboard_conformance::axes::TransportKind;
use outboard_conformance::proto::{
    Flag, Nothing, PrintRequest, Probe as _, ProbeClient, Process as _, ProcessClient,
    print_request::How,
};
use outboard_conformance::{PROBE, PROCESS};
use outboard_kit::files::sockets_in;
use rustix::process::{Pid, Signal, getpgid, kill_process_group};

use crate::broker::borrow;
use crate::calls::payload;
use crate::harness::{Harness, Rig, timed};
use crate::leftovers::{self, files_in, processes_of};

pub async fn the_plugin_ends_by_itself_and_cleans_up(h: Harness) {
    let file = h.dir().join("exit-file");
    let options = ["--exit-file", file.to_str().expect("text")];
    let rig = h.start_host(h.host(options)).await;
    assert!(rig.probe.echo(payload("x")).await.is_ok());
    let pid = rig.pid();
    let report = h
        .promptly(rig.plugin.shutdown())
        .await
        .expect("in good order");
    assert_eq!(
        (report.exit, report.reason),
        (Exit::Code(0), ExitReason::Shutdown)
    );
    assert!(!leftovers::exists(pid), "it was reaped");
    std::fs::remove_file(file).expect("what comes after serving ran");
    let status = h
        .promptly(rig.probe.echo(payload("x")))
        .await
        .expect_err("it is gone");
    assert!(status.message().contains("was shut down"), "{status}");
}

pub async fn calls_in_flight_are_finished(h: Harness) {
    let rig = h.start().await;
    let probe = rig.probe.clone();
    finished(&h, rig, probe).await;
}

pub async fn brokered_calls_in_flight_are_finished(h: Harness) {
    let rig = h.start().await;
    let (_, probe) = borrow(&rig).await;
    finished(&h, rig, probe).await;
}

pub async fn calls_in_flight_are_dropped_in_the_end(h: Harness) {
    let rig = start_in_haste(&h).await;
    let probe = rig.probe.clone();
    dropped(&h, rig, probe).await;
}

pub async fn brokered_calls_in_flight_are_dropped_in_the_end(h: Harness) {
    let rig = start_in_haste(&h).await;
    let (_, probe) = borrow(&rig).await;
    dropped(&h, rig, probe).await;
}

/// A plugin that finishes calls for a moment only.
async fn start_in_haste(h: &Harness) -> Rig {
    let grace = Duration::from_secs(60);
    h.start_host(h.host(["--drain", "100"]).shutdown_grace(grace))
        .await
}

/// Ends the plugin, which exits with an error if a call is left after serving.
async fn dropped(h: &Harness, rig: Rig, probe: ProbeClient) {
    let waiting = probe.wait(Nothing {});
    let ending = async {
        assert_eq!(
            probe.next_note(Nothing {}).await.expect("ok").text,
            "wait began"
        );
        rig.plugin.shutdown().await
    };
    let (waited, report) = h.promptly(join(waiting, ending)).await;
    assert_eq!(waited.expect_err("it never ends").code(), Code::Unavailable);
    let report = report.expect("in good order");
    assert_eq!(
        (report.exit, report.reason),
        (Exit::Code(0), ExitReason::Shutdown)
    );
}

/// Ends the plugin while a call to `probe` is in flight.
async fn finished(h: &Harness, rig: Rig, probe: ProbeClient) {
    let (mut sender, requests) = Streaming::channel(1);
    let mut chat = probe.chat(requests).await.expect("starts");
    sender.send(payload("before")).await.expect("it is read");
    assert_eq!(chat.message().await, Ok(Some(payload("before"))));
    let in_flight = async {
        // The plugin has been asked to end once it takes no further calls.
        while rig.probe.echo(payload("new")).await.is_ok() {}
        // A plugin that knows nothing of the call would end within a few of these.
        let others = || (0..20).all(|_| Command::new("/bin/true").status().is_ok());
        assert!(h.elsewhere(others).await);
        sender.send(payload("after")).await.expect("it is read");
        assert_eq!(chat.message().await, Ok(Some(payload("after"))));
        drop(sender);
        assert_eq!(chat.message().await, Ok(None));
    };
    let both = h.promptly(join(rig.plugin.shutdown(), in_flight));
    let report = both.await.0.expect("in good order");
    assert_eq!(
        (report.exit, report.reason),
        (Exit::Code(0), ExitReason::Shutdown)
    );
}

pub async fn a_stubborn_plugin_is_killed_after_the_grace(h: Harness) {
    let grace = Duration::from_millis(300);
    let rig = h
        .start_host(h.host(["--stubborn"]).shutdown_grace(grace))
        .await;
    let pid = rig.pid();
    let (ended, took) = timed(h.promptly(rig.plugin.shutdown())).await;
    match ended {
        Err(ShutdownError::GraceExpired { name, grace: told }) => {
            assert_eq!((name.as_str(), told), ("suite-plugin", grace));
        }
        other => panic!("it never ends by itself: {other:?}"),
    }
    assert!(took >= grace, "{took:?}");
    assert!(!leftovers::exists(pid), "it was reaped");
}

pub async fn kill_ends_it_at_once(h: Harness) {
    let rig = h.start_host(h.host(["--stubborn"])).await;
    let pid = rig.pid();
    let waiting = rig.probe.wait(Nothing {});
    let both = join(waiting, rig.plugin.kill());
    let (waited, report) = h.promptly(both).await;
    assert_eq!(
        (report.exit.signal(), report.reason),
        (Some(9), ExitReason::Killed)
    );
    let status = waited.expect_err("it is gone");
    assert!(
        status.message().contains("was killed by its host"),
        "{status}"
    );
    assert!(!leftovers::exists(pid), "it was reaped");
}

pub async fn dropping_the_handle_kills_and_reaps(h: Harness) {
    let rig = h.start_host(h.host(["--stubborn"])).await;
    let pid = rig.pid();
    let exited = rig.plugin.exited();
    drop(rig.plugin);
    let report = h.promptly(exited).await;
    assert_eq!(report.reason, ExitReason::Killed);
    assert!(!leftovers::exists(pid), "it was reaped");
    // The client alone holds nothing.
    assert!(h.promptly(rig.probe.echo(payload("x"))).await.is_err());
}

pub async fn dropping_the_start_kills_what_was_launched(h: Harness) {
    let file = h.dir().join("launched");
    let script = format!("echo > {}; exec sleep 600", file.display());
    let host = h.script(&script);
    {
        let mut starting = pin!(host.start(h.runtime.clone()));
        let appeared = h.elsewhere({
            let file = file.clone();
            let dir = h.dir().to_owned();
            move || {
                until_exists(&file);
                // While it becomes `sleep`, its environment, by which it is found, reads as empty.
                while processes_of(&dir).len() != 1 {
                    std::thread::yield_now();
                }
            }
        });
        match select(starting.as_mut(), pin!(appeared)).await {
            Either::Left((result, _)) => panic!("{result:?}"),
            Either::Right(((), _)) => {}
        }
    }
    let left = h.elsewhere({
        let dir = h.dir().to_owned();
        move || processes_of(&dir).into_iter().all(leftovers::gone)
    });
    assert!(left.await, "it is gone");
    std::fs::remove_file(file).expect("it was made");
}

/// Waits for a file that another process makes.
pub fn until_exists(file: &std::path::Path) {
    while !file.exists() {
        std::thread::yield_now();
    }
}

pub async fn a_grandchild_with_the_streams_holds_nothing_up(h: Harness) {
    let file = h.dir().join("grandchild");
    let options = ["--grandchild", file.to_str().expect("text")];
    let command = h.plugin(options).spare_descendants(true);
    let rig = h.start_host(h.host_of(command)).await;
    let grandchild: u32 = std::fs::read_to_string(&file)
        .expect("written")
        .parse()
        .expect("a pid");
    let pid = rig.pid();
    h.promptly(rig.plugin.shutdown())
        .await
        .expect("in good order");
    assert!(!leftovers::exists(pid));
    assert!(
        leftovers::exists(grandchild),
        "it held the streams all the time"
    );
    leftovers::kill(grandchild);
    // The same when the plugin crashes.
    let rig = h.start_host(h.host(options)).await;
    let grandchild: u32 = std::fs::read_to_string(&file)
        .expect("written")
        .parse()
        .expect("a pid");
    let exited = rig.plugin.exited();
    leftovers::kill(rig.pid());
    h.promptly(exited).await;
    assert!(
        leftovers::exists(grandchild),
        "it held the streams all the time"
    );
    leftovers::kill(grandchild);
    std::fs::remove_file(file).expect("it was made");
}

pub async fn a_child_with_the_captured_streams_holds_nothing_up(h: Harness) {
    let command = h.plugin([""; 0]).spare_descendants(true);
    let rig = h.start_host(h.host_of(command)).await;
    let child = rig.process.spawn(Nothing {}).await.expect("spawned").pid;
    h.promptly(rig.plugin.shutdown())
        .await
        .expect("in good order");
    assert!(leftovers::exists(child), "it held the streams all the time");
    leftovers::kill(child);
}

pub async fn the_health_that_the_plugin_reports(h: Harness) {
    let rig = h.start().await;
    assert_eq!(rig.plugin.health().await, Ok(Health::Serving));
    rig.process
        .set_serving(Flag { flag: false })
        .await
        .expect("ok");
    assert_eq!(rig.plugin.health().await, Ok(Health::NotServing));
    let error = rig.plugin.ping().await.expect_err("it says so");
    assert_eq!(error, PingError::NotServing(Health::NotServing));
    rig.process
        .set_serving(Flag { flag: true })
        .await
        .expect("ok");
    rig.plugin.ping().await.expect("it serves again");
    rig.shutdown().await;
}

pub async fn twenty_times_leave_no_descriptor(h: Harness) {
    let mut host = h.suite_host(&["loop", "20"]);
    let output = h.elsewhere(move || host.output().expect("it runs")).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let counts: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(counts.len(), 2, "{text}");
    assert_eq!(
        counts[0], counts[1],
        "descriptors after the first time and the last"
    );
}

/// Starts a host of its own process, and waits until it has printed the pid of its plugin.
pub async fn host_and_plugin(h: &Harness, mut host: Command) -> (Child, u32) {
    h.elsewhere(move || {
        let mut host = host.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(host.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("it prints");
        (host, line.trim().parse().expect("a pid"))
    })
    .await
}

pub fn kill_host(mut host: Child) {
    host.kill().expect("it runs");
    host.wait().expect("it ends");
}

pub async fn a_killed_host_takes_its_plugin_along(h: Harness) {
    let (host, plugin) = host_and_plugin(&h, h.suite_host(&["wait"])).await;
    assert_eq!(files_in(h.dir()).len(), 1, "the directory of the launch");
    kill_host(host);
    let gone = h.elsewhere(move || leftovers::gone(plugin)).await;
    assert!(gone, "the plugin noticed");
    assert_eq!(
        files_in(h.dir()),
        [""; 0],
        "and removed its socket and the directory of the launch"
    );
}

/// As `kill` with a negative id or a supervisor ends them: each dies of the signal beside the other.
pub async fn a_terminated_process_group_leaves_no_files(h: Harness) {
    for _ in 0..10 {
        let mut host = h.suite_host(&["wait"]);
        host.process_group(0);
        let (mut host, plugin) = host_and_plugin(&h, host).await;
        let of_group = |pid| getpgid(Some(Pid::from_raw(pid).expect("not 0"))).expect("it runs");
        let group = Pid::from_child(&host);
        assert_eq!(of_group(plugin.cast_signed()), group, "the plugin is in it");
        kill_process_group(group, Signal::TERM).expect("both run");
        let ended = h.elsewhere(move || host.wait().expect("a child")).await;
        assert_eq!(ended.signal(), Some(Signal::TERM.as_raw()));
        let gone = h.elsewhere(move || leftovers::gone(plugin)).await;
        assert!(gone, "it was told, too");
        assert_eq!(files_in(h.dir()), [""; 0], "the socket and its directory");
    }
}

pub async fn a_host_that_has_forked_takes_its_plugin_along(h: Harness) {
    let (host, plugin) = host_and_plugin(&h, h.suite_host(&["fork"])).await;
    let host_pid = host.id();
    kill_host(host);
    // Its pipes and its connection are still open, in a process that does nothing with them.
    let mut left = processes_of(h.dir());
    left.retain(|pid| ![plugin, host_pid].contains(pid));
    assert_eq!(left.len(), 1, "{left:?}");
    let gone = h.elsewhere(move || leftovers::gone(plugin)).await;
    assert!(leftovers::exists(left[0]), "it held them all the time");
    leftovers::kill(left[0]);
    assert!(gone, "the plugin noticed");
    assert_eq!(
        files_in(h.dir()),
        [""; 0],
        "and removed its socket and the directory for it"
    );
}

/// How long a plugin may outstay its host, if something holds it up.
const ORPHAN_LIMIT: Duration = Duration::from_secs(5);

pub async fn a_handler_that_blocks_does_not_keep_an_orphan(h: Harness) {
    // What the dead host ran on does not matter, and the wait is a long one.
    if h.on.host != h.on.plugin {
        return;
    }
    let file = h.dir().join("blocked");
    let mode = ["block", file.to_str().expect("text")];
    let (host, plugin) = host_and_plugin(&h, h.suite_host(&mode)).await;
    let began = h.elsewhere({
        let file = file.clone();
        move || until_exists(&file)
    });
    h.promptly(began).await;
    kill_host(host);
    let limit = 3 * ORPHAN_LIMIT;
    let gone = h.elsewhere(move || leftovers::gone_within(plugin, limit));
    assert!(gone.await, "its handler would never have ended");
    std::fs::remove_file(file).expect("it was made");
    assert_eq!(
        files_in(h.dir()),
        [""; 0],
        "and removed its socket and the directory for it"
    );
}

pub async fn a_plugin_may_outlive_its_host(h: Harness) {
    // What the dead host ran on does not matter, and the wait is a long one.
    if h.on.host != h.on.plugin {
        return;
    }
    let mut host = h.suite_host(&["wait"]);
    host.arg("--outlive");
    let (host, plugin) = host_and_plugin(&h, host).await;
    kill_host(host);
    if !h.on.transport.has_sockets() || h.on.transport.is_multiplexed() {
        // Where the connection is the host's own pipes, or the only one that the plugin ever takes,
        // there is nothing to outlive it for.
        assert!(h.elsewhere(move || leftovers::gone(plugin)).await);
        return;
    }
    // That nothing happens can only be waited for: longer than until orphans are ended.
    let limit = ORPHAN_LIMIT + Duration::from_secs(1);
    let gone = h.elsewhere(move || leftovers::gone_within(plugin, limit));
    assert!(!gone.await, "it was told to outlive its host");
    let socket = sockets_in(h.dir()).remove(0);
    let second = h.second_host(&socket).await;
    let probe: ProbeClient = second.dispense(PROBE).await.expect("no names are given");
    assert_eq!(probe.echo(payload("second")).await, Ok(payload("second")));
    // Its prints neither break nor wait for ever, although who read them is gone.
    let process: ProcessClient = second.dispense(PROCESS).await.expect("no names are given");
    for stderr in [false, true] {
        let request = PrintRequest {
            how: How::Handler.into(),
            stderr,
            text: "x".repeat(64 << 10),
            repeat: 8,
        };
        let printed = h.promptly(process.print(request)).await;
        printed.expect("it prints");
    }
    drop((probe, process));
    second.kill().await;
    leftovers::kill(plugin);
    let dir = socket.parent().expect("a directory of its own");
    std::fs::remove_dir_all(dir).expect("the socket of a killed plugin");
}

pub async fn one_that_outlives_its_host_ends_when_nobody_comes(h: Harness) {
    let mut host = h.suite_host(&["wait"]);
    // Long enough for the second host of this case to come.
    host.args(["--outlive", "--alone", "6000"]);
    let (host, plugin) = host_and_plugin(&h, host).await;
    kill_host(host);
    let socket = sockets_in(h.dir()).remove(0);
    let second = h.second_host(&socket).await;
    let probe: ProbeClient = second.dispense(PROBE).await.expect("no names are given");
    assert_eq!(probe.echo(payload("second")).await, Ok(payload("second")));
    drop(probe);
    second.kill().await;
    let limit = Duration::from_secs(40);
    assert!(
        h.elsewhere(move || leftovers::gone_within(plugin, limit))
            .await
    );
    // With the directory, which the first host could not remove.
    assert!(!socket.parent().expect("a directory of its own").exists());
}

pub async fn many_plugins_at_once(h: Harness) {
    let rigs = join_all((0..8).map(|_| h.start())).await;
    let calls = rigs
        .iter()
        .map(|rig| rig.probe.echo(payload(rig.pid().to_string())));
    for (rig, answer) in rigs.iter().zip(join_all(calls).await) {
        assert_eq!(answer, Ok(payload(rig.pid().to_string())));
    }
    join_all(rigs.into_iter().map(|rig| rig.shutdown())).await;
}

pub async fn the_defaults_of_directory_and_environment(h: Harness) {
    // What a host was itself launched with is not passed on.
    let inherited = [
        "PLUGIN_CLIENT_CERT",
        "PLUGIN_MULTIPLEX_GRPC",
        "PLUGIN_UNIX_SOCKET_DIR",
        "PLUGIN_UNIX_SOCKET_GROUP",
        "PLUGIN_PROTOCOL_VERSIONS",
        "PLUGIN_MIN_PORT",
    ];
    let mut host = h.suite_host(&["facts"]);
    host.envs(inherited.map(|name| (name, "inherited")))
        .env("PLUGIN_OF_THE_USER", "passed on")
        .env("SUITE_COOKIE", "of another plugin");
    let output = h.elsewhere(move || host.output().expect("it runs")).await;
    assert!(output.status.success(), "{output:?}");
    let mut text = String::from_utf8(output.stdout).expect("text");
    // The only one of several lines.
    let certificate = text.find("PLUGIN_CLIENT_CERT=-----BEGIN CERTIFICATE-----\n");
    let asked = h.on.transport == TransportKind::H2Tls;
    assert_eq!(certificate.is_some(), asked, "{text}");
    if let Some(begin) = certificate {
        let end = text.find("-----END CERTIFICATE-----\n\n");
        text.replace_range(begin..end.expect("its end") + 27, "");
    }
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "PLUGIN_MAX_PORT=25000",
        "PLUGIN_MIN_PORT=10000",
        "PLUGIN_OF_THE_USER=passed on",
        "PLUGIN_PROTOCOL_VERSIONS=1",
    ];
    let own = format!("PLUGIN_UNIX_SOCKET_DIR={}/plugin-dir", h.dir().display());
    let dirs = lines.iter().filter(|line| line.starts_with(&own)).count();
    assert_eq!(dirs, usize::from(h.on.transport.has_sockets()), "{lines:?}");
    let asked = "PLUGIN_MULTIPLEX_GRPC=true";
    let asks = h.on.transport.is_multiplexed();
    assert_eq!(lines.contains(&asked), asks, "{lines:?}");
    let beside = |line: &&str| {
        !line.starts_with("PLUGIN_TRANSPORTS=") && !line.starts_with(&own) && *line != asked
    };
    assert_eq!(
        lines.into_iter().filter(beside).collect::<Vec<_>>(),
        expected
    );
    // The host's stdin is its own also while the plugin runs.
    let mut host = h.suite_host(&["echo"]);
    host.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut host = host.spawn().expect("it starts");
    let mut stdin = host.stdin.take().expect("piped");
    stdin.write_all(b"to the host").expect("it reads");
    drop(stdin);
    let output = h
        .elsewhere(move || host.wait_with_output().expect("it ends"))
        .await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "to the host");
    assert!(output.status.success());
}
