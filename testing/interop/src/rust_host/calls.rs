//! Calls: sizes, errors, deadlines, metadata, streams, built-in services.

use std::time::{Duration, Instant};

use outboard::codegen::{Prost, prost_types::Any};
use outboard::prost::Message as _;
use outboard::{CallOptions, Code, Health, Metadata, Status, Streaming, context};
use outboard_core::rpc::CallHead;

use super::{Language, Peer, dispense, end, observed, pattern, run, start};
use crate::proto::probe::{
    FailRequest, Nothing, Payload, PourRequest, Probe as _, ProbeClient, SleepRequest,
};

/// A call that goes to its end only when nobody gives it up.
const LONG: SleepRequest = SleepRequest { millis: 60_000 };

pub(super) async fn echo(probe: &ProbeClient, data: Vec<u8>) -> Result<Vec<u8>, Status> {
    Ok(probe.echo(Payload { data }).await?.data)
}

pub(super) async fn works(probe: &ProbeClient) {
    let reply = echo(probe, b"still there".to_vec()).await;
    assert_eq!(reply.expect("an answer"), b"still there");
}

/// A message of 16 MiB, both ways.
pub fn large_message(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let data = pattern(16 << 20);
        assert!(echo(&probe, data.clone()).await.expect("an answer") == data);
        end(plugin).await;
    });
}

/// A plugin that keeps to grpc-go's limit of 4 MiB refuses more.
pub fn limit_of_the_plugin(peer: &Peer) {
    run(async {
        let command = peer.command(&["probe"]).env("INTEROP_DEFAULT_LIMITS", "1");
        let plugin = start(peer.host(&[]).command(command)).await;
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        // 4 MiB of message, of which the field's tag and length take 5 bytes.
        let most = (4 << 20) - 5;
        let reply = echo(&probe, vec![1; most]).await;
        assert_eq!(reply.expect("just fits").len(), most);
        let refused = echo(&probe, vec![1; most + 1]).await;
        let refused = refused.expect_err("one byte too many");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        works(&probe).await;
        end(plugin).await;
    });
}

/// The host's own limit counts both ways, and harms only the call that exceeds it.
pub fn limit_of_the_host(peer: &Peer) {
    run(async {
        let plugin = start(peer.host(&["probe"]).max_message_size(1 << 20)).await;
        let (plugin, probe) = dispense::<ProbeClient>(plugin, "probe").await;
        let most = (1 << 20) - 4;
        assert_eq!(
            echo(&probe, vec![1; most]).await.expect("just fits").len(),
            most
        );
        let sent = echo(&probe, vec![1; most + 1]).await;
        let sent = sent.expect_err("too large to send");
        assert_eq!(sent.code(), Code::ResourceExhausted, "{sent}");
        let pour = PourRequest {
            count: 1,
            size: (1 << 20) + 1,
        };
        let mut stream = probe.pour(pour).await.expect("a stream");
        let received = stream.message().await.expect_err("too large to receive");
        assert_eq!(received.code(), Code::ResourceExhausted, "{received}");
        works(&probe).await;
        end(plugin).await;
    });
}

/// Every code, an empty message, non-ASCII text and details arrive unchanged.
pub fn status(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        for number in 1..=16 {
            let request = FailRequest {
                code: number,
                message: format!("plain {number}"),
                details: Vec::new(),
            };
            let status = probe.fail(request).await.expect_err("a failure");
            assert_eq!(status.code().number(), number.unsigned_abs());
            assert_eq!(status.message(), format!("plain {number}"));
            assert!(status.details().is_empty());
        }
        let request = FailRequest {
            code: Code::NotFound.number() as i32,
            ..FailRequest::default()
        };
        let status = probe.fail(request).await.expect_err("a failure");
        assert_eq!((status.code(), status.message()), (Code::NotFound, ""));
        let request = FailRequest {
            code: Code::FailedPrecondition.number() as i32,
            message: "naïve 100% ☃\nline two\t🦀".to_owned(),
            details: vec![Any {
                type_url: "type.googleapis.com/google.protobuf.StringValue".to_owned(),
                value: "\u{a}\u{7}détail".as_bytes().to_vec(),
            }],
        };
        let status = probe.fail(request.clone()).await.expect_err("a failure");
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.message(), request.message);
        // The request has the fields of google.rpc.Status.
        let details = FailRequest::decode(status.details()).expect("a google.rpc.Status");
        assert_eq!(details, request);
        end(plugin).await;
    });
}

/// A long text of a status arrives; one that is over all limits concerns its call alone. The plugin
/// is still the same process afterwards, on the same connection.
pub fn long_status(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let fail = async |message: String| {
            let request = FailRequest {
                code: Code::Aborted.number() as i32,
                message,
                details: Vec::new(),
            };
            probe.fail(request).await.expect_err("a failure")
        };
        let text = "\u{1f608}".repeat(250_000);
        let status = fail(text.clone()).await;
        assert_eq!(status.code(), Code::Aborted, "{:.200}", status.message());
        assert!(status.message() == text);
        works(&probe).await;

        let text = "x".repeat(20_000_000);
        let status = fail(text.clone()).await;
        assert!(!status.is_connection_lost(), "{:.200}", status.message());
        match peer.language {
            // grpc-go sends nothing that is over the limit of its client.
            Language::Go => assert_eq!(status.code(), Code::Internal),
            Language::Rust | Language::Python => {
                assert_eq!(status.code(), Code::Aborted);
                assert!(status.message().ends_with(" of 20000000 bytes left out]"));
            }
        }
        works(&probe).await;
        end(plugin).await;
    });
}

/// The call ends at its deadline, and the plugin knew the deadline.
pub fn deadline(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let limit = Duration::from_millis(400);
        let begin = Instant::now();
        let status = probe.with_timeout(limit).sleep(LONG).await;
        let took = begin.elapsed();
        let status = status.expect_err("it sleeps longer");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert!(took >= limit && took < Duration::from_secs(5), "{took:?}");
        let seen = observed(&probe, |seen| seen.cancelled == 1).await;
        assert!(seen.had_deadline);
        assert!((1..=400).contains(&seen.remaining_millis), "{seen:?}");
        end(plugin).await;
    });
}

/// The plugin notices that a call was given up, and saw no deadline on it.
pub fn cancel(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        {
            let sleeping = probe.sleep(LONG);
            tokio::select! {
                outcome = sleeping => panic!("it ended: {outcome:?}"),
                _ = observed(&probe, |seen| seen.started == 1) => {}
            }
        }
        let seen = observed(&probe, |seen| seen.cancelled == 1).await;
        assert_eq!(seen.finished, 0);
        assert!(!seen.had_deadline);
        // A stream that is dropped ends too.
        let endless = PourRequest {
            count: u64::MAX,
            size: 1000,
        };
        let mut stream = probe.pour(endless).await.expect("a stream");
        let _first = stream.message().await.expect("a message");
        drop(stream);
        works(&probe).await;
        end(plugin).await;
    });
}

/// Text and binary metadata reach the plugin and come back in headers and trailers.
pub fn metadata(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let raw: &[u8] = &[0, 1, 127, 128, 255];
        let mut sent = Metadata::new();
        sent.insert("x-text", "first").expect("allowed");
        sent.insert("x-text", "second value").expect("allowed");
        sent.insert_bin("x-raw-bin", raw.to_vec()).expect("allowed");
        sent.insert_bin("x-empty-bin", Vec::new()).expect("allowed");
        let probe = probe.with_options(CallOptions::new().metadata(sent));
        let (reply, answer) = context::capture(probe.metadata(Nothing {})).await;
        let entries: Vec<_> = reply
            .expect("an answer")
            .entries
            .into_iter()
            .filter(|entry| entry.key.starts_with("x-"))
            .map(|entry| (entry.key, entry.value))
            .collect();
        let mut expected = vec![
            ("x-empty-bin".to_owned(), Vec::new()),
            ("x-raw-bin".to_owned(), raw.to_vec()),
            ("x-text".to_owned(), b"first".to_vec()),
            ("x-text".to_owned(), b"second value".to_vec()),
        ];
        let mut sorted = entries;
        sorted.sort();
        assert_eq!(sorted, expected);
        for (prefix, metadata) in [("h-", &answer.headers), ("t-", &answer.trailers)] {
            let mut back: Vec<_> = metadata
                .iter()
                .filter_map(|(key, value)| {
                    let key = key.strip_prefix(prefix)?.to_owned();
                    let value = match value {
                        outboard::MetadataValue::Text(text) => text.as_bytes().to_vec(),
                        outboard::MetadataValue::Binary(bytes) => bytes.to_vec(),
                    };
                    Some((key, value))
                })
                .collect();
            back.sort();
            expected.sort();
            assert_eq!(back, expected, "{prefix}");
        }
        end(plugin).await;
    });
}

/// A thousand small calls after one another.
pub fn sequential(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        for n in 0..1000 {
            let data = pattern(n);
            assert!(echo(&probe, data.clone()).await.expect("an answer") == data);
        }
        end(plugin).await;
    });
}

/// Calls of many sizes at once.
pub fn parallel(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let tasks: Vec<_> = (0..32)
            .map(|task| {
                let probe = probe.clone();
                tokio::spawn(async move {
                    for n in 0..20 {
                        let data = pattern(task * 3001 + n);
                        let reply = echo(&probe, data.clone()).await;
                        assert!(reply.expect("an answer") == data, "task {task}, call {n}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("all calls are answered");
        }
        end(plugin).await;
    });
}

/// Bidirectional in lock-step, server streaming, client streaming; with small messages too, of
/// which many fit into one frame.
pub fn streams(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        for (count, size) in [(500, 4096), (5000, 10), (4, 2_000_000)] {
            chat(&probe, 500).await;
            let mut stream = probe
                .pour(PourRequest { count, size })
                .await
                .expect("a stream");
            let mut next = 0;
            while let Some(message) = stream.message().await.expect("a message") {
                let expected: Vec<u8> = (0..size).map(|i| (next + i) as u8).collect();
                assert!(message.data == expected, "message {next}");
                next += 1;
            }
            assert_eq!(next, count);
            let messages = (0..count).map(move |_| Payload {
                data: vec![7; size as usize],
            });
            let reply = probe.collect(Streaming::iter(messages)).await;
            let reply = reply.expect("an answer");
            assert_eq!((reply.messages, reply.bytes), (count, count * size));
        }
        end(plugin).await;
    });
}

async fn chat(probe: &ProbeClient, count: usize) {
    let (mut say, requests) = Streaming::channel(1);
    // Go's headers come with the first message, so that must be on its way before the wait.
    let first = Payload { data: pattern(0) };
    say.send(first).await.expect("sent");
    let mut answers = probe.chat(requests).await.expect("a stream");
    for n in 1..=count {
        let heard = answers.message().await.expect("an answer").expect("one");
        assert!(heard.data == pattern(n - 1), "message {n}");
        say.send(Payload { data: pattern(n) }).await.expect("sent");
    }
    drop(say);
    let last = answers.message().await.expect("an answer").expect("one");
    assert!(last.data == pattern(count));
    assert!(answers.message().await.expect("a good end").is_none());
}

/// Unknown methods and services are UNIMPLEMENTED and harm nothing.
pub fn unknown_method(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        for path in ["/outboard.interop.Probe/Nope", "/no.such.Service/Method"] {
            let call =
                plugin
                    .channel()
                    .unary::<_, _, Nothing>(Prost, CallHead::new(path), &Nothing {});
            let status = call.await.expect_err("there is no such thing");
            assert_eq!(status.code(), Code::Unimplemented, "{path}: {status}");
        }
        works(&probe).await;
        end(plugin).await;
    });
}

/// The plugin says which services it has, and is asked for those that are its own.
pub fn interfaces(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let interfaces = plugin.interfaces().await.expect("it has reflection");
        assert_eq!(interfaces, ["outboard.interop.Probe"]);
        works(&probe).await;
        end(plugin).await;
    });
}

/// The plugin says that it takes calls, as long as it runs.
pub fn health(peer: &Peer) {
    run(async {
        let plugin = peer.start(&["kv"]).await;
        plugin.ping().await.expect("a ping");
        assert_eq!(plugin.health().await.expect("an answer"), Health::Serving);
        crate::kill(plugin.pid().expect("it runs"));
        let error = plugin.ping().await.expect_err("nobody answers");
        let text = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(text.contains("SIGKILL"), "{text}");
        let report = plugin.exited().await;
        assert_eq!(report.exit.signal(), Some(9));
    });
}
