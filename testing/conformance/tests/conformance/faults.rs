//! What goes wrong at random while a plugin is kept up and many call it, and what becomes of each call.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::{join, join_all};
use outboard::supervisor::{Backoff, HealthCheck, Supervision, Waiting};
use outboard::{Status, Supervised};
use outboard_conformance::PROCESS;
use outboard_conformance::proto::{
    CrashRequest, MarkRequest, PrintRequest, Process as _, ProcessClient, crash_request,
    print_request,
};
use outboard_conformance::watched::{Sink, Watched};
use outboard_kit::dice::{Dice, number};
use outboard_kit::files::sockets_in;

use crate::harness::Harness;
use crate::leftovers;
use crate::output::Slow;

const CALLERS: u64 = 16;

/// How many calls must have succeeded between two faults.
const BETWEEN: u64 = 100;

/// What is done to a plugin.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It is killed.
    Kill,
    /// It exits in the middle of a call.
    Exit,
    /// It is stopped, until somebody finds that it does not answer.
    Stop,
    /// It is stopped for a moment.
    Pause,
    /// It is killed, and the files of its sockets are removed while the next one starts.
    Unlink,
    /// It prints more than pipes hold, to a host that is slow to take it.
    Flood,
    /// That, and it is killed meanwhile.
    FloodAndKill,
}

const FAULTS: [Fault; 7] = [
    Fault::Kill,
    Fault::Exit,
    Fault::Stop,
    Fault::Pause,
    Fault::Unlink,
    Fault::Flood,
    Fault::FloodAndKill,
];

/// What callers have come to, each call by its number.
#[derive(Default)]
struct Calls {
    made: u64,
    succeeded: u64,
    over: bool,
    answers: HashMap<u64, Result<(), Status>>,
}

/// `OUTBOARD_FAULTS` says how many faults there are, `OUTBOARD_FAULTS_SEED` which.
pub async fn every_call_is_accounted_for_whatever_happens(h: Harness) {
    let count = number("OUTBOARD_FAULTS").unwrap_or(FAULTS.len() as u64);
    let seed = number("OUTBOARD_FAULTS_SEED").unwrap_or(1);
    let path = h.dir().join("marks");
    let millis = Duration::from_millis;
    let check = HealthCheck::new().every(millis(200)).within(millis(200));
    // Plugins that are well are late, too, on a busy machine, and calls must survive that as well.
    let policy = Supervision::new()
        .budget(u32::MAX, Duration::MAX)
        .backoff(Backoff::new().first(millis(1)).longest(millis(20)))
        .health(check.misses(5))
        .waiting(Waiting::UpTo(Duration::MAX));
    let host = h.host([""; 0]);
    let host = host.sync_stdout(Slow::writer(&Sink::default(), millis(1)));
    let plugin = host.supervise(policy, h.runtime.clone());
    let process = plugin.dispense(PROCESS).await.expect("it has one");
    let calls = Watched::<Calls>::default();
    let callers = (0..CALLERS).map(|_| calling(&process, &calls, &path));
    let storm = async {
        let mut order = Vec::new();
        let mut dice = Dice::new(seed);
        for round in 0..count {
            some_calls(&calls).await;
            // Each of them once before any comes again.
            if order.is_empty() {
                order.extend(FAULTS);
            }
            let fault = order.swap_remove(dice.roll(order.len() as u64) as usize);
            eprintln!("fault {round} of seed {seed}: {fault:?}");
            inflict(&h, fault, &plugin, &process).await;
        }
        some_calls(&calls).await;
        calls.change(|calls| calls.over = true);
    };
    join(join_all(callers), storm).await;
    plugin.ready().await.expect("it is up, or soon again");
    assert!(plugin.state().restarts > 0, "nothing has happened");
    plugin.shutdown().await.expect("it ends by itself");
    account(&calls.change(std::mem::take), &path);
}

/// Calls until it is over, and notes what becomes of each call.
async fn calling(process: &ProcessClient, calls: &Watched<Calls>, path: &Path) {
    let path = path.to_string_lossy();
    while let Some(number) = calls.change(|calls| {
        calls.made += 1;
        (!calls.over).then_some(calls.made)
    }) {
        let path = path.clone().into_owned();
        let answer = process.mark(MarkRequest { path, number }).await;
        calls.change(|calls| {
            calls.succeeded += u64::from(answer.is_ok());
            let before = calls.answers.insert(number, answer.map(drop));
            assert!(before.is_none(), "two answers to call {number}");
        });
    }
}

async fn some_calls(calls: &Watched<Calls>) {
    let wanted = calls.change(|calls| calls.succeeded) + BETWEEN;
    calls
        .until(|calls| (calls.succeeded >= wanted).then_some(()))
        .await;
}

async fn inflict(h: &Harness, fault: Fault, plugin: &Supervised, process: &ProcessClient) {
    let pid = loop {
        // It may just have been found unwell.
        plugin.ready().await.expect("it is kept up");
        if let Some(pid) = plugin.state().pid {
            break pid;
        }
    };
    match fault {
        Fault::Kill => leftovers::kill(pid),
        Fault::Exit => {
            let request = CrashRequest {
                how: crash_request::How::ExitNow.into(),
                code: 1,
                ..CrashRequest::default()
            };
            process.crash(request).await.expect_err("no answer");
        }
        Fault::Stop => leftovers::halt(pid),
        Fault::Pause => {
            leftovers::halt(pid);
            crate::floods::sleep(h, Duration::from_millis(20)).await;
            leftovers::resume(pid);
        }
        Fault::Unlink => {
            leftovers::kill(pid);
            for _ in 0..20 {
                for socket in sockets_in(h.dir()) {
                    // A plugin that ends just now removes its own.
                    let _gone = fs::remove_file(socket);
                }
                crate::floods::sleep(h, Duration::from_millis(2)).await;
            }
        }
        Fault::Flood => flood(process).await,
        Fault::FloodAndKill => {
            let killing = async {
                crate::floods::sleep(h, Duration::from_millis(5)).await;
                leftovers::kill(pid);
            };
            join(flood(process), killing).await;
        }
    }
}

/// Has half a mebibyte printed, if the plugin lives that long.
async fn flood(process: &ProcessClient) {
    let request = PrintRequest {
        how: print_request::How::Thread.into(),
        text: "much ado about nothing ".repeat(64),
        repeat: 350,
        ..PrintRequest::default()
    };
    if let Err(status) = process.print(request).await {
        assert!(status.is_connection_lost(), "{status}");
    }
}

/// Each call has one answer, and none of them lies.
fn account(calls: &Calls, path: &Path) {
    let marks = fs::read(path).expect("calls have succeeded");
    fs::remove_file(path).expect("it is there");
    let mut ran: HashMap<u64, u32> = HashMap::new();
    let (marks, rest) = marks.as_chunks();
    assert!(rest.is_empty(), "marks are whole");
    for mark in marks {
        *ran.entry(u64::from_le_bytes(*mark)).or_default() += 1;
    }
    // The last number of each caller was for no call.
    assert_eq!(calls.answers.len() as u64, calls.made - CALLERS);
    let mut lost = 0;
    for (number, answer) in &calls.answers {
        let ran = ran.remove(number).unwrap_or_default();
        match answer {
            Ok(()) => assert_eq!(ran, 1, "call {number} has succeeded"),
            Err(status) => {
                assert!(status.is_connection_lost(), "call {number}: {status}");
                let most = u32::from(!status.is_unsent());
                assert!(ran <= most, "call {number} ran {ran} times: {status}");
                lost += 1;
            }
        }
    }
    assert!(ran.is_empty(), "nobody has made these: {ran:?}");
    eprintln!("{} calls, {lost} of them lost", calls.answers.len());
}
