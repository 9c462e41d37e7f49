//! What a host wants to be logged.

use outboard::hclog::Level;
use outboard::supervisor::Supervision;
use outboard::{Command, Host, LevelAnswer, ReattachConfig};
use outboard_conformance::proto::{
    CrashRequest, LogRequest, Nothing, Process as _, ProcessClient, crash_request::How,
};
use outboard_conformance::watched::Sink;
use outboard_conformance::{HANDSHAKE, PROCESS, axes};

use crate::harness::Harness;
use crate::logs::Records;

/// Logs one record of each level, and waits for the last: what has not come by then does not come.
async fn logged(
    h: &Harness,
    process: &ProcessClient,
    records: &Records,
    about: &str,
) -> Vec<Level> {
    for level in Level::ALL {
        let request = LogRequest {
            level: level.name().to_owned(),
            message: format!("{about} {level}"),
        };
        process.log(request).await.expect("it logs");
    }
    h.promptly(records.with(&format!("{about} error"))).await;
    let came = |level: &Level| records.has(&format!("{about} {level}"));
    Level::ALL.into_iter().filter(came).collect()
}

fn from(level: Level) -> Vec<Level> {
    Level::ALL.into_iter().filter(|l| *l >= level).collect()
}

pub async fn a_level_is_told_at_the_launch_and_changed_while_it_runs(h: Harness) {
    let records = Records::default();
    let host = records.of(h.host([""; 0])).log_level(Level::Warn);
    let rig = h.start_host(host).await;
    let seen = logged(&h, &rig.process, &records, "launched").await;
    assert_eq!(seen, from(Level::Warn));
    for level in [Level::Debug, Level::Error, Level::Trace, Level::Info] {
        let answer = rig.plugin.set_log_level(level).await;
        assert_eq!(answer, Ok(LevelAnswer::Followed));
        let about = format!("set to {level}");
        let seen = logged(&h, &rig.process, &records, &about).await;
        assert_eq!(seen, from(level), "{about}");
    }
    rig.shutdown().await;
}

pub async fn directives_open_other_crates_and_not_beyond_the_level(h: Harness) {
    let records = Records::default();
    let command = h.plugin([""; 0]).env("RUST_LOG", "error");
    let rig = h.start_host(records.of(h.host_of(command))).await;
    let seen = logged(&h, &rig.process, &records, "as its variable says").await;
    assert_eq!(seen, [Level::Error]);
    let answer = rig.plugin.set_log_level(Level::Debug).await;
    assert_eq!(answer, Ok(LevelAnswer::Followed));
    let seen = logged(&h, &rig.process, &records, "as the host says").await;
    assert_eq!(seen, from(Level::Debug));
    rig.shutdown().await;
}

pub async fn a_program_that_logs_otherwise_is_told_or_says_so(h: Harness) {
    let rig = h.start_host(h.host(["--no-logging"])).await;
    let answer = rig.plugin.set_log_level(Level::Debug).await;
    assert_eq!(answer, Ok(LevelAnswer::NotFollowed));
    rig.shutdown().await;

    let printed = Sink::default();
    let host = h.host(["--no-logging", "--print-levels"]);
    let host = host.sync_stdout(printed.writer()).log_level(Level::Info);
    let rig = h.start_host(host).await;
    h.promptly(printed.until_contains("level info")).await;
    let answer = rig.plugin.set_log_level(Level::Trace).await;
    assert_eq!(answer, Ok(LevelAnswer::Followed));
    h.promptly(printed.until_contains("level trace")).await;
    rig.shutdown().await;
}

pub async fn variables_of_other_loggers_are_set_where_a_level_is(h: Harness) {
    let variables = async |command: Command, level: Option<Level>| {
        let host = h.host_of(command.env("PLUGIN_TEST_LOG", "mine"));
        let host = host.log_level_variables(["PLUGIN_TEST_LOG", "PLUGIN_OTHER_LOG"]);
        let host = level.into_iter().fold(host, Host::log_level);
        let rig = h.start_host(host).await;
        let facts = rig.process.facts(Nothing {}).await.expect("it answers");
        rig.shutdown().await;
        ["PLUGIN_TEST_LOG", "PLUGIN_OTHER_LOG"]
            .map(|name| facts.environment.get(name).cloned().unwrap_or_default())
    };
    let plain = || h.plugin([""; 0]);
    assert_eq!(variables(plain(), None).await, ["mine", ""]);
    let debug = Some(Level::Debug);
    assert_eq!(variables(plain(), debug).await, ["DEBUG", "DEBUG"]);
    let own = plain().env_override("PLUGIN_OTHER_LOG", "own");
    assert_eq!(variables(own, debug).await, ["DEBUG", "own"]);
}

pub async fn later_processes_have_the_present_level(h: Harness) {
    let records = Records::default();
    let host = records.of(h.host([""; 0])).log_level(Level::Error);
    let plugin = host.supervise(Supervision::new().lazy(true), h.runtime.clone());
    let answer = plugin.set_log_level(Level::Info).await;
    assert_eq!(answer, Ok(LevelAnswer::Later));
    let process: ProcessClient = plugin.dispense(PROCESS).await.expect("it has one");
    let seen = logged(&h, &process, &records, "first").await;
    assert_eq!(seen, from(Level::Info));
    let answer = plugin.set_log_level(Level::Debug).await;
    assert_eq!(answer, Ok(LevelAnswer::Followed));
    let seen = logged(&h, &process, &records, "changed").await;
    assert_eq!(seen, from(Level::Debug));
    let crash = CrashRequest {
        how: How::Exit.into(),
        code: 3,
        ..CrashRequest::default()
    };
    process.crash(crash).await.expect_err("it has ended");
    let seen = logged(&h, &process, &records, "second").await;
    assert_eq!(seen, from(Level::Debug));
    assert_eq!(plugin.state().generation, 2);
    plugin.shutdown().await.expect("it ends by itself");
}

pub async fn of_several_hosts_the_last_is_heeded(h: Harness) {
    let records = Records::default();
    let host = records.of(h.host([""; 0])).log_level(Level::Warn);
    let first = h.start_host(host).await;
    let record = first.plugin.reattach_config().expect("it listens");
    let attach = |record: ReattachConfig| {
        let host = axes::of_host(h.on.transport, Host::new(HANDSHAKE)).socket_dir(h.dir());
        h.start_host(host.attach(record).log_level(Level::Debug))
    };
    // It is told before its host has it.
    let second = attach(record).await;
    let seen = logged(&h, &first.process, &records, "attached").await;
    assert_eq!(seen, from(Level::Debug));
    let answer = first.plugin.set_log_level(Level::Error).await;
    assert_eq!(answer, Ok(LevelAnswer::Followed));
    let seen = logged(&h, &second.process, &records, "the first again").await;
    assert_eq!(seen, from(Level::Error));
    // It is the plugin's, and stays.
    second
        .plugin
        .set_log_level(Level::Info)
        .await
        .expect("it is told");
    second.plugin.detach().await;
    let seen = logged(&h, &first.process, &records, "let go of").await;
    assert_eq!(seen, from(Level::Info));
    first.shutdown().await;
}
