//! Where and with what was measured.

use std::fs;
use std::process::Command;

use super::counters::Counters;
use super::subject::PEERS_VARIABLE;

/// The header of a report, as pairs of name and value.
#[must_use]
pub fn describe(counters: &Counters) -> Vec<(&'static str, String)> {
    let cpu = lines_of("/proc/cpuinfo", "model name");
    let memory = lines_of("/proc/meminfo", "MemTotal");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let hypervisor = fs::read_to_string("/proc/cpuinfo").is_ok_and(|c| c.contains(" hypervisor"));
    vec![
        (
            "machine",
            format!(
                "{} x {}{}, {}",
                cpu.len(),
                cpu.first().map_or("unknown processor", String::as_str),
                if hypervisor { ", virtual" } else { "" },
                memory.first().map_or("unknown memory", String::as_str),
            ),
        ),
        ("system", said("uname", &["-sr"])),
        ("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("load before the run", first_words(&load, 3)),
        (
            "outboard",
            said("git", &["describe", "--always", "--dirty"]),
        ),
        ("rust", said("rustc", &["--version"])),
        ("go", said("go", &["version"])),
        ("peers", peers()),
        ("counters", counted(counters)),
        ("command", command()),
    ]
}

fn command() -> String {
    let peers = std::env::var(PEERS_VARIABLE).ok();
    let peers = peers.map(|peers| format!("{PEERS_VARIABLE}={peers}"));
    let words: Vec<String> = peers.into_iter().chain(std::env::args()).collect();
    words.join(" ")
}

/// The versions of the peers, from the files that pin them.
fn peers() -> String {
    let modules = include_str!("../../go/go.mod");
    let module = |name: &str| {
        let mut lines = modules.lines().map(str::trim);
        lines
            .find_map(|line| line.strip_prefix(name))
            .map_or("?", str::trim)
    };
    let lock = include_str!("../../../Cargo.lock");
    let tonic = lock.split_once("name = \"tonic\"\nversion = \"");
    let tonic = tonic.and_then(|(_, rest)| rest.split('"').next());
    format!(
        "go-plugin {} with grpc-go {}, static; tonic {}",
        module("github.com/hashicorp/go-plugin "),
        module("google.golang.org/grpc "),
        tonic.unwrap_or("?"),
    )
}

/// Load that other processes have put on the machine, now.
#[must_use]
pub fn load() -> String {
    first_words(&fs::read_to_string("/proc/loadavg").unwrap_or_default(), 3)
}

fn counted(counters: &Counters) -> String {
    let syscalls = match (counters.perf_syscalls, counters.strace) {
        (true, _) => "system calls by perf",
        (false, true) => "system calls by strace",
        (false, false) => "no counter of system calls (perf or strace)",
    };
    let instructions = match (counters.perf_instructions, counters.callgrind) {
        (true, _) => "instructions by perf",
        (false, true) => "no hardware counter here: instructions by callgrind",
        (false, false) => "no counter of instructions (perf or callgrind)",
    };
    format!("{syscalls}; {instructions}")
}

fn lines_of(path: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    values.collect()
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => format!("unknown: no {program}"),
    }
}

fn first_words(text: &str, count: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().take(count).collect();
    words.join(" ")
}
