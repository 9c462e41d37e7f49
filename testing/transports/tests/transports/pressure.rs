//! Flow control: readers that pause, senders that do not, and how many writes all of it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::{Call, MessageStream};
use outboard_kit::Event;
use outboard_kit::echo::{self, out};
use outboard_kit::shape::Counted;
use outboard_transports::{Bench, Pair, Stream, Wire};

use crate::support::{collect, dropped, head, headers, until, works};

/// Opens a call that is answered with this many messages and waits for its headers only.
async fn paused(pair: &Pair, method: &str, count: usize) -> Box<dyn Call> {
    let request = stream::iter([Ok(out(count.to_string()))]);
    let mut call = pair.connection.open(head(method), Box::pin(request));
    headers(&mut call).await.expect("headers");
    call
}

pub async fn a_paused_reader_of_small_messages_keeps_its_connection(bench: Bench) {
    let count = bench.bytes(450_000) / 45;
    let pair = bench.pair();
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(paused(&pair, "Count", count).await);
    }
    works(&*pair.connection).await;
    for mut call in calls {
        let all = collect(&mut call).await.expect("ends well");
        assert_eq!(all.len(), count);
        assert_eq!(all[count - 1], format!("{:040}", count - 1));
    }
}

pub async fn a_slow_reader_holds_up_its_sender_and_nobody_else(bench: Bench) {
    let size = bench.bytes(10_000);
    // The stream's window, what is queued, and what fills the stream of bytes.
    let most = match bench.on.wire {
        Wire::H2 => 1_300_000,
        Wire::Stdio => 1_000_000,
    };
    let pair = bench.pair();
    let mut events = pair.echo.events();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let endless = stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(out(vec![7; size]))
    });
    let call = pair.connection.open(head("Ignore"), Box::pin(endless));
    until(&mut events, &Event::Started("Ignore")).await;
    let count = bench.bytes(4_500_000) / 45;
    let mut unread = paused(&pair, "Count", count).await;
    for _ in 0..bench.calls(200) {
        works(&*pair.connection).await;
    }
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent * size < most, "{sent} messages were sent");
    drop(call);
    dropped(&mut events, "Ignore").await;
    // Credit makes the other one go on to its end.
    let all = collect(&mut unread).await.expect("ends well");
    assert_eq!(all.len(), count);
}

pub async fn paused_readers_do_not_stall_a_sibling(bench: Bench) {
    // Over stdio a connection has credit for 32 whole windows.
    let readers = match bench.on.wire {
        Wire::H2 => 64,
        Wire::Stdio => 24,
    };
    // 4 MiB each: more than a stream's window.
    const BLOCKS: usize = 256;
    let pair = bench.pair();
    let mut calls = Vec::new();
    for _ in 0..readers {
        calls.push(paused(&pair, "Blocks", BLOCKS).await);
    }
    let large = vec![1; 1 << 20];
    for _ in 0..3 {
        let call = pair.connection.unary(head("Echo"), out(&large));
        assert_eq!(call.await.expect("an answer").message.len(), large.len());
    }
    drop(calls);
    // What the abandoned calls held is free again.
    let mut calls = Vec::new();
    for _ in 0..readers {
        calls.push(paused(&pair, "Blocks", BLOCKS).await);
    }
    works(&*pair.connection).await;
}

/// Both sides send more than streams, windows and buffers hold, and read only what they must.
pub async fn both_sides_write_more_than_everything_holds(bench: Bench) {
    let (messages, size) = match bench.on.stream {
        Stream::Slow => (5, 700),
        Stream::Cut => (20, 1_500),
        _ => (60, 100_000),
    };
    let pair = bench.pair();
    let calls = (0..4).map(|_| {
        let payload = vec![3; size];
        let requests: MessageStream =
            Box::pin(stream::iter(0..messages).map(move |_| Ok(out(&payload))));
        let mut call = pair.connection.open(head("Each"), requests);
        async move { collect(&mut call).await }
    });
    for all in join_all(calls).await {
        let all = all.expect("ends well");
        assert_eq!(all.len(), messages);
        assert!(all.iter().all(|message| message.len() == size));
    }
}

/// How many writes client and server make for `rounds` times `callers` calls at once.
async fn count_writes(bench: &Bench, rounds: usize, callers: usize, size: usize) -> [usize; 2] {
    let [near, far] = bench.streams().map(Counted::new);
    let writes = [near.writes(), far.writes()];
    let transport = bench.transport(None);
    let (_echo, router) = echo::router();
    let _serving = transport.serve(&bench.runtime, Box::new(far), router, Default::default());
    let connection = transport.connect(&bench.runtime, Box::new(near), Default::default());
    let call = || async {
        let calls = (0..callers).map(|_| connection.unary(head("Echo"), out(vec![5; size])));
        for reply in join_all(calls).await {
            reply.expect("an answer");
        }
    };
    // What the sides tell each other first comes with the first calls.
    for _ in 0..10 {
        call().await;
    }
    let before = writes.each_ref().map(|count| count.load(Ordering::SeqCst));
    for _ in 0..rounds {
        call().await;
    }
    let after = writes.each_ref().map(|count| count.load(Ordering::SeqCst));
    [after[0] - before[0], after[1] - before[1]]
}

pub async fn a_lone_call_is_one_write_each_way(bench: Bench) {
    for size in [2, 2_000] {
        assert_eq!(count_writes(&bench, 100, 1, size).await, [100, 100]);
    }
}

pub async fn what_is_ready_together_leaves_together(bench: Bench) {
    // As much as two writes hold at most, or as the stream takes at once.
    let size = match bench.on.stream {
        Stream::Whole => 2_000,
        _ => 1_000,
    };
    let [client, server] = count_writes(&bench, 10, 50, size).await;
    assert!(client <= 20, "client: {client}");
    assert!(server <= 20, "server: {server}");
}
