//! A two-way stream of bytes in memory with limited room.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

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
            waker.wake();
        }
    }
}

/// One end of the pipe. Dropping it closes both directions.
pub struct End {
    incoming: Arc<Mutex<Lane>>,
    outgoing: Arc<Mutex<Lane>>,
}

/// Counts the writes of one end from outside.
#[derive(Clone)]
pub struct WriteCount(Arc<Mutex<Lane>>);

impl WriteCount {
    pub fn get(&self) -> usize {
        self.0.lock().expect("no panic under the lock").writes
    }
}

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
    };
    let far = End {
        incoming: b,
        outgoing: a,
    };
    (near, far)
}

impl End {
    pub fn write_count(&self) -> WriteCount {
        WriteCount(Arc::clone(&self.outgoing))
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
        let mut lane = self.outgoing.lock().expect("no panic under the lock");
        if lane.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = lane.capacity - lane.bytes.len();
        if room == 0 {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut count = 0;
        for slice in slices {
            let take = slice.len().min(room - count);
            lane.bytes.extend(&slice[..take]);
            count += take;
        }
        lane.writes += 1;
        lane.wake();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut lane = self.outgoing.lock().expect("no panic under the lock");
        lane.closed = true;
        lane.wake();
        Poll::Ready(Ok(()))
    }
}
