//! Writing what the machine has to send. Whoever changes the machine writes, if that saves a hop.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncWrite;
use outboard_core::rpc::Status;
use outboard_core::turn::Turn;

use super::{Serves, State};

/// The most pieces in one vectored write: several large messages with their neighbours. More would
/// not fit a pipe anyway.
const MAX_SLICES: usize = 16;

impl<S: Serves> State<S> {
    /// Sees to it that what the machine has to send is sent: at once if the stream of bytes takes
    /// it and nobody else is about to write, else by the driver.
    pub(crate) fn kick(&mut self) {
        if self.last_batch > 1 || self.driver_woken {
            self.wake_driver();
            return;
        }
        if self.driver.is_none() {
            // It writes when it first runs.
            return;
        }
        self.flush_now();
    }

    /// Writes as much as the stream takes now; the driver is woken when it takes more.
    pub(crate) fn flush_now(&mut self) {
        let unwritten = self.use_io(|state, cx| state.flush(cx, &mut Turn::new()));
        if unwritten {
            self.wake_driver();
        }
    }

    /// Writes as much as the stream takes. If it takes no more for good, that is not the end yet:
    /// a peer that closes may have answered first. Whether the turn was over before, so that
    /// nobody is told when to go on.
    #[must_use = "the driver must go on then"]
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> bool {
        let unwritten = self.try_flush(cx, turn).unwrap_or_else(|error| {
            self.broken = Some(Status::connection_lost(format!(
                "the connection broke: cannot write: {error}"
            )));
            self.out.clear();
            self.wake_driver();
            false
        });
        self.drain_events();
        unwritten
    }

    fn try_flush(&mut self, cx: &mut Context<'_>, turn: &mut Turn) -> io::Result<bool> {
        let mut first = true;
        loop {
            self.mux.transmit(&mut self.out);
            let Some(io) = self.io.as_mut().filter(|_| self.broken.is_none()) else {
                self.out.clear();
                return Ok(false);
            };
            if self.out.is_empty() {
                if self.unflushed
                    && let Poll::Ready(done) = Pin::new(io).poll_flush(cx)
                {
                    done?;
                    self.unflushed = false;
                }
                return Ok(false);
            }
            // Once in any case: what was read is to be answered, however much it was.
            if !std::mem::take(&mut first) && turn.is_over() {
                return Ok(true);
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let used = self.out.slices(&mut slices);
            let slices = slices.get(..used).unwrap_or_default();
            let result = match slices {
                [one] => Pin::new(io).poll_write(cx, one),
                many => Pin::new(io).poll_write_vectored(cx, many),
            };
            match result {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.out.advance(count);
                    turn.spend_bytes(count);
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    turn.spend(Turn::FRAME);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            }
        }
    }

    /// Whether the last frame has left.
    pub(crate) fn is_close_written(&self) -> bool {
        self.mux.is_close_sent() && self.out.is_empty() && !self.unflushed
    }
}
