//! Live interfaces passed between the two sides.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join, join_all, join3, poll_immediate};
use outboard::codegen::Prost;
use outboard::{Client as _, Code, Served, Status};
use outboard_conformance::probe::Prober;
use outboard_conformance::proto::{
    BrokerId, Count, CrashRequest, Nothing, Payload, PourRequest, Probe as _, ProbeClient,
    ProbeServer, Process as _, ProcessClient, RelayRequest, crash_request, relay_request::Op,
};

use crate::calls::{pattern, payload};
use crate::harness::{Harness, Rig, timed};
use crate::leftovers;

/// How long a dial waits for the other side's announcement, in go-plugin as here.
const BROKER_TIMEOUT: Duration = Duration::from_secs(5);

pub fn relay(id: u32, data: impl Into<Vec<u8>>) -> RelayRequest {
    RelayRequest {
        id,
        op: Op::Echo.into(),
        data: data.into(),
        inner: None,
    }
}

/// Dials `id` from the host and calls what is there. Over some transports the dial itself fails, over
/// others the first call does.
async fn try_out(rig: &Rig, id: u32) -> Result<Payload, Status> {
    let probe: ProbeClient = rig.plugin.broker().dial(id).await?;
    probe.echo(payload("tried")).await
}

pub fn lend(rig: &Rig) -> Served {
    let probe = ProbeServer::new(Prober::default());
    rig.plugin.broker().serve(probe).expect("it can be served")
}

/// Has the plugin serve a probe, and dials it.
pub async fn borrow(rig: &Rig) -> (u32, ProbeClient) {
    let id = rig.probe.serve(Nothing {}).await.expect("it is served").id;
    (id, rig.plugin.broker().dial(id).await.expect("it is there"))
}

pub async fn the_plugin_calls_what_the_host_serves(h: Harness) {
    let rig = h.start().await;
    let lent = lend(&rig);
    let data = pattern(5 << 20);
    let answer = rig
        .probe
        .relay(relay(lent.id(), data.clone()))
        .await
        .expect("ok");
    assert!(answer.data == data);
    rig.shutdown().await;
}

pub async fn calls_outlive_the_client_they_were_made_with(h: Harness) {
    let rig = h.start().await;
    let (_, probe) = borrow(&rig).await;
    let (mut sender, requests) = outboard::Streaming::channel(1);
    let mut stream = probe.chat(requests).await.expect("it begins");
    drop(probe);
    for text in ["one", "two"] {
        sender.send(payload(text)).await.expect("it is read");
        assert_eq!(stream.message().await, Ok(Some(payload(text))));
    }
    drop(sender);
    assert_eq!(stream.message().await, Ok(None));
    rig.shutdown().await;
}

pub async fn the_host_calls_what_the_plugin_serves(h: Harness) {
    let rig = h.start().await;
    let (_, probe) = borrow(&rig).await;
    let data = pattern(5 << 20);
    let answer = probe.echo(payload(data.clone())).await.expect("ok");
    assert!(answer.data == data);
    rig.shutdown().await;
}

pub async fn several_at_once_in_both_directions(h: Harness) {
    let rig = h.start().await;
    let lent: Vec<_> = (0..8).map(|_| lend(&rig)).collect();
    let there = lent.iter().enumerate().map(|(n, lent)| {
        let call = rig.probe.relay(relay(lent.id(), [n as u8]));
        async move { assert_eq!(call.await, Ok(payload([n as u8]))) }
    });
    let here = (0..8_u8).map(|n| {
        let rig = &rig;
        async move {
            let (_, probe) = borrow(rig).await;
            assert_eq!(probe.echo(payload([n])).await, Ok(payload([n])));
        }
    });
    join(join_all(there), join_all(here)).await;
    rig.shutdown().await;
}

pub async fn several_services_share_an_id(h: Harness) {
    let rig = h.start().await;
    let broker = rig.plugin.broker();
    // Two such ids at once, told apart by what their probes have counted.
    let first = rig.process.serve_both(Nothing {}).await.expect("served").id;
    let second = rig.process.serve_both(Nothing {}).await.expect("served").id;
    let channels = [
        broker.dial_channel(first).await.expect("it is there"),
        broker.dial_channel(second).await.expect("it is there"),
    ];
    for (n, channel) in (1..).zip(&channels) {
        let probe = ProbeClient::from_channel(channel.clone());
        let process = ProcessClient::from_channel(channel.clone());
        let facts = process.facts(Nothing {}).await.expect("the second service");
        assert_eq!(Some(facts.pid), rig.plugin.pid());
        let request = PourRequest { count: n, size: 1 };
        let mut poured = probe.pour(request).await.expect("the first service");
        while poured.message().await.expect("ok").is_some() {}
        assert_eq!(probe.poured(Nothing {}).await, Ok(Count { count: n }));
        // Nothing else is there, although the main connection has it.
        let head = channel.head("/plugin.GRPCController/Shutdown");
        let refused = channel
            .unary::<_, Nothing, Nothing>(Prost, head, &Nothing {})
            .await;
        let status = refused.expect_err("not on this id");
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
        let there = "the services here are outboard.suite.Probe, outboard.suite.Process";
        assert!(status.message().ends_with(there), "{status}");
    }
    rig.shutdown().await;
}

pub async fn calls_nest_through_the_broker(h: Harness) {
    let rig = h.start().await;
    // Host calls plugin, whose handler calls the host, whose handler calls the plugin, whose
    // handler calls the host again, through four ids.
    let outer = lend(&rig);
    let last = lend(&rig);
    let id = rig.probe.serve(Nothing {}).await.expect("served").id;
    let innermost = relay(last.id(), "all the way down");
    let request = RelayRequest {
        id: outer.id(),
        op: Op::Relay.into(),
        data: Vec::new(),
        inner: Some(Box::new(RelayRequest {
            id,
            op: Op::Relay.into(),
            data: Vec::new(),
            inner: Some(Box::new(innermost)),
        })),
    };
    let answer = rig.probe.relay(request).await;
    assert_eq!(answer, Ok(payload("all the way down")));
    rig.shutdown().await;
}

pub async fn streams_run_through_the_broker(h: Harness) {
    let rig = h.start().await;
    let lent = lend(&rig);
    let request = RelayRequest {
        op: Op::Chat.into(),
        ..relay(lent.id(), vec![1; 1000])
    };
    assert_eq!(rig.probe.relay(request).await, Ok(payload("1000")));
    rig.shutdown().await;
}

pub async fn a_hundred_one_after_another(h: Harness) {
    let rig = h.start().await;
    for n in 0..100_u8 {
        let lent = lend(&rig);
        assert_eq!(
            rig.probe.relay(relay(lent.id(), [n])).await,
            Ok(payload([n]))
        );
        let (id, probe) = borrow(&rig).await;
        assert_eq!(probe.echo(payload([n])).await, Ok(payload([n])));
        rig.probe.unserve(BrokerId { id }).await.expect("ok");
    }
    rig.shutdown().await;
}

pub async fn what_is_no_longer_served_cannot_be_used(h: Harness) {
    let rig = h.start().await;
    // Announced, and gone before anybody dialled.
    let lent = lend(&rig);
    let id = lent.id();
    drop(lent);
    let status = rig
        .probe
        .relay(relay(id, "x"))
        .await
        .expect_err("it is gone");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    // Gone while connected.
    let (id, probe) = borrow(&rig).await;
    assert_eq!(probe.echo(payload("x")).await, Ok(payload("x")));
    rig.probe.unserve(BrokerId { id }).await.expect("ok");
    let status = h.promptly(async {
        loop {
            if let Err(status) = probe.echo(payload("x")).await {
                break status;
            }
        }
    });
    let status = status.await;
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    rig.shutdown().await;
}

pub async fn an_id_that_nobody_serves_times_out_and_harms_nothing(h: Harness) {
    let rig = h.start().await;
    let both = join(try_out(&rig, 4711), rig.probe.relay(relay(4711, "x")));
    let ((here, there), took) = timed(h.within(BROKER_TIMEOUT * 3, both)).await;
    for result in [here, there] {
        let status = result.expect_err("nobody serves it");
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().contains("4711"), "{status:?}");
    }
    if h.on.transport.has_sockets() {
        // It could still be announced.
        assert!(took >= BROKER_TIMEOUT, "{took:?}");
    }
    let lent = lend(&rig);
    assert_eq!(
        rig.probe.relay(relay(lent.id(), "on")).await,
        Ok(payload("on"))
    );
    rig.shutdown().await;
}

pub async fn a_dial_can_be_given_up(h: Harness) {
    let rig = h.start().await;
    // The next id the plugin will give.
    let id = rig.probe.serve(Nothing {}).await.expect("served").id + 1;
    {
        let dial = pin!(rig.plugin.broker().dial::<ProbeClient>(id));
        let dialled = poll_immediate(dial).await;
        assert_eq!(
            dialled.is_none(),
            h.on.transport.has_sockets(),
            "nobody serves it yet"
        );
    }
    let (served, probe) = borrow(&rig).await;
    assert_eq!(served, id);
    assert_eq!(probe.echo(payload("x")).await, Ok(payload("x")));
    rig.shutdown().await;
}

pub async fn brokered_calls_fail_when_the_plugin_dies(h: Harness) {
    let rig = h.start().await;
    let (_, probe) = borrow(&rig).await;
    let lent = lend(&rig);
    let dialling = try_out(&rig, 4711);
    let waiting = probe.wait(Nothing {});
    let crash = CrashRequest {
        how: crash_request::How::Exit.into(),
        code: 3,
        text: String::new(),
        ..CrashRequest::default()
    };
    let all = join3(dialling, waiting, rig.process.crash(crash));
    let (dialled, waited, _) = h.promptly(all).await;
    for status in [dialled.err(), waited.err()] {
        assert_eq!(status.map(|status| status.code()), Some(Code::Unavailable));
    }
    h.promptly(rig.plugin.exited()).await;
    drop(lent);
    let served = rig
        .plugin
        .broker()
        .serve(ProbeServer::new(Prober::default()));
    assert!(served.is_err(), "nobody is left to dial it");
}

/// What `count` servers on each side answer that are dialled all at once: on the host's side the
/// plugin's, on the plugin's the host's. `meanwhile` gets the host's handles and the plugin's ids.
async fn dialled_at_once<F: Future<Output = ()>>(
    rig: &Rig,
    count: u64,
    meanwhile: impl FnOnce(Vec<Served>, Vec<u32>) -> F,
) -> Vec<(u32, Result<u32, Status>)> {
    let lent = Prober::serve_many(rig.plugin.broker(), count).expect("served");
    let borrowed = rig.probe.serve_many(Count { count }).await;
    let borrowed = borrowed.expect("served").ids;
    let here = borrowed.iter().map(|&id| async move {
        let dial = async {
            let probe: ProbeClient = rig.plugin.broker().dial(id).await?;
            Ok(probe.which(Nothing {}).await?.id)
        };
        (id, dial.await)
    });
    let there = lent.iter().map(|lent| {
        let (id, op) = (lent.id(), Op::Which.into());
        let call = rig.probe.relay(RelayRequest {
            op,
            ..relay(id, "")
        });
        async move {
            let id_of = |answer: Payload| {
                let text = String::from_utf8(answer.data).expect("text");
                text.parse().expect("a number")
            };
            (id, call.await.map(id_of))
        }
    });
    let dials = join(join_all(here), join_all(there));
    let ((mut all, there), ()) = join(dials, meanwhile(lent, borrowed.clone())).await;
    all.extend(there);
    all
}

pub async fn a_hundred_dials_at_once_on_both_sides(h: Harness) {
    let rig = h.start().await;
    let mut held = None;
    let dials = dialled_at_once(&rig, 100, async |lent, _| held = Some(lent));
    let dialled = h.within(BROKER_TIMEOUT * 3, dials).await;
    assert_eq!(dialled.len(), 200);
    for (id, answer) in dialled {
        assert_eq!(answer, Ok(id));
    }
    rig.shutdown().await;
}

pub async fn dials_race_with_servers_that_are_dropped(h: Harness) {
    let rig = h.start().await;
    let drop_all = async |lent: Vec<Served>, borrowed: Vec<u32>| {
        for (served, id) in lent.into_iter().zip(borrowed) {
            drop(served);
            rig.probe.unserve(BrokerId { id }).await.expect("ok");
        }
    };
    let dials = dialled_at_once(&rig, 100, drop_all);
    for (id, answer) in h.within(BROKER_TIMEOUT * 3, dials).await {
        match answer {
            Ok(reached) => assert_eq!(reached, id),
            // That there is nobody any more, or that the connection has gone with it.
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
        }
    }
    // What comes later finds everything in its place.
    let lent = lend(&rig);
    let there = rig.probe.relay(relay(lent.id(), "on"));
    assert_eq!(h.promptly(there).await, Ok(payload("on")));
    let (_, probe) = h.promptly(borrow(&rig)).await;
    assert_eq!(probe.echo(payload("x")).await, Ok(payload("x")));
    rig.shutdown().await;
}

pub async fn dials_that_the_end_cuts_off_are_told_how_it_came(h: Harness) {
    let rig = h.start().await;
    let exited = rig.plugin.exited();
    let mut dials = join_all((4711..4731).map(|id| try_out(&rig, id)));
    // Nobody serves these; over some transports the answer is already there.
    let early = poll_immediate(&mut dials).await;
    assert!(early.is_none(), "{early:?}");
    assert!(rig.probe.echo(payload("it knows")).await.is_ok());
    leftovers::kill(rig.pid());
    let late = h.promptly(dials).await;
    if h.on.transport.has_sockets() {
        for dialled in late {
            let status = dialled.expect_err("nobody serves it");
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            assert!(status.message().contains("SIGKILL"), "{status}");
        }
    }
    h.promptly(exited).await;
    let status = try_out(&rig, 4711).await.expect_err("it is dead");
    assert!(status.message().contains("SIGKILL"), "{status}");
    let prober = ProbeServer::new(Prober::default());
    let refused = rig.plugin.broker().serve(prober).expect_err("it is dead");
    assert!(refused.to_string().contains("SIGKILL"), "{refused}");
}

pub async fn an_id_can_be_dialled_once_where_go_plugin_says_so(h: Harness) {
    let rig = h.start().await;
    let (id, first) = borrow(&rig).await;
    let again = h.within(BROKER_TIMEOUT * 3, try_out(&rig, id)).await;
    // There, each announcement serves one dial; without sockets there are no announcements.
    assert_eq!(again.is_err(), h.on.transport.announces(), "{again:?}");
    assert_eq!(first.echo(payload("x")).await, Ok(payload("x")));
    rig.shutdown().await;
}
