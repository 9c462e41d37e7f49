//! A stream of bytes as a level-triggered reactor gives it: an attempt is always made first, and a
//! waker is woken in a turn of the reactor if there is something to read then.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

#[derive(Clone, Default)]
pub struct Lane(Arc<Mutex<(VecDeque<u8>, Option<Waker>)>>);

impl Lane {
    /// Two streams over these: what is written to one is read from the other.
    pub fn joined(to_a: &Self, to_b: &Self) -> (Io, Io) {
        let io = |incoming: &Self, outgoing: &Self| Io {
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
        };
        (io(to_a, to_b), io(to_b, to_a))
    }

    pub fn reactor_turn(&self) {
        let waker = {
            let mut lane = self.0.lock().expect("no panic under the lock");
            if lane.0.is_empty() {
                None
            } else {
                lane.1.take()
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

pub struct Io {
    incoming: Lane,
    outgoing: Lane,
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut lane = self.incoming.0.lock().expect("no panic under the lock");
        if lane.0.is_empty() {
            lane.1 = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut lane.0, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut lane = self.outgoing.0.lock().expect("no panic under the lock");
        lane.0.extend(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
