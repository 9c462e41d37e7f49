//! What frames that nobody reads make a side hold.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_util::stream;
use outboard_core::rpc::{Call, CallHead, Connection, ConnectionConfig, Transport as _};
use outboard_transport_h2::H2;
use support::pipe::{End, pipe};
use support::raw;
use support::service::out;
use support::{TestRuntime, run};

/// All are counted: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

const PING: u8 = 6;

/// A call of a connection with these settings, whose answer has begun, and the other end.
async fn begun(h2: H2) -> (Arc<dyn Connection>, Box<dyn Call>, End) {
    let (near, mut far) = pipe(64 * 1024);
    let runtime = TestRuntime::shared();
    let connection = h2.connect(&runtime, Box::new(near), ConnectionConfig::default());
    let request = Box::pin(stream::iter([Ok(out("x"))]));
    let mut call = connection.open(CallHead::new("/a.B/Unread"), request);
    let mut preface = vec![0; raw::PREFACE.len()];
    far.read_exact(&mut preface).await.expect("a client");
    let request = raw::Frame::find(&mut far, &[raw::HEADERS], 1).await;
    assert!(request.is_some());
    let head = [
        &[0x88],
        &raw::header_block(&[("content-type", "application/grpc")])[..],
    ]
    .concat();
    let settings = raw::Frame::new(raw::SETTINGS, 0, 0, []).encode();
    let headers = raw::Frame::new(raw::HEADERS, 4, 1, head).encode();
    let ack = raw::Frame::new(raw::SETTINGS, 1, 0, []).encode();
    raw::send(&mut far, &[settings, ack, headers].concat()).await;
    poll_fn(|cx| call.poll_headers(cx).map_ok(|_| ()))
        .await
        .expect("an answer");
    (connection, call, far)
}

/// Sends so many bytes in frames of this size, and waits until they have been read. False if the
/// connection has ended.
async fn flood(end: &mut End, bytes: usize, size: usize) -> bool {
    let frame = raw::Frame::new(raw::DATA, 0, 1, vec![0; size]).encode();
    let ping = raw::Frame::new(PING, 0, 0, [7; 8]).encode();
    // Small pieces, since what is sent is counted as well.
    let some = frame.repeat((1_000 / size).max(1));
    let pieces = std::iter::repeat_n(&some, bytes / size / (1_000 / size).max(1));
    for piece in pieces.chain([&ping]) {
        if end.write_all(piece).await.is_err() || end.flush().await.is_err() {
            return false;
        }
    }
    loop {
        match raw::Frame::read(end).await {
            Some(frame) if frame.kind == PING && frame.flags == 1 => return true,
            Some(frame) if frame.kind == raw::GOAWAY => return false,
            Some(_) => {}
            None => return false,
        }
    }
}

/// What a call holds whose window is full of frames of this size that nobody reads, now and at most
/// on the way there.
fn unread(window: u32, size: usize) -> (usize, usize) {
    run(async move {
        let (connection, _call, mut end) = begun(H2::new().stream_window(window)).await;
        let start = counting::start();
        assert!(flood(&mut end, window as usize, size).await);
        let counted = (counting::held(start), counting::peak(start));
        // Whoever counts next begins with nothing of this.
        drop(end);
        connection.closed().await;
        counted
    })
}

#[test]
fn a_call_that_is_not_read_holds_what_the_documentation_says() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // As `H2::new` has it: 256 bytes a frame, in a table that doubles.
    for (window, size) in [(1 << 20, 1), (1 << 20, 5), (1 << 16, 1), (1 << 16, 5)] {
        let (held, peak) = unread(window, size);
        let places = (window as usize / size).next_power_of_two();
        println!("{window} bytes in frames of {size}: {held} held, {peak} at most");
        assert!((200..350).contains(&(held / places)), "{held}");
        assert!(peak < 500 * places, "{peak}");
    }
    for window in [1 << 20, 1 << 16] {
        let (held, _) = unread(window, 16_384);
        // And what it is read into.
        assert!(held < 2 * window as usize + 200_000, "{held}");
    }
}

#[test]
fn frames_that_nobody_reads_have_a_limit_if_one_is_set() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const LIMIT: usize = 1 << 20;
    run(async {
        let h2 = H2::new().unread_frames(LIMIT);
        let (connection, mut call, mut end) = begun(h2).await;
        let start = counting::start();
        assert!(!flood(&mut end, 1 << 20, 1).await, "it ends");
        let peak = counting::peak(start);
        // The table of what is unread may have doubled, with the smaller one still there.
        assert!(peak < 3 * LIMIT + 500_000, "{peak}");
        let closed = connection.closed().await;
        assert!(closed.is_connection_lost(), "{closed}");
        let next = poll_fn(|cx| call.poll_message(cx)).await;
        // The bytes are messages of no length.
        let mut next = next;
        while let Some(Ok(_)) = next {
            next = poll_fn(|cx| call.poll_message(cx)).await;
        }
        assert!(next.expect("no good end").is_err());
    });
}

#[test]
fn frames_that_are_read_count_no_more() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run(async {
        let (connection, mut call, mut end) = begun(H2::new().unread_frames(100_000)).await;
        // Each round is within the limit, and all together are far beyond.
        for _ in 0..10 {
            assert!(flood(&mut end, 1_000, 5).await);
            for _ in 0..200 {
                let message = poll_fn(|cx| call.poll_message(cx)).await;
                assert_eq!(message.expect("one").expect("whole"), "");
            }
        }
        drop(end);
        connection.closed().await;
    });
}
