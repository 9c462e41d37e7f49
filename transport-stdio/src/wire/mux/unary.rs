//! Unary calls in two steps, for drivers that make no others.

use std::borrow::Cow;

use bytes::Bytes;
use outboard_core::rpc::{Metadata, OutMessage, Status};

use super::Mux;
use crate::wire::key::Key;
use crate::wire::types::{CallStart, OpenError, Taken};

impl Mux {
    /// Makes a unary call on the main channel, without metadata and time limit. An
    /// [`Event::Readable`](crate::wire::Event::Readable) tells when to look for the answer.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was sent then.
    pub fn call(
        &mut self,
        path: impl Into<Cow<'static, str>>,
        request: OutMessage,
    ) -> Result<Key, OpenError> {
        let start = CallStart {
            path: path.into(),
            channel: 0,
            timeout: None,
            metadata: &Metadata::new(),
            urgent: false,
        };
        self.open(start, Some(request), true)
    }

    /// Takes the answer of a unary call of this side and releases the call; `None` if it is not
    /// complete, or was taken. Headers and trailers are dropped.
    ///
    /// # Errors
    /// The status of the other side, or `INTERNAL` if it sent no message or several.
    pub fn take_answer(&mut self, key: Key) -> Option<Result<Bytes, Status>> {
        let result = self.result(key)?.clone();
        let first = self.take_message(key);
        let more = self.take_message(key);
        self.release(key);
        Some(match (result, first, more) {
            (Err(status), _, _) => Err(status),
            (Ok(_), Taken::Message(answer), Taken::Pending | Taken::End) => Ok(answer),
            (Ok(_), Taken::Pending | Taken::End, _) => Err(Status::internal(
                "the answer to a unary call has no message",
            )),
            (Ok(_), Taken::Message(_), Taken::Message(_)) => Err(Status::internal(
                "the answer to a unary call has more than one message",
            )),
        })
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "a test's first instant has to come from somewhere"
)]
mod tests {
    use std::io::IoSlice;
    use std::time::Instant;

    use super::*;
    use crate::wire::{Event, MuxConfig, OutBuf};

    fn pass(from: &mut Mux, to: &mut Mux) {
        let mut out = OutBuf::default();
        from.transmit(&mut out);
        while !out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 1];
            out.slices(&mut slices);
            let [slice] = slices;
            to.receive(&slice).expect("good frames");
            let written = slice.len();
            out.advance(written);
        }
    }

    /// The answer to a call that `serve` answers.
    fn answer(serve: impl FnOnce(&mut Mux, Key)) -> Result<Bytes, Status> {
        let new = || Mux::new(MuxConfig::default(), Instant::now());
        let (mut caller, mut server) = (new(), new());
        let request = OutMessage::copy_from(b"ask");
        let key = caller.call("/a.B/C", request).expect("opens");
        assert_eq!(caller.take_answer(key), None);
        pass(&mut caller, &mut server);
        let Some(Event::Opened(theirs, offer)) = server.poll_event() else {
            panic!("no call came");
        };
        assert_eq!(&*offer.path, "/a.B/C");
        let asked = server.take_message(theirs);
        assert_eq!(asked, Taken::Message(Bytes::from_static(b"ask")));
        serve(&mut server, theirs);
        pass(&mut server, &mut caller);
        assert_eq!(caller.poll_event(), Some(Event::Readable(key)));
        let answer = caller.take_answer(key).expect("complete");
        assert_eq!(caller.take_answer(key), None);
        pass(&mut caller, &mut server);
        assert_eq!((caller.live_ours(), server.live_theirs()), (0, 0));
        answer
    }

    fn send(mux: &mut Mux, key: Key, text: &[u8]) {
        let message = OutMessage::copy_from(text);
        mux.send(key, message).expect("open");
    }

    fn finish(mux: &mut Mux, key: Key) {
        mux.finish(key, &Metadata::new()).expect("fits");
    }

    #[test]
    fn one_message_is_the_answer() {
        let got = answer(|mux, key| {
            send(mux, key, b"reply");
            finish(mux, key);
        });
        assert_eq!(got, Ok(Bytes::from_static(b"reply")));
    }

    #[test]
    fn an_error_is_the_answer_even_after_a_message() {
        let got = answer(|mux, key| {
            send(mux, key, b"reply");
            mux.fail(key, &Status::not_found("no such thing"));
        });
        assert_eq!(got, Err(Status::not_found("no such thing")));
    }

    #[test]
    fn no_message_and_two_messages_are_internal_errors() {
        let none = answer(finish).expect_err("no message");
        assert!(none.message().contains("no message"), "{none}");
        let two = answer(|mux, key| {
            send(mux, key, b"one");
            send(mux, key, b"two");
            finish(mux, key);
        });
        let two = two.expect_err("two messages");
        assert!(two.message().contains("more than one"), "{two}");
    }
}
