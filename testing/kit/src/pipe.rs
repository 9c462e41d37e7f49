//! A two-way stream of bytes in memory with limited room, which keeps what is written until it is
//! flushed, as TLS does.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};

/// One direction.
#[derive(Default)]
struct Lane {
    bytes: VecDeque<u8>,
    capacity: usize,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// How many writes there were.
    writes: usize,
}

impl Lane {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            outboard_core::later::wake(waker);
        }
    }
}

/// The most an end keeps before it passes something on unasked; one with less room keeps as much
/// as it has room for.
const KEPT: usize = 256 * 1024;

/// One end of the pipe. Dropping it closes both directions; what was not flushed is lost.
pub struct End {
    incoming: Arc<Mutex<Lane>>,
    outgoing: Arc<Mutex<Lane>>,
    kept: VecDeque<u8>,
}

/// Counts the writes of one end from outside.
#[derive(Clone)]
pub struct WriteCount(Arc<Mutex<Lane>>);

impl WriteCount {
    /// How many there were.
    pub fn get(&self) -> usize {
        self.0.lock().expect("no panic under the lock").writes
    }
}

/// Two ends with room for `capacity` bytes in each direction.
pub fn pipe(capacity: usize) -> (End, End) {
    let lane = || {
        Arc::new(Mutex::new(Lane {
            capacity,
            ..Lane::default()
        }))
    };
    let (a, b) = (lane(), lane());
    let near = End {
        incoming: Arc::clone(&a),
        outgoing: Arc::clone(&b),
        kept: VecDeque::new(),
    };
    let far = End {
        incoming: b,
        outgoing: a,
        kept: VecDeque::new(),
    };
    (near, far)
}

impl End {
    /// Counts the writes of this end.
    pub fn write_count(&self) -> WriteCount {
        WriteCount(Arc::clone(&self.outgoing))
    }

    fn most_kept(&self) -> usize {
        let lane = self.outgoing.lock().expect("no panic under the lock");
        lane.capacity.min(KEPT)
    }

    /// Moves what is kept as far as there is room.
    fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut lane = self.outgoing.lock().expect("no panic under the lock");
        if lane.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = self.kept.len().min(lane.capacity - lane.bytes.len());
        lane.bytes.extend(self.kept.drain(..count));
        if count > 0 {
            lane.wake();
        }
        if self.kept.is_empty() {
            return Poll::Ready(Ok(()));
        }
        lane.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for lane in [&self.incoming, &self.outgoing] {
            let mut lane = lane.lock().expect("no panic under the lock");
            lane.closed = true;
            lane.wake();
        }
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut lane = self.incoming.lock().expect("no panic under the lock");
        if lane.bytes.is_empty() {
            if lane.closed {
                return Poll::Ready(Ok(0));
            }
            lane.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = lane.bytes.len().min(target.len());
        let (front, back) = lane.bytes.as_slices();
        let first = front.len().min(count);
        target[..first].copy_from_slice(&front[..first]);
        target[first..count].copy_from_slice(&back[..count - first]);
        lane.bytes.drain(..count);
        lane.wake();
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.kept.len() >= this.most_kept() {
            ready!(this.poll_pass(cx))?;
        }
        let room = this.most_kept() - this.kept.len();
        let mut lane = this.outgoing.lock().expect("no panic under the lock");
        if lane.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        lane.writes += 1;
        let mut count = 0;
        for slice in slices {
            let take = slice.len().min(room - count);
            this.kept.extend(&slice[..take]);
            count += take;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_pass(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pass(cx))?;
        let mut lane = this.outgoing.lock().expect("no panic under the lock");
        lane.closed = true;
        lane.wake();
        Poll::Ready(Ok(()))
    }
}
