//! Plugins that are kept up.

use std::time::Duration;

use outboard::supervisor::{
    Backoff, Cause, Change, Event, HealthCheck, Phase, Restart, State, Supervision, Waiting,
};
use outboard::{Code, Exit, Host, Managed, StartLimit, Supervised};
use outboard_conformance::proto::{
    CrashRequest, Flag, Nothing, PourRequest, Probe as _, ProbeClient, Process as _, ProcessClient,
    Text, crash_request::How,
};
use outboard_conformance::{PROBE, PROCESS};

use crate::calls::payload;
use crate::harness::Harness;
use crate::leftovers;

/// With pauses that nobody notices.
pub fn policy() -> Supervision {
    let millisecond = Duration::from_millis(1);
    Supervision::new().backoff(Backoff::new().first(millisecond).longest(millisecond))
}

/// A plugin that is kept up, and clients of both its services.
pub struct Kept {
    pub plugin: Supervised,
    pub probe: ProbeClient,
    pub process: ProcessClient,
}

impl Kept {
    pub async fn of(plugin: Supervised) -> Self {
        Self {
            probe: plugin.dispense(PROBE).await.expect("it has one"),
            process: plugin.dispense(PROCESS).await.expect("it has one"),
            plugin,
        }
    }

    pub async fn up(h: &Harness, policy: Supervision) -> Self {
        let kept = Self::of(h.host([""; 0]).supervise(policy, h.runtime.clone())).await;
        kept.plugin.ready().await.expect("it starts");
        kept
    }

    /// Which process answers.
    pub async fn pid(&self) -> u32 {
        let facts = self.process.facts(Nothing {}).await;
        facts.expect("it answers").pid
    }

    /// Has the process end, and gives what the call fails with.
    pub async fn crash(&self, code: i32) -> outboard::Status {
        let request = CrashRequest {
            how: How::Exit.into(),
            code,
            ..CrashRequest::default()
        };
        let crashed = self.process.crash(request).await;
        crashed.expect_err("there is no answer")
    }

    pub async fn until(&self, wanted: impl Fn(&State) -> bool) -> State {
        let mut states = self.plugin.states();
        while let Some(state) = states.next().await {
            if wanted(&state) {
                return state;
            }
        }
        panic!("it is over: {:?}", self.plugin.state());
    }

    pub async fn shutdown(self) {
        self.plugin.shutdown().await.expect("it ends by itself");
        let phase = self.plugin.state().phase;
        assert_eq!(phase, Phase::Over(Cause::Shutdown));
    }
}

pub async fn a_crash_is_followed_by_another_process_and_clients_stay(h: Harness) {
    let kept = Kept::up(&h, policy()).await;
    let mut events = kept.plugin.events();
    let first = kept.pid().await;
    assert_eq!(kept.plugin.state().pid, Some(first));
    let status = h.promptly(kept.crash(3)).await;
    assert!(
        status.is_connection_lost() && !status.is_unsent(),
        "{status}"
    );
    assert!(status.message().contains("status 3"), "{status}");
    // It waits for the next process.
    let echoed = kept.probe.echo(payload("x")).await;
    assert_eq!(echoed, Ok(payload("x")));
    let second = kept.pid().await;
    assert_ne!(first, second);
    assert!(!leftovers::exists(first), "it was reaped");
    let state = kept.plugin.state();
    assert_eq!(
        (state.phase, state.generation, state.restarts),
        (Phase::Up, 2, 1)
    );
    let [failure] = &state.failures[..] else {
        panic!("{state:?}");
    };
    assert_eq!((failure.generation, failure.pid), (1, Some(first)));
    assert_eq!(failure.cause, Cause::Exited(Exit::Code(3)));
    // What goes through the broker is of the process that is there.
    assert!(kept.plugin.broker().is_some());
    let plugin = kept.plugin.clone();
    kept.shutdown().await;
    assert!(plugin.broker().is_none());
    let late: ProbeClient = plugin.dispense(PROBE).await.expect("nothing is asked");
    let status = h.promptly(late.echo(payload("x"))).await;
    let status = status.expect_err("it is over");
    assert!(
        status.is_connection_lost() && status.is_unsent(),
        "{status}"
    );
    let mut told: Vec<Event> = Vec::new();
    while let Some(event) = events.next().await {
        told.push(event);
    }
    assert_eq!(events.missed(), 0);
    let changes: Vec<&Change> = told.iter().map(|event| &event.change).collect();
    let [
        Change::Ended(_),
        Change::Starting,
        Change::Up,
        Change::Stopping(Cause::Shutdown),
        Change::Ended(_),
        Change::Over(Cause::Shutdown),
    ] = changes[..]
    else {
        panic!("{changes:?}");
    };
    let next: Vec<bool> = told
        .iter()
        .map(|event| event.next_attempt.is_some())
        .collect();
    assert_eq!(next, [true, false, false, false, false, false]);
    let pids: Vec<Option<u32>> = told.iter().map(|event| event.pid).collect();
    let (first, second) = (Some(first), Some(second));
    assert_eq!(pids, [first, None, second, second, second, None]);
}

pub async fn only_calls_that_are_marked_are_made_again(h: Harness) {
    let file = h.dir().join("crashed");
    let path = Text {
        text: file.to_string_lossy().into_owned(),
    };
    let kept = Kept::up(&h, policy()).await;
    let first = kept.pid().await;
    // The first process dies of it, and the second answers.
    let answered = kept.process.crash_once(path.clone()).await;
    let second = answered.expect("it is made again").pid;
    assert_ne!(first, second);
    std::fs::remove_file(&file).expect("the first has made it");
    // This one is not marked: the third process has not seen it.
    kept.crash(1).await;
    kept.until(|state| state.generation == 3 && state.phase == Phase::Up)
        .await;
    assert_eq!(kept.pid().await, kept.plugin.state().pid.expect("it is up"));
    kept.shutdown().await;
    let kept = Kept::up(&h, policy().retries(0)).await;
    let status = kept.process.crash_once(path).await;
    let status = status.expect_err("nothing is made again");
    assert!(
        status.is_connection_lost() && !status.is_unsent(),
        "{status}"
    );
    std::fs::remove_file(&file).expect("it was made");
    kept.shutdown().await;
}

pub async fn a_lazy_plugin_is_there_while_it_is_needed(h: Harness) {
    let policy = policy()
        .lazy(true)
        .stop_when_idle(Duration::from_millis(40));
    let kept = Kept::of(h.host([""; 0]).supervise(policy, h.runtime.clone())).await;
    assert_eq!(kept.plugin.state().phase, Phase::Resting);
    assert_eq!(kept.plugin.state().generation, 0);
    let mut pids = Vec::new();
    for _ in 0..3 {
        // Whoever waits for a message of a stream uses it, too.
        let poured = kept.probe.pour(PourRequest { count: 2, size: 1 }).await;
        let mut poured = poured.expect("it has begun");
        for _ in 0..2 {
            assert!(poured.message().await.expect("it pours").is_some());
        }
        pids.push(kept.plugin.state().pid.expect("it is up"));
        assert_eq!(poured.message().await, Ok(None));
        let rests = kept.until(|state| state.phase == Phase::Resting).await;
        assert_eq!((rests.restarts, rests.failures.len()), (0, 0));
    }
    pids.dedup();
    assert_eq!(pids.len(), 3, "{pids:?}");
    assert!(pids.iter().all(|pid| !leftovers::exists(*pid)));
    // Over before it has begun again.
    kept.shutdown().await;
}

pub async fn one_that_crashes_too_often_is_left_alone_until_it_is_told_to_start(h: Harness) {
    let policy = policy().budget(1, Duration::MAX).waiting(Waiting::Fail);
    let kept = Kept::up(&h, policy).await;
    kept.crash(1).await;
    kept.until(|state| state.generation == 2 && state.phase == Phase::Up)
        .await;
    kept.crash(2).await;
    let state = kept.until(|state| state.phase.is_final()).await;
    assert_eq!((state.phase, state.restarts), (Phase::CrashLoop, 1));
    let codes: Vec<Cause> = state.failures.iter().map(|end| end.cause).collect();
    let exited = |code| Cause::Exited(Exit::Code(code));
    assert_eq!(codes, [exited(1), exited(2)]);
    let status = h.promptly(kept.probe.echo(payload("x"))).await;
    let status = status.expect_err("nobody is there");
    assert!(
        status.is_connection_lost() && status.is_unsent(),
        "{status}"
    );
    for text in ["too often", "Supervised::start", "status 2"] {
        assert!(status.message().contains(text), "{text}: {status}");
    }
    let not_up = h.promptly(kept.plugin.ready()).await;
    assert_eq!(not_up.expect_err("it is not").state, state);
    kept.plugin.start();
    kept.plugin.ready().await.expect("it is told to start");
    assert_eq!(kept.probe.echo(payload("x")).await, Ok(payload("x")));
    kept.shutdown().await;
}

pub async fn one_that_says_that_it_takes_no_calls_is_replaced(h: Harness) {
    let second = Duration::from_secs(1);
    // Pings hardly ever: it tells by itself.
    let check = HealthCheck::new()
        .every(600 * second)
        .within(5 * second)
        .misses(1);
    let kept = Kept::up(&h, policy().health(check)).await;
    let first = kept.pid().await;
    let mut events = kept.plugin.events();
    let told = kept.process.set_serving(Flag { flag: false }).await;
    told.expect("it does as it is told");
    let state = kept
        .until(|state| state.generation == 2 && state.phase == Phase::Up)
        .await;
    assert_eq!(state.failures[0].cause, Cause::Unhealthy);
    assert_ne!(kept.pid().await, first);
    let missed = events.next().await.map(|event| event.change);
    assert_eq!(missed, Some(Change::Missed(1)));
    kept.shutdown().await;
}

pub async fn one_that_hangs_is_killed_and_replaced(h: Harness) {
    let check = HealthCheck::new()
        .every(Duration::from_millis(200))
        .within(Duration::from_millis(200))
        .misses(3);
    // A busy machine may well be late by so much; a plugin that hangs is late for good.
    let kept = Kept::up(&h, policy().budget(u32::MAX, Duration::MAX).health(check)).await;
    let first = kept.plugin.state();
    leftovers::stop(first.pid.expect("it is up"));
    let later = |state: &State| state.generation > first.generation && state.phase == Phase::Up;
    let state = kept.until(later).await;
    assert_eq!(state.failures[0].cause, Cause::Unhealthy);
    kept.plugin.shutdown().await.ok();
}

pub async fn it_ends_with_its_last_clone_or_its_group(h: Harness) {
    let kept = Kept::up(&h, policy().restart(Restart::Always)).await;
    let pid = kept.pid().await;
    let clone = kept.plugin.clone();
    drop(kept.plugin);
    assert_eq!(kept.probe.echo(payload("x")).await, Ok(payload("x")));
    let mut states = clone.states();
    drop(clone);
    let mut last = None;
    while let Some(state) = states.next().await {
        last = Some(state.phase);
    }
    assert_eq!(last, Some(Phase::Over(Cause::Dropped)));
    assert!(!leftovers::exists(pid), "it was reaped");
    let status = h.promptly(kept.probe.echo(payload("x"))).await;
    assert!(status.expect_err("it is over").is_connection_lost());

    let managed = Managed::new();
    let host: Host = h.host([""; 0]).managed(&managed);
    let plugin = host.supervise(policy().restart(Restart::Always), h.runtime.clone());
    plugin.ready().await.expect("it starts");
    managed.end_all().await;
    let mut states = plugin.states();
    while states.next().await.is_some() {}
    assert_eq!(plugin.state().phase, Phase::Over(Cause::Ended));
}

pub async fn so_many_start_at_once_and_no_more(h: Harness) {
    let limit = StartLimit::new(1);
    let host = h.host([""; 0]).start_limit(&limit);
    let plugins = [(); 3].map(|()| host.supervise(policy(), h.runtime.clone()));
    let mut seen = 0;
    for plugin in &plugins {
        let mut states = plugin.states();
        loop {
            let all = plugins.each_ref().map(|plugin| plugin.state().phase);
            let starting = all
                .iter()
                .filter(|phase| **phase == Phase::Starting)
                .count();
            assert!(starting <= 1, "{all:?}");
            seen += starting;
            if plugin.state().phase == Phase::Up {
                break;
            }
            states.next().await.expect("it goes on");
        }
    }
    assert!(seen > 0);
    for plugin in plugins {
        plugin.shutdown().await.expect("it ends by itself");
    }
}

pub async fn what_never_starts_is_told_and_what_is_set_up_wrongly_at_once(h: Harness) {
    let policy = policy().budget(2, Duration::MAX);
    let host = h.script("echo this is no handshake; exit 4");
    let plugin = host.supervise(policy.clone(), h.runtime.clone());
    let client: ProbeClient = plugin.dispense(PROBE).await.expect("nothing is asked");
    // It has waited all the time.
    let status = h
        .promptly(client.echo(payload("x")))
        .await
        .expect_err("nobody is there");
    assert!(status.is_unsent(), "{status}");
    let not_up = plugin.ready().await.expect_err("it does not start");
    assert_eq!(not_up.state.failures.len(), 3);
    assert!(
        not_up.to_string().contains("this is no handshake"),
        "{not_up}"
    );

    let host = Host::new(outboard_conformance::HANDSHAKE);
    let plugin = host.supervise(policy, h.runtime.clone());
    let not_up = h.promptly(plugin.ready()).await.expect_err("no command");
    assert_eq!(not_up.state.phase, Phase::Over(Cause::NotStarted));
    assert_eq!(not_up.state.restarts, 0);
}

pub async fn one_whose_broker_is_used_is_not_stopped_for_want_of_calls(h: Harness) {
    let idle = Duration::from_millis(40);
    let kept = Kept::up(&h, policy().stop_when_idle(idle)).await;
    let (lent, generation) = loop {
        // It may be stopped before anybody has the broker.
        let served = kept.probe.serve(Nothing {}).await.expect("it serves");
        let up = kept.plugin.state().generation;
        if let Some(broker) = kept.plugin.broker()
            && let Ok(lent) = broker.dial::<ProbeClient>(served.id).await
        {
            break (lent, up);
        }
    };
    // Far longer than it takes to stop it.
    crate::floods::sleep(&h, 10 * idle).await;
    assert_eq!(lent.echo(payload("x")).await, Ok(payload("x")));
    assert_eq!(kept.plugin.state().generation, generation);
    kept.shutdown().await;
}

pub async fn who_waits_for_a_start_that_fails_is_told(h: Harness) {
    let policy = policy().budget(0, Duration::MAX);
    let gate = h.dir().join("gate");
    let script = format!(
        "until [ -e {} ]; do sleep 0.01; done; exit 4",
        gate.display()
    );
    let plugin = h.script(&script).supervise(policy, h.runtime.clone());
    let mut states = plugin.states();
    while plugin.state().phase != Phase::Starting {
        states.next().await.expect("it goes on");
    }
    // It is being started already, so that this has no effect.
    plugin.start();
    let open = async {
        // Whoever waits has seen that it starts by now.
        crate::floods::sleep(&h, Duration::from_millis(20)).await;
        std::fs::write(&gate, "").expect("written");
    };
    let waits = futures_util::future::join(plugin.ready(), open);
    let (ready, ()) = h.promptly(waits).await;
    assert_eq!(ready.expect_err("it fails").state.phase, Phase::CrashLoop);
    std::fs::remove_file(&gate).expect("it is there");
}

pub async fn a_host_that_attaches_is_not_kept_up(h: Harness) {
    let rig = h.start().await;
    let record = rig.plugin.reattach_config().expect("it has one");
    let host = Host::new(outboard_conformance::HANDSHAKE).attach(record);
    let host = outboard_conformance::axes::of_host(h.on.transport, host);
    let plugin = host.supervise(policy(), h.runtime.clone());
    let refused = h.promptly(plugin.ready()).await.expect_err("it cannot be");
    assert_eq!(refused.state.phase, Phase::Over(Cause::NotStarted));
    assert!(refused.to_string().contains("Host::attach"), "{refused}");
    rig.shutdown().await;
}

pub async fn a_call_waits_no_longer_than_it_may(h: Harness) {
    let hour = Duration::from_secs(3600);
    let policy = Supervision::new()
        .backoff(Backoff::new().first(hour).longest(hour).seed(1))
        .waiting(Waiting::UpTo(Duration::from_millis(30)));
    let kept = Kept::up(&h, policy).await;
    kept.crash(1).await;
    let state = kept
        .until(|state| matches!(state.phase, Phase::Pausing(_)))
        .await;
    let status = h.promptly(kept.probe.echo(payload("x"))).await;
    let status = status.expect_err("the next process is far");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.is_unsent() && status.message().contains("30ms"),
        "{status}"
    );
    // Its own deadline is told as that.
    let channel = kept.plugin.channel().with_timeout(Duration::from_millis(5));
    let probe: ProbeClient = outboard::Client::from_channel(channel);
    let status = h
        .promptly(probe.echo(payload("x")))
        .await
        .expect_err("late");
    assert_eq!(
        (status.code(), status.is_unsent()),
        (Code::DeadlineExceeded, true)
    );
    assert_eq!(kept.plugin.state(), state);
    // Somebody cannot wait.
    kept.plugin.start();
    kept.plugin.ready().await.expect("it starts");
    kept.shutdown().await;
}
