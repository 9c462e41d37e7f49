//! Metadata and statuses of any size that the limits allow, and what is over them.

use outboard_core::rpc::limits::{
    MAX_METADATA_ENTRIES, MAX_METADATA_SIZE, MAX_STATUS_MESSAGE, METADATA_ENTRY_OVERHEAD,
};
use outboard_core::rpc::{CallHead, Code, Metadata, Status};
use outboard_kit::echo::{next, out, poll_once};
use outboard_kit::metadata::of_size;
use outboard_transports::{Bench, Pair};

use crate::support::{collect, failure_of, head, headers, messages, works};

/// Entries of the same name.
fn of_entries(count: usize) -> Metadata {
    let mut metadata = Metadata::new();
    for number in 0..count {
        metadata.insert("k", &number.to_string()).expect("valid");
    }
    metadata
}

/// As many entries as there may be, each of another name, that count as much as they may.
fn full() -> Metadata {
    let mut metadata = Metadata::new();
    let each = MAX_METADATA_SIZE / MAX_METADATA_ENTRIES;
    for number in 0..MAX_METADATA_ENTRIES {
        let name = format!("x-{number:04}-bin");
        let value = vec![255; each - METADATA_ENTRY_OVERHEAD - name.len()];
        metadata.insert_bin(name, value).expect("valid");
    }
    assert_eq!(metadata.size(), MAX_METADATA_SIZE);
    metadata
}

fn with(method: &str, metadata: &Metadata) -> CallHead {
    let mut head = head(method);
    head.metadata = metadata.clone();
    head
}

async fn go_both_ways(pair: &Pair, metadata: &Metadata) {
    let call = with("Metadata", metadata);
    let reply = pair.connection.unary(call, out("x")).await.expect("well");
    assert_eq!(reply.message, "x");
    assert!(reply.headers == *metadata && reply.trailers == *metadata);
    // The same of a stream, whose headers come before its messages.
    let call = with("Headers", metadata);
    let mut call = pair.connection.open(call, messages(["1"]));
    assert_eq!(collect(&mut call).await.expect("ends well"), ["last"]);
    assert!(headers(&mut call).await.expect("well") == *metadata);
    assert!(call.trailers() == Some(metadata));
}

pub async fn metadata_of_many_sizes_goes_both_ways(bench: Bench) {
    let pair = bench.pair();
    for size in [100, 14_000, 16_000, 60_000, 300_000] {
        go_both_ways(&pair, &of_size(bench.bytes(size))).await;
    }
    for count in [1, 128, 129] {
        go_both_ways(&pair, &of_entries(count)).await;
    }
}

pub async fn metadata_up_to_the_limit_goes_both_ways(bench: Bench) {
    let pair = bench.pair();
    for metadata in [
        of_size(MAX_METADATA_SIZE),
        of_entries(MAX_METADATA_ENTRIES),
        full(),
    ] {
        go_both_ways(&pair, &metadata).await;
    }
}

pub async fn metadata_over_the_limit_fails_its_call_alone(bench: Bench) {
    let pair = bench.pair();
    for metadata in [
        of_size(MAX_METADATA_SIZE + 1),
        of_entries(MAX_METADATA_ENTRIES + 1),
    ] {
        let call = with("Metadata", &metadata);
        let refused = pair.connection.unary(call, out("x")).await;
        let refused = refused.expect_err("too much");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(refused.message().contains("over the limit of"), "{refused}");
        let call = with("Each", &metadata);
        let mut call = pair.connection.open(call, messages([]));
        assert_eq!(failure_of(&mut call).await, refused);
        works(&*pair.connection).await;
    }
}

pub async fn trailers_over_the_limit_fail_their_call_alone(bench: Bench) {
    let pair = bench.pair();
    pair.echo.trail_with(of_size(MAX_METADATA_SIZE + 1));
    let call = pair.connection.unary(head("Trail"), out("x")).await;
    let error = call.expect_err("too much");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    works(&*pair.connection).await;
}

/// What two calls, a unary one and a stream, end with if their handlers end with `status`.
async fn fails(pair: &Pair, status: Status) -> Status {
    pair.echo.fail_with(status);
    let unary = pair.connection.unary(head("Answer"), out("x")).await;
    let unary = unary.expect_err("always");
    let mut call = pair.connection.open(head("AnswerStream"), messages(["x"]));
    assert_eq!(next(&mut call).await.expect("one").expect("well"), "first");
    assert!(failure_of(&mut call).await == unary);
    works(&*pair.connection).await;
    unary
}

async fn arrives_whole(pair: &Pair, length: usize) {
    for unit in ["\u{1f608}", "text"] {
        let status = Status::not_found(unit.repeat(length / 4))
            .with_details(vec![1; length / 2])
            .with_metadata(of_size(length / 3));
        assert!(fails(pair, status.clone()).await == status, "{length}");
    }
}

pub async fn a_status_arrives_whole(bench: Bench) {
    let pair = bench.pair();
    for length in [1_000, 10_000, 70_000] {
        arrives_whole(&pair, bench.bytes(length)).await;
    }
}

pub async fn a_status_up_to_the_limits_arrives_whole(bench: Bench) {
    let pair = bench.pair();
    arrives_whole(&pair, MAX_STATUS_MESSAGE).await;
}

pub async fn a_longer_text_is_cut_and_says_so(bench: Bench) {
    let pair = bench.pair();
    for unit in ["\u{1f608}", "text"] {
        let text = unit.repeat(5_000_000 / 4);
        let status = fails(&pair, Status::aborted(text.clone())).await;
        assert_eq!(status.code(), Code::Aborted);
        let (kept, note) = status.message().rsplit_once('…').expect("a note");
        assert!(text.starts_with(kept) && kept.len() > MAX_STATUS_MESSAGE - 100);
        let missing = text.len() - kept.len();
        assert_eq!(note, format!(" [{missing} of 5000000 bytes left out]"));
    }
}

pub async fn a_call_that_is_given_up_while_its_head_is_sent_leaves_nothing(bench: Bench) {
    let pair = bench.pair();
    let long = of_size(bench.bytes(100_000));
    for round in 0..10 {
        let mut call = pair.connection.unary(with("Hang", &long), out("x"));
        assert!(poll_once(&mut call).await.is_none());
        if round % 2 == 0 {
            works(&*pair.connection).await;
        }
        drop(call);
    }
    go_both_ways(&pair, &long).await;
}
