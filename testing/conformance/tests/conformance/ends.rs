//! The stages of an end, who is told of it, and what goes along.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join;
use outboard::{EndStage, Exit, ExitReason, ExitReport, Host, StageOutcome};
use outboard_conformance::proto::{
    Nothing, PrintRequest, Probe as _, Process as _, ProcessClient, Text, print_request::How,
};
use outboard_conformance::{HANDSHAKE, axes};
use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};

use crate::calls::payload;
use crate::harness::{Harness, Rig};
use crate::leftovers::{self, files_in, processes_of};
use crate::shutdown::{host_and_plugin, until_exists};

fn terminate(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("not 0");
    kill_process(pid, Signal::TERM).expect("it runs");
}

fn stages(report: &ExitReport) -> Vec<(EndStage, StageOutcome)> {
    let stages = report.stages.iter();
    stages.map(|stage| (stage.stage, stage.outcome)).collect()
}

/// The stages of the end of a plugin with these options, and how it ended.
async fn ended(h: &Harness, options: &[&str], host: impl Fn(Host) -> Host) -> ExitReport {
    // What dies of the first signal has all the time for it.
    let limits = h
        .host(options)
        .shutdown_grace(Duration::from_millis(200))
        .terminate_grace(Duration::from_secs(60));
    let rig = h.start_host(host(limits)).await;
    let exited = rig.plugin.exited();
    let _told = h.promptly(rig.plugin.shutdown()).await;
    h.promptly(exited).await
}

pub async fn each_stage_of_the_end_is_told(h: Harness) {
    use EndStage::{Asked, Killed, Terminated};
    use StageOutcome::{Ended, Expired};

    let report = ended(&h, &[], |host| host.shutdown_grace(Duration::from_secs(60))).await;
    assert_eq!(stages(&report), [(Asked, Ended)]);
    assert_eq!(report.exit, Exit::Code(0));
    // It only sleeps, and dies of the signal.
    let report = ended(&h, &["--stubborn"], |host| host).await;
    assert_eq!(stages(&report), [(Asked, Expired), (Terminated, Ended)]);
    assert!(
        report.stages[0].took >= Duration::from_millis(200),
        "{report:?}"
    );
    assert_eq!(report.exit.signal(), Some(Signal::TERM.as_raw()));
    assert_eq!(report.reason, ExitReason::GraceExpired);
    assert!(report.to_string().contains("SIGTERM"), "{report}");
    let short = |host: Host| host.terminate_grace(Duration::from_millis(50));
    let report = ended(&h, &["--deaf", "--stubborn"], short).await;
    let all = [(Asked, Expired), (Terminated, Expired), (Killed, Ended)];
    assert_eq!(stages(&report), all);
    assert_eq!(report.exit.signal(), Some(Signal::KILL.as_raw()));
    let without = |host: Host| host.terminate_grace(Duration::ZERO);
    let report = ended(&h, &["--stubborn"], without).await;
    assert_eq!(stages(&report), [(Asked, Expired), (Killed, Ended)]);
}

/// Calls the plugin to tell when its end begins, and does `then` once it waits for that.
async fn told_of_the_end(h: &Harness, process: &ProcessClient, then: impl AsyncFnOnce()) -> String {
    let file = h.dir().join("waits");
    let text = file.to_str().expect("text").to_owned();
    let waiting = process.await_end(Text { text });
    let ending = async {
        let began = {
            let file = file.clone();
            h.elsewhere(move || until_exists(&file))
        };
        began.await;
        then().await;
    };
    let (told, ()) = h.promptly(join(waiting, ending)).await;
    std::fs::remove_file(file).expect("it was made");
    told.expect("it is finished").text
}

pub async fn handlers_are_told_of_the_end_and_finish(h: Harness) {
    for brokered in [false, true] {
        let rig = h.start().await;
        let Rig {
            plugin,
            process,
            probe: _probe,
        } = rig;
        let mut asked = process.clone();
        if brokered {
            let id = process.serve_both(Nothing {}).await.expect("served").id;
            asked = plugin.broker().dial(id).await.expect("it serves");
        }
        let mut report = None;
        let told = told_of_the_end(&h, &asked, async || {
            report = Some(plugin.shutdown().await.expect("in good order"));
        });
        assert_eq!(told.await, "Shutdown");
        assert_eq!(report.map(|report| report.exit), Some(Exit::Code(0)));
    }
}

pub async fn a_termination_ends_it_in_good_order(h: Harness) {
    let file: PathBuf = h.dir().join("exit-file");
    let rig = h
        .start_host(h.host(["--exit-file", file.to_str().expect("text")]))
        .await;
    let (pid, exited) = (rig.pid(), rig.plugin.exited());
    let told = told_of_the_end(&h, &rig.process, async || terminate(pid)).await;
    assert_eq!(told, "Terminated");
    let report = h.promptly(exited).await;
    // Of the host nobody has wanted it.
    assert_eq!(
        (report.exit, report.reason),
        (Exit::Code(0), ExitReason::Crashed)
    );
    assert_eq!(stages(&report), []);
    std::fs::remove_file(file).expect("what comes after serving ran");
    let status = h.promptly(rig.probe.echo(payload("late"))).await;
    let status = status.expect_err("it is gone");
    assert!(
        status.message().contains("exited with status 0"),
        "{status}"
    );
}

pub async fn a_second_termination_ends_it_at_once(h: Harness) {
    let rig = h.start_host(h.host(["--drain", "60000"])).await;
    let (pid, exited) = (rig.pid(), rig.plugin.exited());
    let twice = async {
        assert_eq!(
            rig.probe.next_note(Nothing {}).await.expect("ok").text,
            "wait began"
        );
        let told = told_of_the_end(&h, &rig.process, async || terminate(pid)).await;
        assert_eq!(told, "Terminated");
        terminate(pid);
    };
    let (waited, ()) = h.promptly(join(rig.probe.wait(Nothing {}), twice)).await;
    waited.expect_err("it never ends");
    let report = h.promptly(exited).await;
    assert_eq!(report.exit.signal(), Some(Signal::TERM.as_raw()));
}

/// The number of a child of the plugin.
async fn child_of(rig: &Rig) -> u32 {
    rig.process.spawn(Nothing {}).await.expect("spawned").pid
}

async fn is_gone(h: &Harness, pid: u32) -> bool {
    h.elsewhere(move || leftovers::gone(pid)).await
}

pub async fn a_process_group_ends_with_its_plugin(h: Harness) {
    for crashes in [false, true] {
        let command = h.plugin([""; 0]).process_group(true);
        let rig = h.start_host(h.host_of(command)).await;
        let child = child_of(&rig).await;
        let group = getpgid(Pid::from_raw(child.cast_signed())).expect("it runs");
        assert_eq!(group.as_raw_nonzero().get().cast_unsigned(), rig.pid());
        if crashes {
            let exited = rig.plugin.exited();
            leftovers::kill(rig.pid());
            h.promptly(exited).await;
        } else {
            let report = h.promptly(rig.plugin.shutdown()).await;
            assert_eq!(report.expect("in good order").exit, Exit::Code(0));
        }
        assert!(is_gone(&h, child).await, "it was in the group");
    }
}

pub async fn what_a_plugin_that_is_asked_to_end_has_started_goes_along(h: Harness) {
    for spared in [false, true] {
        let command = h.plugin([""; 0]).spare_descendants(spared);
        let rig = h.start_host(h.host_of(command)).await;
        let child = child_of(&rig).await;
        let report = h.promptly(rig.plugin.shutdown()).await;
        assert_eq!(report.expect("in good order").exit, Exit::Code(0));
        if spared {
            assert!(leftovers::exists(child), "it was to be spared");
            leftovers::kill(child);
        }
        assert!(is_gone(&h, child).await);
    }
}

pub async fn what_a_plugin_that_is_told_to_end_has_started_goes_along(h: Harness) {
    for spared in [false, true] {
        let command = h.plugin(["--stubborn"]).spare_descendants(spared);
        let host = h
            .host_of(command)
            .shutdown_grace(Duration::from_millis(100))
            .terminate_grace(Duration::from_secs(60));
        let rig = h.start_host(host).await;
        let child = child_of(&rig).await;
        let exited = rig.plugin.exited();
        let ended = h.promptly(rig.plugin.shutdown()).await;
        ended.expect_err("it stays until it is told");
        let report = h.promptly(exited).await;
        assert_eq!(report.exit.signal(), Some(Signal::TERM.as_raw()));
        if spared {
            assert!(leftovers::exists(child), "it was to be spared");
            leftovers::kill(child);
        }
        assert!(is_gone(&h, child).await);
    }
}

/// Has the plugin start a process that leaves its group, its session and its parent.
async fn daemon_of(h: &Harness, rig: &Rig) -> u32 {
    let file = h.dir().join("daemon");
    let text = format!(
        "(setsid sleep 600 >/dev/null 2>&1 & echo $! > {})",
        file.display()
    );
    let request = PrintRequest {
        how: How::Child.into(),
        text,
        ..PrintRequest::default()
    };
    rig.process.print(request).await.expect("it is started");
    let pid = std::fs::read_to_string(&file).expect("written");
    std::fs::remove_file(file).expect("it was made");
    pid.trim().parse().expect("a pid")
}

pub async fn a_guard_ends_what_its_plugin_has_started(h: Harness) {
    for end in ["shutdown", "kill", "drop", "crash", "signal"] {
        let (options, grace) = match end {
            "shutdown" => (&[][..], Duration::from_secs(60)),
            _ => (&["--stubborn"][..], Duration::from_millis(100)),
        };
        let host = h.host_of(h.plugin(options).guarded(true));
        let host = host.terminate_grace(Duration::from_secs(60));
        let rig = h.start_host(host.shutdown_grace(grace)).await;
        let facts = rig.process.facts(Nothing {}).await.expect("it answers");
        assert_eq!(facts.pid, rig.pid(), "its own number, not the guard's");
        let daemon = daemon_of(&h, &rig).await;
        let exited = rig.plugin.exited();
        match end {
            "shutdown" => drop(h.promptly(rig.plugin.shutdown()).await.expect("it ends")),
            "kill" => drop(h.promptly(rig.plugin.kill()).await),
            "drop" => drop(rig),
            "crash" => leftovers::kill(rig.pid()),
            // It stays until it is told.
            _ => {
                let ended = h.promptly(rig.plugin.shutdown()).await;
                ended.expect_err("not as it was asked");
            }
        }
        let report = h.promptly(exited).await;
        let signal = match end {
            "shutdown" => None,
            "signal" => Some(Signal::TERM.as_raw()),
            _ => Some(Signal::KILL.as_raw()),
        };
        assert_eq!(report.exit.signal(), signal, "{end}: {report}");
        assert!(is_gone(&h, daemon).await, "{end}");
    }
}

pub async fn a_killed_host_takes_all_of_a_guarded_plugin_along(h: Harness) {
    for whole_group in [false, true] {
        let file = h.dir().join("grandchild");
        let mut host = h.suite_host(&["guard"]);
        host.process_group(0);
        host.args(["--grandchild", file.to_str().expect("text"), "--outlive"]);
        let (mut host, plugin) = host_and_plugin(&h, host).await;
        let grandchild: u32 = std::fs::read_to_string(&file)
            .expect("written")
            .parse()
            .expect("a pid");
        assert!(leftovers::exists(grandchild));
        if whole_group {
            // As a shell's `kill %1`: neither guard nor caretaker dies with the host.
            kill_process_group(Pid::from_child(&host), Signal::KILL).expect("it runs");
        } else {
            host.kill().expect("it runs");
        }
        host.wait().expect("it ends");
        for pid in [plugin, grandchild] {
            assert!(is_gone(&h, pid).await, "{pid}");
        }
        // The guard, and who removes the directory.
        for pid in processes_of(h.dir()) {
            assert!(is_gone(&h, pid).await, "{pid}");
        }
        std::fs::remove_file(file).expect("it was made");
        assert_eq!(files_in(h.dir()), [""; 0]);
    }
}

pub async fn a_guarded_plugin_that_is_let_go_of_lives_on(h: Harness) {
    let command = h.plugin(["--outlive"]).guarded(true);
    let rig = h.start_host(h.host_of(command)).await;
    let pid = rig.pid();
    let daemon = daemon_of(&h, &rig).await;
    let record = rig.plugin.reattach_config().expect("it listens");
    h.promptly(rig.plugin.detach()).await;
    assert!(leftovers::exists(pid) && leftovers::exists(daemon));
    let host = axes::of_host(h.on.transport, Host::new(HANDSHAKE)).socket_dir(h.dir());
    let second = h.start_host(host.attach(record)).await;
    assert_eq!(second.probe.echo(payload("x")).await, Ok(payload("x")));
    h.promptly(second.plugin.shutdown())
        .await
        .expect("in good order");
    assert!(is_gone(&h, pid).await && is_gone(&h, daemon).await);
}
