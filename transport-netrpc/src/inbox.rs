//! Reading values from a stream, in chunks.

use std::future::poll_fn;
use std::pin::Pin;

use futures_io::AsyncRead;
use outboard_core::fault::Fault;
use outboard_core::turn::Turn;
use outboard_gob::{Decoder, Error, Limits, Received};

/// What is read at once. (A choice: a chunk of it holds many small values, and a large one takes few reads.)
const CHUNK: usize = 16 * 1024;

/// What takes the values of a stream.
pub(crate) trait Take {
    /// The next one, or what is wrong with it; the stream stands behind it.
    ///
    /// # Errors
    /// If the peer does not keep the protocol, so that the stream is of no use any more.
    fn value(&mut self, value: Result<Received<'_>, Error>) -> Result<(), Fault>;

    /// Waits until there is room for what the next value leads to.
    async fn room(&mut self) {}

    /// Waits until more may be read, where so many bytes are there of a value whose end has not come.
    async fn more(&mut self, _kept: usize) {}

    /// Whether the stream may end here, and not between two values that belong together.
    fn may_end(&self) -> bool;
}

/// Reads until the stream ends, and says how.
pub(crate) async fn read_all(
    io: &mut (dyn AsyncRead + Send + Unpin),
    limits: Limits,
    take: &mut impl Take,
) -> Ended {
    let mut decoder = Decoder::with_limits(limits);
    let mut buffer = vec![0; CHUNK];
    let mut turn = Turn::new();
    loop {
        take.more(decoder.buffered()).await;
        let read = poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, &mut buffer)).await;
        let mut chunk = match read {
            Err(error) => return Ended::Fault(error.into()),
            Ok(0) if decoder.is_between_values() && take.may_end() => return Ended::Clean,
            Ok(0) => {
                return Ended::Fault(Fault::other("the stream ended in the middle of a value"));
            }
            Ok(read) => &buffer[..read],
        };
        loop {
            take.room().await;
            poll_fn(|cx| turn.poll_step(Turn::MESSAGE, cx)).await;
            let before = chunk.len();
            let mut is_large = false;
            let taken = match decoder.next(&mut chunk) {
                Ok(None) => break,
                Ok(Some(received)) => {
                    is_large = received.size() > CHUNK;
                    take.value(Ok(received))
                }
                Err(error) if error.is_fatal() => Err(Fault::other(&error)),
                Err(error) => take.value(Err(error)),
            };
            turn.spend_bytes(before - chunk.len());
            if let Err(fault) = taken {
                return Ended::Fault(fault);
            }
            if is_large {
                // So that its bytes are not kept until there is room for the next.
                let _nothing_yet = decoder.next(&mut &[][..]);
            }
        }
    }
}

/// How a stream ended.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// Between two values.
    Clean,
    Fault(Fault),
}
