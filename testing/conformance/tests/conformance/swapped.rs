//! Plugins whose program is replaced by another.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use outboard::supervisor::{
    Cause, Change, Phase, State, Swap, SwapError, SwapFailure, SwapRefusal, SwapStage, SwapStep,
};
use outboard::{Command, Host, Streaming};
use outboard_conformance::axes::{RuntimeKind, TransportKind};
use outboard_conformance::proto::{Probe as _, Process as _, Text};

use crate::calls::payload;
use crate::harness::{Harness, PLUGIN};
use crate::leftovers;
use crate::supervised::{Kept, policy};

/// Callers in the case of many.
const CALLERS: usize = 64;

impl Kept {
    fn stage(&self) -> Option<SwapStage> {
        self.plugin.state().swap.map(|swap| swap.stage)
    }
}

/// The suite's plugin, which waits for a file of this name before it begins.
fn slow(h: &Harness, name: &str) -> (Host, std::path::PathBuf) {
    let file = h.dir().join(name);
    let script = "while [ ! -e \"$0\" ]; do sleep 0.02; done; rm -f \"$0\"; exec \"$@\"";
    let command = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(&file)
        .arg(PLUGIN)
        .args([h.on.plugin.to_string(), h.on.transport.to_string()]);
    (h.host_of(command), file)
}

fn go(file: &std::path::Path) {
    std::fs::write(file, "").expect("a file can be written");
}

fn failure(failed: Result<outboard::supervisor::SwapReport, SwapError>) -> SwapFailure {
    match failed {
        Err(SwapError::Failed { failure, .. }) => *failure,
        other => panic!("it was to fail: {other:?}"),
    }
}

/// How many swaps there are under many callers: a hundred where nothing but the transport sets apart, few on
/// each other combination, which differs from these in what one swap shows.
fn swaps(h: &Harness) -> usize {
    match (h.on.host, h.on.plugin, h.on.transport) {
        (RuntimeKind::Tokio, RuntimeKind::Tokio, TransportKind::H2)
        | (RuntimeKind::Smol, RuntimeKind::Smol, TransportKind::Stdio) => 100,
        _ => 5,
    }
}

pub async fn callers_notice_nothing(h: Harness) {
    let kept = Kept::up(&h, policy()).await;
    let (next, count) = (h.host([""; 0]), swaps(&h));
    let over = AtomicBool::new(false);
    let (calls, streams) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let caller = async |number: usize| {
        let mut made = 0_usize;
        while !over.load(Ordering::SeqCst) {
            made += 1;
            // Every eighth has a stream, through which it says a few things.
            if number.is_multiple_of(8) {
                let (mut sender, requests) = Streaming::channel(1);
                let answers = kept.probe.chat(requests).await;
                let mut answers = answers.expect("it begins");
                for said in 0..5_u8 {
                    let message = payload([said]);
                    sender.send(message.clone()).await.expect("it is read");
                    assert_eq!(answers.message().await, Ok(Some(message)));
                    breathe(&h).await;
                }
                drop(sender);
                assert_eq!(answers.message().await, Ok(None));
                streams.fetch_add(1, Ordering::SeqCst);
            } else {
                let message = payload(made.to_be_bytes());
                assert_eq!(kept.probe.echo(message.clone()).await, Ok(message));
                calls.fetch_add(1, Ordering::SeqCst);
                breathe(&h).await;
            }
        }
        made
    };
    let swapper = async {
        let mut pids = BTreeSet::from([kept.pid().await]);
        for number in 1..=count as u64 {
            let before = calls.load(Ordering::SeqCst);
            let report = kept.plugin.swap(&next, Swap::beside()).await;
            let report = report.expect("the new one is well");
            assert!(report.drained, "{report:?}");
            let old = report.old.as_ref().expect("there was one");
            assert_eq!((old.generation, report.generation), (number, number + 1));
            assert_eq!(old.cause, Cause::Swapped);
            assert!(old.text.contains("was shut down and exited"), "{old}");
            assert!(!leftovers::exists(old.pid.expect("it was a process")));
            // It is the new one that answers, and others than this one have called meanwhile.
            let pid = kept.pid().await;
            assert_eq!(report.pid, Some(pid));
            assert!(pids.insert(pid), "it is another process");
            while calls.load(Ordering::SeqCst) == before {
                breathe(&h).await;
            }
        }
        over.store(true, Ordering::SeqCst);
    };
    let ((), made) = join(swapper, join_all((0..CALLERS).map(caller))).await;
    assert!(made.iter().all(|made| *made > 0), "{made:?}");
    assert!(streams.load(Ordering::SeqCst) > 0);
    let state = kept.plugin.state();
    assert_eq!(state.generation, count as u64 + 1);
    assert_eq!((state.restarts, state.failures.len()), (0, 0));
    kept.shutdown().await;
}

/// Lets the processes that start have the processor.
async fn breathe(h: &Harness) {
    let mut timer = h.runtime.timer(h.runtime.now() + Duration::from_millis(5));
    std::future::poll_fn(|cx| timer.as_mut().poll_expired(cx)).await;
}

pub async fn calls_in_flight_finish_where_they_began(h: Harness) {
    let kept = Kept::up(&h, policy()).await;
    let first = kept.pid().await;
    let mut events = kept.plugin.events();
    // One of each kind with requests of its own, so that it ends when its caller wants it to.
    let (mut said, requests) = Streaming::channel(1);
    let mut answers = kept.probe.chat(requests).await.expect("it begins");
    said.send(payload("1")).await.expect("it is read");
    assert_eq!(answers.message().await, Ok(Some(payload("1"))));
    let (mut sent, requests) = Streaming::channel(1);
    let collected = kept.probe.collect(requests);
    let calls = async {
        sent.send(payload("a")).await.expect("it is read");
        kept.until(|state| state.generation == 2).await;
        assert_eq!(kept.stage(), Some(SwapStage::Draining));
        let state = kept.plugin.state();
        assert_eq!(state.swap.expect("one is under way").pid, Some(first));
        // New calls go to the new one, and these on to the old one.
        assert_ne!(kept.pid().await, first);
        said.send(payload("2")).await.expect("it is read");
        assert_eq!(answers.message().await, Ok(Some(payload("2"))));
        assert!(leftovers::exists(first), "it is there for them");
        drop(said);
        assert_eq!(answers.message().await, Ok(None));
        sent.send(payload("b")).await.expect("it is read");
        assert_eq!(kept.stage(), Some(SwapStage::Draining));
        drop(sent);
    };
    let next = h.host([""; 0]);
    let swap = kept.plugin.swap(&next, Swap::beside());
    let (report, (collected, ())) = join(swap, join(collected, calls)).await;
    assert_eq!(collected.expect("it is whole").messages, 2);
    let report = report.expect("the new one is well");
    assert!(report.drained, "{report:?}");
    assert!(!leftovers::exists(first));
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        let last = matches!(event.change, Change::Swapped(_));
        told.push(event);
        if last {
            break;
        }
    }
    let whole: Vec<_> = told.iter().map(|event| &event.change).collect();
    let [
        Change::Starting,
        Change::Checking,
        Change::Up,
        Change::Draining,
        Change::Stopping(Cause::Swapped),
        Change::Ended(_),
        Change::Swapped(swapped),
    ] = whole[..]
    else {
        panic!("{whole:?}");
    };
    assert_eq!(**swapped, report);
    let pids: Vec<_> = told.iter().map(|event| event.pid).collect();
    let (old, new) = (Some(first), report.pid);
    assert_eq!(pids, [None, new, new, old, old, old, new]);
    // From now on the new program is the one that is kept up.
    kept.crash(1).await;
    assert_eq!(kept.probe.echo(payload("x")).await, Ok(payload("x")));
    assert_eq!(kept.plugin.state().restarts, 1);
    kept.shutdown().await;
}

pub async fn an_old_one_that_does_not_finish_is_ended(h: Harness) {
    let kept = Kept::up(&h, policy()).await;
    let file = h.dir().join("awaits");
    let path = Text {
        text: file.to_string_lossy().into_owned(),
    };
    // It waits for the end of its process, and answers then.
    let awaits = kept.process.await_end(path);
    let next = h.host([""; 0]);
    let swap = async {
        while !file.exists() {
            breathe(&h).await;
        }
        let plan = Swap::beside().drain_within(Duration::from_millis(50));
        kept.plugin.swap(&next, plan).await
    };
    let (awaited, report) = join(awaits, swap).await;
    assert!(awaited.is_ok(), "it is told of the end: {awaited:?}");
    let report = report.expect("the new one is well");
    assert!(!report.drained, "{report:?}");
    std::fs::remove_file(&file).expect("it was written");
    kept.shutdown().await;
}

pub async fn a_program_that_does_not_fit_leaves_the_old_one_serving(h: Harness) {
    let kept = Kept::up(&h, policy()).await;
    let first = kept.plugin.state();
    let moment = Duration::from_millis(300);
    let broken = h.script("echo no cheese today >&2; exit 4");
    let hanging = h.script("exec sleep 600");
    let unready = h.host(["--not-serving"]);
    let other = h.host(["--versions", "2"]).versions([1, 2]);
    let cases: [(&Host, Swap, SwapStep, &str); 4] = [
        (&broken, Swap::beside(), SwapStep::Start, "no cheese today"),
        (
            &hanging,
            Swap::beside().start_within(moment),
            SwapStep::Start,
            "start_within",
        ),
        (
            &unready,
            Swap::beside().check_within(moment),
            SwapStep::Check,
            "check_within",
        ),
        (
            &other,
            Swap::beside(),
            SwapStep::Version {
                expected: 1,
                found: 2,
            },
            "version 2 where 1",
        ),
    ];
    for (host, plan, step, why) in cases {
        let swap = kept.plugin.swap(host, plan);
        let (failed, echoed) = join(swap, kept.probe.echo(payload("x"))).await;
        assert_eq!(echoed, Ok(payload("x")));
        let text = failed
            .as_ref()
            .map_or_else(ToString::to_string, |_| String::new());
        let failure = failure(failed);
        assert_eq!(failure.step, step);
        assert!(failure.old_serves(), "{failure:?}");
        assert!(
            text.contains(why) && text.contains("still serves"),
            "{text}"
        );
        let new = failure.new.expect("it was begun with");
        assert!(new.pid.is_none_or(|pid| !leftovers::exists(pid)));
        let state = kept.plugin.state();
        assert_eq!(state, first, "as if nothing had been");
        assert_eq!(Some(kept.pid().await), first.pid);
    }
    // After all that the old program is the one that is kept up.
    kept.crash(1).await;
    assert_eq!(kept.probe.echo(payload("x")).await, Ok(payload("x")));
    kept.shutdown().await;
}

pub async fn one_that_owns_something_is_stopped_first(h: Harness) {
    let kept = Kept::up(&h, policy()).await;
    let first = kept.pid().await;
    let next = h.host([""; 0]);
    let over = AtomicBool::new(false);
    let caller = async |_| {
        while !over.load(Ordering::SeqCst) {
            assert_eq!(kept.probe.echo(payload("x")).await, Ok(payload("x")));
            breathe(&h).await;
        }
    };
    let mut events = kept.plugin.events();
    let onlooker = async {
        while let Some(event) = events.next().await {
            match event.change {
                Change::Starting => assert!(!leftovers::exists(first), "both are there"),
                Change::Swapped(report) => return *report,
                _ => {}
            }
        }
        panic!("it is over");
    };
    let swapper = async {
        let report = kept.plugin.swap(&next, Swap::exclusive()).await;
        over.store(true, Ordering::SeqCst);
        report.expect("the new one is well")
    };
    let (report, (told, _)) = join(swapper, join(onlooker, join_all((0..8).map(caller)))).await;
    assert_eq!(report, told);
    assert!(report.drained);
    assert_eq!(report.old.map(|old| old.generation), Some(1));
    assert_eq!(report.pid, Some(kept.pid().await));
    // Where the new one fails, calls have waited for the old program to be there again.
    let broken = h.script("exit 4");
    let (failed, echoed) = join(
        kept.plugin.swap(&broken, Swap::exclusive()),
        kept.probe.echo(payload("x")),
    )
    .await;
    assert_eq!(echoed, Ok(payload("x")));
    let failure = failure(failed);
    assert_eq!(
        (failure.step, failure.phase),
        (SwapStep::Start, Phase::Queued)
    );
    assert!(!failure.old_serves());
    let state = kept
        .until(|state| state.generation == 4 && state.phase == Phase::Up)
        .await;
    assert_eq!((state.restarts, state.failures.len()), (0, 0));
    assert_eq!(Some(kept.pid().await), state.pid);
    kept.shutdown().await;
}

pub async fn what_is_not_up_is_replaced_too(h: Harness) {
    // Nobody has called yet.
    let lazy = h
        .host([""; 0])
        .supervise(policy().lazy(true), h.runtime.clone());
    let kept = Kept::of(lazy).await;
    let next = h.host([""; 0]);
    let report = kept.plugin.swap(&next, Swap::beside()).await;
    let report = report.expect("the new one is well");
    assert_eq!((report.old, report.generation), (None, 1));
    assert_eq!(report.pid, Some(kept.pid().await));
    kept.shutdown().await;
    // What does not work is mended by another program.
    let policy = policy().budget(0, Duration::MAX);
    let broken = h.script("exit 4").supervise(policy, h.runtime.clone());
    let kept = Kept::of(broken).await;
    kept.until(|state| state.phase == Phase::CrashLoop).await;
    let report = kept.plugin.swap(&next, Swap::exclusive()).await;
    assert_eq!(report.expect("the new one is well").generation, 2);
    assert_eq!(kept.probe.echo(payload("x")).await, Ok(payload("x")));
    let crash = kept.crash(1).await;
    assert!(crash.is_connection_lost(), "{crash}");
    kept.until(|state| state.phase == Phase::CrashLoop).await;
    kept.shutdown().await;
}

pub async fn an_old_one_that_crashes_meanwhile_is_started_again(h: Harness) {
    let kept = Kept::up(&h, policy()).await;
    let (next, file) = slow(&h, "go");
    let calls = async {
        kept.until(|state| matches!(&state.swap, Some(swap) if swap.stage == SwapStage::Starting))
            .await;
        kept.crash(3).await;
        assert_eq!(kept.probe.echo(payload("x")).await, Ok(payload("x")));
        let state = kept.plugin.state();
        assert_eq!((state.generation, state.restarts), (3, 1));
        go(&file);
    };
    let (report, ()) = join(kept.plugin.swap(&next, Swap::beside()), calls).await;
    let report = report.expect("the new one is well");
    assert_eq!(report.generation, 2);
    assert_eq!(report.old.map(|old| old.generation), Some(3));
    assert_eq!(report.pid, Some(kept.pid().await));
    kept.shutdown().await;
}

pub async fn a_swap_ends_with_its_plugin(h: Harness) {
    let starting = |state: &State| {
        let swap = state.swap.as_ref();
        swap.is_some_and(|swap| swap.stage == SwapStage::Starting)
    };
    let kept = Kept::up(&h, policy()).await;
    let (first, hanging) = (kept.pid().await, h.script("exec sleep 600"));
    let shutdown = async {
        kept.until(starting).await;
        let second = kept.plugin.swap(&hanging, Swap::beside()).await;
        let Err(SwapError::Refused { refusal, .. }) = second else {
            panic!("{second:?}");
        };
        assert_eq!(refusal, SwapRefusal::Swapping);
        kept.plugin.shutdown().await.expect("it ends by itself");
    };
    let swap = kept.plugin.swap(&hanging, Swap::beside());
    let (failed, ()) = h.promptly(join(swap, shutdown)).await;
    let ended = failure(failed);
    assert_eq!(ended.step, SwapStep::Over(Cause::Shutdown));
    assert_eq!(kept.plugin.state().phase, Phase::Over(Cause::Shutdown));
    assert!(!leftovers::exists(first), "it was reaped");
    let late = kept.plugin.swap(&hanging, Swap::beside()).await;
    let Err(SwapError::Refused { refusal, .. }) = late else {
        panic!("{late:?}");
    };
    assert_eq!(refusal, SwapRefusal::Over(Cause::Shutdown));
    // A swap that nobody waits for goes on, and ends with the last clone.
    let kept = Kept::up(&h, policy()).await;
    let mut states = kept.plugin.states();
    {
        let swap = std::pin::pin!(kept.plugin.swap(&hanging, Swap::beside()));
        let begun = std::pin::pin!(kept.until(starting));
        match futures_util::future::select(swap, begun).await {
            futures_util::future::Either::Left((over, _)) => panic!("{over:?}"),
            futures_util::future::Either::Right(_) => {}
        }
    }
    assert!(starting(&kept.plugin.state()), "it goes on");
    drop(kept);
    let mut last = None;
    while let Some(state) = states.next().await {
        last = Some(state.phase);
    }
    assert_eq!(last, Some(Phase::Over(Cause::Dropped)));
}
