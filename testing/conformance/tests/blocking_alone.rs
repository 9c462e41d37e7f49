//! What blocking hosts leave of a process that has them: nothing. A program of its own, since threads and
//! descriptors are the whole process's.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use outboard::Command;
use outboard::blocking::Host;
use outboard_conformance::proto::{Payload, ProbeBlocking as _, ProbeBlockingClient};
use outboard_conformance::{HANDSHAKE, PROBE};

fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it");
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        let comm = task.ok()?.path().join("comm");
        std::fs::read_to_string(comm).ok()
    };
    tasks.filter_map(name).collect()
}

fn descriptors() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux has it");
    open.count()
}

fn background() -> usize {
    // The system cuts names.
    let is_ours = |name: &&String| name.starts_with("outboard-block");
    threads().iter().filter(is_ours).count()
}

fn until_it_is_gone() {
    let began = Instant::now();
    while background() > 0 {
        let left = threads();
        assert!(began.elapsed() < Duration::from_secs(60), "{left:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn threads_and_descriptors_go_with_the_last_handle() {
    let start = || {
        let plugin = env!("CARGO_BIN_EXE_suite-plugin");
        let command = Command::new(plugin).args(["blocking", "h2"]);
        let plugin = Host::new(HANDSHAKE).command(command).start();
        let plugin = plugin.expect("it starts");
        let probe: ProbeBlockingClient = plugin.dispense(PROBE).expect("it is provided");
        let data = b"x".to_vec();
        probe.echo(Payload { data }).expect("an answer");
        (plugin, probe)
    };
    // What the process has one of is made with the first.
    drop(start());
    until_it_is_gone();
    let (before, names) = (descriptors(), threads());
    for _ in 0..10 {
        let (one, _probe) = start();
        let (another, _) = start();
        assert_eq!(background(), 1, "they share it");
        drop(one);
        assert_eq!(background(), 1, "there is another one");
        another.shutdown().expect("in good order");
        until_it_is_gone();
    }
    assert_eq!(descriptors(), before);
    assert_eq!(
        threads().len(),
        names.len(),
        "{names:?} and {:?}",
        threads()
    );
}
