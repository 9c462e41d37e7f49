//! What TLS itself has to answer, to a peer that is rustls without anything of ours.

mod support;

use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::{AsyncRead as _, AsyncWrite as _};
use outboard_tls::rustls::ClientConnection;
use outboard_tls::{KeyKind, Pinned, Tls};

use support::strangers::{client_config, signed};
use support::{End, Limits, VERSIONS, identity, pair};

struct Raw {
    tls: ClientConnection,
    end: End,
}

impl Raw {
    /// Writes what it has to, and reads what there is.
    fn pump(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut out = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out).expect("written");
        }
        if !out.is_empty() {
            let written = Pin::new(&mut self.end).poll_write(&mut cx, &out);
            assert!(matches!(written, Poll::Ready(Ok(count)) if count == out.len()));
        }
        let mut buffer = [0; 4096];
        while let Poll::Ready(Ok(count @ 1..)) =
            Pin::new(&mut self.end).poll_read(&mut cx, &mut buffer)
        {
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                self.tls.read_tls(&mut rest).expect("read");
                self.tls.process_new_packets().expect("valid TLS");
            }
        }
    }
}

#[test]
fn new_keys_without_end_are_answered_once_with_the_next_write() {
    let (own, made) = (identity(KeyKind::P256), signed(None));
    let peer = Pinned::from_der(&made.leaf).expect("a certificate");
    let server = Tls::pinned_with(&own, &peer, VERSIONS[0]).expect("made");
    let config = client_config(&own, Some((vec![made.leaf], &made.key)), VERSIONS[0]);
    let name = "localhost".try_into().expect("a name");
    let (one, other) = pair(Limits::WIDE);
    let answers = other.outgoing();
    let mut raw = Raw {
        tls: ClientConnection::new(Arc::new(config), name).expect("made"),
        end: one,
    };

    let mut cx = Context::from_waker(Waker::noop());
    let mut accept = server.accept(other.boxed(), None);
    let mut stream = loop {
        raw.pump();
        if let Poll::Ready(stream) = accept.as_mut().poll(&mut cx) {
            break stream.expect("accepted");
        }
    };
    raw.pump();

    let before = answers.total();
    for round in 0..100_u8 {
        raw.tls.refresh_traffic_keys().expect("connected");
        raw.tls.writer().write_all(&[round]).expect("written");
        raw.pump();
        let mut heard = [0; 10];
        let read = Pin::new(&mut stream).poll_read(&mut cx, &mut heard);
        assert!(matches!(read, Poll::Ready(Ok(1))), "{read:?}");
        assert_eq!(heard[0], round);
        let read = Pin::new(&mut stream).poll_read(&mut cx, &mut heard);
        assert!(read.is_pending(), "{read:?}");
        // The answer is due before the next data and no earlier, so that none pile up.
        assert_eq!(answers.total(), before);
    }

    let written = Pin::new(&mut stream).poll_write(&mut cx, b"by the newest keys");
    assert!(matches!(written, Poll::Ready(Ok(18))), "{written:?}");
    // The answer's record and that of the data.
    let count = answers.total() - before;
    assert_eq!(count, 5 + 4 + 1 + 1 + 16 + 5 + 18 + 1 + 16);
    raw.pump();
    let mut heard = [0; 18];
    raw.tls.reader().read_exact(&mut heard).expect("read");
    assert_eq!(&heard, b"by the newest keys");
}
