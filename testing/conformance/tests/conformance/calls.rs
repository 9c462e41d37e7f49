//! Unary calls, and what goes along with every call.

use std::pin::pin;

use futures_util::future::{join, join_all, poll_immediate};
use outboard::codegen::{Prost, call_bidirectional};
use outboard::{CallOptions, Code, DispenseError, Metadata, Status, Streaming, context};
use outboard_conformance::axes::RuntimeKind;
use outboard_conformance::proto::{
    Count, FailRequest, Nothing, Payload, PourRequest, Probe as _, ProbeClient, Process as _, Text,
};
use outboard_conformance::{PROBE, PROCESS};
use outboard_core::wire::reflection::server_reflection_request::MessageRequest as Question;
use outboard_core::wire::reflection::server_reflection_response::MessageResponse as Answer;
use outboard_core::wire::reflection::{
    ServerReflectionRequest, ServerReflectionResponse, V1, V1ALPHA,
};

use crate::harness::Harness;

/// Bytes that tell when some are lost, doubled or out of order.
pub fn pattern(length: usize) -> Vec<u8> {
    // 251 is prime, so no power of two (buffers, pages, frames) is in step with it.
    (0..length).map(|index| (index % 251) as u8).collect()
}

pub fn payload(data: impl Into<Vec<u8>>) -> Payload {
    Payload { data: data.into() }
}

pub async fn every_kind_of_call(h: Harness) {
    let rig = h.start().await;
    let probe = &rig.probe;
    assert_eq!(probe.echo(payload("unary")).await, Ok(payload("unary")));
    let three = || Streaming::iter(["a", "bc", "def"].map(payload));
    let collected = probe.collect(three()).await.expect("client streaming");
    assert_eq!((collected.messages, collected.bytes), (3, 6));
    let request = PourRequest { count: 3, size: 2 };
    let mut poured = probe.pour(request).await.expect("server streaming");
    for n in 0..3 {
        assert_eq!(poured.message().await, Ok(Some(payload([n; 2]))));
    }
    assert_eq!(poured.message().await, Ok(None));
    let mut chat = probe.chat(three()).await.expect("bidirectional");
    for text in ["a", "bc", "def"] {
        assert_eq!(chat.message().await, Ok(Some(payload(text))));
    }
    assert_eq!(chat.message().await, Ok(None));
    // Nothing sent at all, in each place where that can be.
    let collected = probe.collect(Streaming::iter([])).await.expect("empty");
    assert_eq!(collected.messages, 0);
    let mut poured = probe.pour(PourRequest::default()).await.expect("empty");
    assert_eq!(poured.message().await, Ok(None));
    assert_eq!(probe.echo(payload("")).await, Ok(payload("")));
    rig.shutdown().await;
}

pub async fn a_name_that_is_not_provided_is_refused_where_names_travel(h: Harness) {
    let plugin = h.host([""; 0]).start(h.runtime.clone()).await;
    let plugin = plugin.expect("the plugin starts");
    // First of all, before anything else can have been read of the plugin.
    let missing = h.promptly(plugin.dispense::<ProbeClient>("missing")).await;
    if h.on.transport.has_sockets() {
        // The name stays with the host: the client has what there is, whatever it was called.
        let probe = missing.expect("no name travels");
        assert_eq!(probe.echo(payload("x")).await, Ok(payload("x")));
    } else {
        let error = missing.expect_err("the plugin has told its names");
        let provided = [PROBE, PROCESS].map(str::to_owned).to_vec();
        let expected = DispenseError::NotProvided {
            name: "missing".to_owned(),
            version: 1,
            provided,
        };
        assert_eq!(error, expected);
        assert_eq!(
            error.to_string(),
            "the plugin provides nothing under the name \"missing\" in version 1; its names are \
             \"probe\", \"process\""
        );
    }
    let probe: ProbeClient = plugin.dispense(PROBE).await.expect("provided");
    assert_eq!(probe.echo(payload("x")).await, Ok(payload("x")));
    let report = plugin.shutdown().await.expect("it ends by itself");
    assert!(report.exit.success(), "{report}");
}

pub async fn sixteen_mebibytes_go_both_ways(h: Harness) {
    let rig = h.start().await;
    let data = pattern(16 << 20);
    let answer = rig.probe.echo(payload(data.clone())).await.expect("large");
    assert!(answer.data == data, "the bytes come back as they were");
    rig.shutdown().await;
}

pub async fn ten_thousand_small_calls(h: Harness) {
    let rig = h.start().await;
    for n in 0..10_000_u32 {
        let data = payload(n.to_be_bytes());
        assert_eq!(rig.probe.echo(data.clone()).await, Ok(data));
    }
    rig.shutdown().await;
}

/// With threads to run them: neither its siblings of the same method, nor other calls, nor pings.
pub async fn a_handler_that_computes_holds_up_nobody(h: Harness) {
    let rig = h.start().await;
    let stall = || rig.probe.stall(Count { count: 2 });
    let both = (Ok(Nothing {}), Ok(Nothing {}));
    for _ in 0..50 {
        assert_eq!(join(stall(), stall()).await, both);
        let mut computes = pin!(stall());
        // It is on its way before all that follows.
        assert_eq!(poll_immediate(&mut computes).await, None);
        let others = async {
            rig.plugin.ping().await.expect("it lives");
            let others = (0..8).map(|_| rig.probe.echo(payload("quick")));
            for answer in join_all(others).await {
                assert_eq!(answer, Ok(payload("quick")));
            }
            stall().await
        };
        assert_eq!(join(computes, others).await, both);
    }
    rig.shutdown().await;
}

pub async fn sixty_four_calls_at_once(h: Harness) {
    let rig = h.start().await;
    // None of them ends before all are there.
    let calls = (0..64).map(|_| rig.probe.meet(Count { count: 64 }));
    for met in join_all(calls).await {
        assert_eq!(met, Ok(Nothing {}));
    }
    rig.shutdown().await;
}

pub async fn a_call_that_nobody_polls_holds_up_no_other(h: Harness) {
    let rig = h.start().await;
    let probe = rig.probe.clone();
    let mut waiting = Box::pin(probe.wait(Nothing {}));
    assert!(poll_immediate(&mut waiting).await.is_none(), "it waits");
    let note = h.promptly(rig.probe.next_note(Nothing {})).await;
    assert_eq!(note.expect("ok").text, "wait began");
    // Also where its answer has come and is not looked at.
    let mut answered = pin!(probe.echo(payload("first")));
    // On a busy machine the answer may be here before the poll that has sent the request is over.
    let early = poll_immediate(&mut answered).await;
    for _ in 0..100 {
        let echoed = h.promptly(rig.probe.echo(payload("second"))).await;
        assert_eq!(echoed, Ok(payload("second")));
    }
    let first = match early {
        Some(first) => first,
        None => answered.await,
    };
    assert_eq!(first, Ok(payload("first")));
    drop(waiting);
    rig.shutdown().await;
}

pub async fn unknown_services_and_methods_are_unimplemented(h: Harness) {
    let rig = h.start().await;
    let channel = rig.plugin.channel();
    for (path, what, instead) in [
        (
            "/no.such.Service/Method",
            "service no.such.Service;",
            "outboard.suite.Probe",
        ),
        (
            "/outboard.suite.Probe/NoSuchMethod",
            "method NoSuchMethod for service outboard.suite.Probe,",
            "Echo",
        ),
    ] {
        let call = channel.unary::<_, Nothing, Nothing>(Prost, channel.head(path), &Nothing {});
        let status = call.await.expect_err("nobody serves it");
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
        let (text, wanted) = (status.message(), format!("unknown {what}"));
        assert!(text.starts_with(&wanted), "{text}");
        assert!(text.contains(instead), "{text}");
    }
    assert_eq!(rig.probe.echo(payload("on")).await, Ok(payload("on")));
    rig.shutdown().await;
}

pub async fn metadata_and_trailers_go_both_ways(h: Harness) {
    let rig = h.start().await;
    let mut metadata = Metadata::new();
    metadata.insert("x-text", "one").expect("valid");
    metadata.insert("x-text", "two").expect("valid");
    let binary: Vec<u8> = (0..=255).collect();
    metadata
        .insert_bin("x-binary-bin", binary.clone())
        .expect("valid");
    let probe = rig
        .probe
        .with_options(CallOptions::new().metadata(metadata));
    let (answer, received) = context::capture(probe.reflect(Nothing {})).await;
    let entries = answer.expect("ok").entries;
    let values = |key: &str| -> Vec<&[u8]> {
        let of_key = entries.iter().filter(|entry| entry.key == key);
        of_key.map(|entry| entry.value.as_slice()).collect()
    };
    assert_eq!(values("x-text"), [b"one", b"two"]);
    assert_eq!(values("x-binary-bin"), [binary.as_slice()]);
    for (metadata, text, bin) in [
        (&received.headers, "h-x-text", "h-x-binary-bin"),
        (&received.trailers, "t-x-text", "t-x-binary-bin"),
    ] {
        assert_eq!(metadata.get(text), Some("one"), "{metadata:?}");
        assert_eq!(metadata.get_bin(bin), Some(binary.as_slice()));
    }
    rig.shutdown().await;
}

pub async fn statuses_keep_code_text_and_details(h: Harness) {
    let rig = h.start().await;
    let text = "näin ei käy: 100 %, 日本語, 🦀\nand a second line";
    for code in 1..=16 {
        let request = FailRequest {
            code,
            message: text.to_owned(),
            details: pattern(code as usize),
        };
        let status = rig.probe.fail(request).await.expect_err("as asked");
        assert_eq!(status.code(), Code::from_number(code));
        assert_eq!(status.message(), text);
        assert_eq!(status.details(), pattern(code as usize));
        assert!(!status.is_connection_lost());
    }
    rig.shutdown().await;
}

pub async fn a_panic_fails_its_call_only(h: Harness) {
    let rig = h.start().await;
    let other = rig.probe.meet(Count { count: 2 });
    let text = "out of cheese".to_owned();
    let status = rig
        .probe
        .panic(Text { text })
        .await
        .expect_err("it panicked");
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    let (here, there) = join(other, rig.probe.meet(Count { count: 2 })).await;
    assert_eq!((here, there), (Ok(Nothing {}), Ok(Nothing {})));
    rig.shutdown().await;
}

pub async fn too_large_a_message_fails_its_call_only(h: Harness) {
    const LIMIT: usize = 1 << 20;
    let exhausted = |result: Result<Payload, Status>, whose| {
        let status = result.expect_err("too large");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let text = status.message();
        assert!(
            text.contains(&format!("limit of {LIMIT} bytes {whose}")),
            "{text}"
        );
        assert!(text.contains("raise max_message_size there"), "{text}");
    };
    // The plugin refuses the request.
    let rig = h.start_host(h.host(["--limit", &LIMIT.to_string()])).await;
    let request = payload(vec![7; LIMIT + 1]);
    exhausted(rig.probe.echo(request).await, "of the side that serves it");
    let almost = vec![7; LIMIT - 16];
    assert!(rig.probe.echo(payload(almost.clone())).await.is_ok());
    rig.shutdown().await;
    // The host refuses the answer.
    let rig = h.start_host(h.host([""; 0]).max_message_size(LIMIT)).await;
    let size = LIMIT as u64 + 1;
    let mut poured = rig
        .probe
        .pour(PourRequest { count: 1, size })
        .await
        .expect("starts");
    let response = poured.message().await.map(Option::unwrap_or_default);
    exhausted(response, "of the side that makes the call");
    assert!(rig.probe.echo(payload(almost)).await.is_ok());
    rig.shutdown().await;
}

pub async fn pings_and_facts(h: Harness) {
    let rig = h.start().await;
    rig.plugin.ping().await.expect("it serves");
    assert_eq!(rig.plugin.negotiated_version(), 1);
    assert!(!rig.plugin.is_exited() && !rig.plugin.is_disconnected());
    assert_eq!(rig.plugin.exit_report(), None);
    let facts = rig.process.facts(Nothing {}).await.expect("facts");
    assert_eq!(Some(facts.pid), rig.plugin.pid());
    let smol = facts.threads.iter().all(|name| !name.starts_with("tokio"));
    match h.on.plugin {
        RuntimeKind::Smol | RuntimeKind::Blocking => {
            assert!(
                smol && !facts.in_tokio,
                "no tokio runs beside smol: {facts:?}"
            );
        }
        _ => assert!(facts.in_tokio, "{facts:?}"),
    }
    rig.shutdown().await;
}

pub async fn reflection_tells_what_is_served(h: Harness) {
    let rig = h.start().await;
    let questions = [
        Question::ListServices(String::new()),
        Question::FileContainingSymbol("outboard.suite.Probe.Echo".into()),
        Question::FileContainingSymbol("no.such.Symbol".into()),
    ];
    for version in [&V1, &V1ALPHA] {
        let requests = questions.clone().map(|question| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        });
        let mut answers: Streaming<ServerReflectionResponse> = call_bidirectional(
            Prost,
            &rig.plugin.channel(),
            version.methods[0].path,
            Streaming::iter(requests),
        );
        let mut next = async || {
            let answer = answers.message().await.expect("ok").expect("an answer");
            answer.message_response.expect("with content")
        };
        let Answer::ListServicesResponse(list) = next().await else {
            panic!("no list")
        };
        let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
        let served = [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "outboard.log.LogLevel",
            "outboard.suite.Probe",
            "outboard.suite.Process",
            "plugin.GRPCBroker",
            "plugin.GRPCController",
            "plugin.GRPCStdio",
        ];
        assert_eq!(names, served, "{}", version.name);
        let Answer::FileDescriptorResponse(files) = next().await else {
            panic!("no file")
        };
        let name = b"probe.proto";
        let named = |file: &[u8]| file.windows(name.len()).any(|part| part == name);
        assert!(files.file_descriptor_proto.iter().any(|file| named(file)));
        let Answer::ErrorResponse(error) = next().await else {
            panic!("no error")
        };
        assert_eq!(error.error_code, Code::NotFound as i32);
        assert_eq!(answers.message().await, Ok(None));
    }
    rig.shutdown().await;
}
