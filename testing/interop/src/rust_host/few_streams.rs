//! A plugin that allows few streams on a connection: fewer than go-plugin's host keeps open for good.

use std::time::Duration;

use outboard::{Code, Host, RunningPlugin, Status, Streaming, Tokio};
use outboard_conformance::cut::Cuttable;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::recorder::Recorder;
use super::{Peer, dispense, end, pattern, run, start};
use crate::proto::examples::{
    AddHelper, AddHelperClient, AddHelperServer, SumRequest, SumResponse,
};
use crate::proto::probe::{
    BrokerDialRequest, Nothing, Payload, PrintRequest, Probe as _, ProbeClient, SleepRequest,
};

struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        Ok(SumResponse {
            r: request.a + request.b,
        })
    }
}

/// The plugin with this limit.
async fn limited(peer: &Peer, streams: u32, host: Host) -> (RunningPlugin, ProbeClient) {
    let command = peer.command(&["probe"]);
    let command = command.env("INTEROP_MAX_STREAMS", streams.to_string());
    dispense(start(host.command(command)).await, "probe").await
}

/// Calls that hold all streams, until they are dropped.
async fn hold(probe: &ProbeClient, streams: u32) -> Vec<impl Sized + use<>> {
    let mut held = Vec::new();
    for _ in 0..streams {
        let (mut say, requests) = Streaming::channel(1);
        let payload = Payload { data: pattern(9) };
        say.send(payload.clone()).await.expect("sent");
        let mut answers = probe.chat(requests).await.expect("a stream");
        let heard = answers.message().await.expect("an answer");
        assert_eq!(heard, Some(payload));
        held.push((say, answers));
    }
    held
}

/// Calls have all streams for themselves; what the plugin prints and the broker work beside them.
pub fn few_streams(peer: &Peer) {
    for streams in [1, 2] {
        run(async {
            let out = Recorder::new();
            let host = peer.host(&[]).sync_stdout(out.writer());
            let (plugin, probe) = limited(peer, streams, host).await;
            // More at once than there are streams.
            let call = || async {
                let payload = Payload { data: pattern(99) };
                assert_eq!(probe.echo(payload.clone()).await, Ok(payload));
            };
            tokio::join!(call(), call(), call(), call(), call());
            // More than fits the pipe behind the plugin's stdout, which is read as it is printed.
            let printed = pattern(300_000);
            let print = PrintRequest {
                stdout: printed.clone(),
                stderr: Vec::new(),
            };
            probe.print(print).await.expect("it prints");
            let arrived = out.until(|out| out.len() >= printed.len()).await;
            assert!(arrived == printed, "stdout differs");
            // The broker in both directions.
            let ours = plugin.broker().serve(AddHelperServer::new(Adder));
            let ours = ours.expect("the host serves");
            let (a, b) = (2, 3);
            let dial = BrokerDialRequest {
                id: ours.id(),
                a,
                b,
            };
            assert_eq!(probe.broker_dial(dial).await.expect("it dials").r, 5);
            let theirs = probe.broker_accept(Nothing {}).await.expect("it serves");
            let helper: AddHelperClient = plugin.broker().dial(theirs.id).await.expect("dial");
            let sum = || async { helper.sum(SumRequest { a, b }).await.expect("a sum").r };
            assert_eq!(tokio::join!(sum(), sum(), sum(), sum()), (5, 5, 5, 5));
            end(plugin).await;
        });
    }
}

/// What waits for a stream keeps its limit, and the plugin is shut down although none is free.
pub fn few_streams_held(peer: &Peer) {
    for streams in [1, 2] {
        run(async {
            let (plugin, probe) = limited(peer, streams, peer.host(&[])).await;
            let held = hold(&probe, streams).await;
            let limit = Duration::from_millis(50);
            let late = probe.with_timeout(limit);
            let status = late.echo(Payload::default()).await.expect_err("no stream");
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
            let (_say, requests) = Streaming::channel(1);
            let status = match late.chat(requests).await {
                Ok(mut answers) => answers.message().await.expect_err("no stream"),
                Err(status) => status,
            };
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
            // One without a limit waits, and goes on as soon as a stream is free.
            let waiting = {
                let probe = probe.clone();
                tokio::spawn(async move { probe.sleep(SleepRequest { millis: 1 }).await })
            };
            drop(held);
            waiting.await.expect("no panic").expect("it is made");
            let held = hold(&probe, streams).await;
            end(plugin).await;
            drop(held);
        });
    }
}

/// People are told once how few calls the plugin takes, and what to do.
pub fn few_streams_warning(peer: &Peer) {
    let warnings = Recorder::new();
    let subscriber = tracing_subscriber::registry().with(Warnings(warnings.clone()));
    // For this thread, on which the whole scenario runs.
    let _guard = outboard_kit::events::listen(subscriber);
    let told = || {
        let limits = |text: &String| text.contains("SETTINGS_MAX_CONCURRENT_STREAMS");
        warnings
            .now()
            .into_iter()
            .filter(limits)
            .collect::<Vec<_>>()
    };
    for (streams, words) in [(1, "allows 1 call at"), (2, "allows 2 calls at")] {
        let before = told().len();
        run(async {
            let (plugin, probe) = limited(peer, streams, peer.host(&[])).await;
            probe.echo(Payload::default()).await.expect("it answers");
            end(plugin).await;
        });
        let told = told();
        assert_eq!(told.len(), before + 1, "{told:?}");
        let last = told.last().expect("one");
        assert!(last.contains(words), "{last}");
        assert!(last.contains("grpc.MaxConcurrentStreams"), "{last}");
    }
    let before = told().len();
    run(async {
        let (plugin, probe) = limited(peer, 3, peer.host(&[])).await;
        probe.echo(Payload::default()).await.expect("it answers");
        end(plugin).await;
    });
    assert_eq!(told().len(), before, "three are enough");
}

/// Where no other connection is to be had, calls go on, and what needs one says why there is none.
pub fn few_streams_one_connection(peer: &Peer) {
    let told = Recorder::new();
    let subscriber = tracing_subscriber::registry().with(Warnings(told.clone()));
    // For this thread, on which the whole scenario runs.
    let _guard = outboard_kit::events::listen(subscriber);
    run(async {
        let (runtime, scissors) = Cuttable::around(Tokio::current().into());
        scissors.close_after(1);
        let command = peer.command(&["probe"]);
        let command = command.env("INTEROP_MAX_STREAMS", "2");
        let host = peer
            .host(&[])
            .command(command)
            .sync_stdout(Recorder::<u8>::new);
        let plugin = host.start(runtime).await.expect("it starts");
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        let held = hold(&probe, 1).await;
        let dialled = plugin.broker().dial::<AddHelperClient>(99).await;
        let why = dialled.expect_err("no control stream").to_string();
        assert!(why.contains("SETTINGS_MAX_CONCURRENT_STREAMS"), "{why}");
        probe.echo(Payload::default()).await.expect("it answers");
        drop(held);
        let no_output = |text: &String| text.contains("what the plugin prints does not get here");
        told.until(|told| told.iter().any(no_output)).await;
        assert_eq!(scissors.connections(), 1);
        end(plugin).await;
    });
}

/// The texts of warnings and errors.
struct Warnings(Recorder<String>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        if *event.metadata().level() <= tracing::Level::WARN {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.extend(&[text.0]);
        }
    }
}
