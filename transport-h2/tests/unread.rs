//! What frames that nobody reads make a side hold.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_util::{StreamExt as _, stream};
use outboard_core::rpc::{
    Call, CallHead, Connection, ConnectionConfig, ServerConfig, Serving, Status, Transport as _,
};
use outboard_transport_h2::H2;
use support::pipe::{End, pipe};
use support::service::{self, out};
use support::{Event, TestRuntime, raw, run};

/// All are counted: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// HTTP/2's first connection window, which no setting makes smaller.
const SMALL_WINDOW: u32 = 65_535;

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

/// A call of this method at a server with these settings, whose handler has begun, and the other end.
async fn served(h2: H2, method: &'static str) -> (Arc<dyn Serving>, UnboundedReceiver<Event>, End) {
    let (near, mut far) = pipe(64 * 1024);
    let (echo, router) = service::router();
    let runtime = TestRuntime::shared();
    let serving = h2.serve(&runtime, Box::new(near), router, ServerConfig::default());
    let mut events = echo.events();
    let settings = raw::Frame::new(raw::SETTINGS, 0, 0, []).encode();
    let ack = raw::Frame::new(raw::SETTINGS, raw::ACK, 0, []).encode();
    raw::send(&mut far, &[raw::PREFACE, &settings, &ack].concat()).await;
    open(&mut far, 1, method).await;
    while events.next().await.expect("handlers report") != Event::Started(method) {}
    (serving, events, far)
}

/// Begins with a call of this method at a server.
async fn open(end: &mut End, stream: u32, method: &str) {
    let block = raw::request_block(None, &format!("/test.Echo/{method}"));
    let headers = raw::Frame::new(raw::HEADERS, raw::END_HEADERS, stream, block);
    raw::send(end, &headers.encode()).await;
}

/// A call that is not read, of one side or the other.
enum Side {
    Client(Arc<dyn Connection>, Box<dyn Call>),
    Server(Arc<dyn Serving>),
}

impl Side {
    /// One of each.
    async fn both(h2: H2) -> [(Self, End); 2] {
        let (connection, call, client_end) = begun(h2.clone()).await;
        let (serving, _, server_end) = served(h2, "Ignore").await;
        [
            (Self::Client(connection, call), client_end),
            (Self::Server(serving), server_end),
        ]
    }

    /// How the connection and the call ended, as far as that is told.
    async fn ended(self) -> Option<(Status, Status)> {
        match self {
            Self::Client(connection, mut call) => {
                let closed = connection.closed().await;
                loop {
                    // What came before are messages of no length.
                    let next = poll_fn(|cx| call.poll_message(cx)).await;
                    if let Err(status) = next.expect("no good end") {
                        return Some((closed, status));
                    }
                }
            }
            Self::Server(serving) => {
                serving.closed().await;
                None
            }
        }
    }
}

/// Sends this frame so many times, and waits until all have been read. The payload of GOAWAY if the
/// connection has ended.
async fn flood(end: &mut End, frame: &raw::Frame, count: usize) -> Result<(), Vec<u8>> {
    let frame = frame.encode();
    let ping = raw::Frame::new(raw::PING, 0, 0, [7; 8]).encode();
    // Small pieces, since what is sent is counted as well.
    let most = (1_000 / frame.len()).max(1);
    let mut left = count;
    while left > 0 {
        let some = left.min(most);
        left -= some;
        if end.write_all(&frame.repeat(some)).await.is_err() || end.flush().await.is_err() {
            break;
        }
    }
    // Where that fails, why is still to be read.
    let _ = end.write_all(&ping).await;
    let _ = end.flush().await;
    loop {
        match raw::Frame::read(end).await {
            Some(frame) if frame.kind == raw::PING && frame.flags == raw::ACK => return Ok(()),
            Some(frame) if frame.kind == raw::GOAWAY => return Err(frame.payload),
            Some(_) => {}
            None => return Err(Vec::new()),
        }
    }
}

fn data(stream: u32, payload: impl Into<Vec<u8>>) -> raw::Frame {
    raw::Frame::new(raw::DATA, 0, stream, payload)
}

/// What a call holds that is not read, and whose windows, of so many bytes, are full of frames of
/// this size, now and at most on the way there: on the calling side and on the serving one.
fn unread(h2: H2, window: u32, size: usize) -> [(usize, usize); 2] {
    run(async move {
        let mut counted = Vec::new();
        for (side, mut end) in Side::both(h2).await {
            let start = counting::start();
            let full = flood(&mut end, &data(1, vec![0; size]), window as usize / size).await;
            full.expect("the connection lives");
            counted.push((counting::held(start), counting::peak(start)));
            // Whoever counts next begins with nothing of this.
            drop(end);
            side.ended().await;
        }
        counted.try_into().expect("two sides")
    })
}

#[test]
fn a_call_that_is_not_read_holds_what_the_documentation_says() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let check = |h2, window: u32, size: usize| {
        // As `H2::new` has it: 256 bytes a frame, in a table that doubles.
        let places = (window as usize / size).next_power_of_two();
        for (held, peak) in unread(h2, window, size) {
            println!("{window} bytes in frames of {size}: {held} held, {peak} at most");
            assert!((200..350).contains(&(held / places)), "{held}");
            assert!(peak < 500 * places, "{peak}");
        }
    };
    for (window, size) in [(1 << 20, 1), (1 << 20, 5), (1 << 16, 1), (1 << 16, 5)] {
        check(H2::new().stream_window(window), window, size);
    }
    // The smallest messages do not go beyond what the window of the connection lets through.
    let small = H2::new().connection_window(SMALL_WINDOW);
    check(small, SMALL_WINDOW, raw::framed(b"").len());
    for window in [1 << 20, 1 << 16] {
        for (held, _) in unread(H2::new().stream_window(window), window, 16_384) {
            // And what it is read into.
            assert!(held < 2 * window as usize + 200_000, "{held}");
        }
    }
}

/// Floods both sides of such connections with frames of a byte until that ends them.
fn ends(h2: H2, limit: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run(async move {
        for (side, mut end) in Side::both(h2).await {
            let start = counting::start();
            let ended = flood(&mut end, &data(1, [0]), limit / 255 + 1).await;
            let goaway = ended.expect_err("it ends");
            let peak = counting::peak(start);
            // The table of what is unread may have doubled, with the smaller one still there.
            assert!(peak < 3 * limit + 500_000, "{peak}");
            // ENHANCE_YOUR_CALM
            assert_eq!(goaway.get(4..8), Some(&[0, 0, 0, 11][..]), "{goaway:?}");
            assert_eq!(goaway.get(8..), Some(&b"too_many_data_frames"[..]));
            let Some((closed, of_call)) = side.ended().await else {
                continue;
            };
            assert!(closed.is_connection_lost(), "{closed}");
            assert!(closed.message().contains("excessive load"), "{closed}");
            assert_eq!(of_call, closed);
        }
    });
}

#[test]
fn frames_that_nobody_reads_have_a_limit_if_one_is_set() {
    const LIMIT: usize = 1 << 20;
    ends(H2::new().unread_frames(LIMIT), LIMIT);
}

#[test]
fn a_small_connection_window_limits_them_as_well() {
    // Full of the smallest messages, each in a frame of its own.
    let limit = SMALL_WINDOW as usize / 5 * 251;
    ends(H2::new().connection_window(SMALL_WINDOW), limit);
}

#[test]
fn a_connection_whose_window_was_full_goes_on_when_it_is_read() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let h2 = || H2::new().connection_window(SMALL_WINDOW);
    let smallest = data(1, &raw::framed(b"")[..]);
    let count = SMALL_WINDOW as usize / smallest.payload.len();
    run(async {
        let (connection, mut call, mut end) = begun(h2()).await;
        for _ in 0..3 {
            flood(&mut end, &smallest, count).await.expect("it lives");
            for _ in 0..count {
                let message = poll_fn(|cx| call.poll_message(cx)).await;
                assert_eq!(message.expect("one").expect("whole"), "");
            }
            // By its answer there is credit again.
            flood(&mut end, &smallest, 0).await.expect("it lives");
        }
        drop(end);
        connection.closed().await;
    });
    // A call that is given up gives its part of the window back, too.
    run(async {
        let (_serving, mut events, mut end) = served(h2(), "Ignore").await;
        flood(&mut end, &smallest, count).await.expect("it lives");
        let cancel = raw::Frame::new(raw::RST_STREAM, 0, 1, [0, 0, 0, 8]).encode();
        raw::send(&mut end, &cancel).await;
        while events.next().await.expect("it is dropped") != Event::Dropped("Ignore") {}
        flood(&mut end, &smallest, 0).await.expect("it lives");
        open(&mut end, 3, "Collect").await;
        let smallest = data(3, &smallest.payload[..]);
        flood(&mut end, &smallest, count).await.expect("it lives");
        let last = raw::Frame::new(raw::DATA, 1, 3, []).encode();
        raw::send(&mut end, &last).await;
        let answer = raw::Frame::find(&mut end, &[raw::DATA], 3).await;
        assert_eq!(answer.expect("an answer").payload, raw::framed(b""));
    });
}

#[test]
fn larger_frames_are_set_off_against_small_ones_that_nobody_reads() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const LIMIT: usize = 100_000;
    const ROUNDS: usize = 50;
    run(async {
        let h2 = H2::new().unread_frames(LIMIT);
        let (serving, mut events, mut end) = served(h2, "Ignore").await;
        open(&mut end, 3, "Headers").await;
        let (small, large) = (data(1, [0]), data(3, &raw::framed(&[7; 16_000])[..]));
        let start = counting::start();
        for _ in 0..ROUNDS {
            flood(&mut end, &small, 300).await.expect("within it");
            flood(&mut end, &large, 5).await.expect("it is read");
            for _ in 0..5 {
                while !matches!(events.next().await, Some(Event::Got(_))) {}
            }
        }
        let set_off = ROUNDS * 5 * large.payload.len();
        let peak = counting::peak(start);
        assert!(peak < 3 * (LIMIT + set_off) + 500_000, "{peak}");
        // Without more of them the limit is what it was.
        let ended = flood(&mut end, &small, LIMIT / 255 + 1).await;
        ended.expect_err("it ends");
        serving.closed().await;
    });
}

#[test]
fn frames_that_are_read_count_no_more() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run(async {
        let (connection, mut call, mut end) = begun(H2::new().unread_frames(100_000)).await;
        let smallest = data(1, &raw::framed(b"")[..]);
        // Each round is within the limit, and all together are far beyond.
        for _ in 0..10 {
            flood(&mut end, &smallest, 200).await.expect("it lives");
            for _ in 0..200 {
                let message = poll_fn(|cx| call.poll_message(cx)).await;
                assert_eq!(message.expect("one").expect("whole"), "");
            }
        }
        drop(end);
        connection.closed().await;
    });
}
