//! What is left of plugins, and of what they have started, when their host is killed at any moment: nothing,
//! within a second.
//!
//! `OUTBOARD_ORPHANS` says how many hosts are killed in each test; a push has far fewer than the thousand that
//! it takes to meet the moments that are short. Each run rolls dice of its own, and says with which seed;
//! `OUTBOARD_ORPHANS_SEED` repeats one.
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{self, Command};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use outboard_interop::{HostRun, go, node, python, python_stdio};
use outboard_kit::dice::{Dice, number};

/// How many hosts are killed in a test unless it is said.
const FEW: usize = 60;

/// How many at a time.
const AT_ONCE: usize = 3;

/// Within this nothing is left any more.
const SECOND: Duration = Duration::from_secs(1);

/// How many times the longest that `/bin/true` took meanwhile is granted beside it: as many processes have to
/// get a processor one after another, between a host's end and that of the last that it has started. On an
/// idle machine that is a few milliseconds; one that has many others to run is measured by what it can do.
const STEPS: u32 = 10;

/// How many of a hundred may be late in a short run: where others run, not all that hold a process up hold up
/// the measure.
const LATE: usize = 5;

/// What is left after so long stays.
const AT_LAST: Duration = Duration::from_secs(20);

/// What has a plugin's shell start a process in a session of its own and a daemon before it, and stay.
const WITH_CHILDREN: &str = "setsid sleep 600 & (sleep 600 &); \"$@\"; true";

/// Milliseconds, by how many a start takes.
type Window = fn(u64) -> u64;

/// What a host does when it is killed, and within how long that is.
const OPERATIONS: [(&str, Window); 8] = [
    ("start", |start| 2 * start),
    ("idle", |_| 20),
    ("call", |_| 20),
    ("shutdown", |start| start + 300),
    ("kill", |start| start + 20),
    ("drop", |start| start + 20),
    ("restart", |start| 2 * start + 400),
    ("replace", |start| 2 * start + 300),
];

/// What has to be gone from the directory of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    All,
    /// Sockets of plugins and directories for them.
    Plugins,
    /// Nobody is left to remove them, but for a later launch.
    Stay,
}

/// A host that is to be killed.
#[derive(Clone, Debug)]
struct Case {
    what: String,
    /// The program and its arguments.
    host: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// Whether it says when it begins.
    begins: bool,
    /// Up to when it is killed, in milliseconds.
    window: u64,
    files: Files,
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

struct PluginKind {
    language: &'static str,
    transport: &'static str,
    command: Vec<OsString>,
    /// How long a start takes, in milliseconds.
    start: u64,
}

fn rust_plugin() -> Vec<OsString> {
    words(&[env!("CARGO_BIN_EXE_rust-plugin-peer"), "probe"])
}

/// Each transport with a plugin for it.
fn plugins() -> Vec<PluginKind> {
    let mut all = Vec::new();
    let mut add = |language, transport, command, start| {
        all.push(PluginKind {
            language,
            transport,
            command,
            start,
        });
    };
    for transport in ["h2", "h2+tls", "h2+streams", "stdio"] {
        add("Rust", transport, rust_plugin(), 60);
    }
    if let Some(go) = go() {
        let with = |program: &Path, mode: &str| vec![program.into(), mode.into()];
        add("Go", "h2", with(&go.plugin, "probe"), 100);
        add("Go", "h2+tls", with(&go.plugin, "probe"), 200);
        add("Go", "netrpc", with(&go.netrpc, "plain"), 100);
        add("deaf Go", "h2", with(&go.plugin, "hang"), 100);
    }
    if let Some(python) = python() {
        add("Python", "h2", python.command(&["--extras"]), 1000);
    }
    if let Some(python) = python_stdio() {
        let (program, mut arguments) = python.command();
        arguments.insert(0, program);
        add("Python", "stdio", arguments, 200);
    }
    // It never says where it listens.
    add("shell", "h2", words(&["/bin/sh", "-c", SHELL]), 50);
    all
}

const SHELL: &str = "read line; exec sleep 600";

/// A host on outboard with one of these plugins.
fn churning(plugin: &PluginKind, guarded: bool, dice: &mut Dice) -> Case {
    let pick = |dice: &mut Dice, of: usize| dice.roll(of as u64) as usize;
    let (mut operation, window) = OPERATIONS[pick(dice, OPERATIONS.len())];
    if plugin.language == "shell" {
        operation = "start";
    }
    let runtime = ["tokio", "tokio-threads", "smol"][pick(dice, 3)];
    let children = guarded && dice.roll(2) == 0;
    let mode = if guarded { "guarded" } else { "plain" };
    let mut host = words(&[env!("CARGO_BIN_EXE_churning-host")]);
    host.extend(words(&[runtime, plugin.transport, mode, operation]));
    if children {
        host.extend(words(&["/bin/sh", "-c", WITH_CHILDREN, "wrapper"]));
    }
    host.extend(plugin.command.iter().cloned());
    // Without a caretaker only a plugin that sees to itself removes anything, once it has begun to.
    let sees_to_itself = plugin.language == "Rust" && ["idle", "call"].contains(&operation);
    let files = match (guarded, sees_to_itself) {
        (true, _) => Files::All,
        (false, true) => Files::Plugins,
        (false, false) => Files::Stay,
    };
    let (language, transport) = (plugin.language, plugin.transport);
    let of_plugin = ["tokio", "smol"][pick(dice, 2)];
    Case {
        what: format!(
            "{runtime}, {transport}, {mode} {language}, children: {children}, {operation}"
        ),
        host,
        variables: vec![("INTEROP_RUNTIME".into(), of_plugin.into())],
        begins: true,
        window: window(plugin.start),
        files,
    }
}

/// A host without anything of ours, which is killed between its start and its end.
fn foreign(what: &str, command: &Command, window: u64, files: Files) -> Case {
    let program = command.get_program().to_owned();
    let arguments = command.get_args().map(OsString::from);
    let variables = command.get_envs();
    Case {
        what: what.to_owned(),
        host: std::iter::once(program).chain(arguments).collect(),
        variables: variables
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect(),
        begins: false,
        window,
        files,
    }
}

/// What came of a host that was killed.
struct Outcome {
    text: String,
    left: Vec<String>,
    took: Duration,
    granted: Duration,
}

/// How long a process takes on this machine just now: each with when it was begun.
#[derive(Default)]
struct Measure(Mutex<Vec<(Instant, Duration)>>);

impl Measure {
    fn take(&self) {
        let begun = Instant::now();
        let ended = Command::new("/bin/true").status().expect("it runs");
        assert!(ended.success());
        let mut all = self.0.lock().expect("no panic");
        all.push((begun, begun.elapsed()));
    }

    /// The longest of those that were not over then.
    fn since(&self, then: Instant) -> Duration {
        let all = self.0.lock().expect("no panic");
        let late = all.iter().rev();
        let late = late.take_while(|(begun, took)| *begun + *took >= then);
        late.map(|(_, took)| *took).max().unwrap_or_default()
    }
}

/// Kills a host after so many microseconds, with its process group or without.
fn kill_after(case: &Case, moment: u64, group: bool, measure: &Measure) -> Outcome {
    let dir = tempfile::tempdir().expect("a directory");
    let limit = AT_LAST.as_millis().to_string();
    let judged = Command::new(env!("CARGO_BIN_EXE_orphan-judge"))
        .args([&limit, &moment.to_string()])
        .arg(if group { "group" } else { "one" })
        .arg(if case.begins { "began" } else { "now" })
        .args(&case.host)
        .envs(case.variables.iter().cloned())
        .env("TMPDIR", dir.path())
        .output()
        .expect("it runs");
    let over = Instant::now();
    let text = format!("{} after {moment} us, group: {group}", case.what);
    assert!(judged.status.success(), "{text}: {judged:?}");
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    let mut lines = said.lines();
    let took = lines.next().and_then(|line| line.parse().ok());
    let took = Duration::from_millis(took.expect("a time"));
    let mut left: Vec<String> = lines.map(str::to_owned).collect();
    for entry in fs::read_dir(dir.path()).expect("the directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let counts = match case.files {
            Files::All => true,
            // A plugin of the group is killed itself.
            Files::Plugins => name.starts_with("plugin") && !group,
            Files::Stay => false,
        };
        if counts {
            left.push(name);
        }
    }
    // Since before the kill.
    let stalled = measure.since(over.checked_sub(took).unwrap_or(over));
    Outcome {
        text,
        left,
        took,
        granted: SECOND + stalled * STEPS,
    }
}

/// Kills hosts at moments that the dice say.
fn kill_hosts(mut roll: impl FnMut(&mut Dice) -> Case) {
    let wanted = number("OUTBOARD_ORPHANS");
    let rounds = wanted.map_or(FEW, |wanted| {
        usize::try_from(wanted).expect("a number of hosts")
    });
    let fresh = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        u64::from(now.expect("it is later").subsec_nanos() ^ process::id())
    };
    let seed = number("OUTBOARD_ORPHANS_SEED").unwrap_or_else(fresh);
    println!("OUTBOARD_ORPHANS_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut drawn: Vec<(Case, u64, bool)> = Vec::new();
    for _ in 0..rounds {
        let case = roll(&mut dice);
        // Every second one soon: most of what is short happens there.
        let window = case.window * if dice.roll(2) == 0 { 1000 } else { 100 };
        let moment = dice.roll(window);
        drawn.push((case, moment, dice.roll(3) == 0));
    }
    let next = Mutex::new(drawn.into_iter());
    let outcomes = Mutex::new(Vec::new());
    let (measure, over) = (Measure::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let drawn = next.lock().expect("no panic").next();
                        let Some((case, moment, group)) = drawn else {
                            return;
                        };
                        let outcome = kill_after(&case, moment, group, &measure);
                        outcomes.lock().expect("no panic").push(outcome);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                measure.take();
                // Not to be what it measures.
                thread::sleep(Duration::from_millis(20));
            }
        });
        let ended: Vec<_> = workers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        over.store(true, Ordering::Relaxed);
        for ended in ended {
            if let Err(panic) = ended {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let outcomes = outcomes.into_inner().expect("no panic");
    assert_eq!(outcomes.len(), rounds);
    let mut wrong = String::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.left.is_empty()) {
        let Outcome { text, left, .. } = outcome;
        writeln!(wrong, "{text}: {left:#?}").expect("a string");
    }
    assert!(wrong.is_empty(), "seed {seed}: left are\n{wrong}");
    let mut late = Vec::new();
    for outcome in &outcomes {
        let Outcome {
            text,
            took,
            granted,
            ..
        } = outcome;
        if took > granted {
            late.push(format!("{text}: {took:?}, where {granted:?} were granted"));
        }
    }
    let excused = if wanted.is_some() {
        0
    } else {
        rounds * LATE / 100
    };
    assert!(late.len() <= excused, "seed {seed}: late are {late:#?}");
}

#[test]
fn hosts_killed_at_any_moment_leave_nothing_of_guarded_plugins() {
    let plugins = plugins();
    kill_hosts(|dice| {
        let plugin = dice.roll(plugins.len() as u64) as usize;
        churning(&plugins[plugin], true, dice)
    });
}

/// A plugin ends with its host in whatever language it is, without a guard, too.
#[test]
fn hosts_killed_at_any_moment_leave_no_process_of_a_plugin() {
    let plugins = plugins();
    kill_hosts(|dice| {
        let plugin = dice.roll(plugins.len() as u64) as usize;
        churning(&plugins[plugin], false, dice)
    });
}

/// Without a guard a Rust plugin sees to itself, also under hosts that have nothing of ours.
#[test]
fn foreign_hosts_killed_at_any_moment_leave_nothing_of_rust_plugins() {
    let plugin = rust_plugin();
    let whole = words(&[env!("CARGO_BIN_EXE_rust-plugin-peer"), "all"]);
    let mut hosts = Vec::new();
    if let Some(peers) = go() {
        let run = HostRun::new(peers, &plugin).command("host-death", &["how=wait"]);
        hosts.push(foreign("a Go host", &run, 200, Files::Plugins));
    }
    // These kill their plugin in the end, which cannot remove anything then.
    let stay = Files::Stay;
    if let Some(peer) = python() {
        hosts.push(foreign("grpcio", &peer.host("sync", &whole), 2000, stay));
        hosts.push(foreign(
            "grpcio's aio",
            &peer.host("aio", &whole),
            2000,
            stay,
        ));
    }
    if let Some(peer) = node() {
        hosts.push(foreign("grpc-js", &peer.host(&whole), 1500, stay));
    }
    if hosts.is_empty() {
        return;
    }
    kill_hosts(|dice| hosts[dice.roll(hosts.len() as u64) as usize].clone());
}
