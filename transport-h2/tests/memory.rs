//! What peers can make a side allocate by announcing what they do not send.

mod support;

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures_util::stream;
use outboard_core::rpc::{CallHead, ServerConfig};
use support::raw::{self, call_raw, client_of, framed, raw_client, request, response, trailers};
use support::service::out;
use support::{TestRuntime, run};

#[path = "support/counting.rs"]
mod counting;

/// Both count everything: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The prefix of a message of 2 GiB, and its first byte.
const ANNOUNCEMENT: Bytes = Bytes::from_static(b"\0\x7f\xff\xff\xff!");

#[test]
fn a_server_does_not_believe_in_messages_that_are_only_announced() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run(async {
        let (serving, _echo, end) = raw::server_and_end(ServerConfig::default());
        let mut sender = raw_client(end).await;
        let start = counting::start();
        let mut kept = Vec::new();
        for _ in 0..1000 {
            let (response, mut stream) = sender.send_request(request("Echo"), false).expect("open");
            stream.send_data(ANNOUNCEMENT, false).expect("open");
            kept.push((response, stream));
        }
        // Answered after all that came before it was read.
        let answer = call_raw(&mut sender, request("Echo"), &[framed(b"x")]).await;
        assert_eq!(answer.expect("an answer").field("grpc-status"), "0");
        // 64 KB each, for both sides and all of h2.
        let peak = counting::peak(start);
        assert!(peak < 64_000_000, "{peak} bytes");
        // Whoever counts next begins with nothing of this.
        drop((kept, sender));
        serving.closed().await;
    });
}

#[test]
fn a_client_does_not_believe_in_messages_that_are_only_announced() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run(async {
        let connection = client_of(|request, mut respond| {
            let mut stream = respond.send_response(response(), false).expect("open");
            if request.uri().path() == "/a.B/Whole" {
                stream.send_data(framed(b"x"), false).expect("open");
                let ok = trailers(&[("grpc-status", "0")]);
                return stream.send_trailers(ok).expect("open");
            }
            stream.send_data(ANNOUNCEMENT, false).expect("open");
            TestRuntime::shared().spawn(Box::pin(async move {
                let _kept = (request, respond);
                let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
            }));
        });
        let start = counting::start();
        let request = Box::pin(stream::iter([Ok(out("x"))]));
        let mut call = connection.open(CallHead::new("/a.B/Announced"), request);
        // What is answered later was sent later.
        let whole = connection.unary(CallHead::new("/a.B/Whole"), out("x"));
        assert_eq!(whole.await.expect("an answer").message, "x");
        poll_fn(|cx| {
            assert!(call.poll_message(cx).is_pending(), "it is not complete");
            Poll::Ready(())
        })
        .await;
        let peak = counting::peak(start);
        assert!(peak < 1_000_000, "{peak} bytes");
    });
}
