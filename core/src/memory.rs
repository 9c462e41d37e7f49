//! A two-way stream of bytes in memory: for tests, for examples, and for two sides in one process.
//!
//! [`pair`] gives the two ends; what is written to one is read from the other. No runtime is needed:
//! an end wakes whoever waits at the other one. It can stand wherever a transport takes a
//! [`ByteStream`](crate::rt::ByteStream).
//!
//! ```
//! use std::pin::Pin;
//! use std::task::{Context, Poll, Waker};
//!
//! use futures_io::{AsyncRead as _, AsyncWrite as _};
//!
//! let (mut near, mut far) = outboard_core::memory::pair();
//! let mut cx = Context::from_waker(Waker::noop());
//! let written = Pin::new(&mut near).poll_write(&mut cx, b"hello");
//! assert!(matches!(written, Poll::Ready(Ok(5))));
//!
//! let mut bytes = [0; 8];
//! let read = Pin::new(&mut far).poll_read(&mut cx, &mut bytes);
//! assert!(matches!(read, Poll::Ready(Ok(5))));
//! assert_eq!(&bytes[..5], b"hello");
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

use crate::later;
use crate::lock::{Mutex, Rank};

/// As much as a pipe of Linux holds.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(64 * 1024).expect("not zero");

/// One direction.
struct Lane {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// Nothing more is written.
    ended: bool,
    /// Nothing more is read.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Has `slot` wake the task of `cx`, and gives the waker that was there: it is dropped after the lock
/// was let go of.
fn register(slot: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        slot => slot.replace(cx.waker().clone()),
    }
}

impl Lane {
    fn new(capacity: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(Rank::Source, State::default()),
            capacity: capacity.get(),
        })
    }

    fn poll_read(&self, cx: &Context<'_>, target: &mut [u8]) -> Poll<usize> {
        if target.is_empty() {
            return Poll::Ready(0);
        }
        let mut state = self.state.lock();
        if state.bytes.is_empty() {
            if state.ended {
                return Poll::Ready(0);
            }
            let earlier = register(&mut state.reader, cx);
            drop(state);
            drop(earlier);
            return Poll::Pending;
        }
        let count = state.bytes.len().min(target.len());
        let (front, back) = state.bytes.as_slices();
        let first = front.len().min(count);
        target[..first].copy_from_slice(&front[..first]);
        target[first..count].copy_from_slice(&back[..count - first]);
        state.bytes.drain(..count);
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(later::wake);
        Poll::Ready(count)
    }

    fn poll_write(&self, cx: &Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        if state.ended || state.abandoned {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let room = self.capacity - state.bytes.len();
        if room == 0 {
            let earlier = register(&mut state.writer, cx);
            drop(state);
            drop(earlier);
            return Poll::Pending;
        }
        let mut count = 0;
        for slice in slices {
            let taken = slice.len().min(room - count);
            state.bytes.extend(&slice[..taken]);
            count += taken;
        }
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(later::wake);
        Poll::Ready(Ok(count))
    }

    /// The writing end closes.
    fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(later::wake);
    }

    /// The reading end is gone, and with it what it had not read.
    fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        let unread = std::mem::take(&mut state.bytes);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        drop(unread);
        wakers.into_iter().flatten().for_each(later::wake);
    }
}

/// One end of a [`pair`].
///
/// - A write takes as much as there is room for and is at the other end at once: a flush has nothing
///   to do. Without room it waits for the other end to read.
/// - [`poll_close`](AsyncWrite::poll_close) ends this end's writing, no more: the other end reads
///   what was written and then its end, and may go on writing. Writes after it fail with
///   [`BrokenPipe`](io::ErrorKind::BrokenPipe).
/// - Dropping an end closes both directions: the other end reads what was written, then the end; its
///   writes fail with [`BrokenPipe`](io::ErrorKind::BrokenPipe).
///
/// All polls are cancel-safe. The task that polled last in a direction is the one that is woken,
/// from within the call of the other end that it waits for, or after the lock under which a transport
/// makes that ([`later`]).
pub struct Duplex {
    incoming: Arc<Lane>,
    outgoing: Arc<Lane>,
}

/// Two ends with room for 64 KiB in each direction.
#[must_use]
pub fn pair() -> (Duplex, Duplex) {
    pair_with_capacity(CAPACITY)
}

/// Two ends with room for `capacity` bytes in each direction. The memory is taken as it is needed.
#[must_use]
pub fn pair_with_capacity(capacity: NonZeroUsize) -> (Duplex, Duplex) {
    let lanes = [Lane::new(capacity), Lane::new(capacity)];
    let [a, b] = lanes.clone();
    let near = Duplex {
        incoming: a,
        outgoing: b,
    };
    let [a, b] = lanes;
    let far = Duplex {
        incoming: b,
        outgoing: a,
    };
    (near, far)
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplex")
            .field("capacity", &self.outgoing.capacity)
            .finish_non_exhaustive()
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.outgoing.end();
        self.incoming.abandon();
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.incoming.poll_read(cx, target).map(Ok)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.outgoing.poll_write(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.outgoing.poll_write(cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            crate::lock::assert_unlocked("a waker");
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Counted {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// One end and whoever waits at it.
    struct Side {
        end: Duplex,
        woken: Arc<Counted>,
    }

    fn sides(capacity: usize) -> (Side, Side) {
        let side = |end| Side {
            end,
            woken: Arc::default(),
        };
        let (near, far) = pair_with_capacity(NonZeroUsize::new(capacity).expect("some room"));
        (side(near), side(far))
    }

    impl Side {
        fn write(&mut self, bytes: &[u8]) -> Poll<Result<usize, io::ErrorKind>> {
            let waker = Waker::from(Arc::clone(&self.woken));
            let mut cx = Context::from_waker(&waker);
            let written = Pin::new(&mut self.end).poll_write(&mut cx, bytes);
            written.map_err(|error| error.kind())
        }

        fn read(&mut self, most: usize) -> Poll<Vec<u8>> {
            let waker = Waker::from(Arc::clone(&self.woken));
            let mut cx = Context::from_waker(&waker);
            let mut bytes = vec![0; most];
            let read = Pin::new(&mut self.end).poll_read(&mut cx, &mut bytes);
            read.map(|read| {
                bytes.truncate(read.expect("reading never fails"));
                bytes
            })
        }

        fn close(&mut self) {
            let mut cx = Context::from_waker(Waker::noop());
            let closed = Pin::new(&mut self.end).poll_close(&mut cx);
            assert!(matches!(closed, Poll::Ready(Ok(()))));
        }
    }

    fn ready(bytes: &[u8]) -> Poll<Vec<u8>> {
        Poll::Ready(bytes.to_vec())
    }

    const BROKEN: Poll<Result<usize, io::ErrorKind>> = Poll::Ready(Err(io::ErrorKind::BrokenPipe));

    #[test]
    fn a_write_takes_what_there_is_room_for_and_reading_makes_room() {
        let (mut near, mut far) = sides(4);
        assert_eq!(near.write(b"abcdef"), Poll::Ready(Ok(4)));
        assert_eq!(near.write(b"ef"), Poll::Pending);
        assert_eq!(far.read(3), ready(b"abc"));
        assert_eq!(near.woken.get(), 1);
        assert_eq!(near.write(b"ef"), Poll::Ready(Ok(2)));
        assert_eq!(far.read(9), ready(b"def"));
        assert_eq!(far.read(9), Poll::Pending);
        assert_eq!(far.write(b"back"), Poll::Ready(Ok(4)), "apart from it");
        assert_eq!(near.read(9), ready(b"back"));
    }

    #[test]
    fn a_reader_is_woken_once_by_what_comes() {
        let (mut near, mut far) = sides(9);
        for _ in 0..2 {
            assert_eq!(far.read(1), Poll::Pending);
        }
        assert_eq!(near.write(b""), Poll::Ready(Ok(0)));
        assert_eq!(far.woken.get(), 0);
        assert_eq!(near.write(b"a"), Poll::Ready(Ok(1)));
        assert_eq!(near.write(b"b"), Poll::Ready(Ok(1)));
        assert_eq!(far.woken.get(), 1);
        assert_eq!(far.read(0), ready(b""));
        assert_eq!(far.read(9), ready(b"ab"));
    }

    #[test]
    fn several_slices_are_one_write() {
        let (mut near, mut far) = sides(5);
        let slices = [b"ab".as_slice(), b"", b"cd", b"efgh"].map(io::IoSlice::new);
        let mut cx = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut near.end).poll_write_vectored(&mut cx, &slices);
        assert!(matches!(written, Poll::Ready(Ok(5))));
        assert_eq!(far.read(9), ready(b"abcde"));
    }

    #[test]
    fn closing_ends_one_direction_after_what_was_written() {
        let (mut near, mut far) = sides(9);
        assert_eq!(near.write(b"last"), Poll::Ready(Ok(4)));
        near.close();
        near.close();
        assert_eq!(near.write(b"more"), BROKEN);
        assert_eq!(far.read(2), ready(b"la"));
        assert_eq!(far.read(9), ready(b"st"));
        assert_eq!(far.read(9), ready(b""));
        assert_eq!(far.read(9), ready(b""), "and again");
        assert_eq!(far.write(b"still"), Poll::Ready(Ok(5)));
        assert_eq!(near.read(9), ready(b"still"));
    }

    #[test]
    fn closing_wakes_the_reader() {
        let (mut near, mut far) = sides(9);
        assert_eq!(far.read(9), Poll::Pending);
        near.close();
        assert_eq!(far.woken.get(), 1);
        assert_eq!(far.read(9), ready(b""));
    }

    #[test]
    fn dropping_an_end_closes_both_directions_and_loses_only_what_it_had_not_read() {
        let (mut near, mut far) = sides(4);
        assert_eq!(near.write(b"last"), Poll::Ready(Ok(4)));
        assert_eq!(far.write(b"lost"), Poll::Ready(Ok(4)));
        assert_eq!(far.write(b"more"), Poll::Pending);
        drop(near);
        assert_eq!(far.woken.get(), 1, "the writer");
        assert_eq!(far.write(b"more"), BROKEN);
        assert_eq!(far.read(9), ready(b"last"));
        assert_eq!(far.read(9), ready(b""));
        let lane = far.end.outgoing.state.lock();
        assert_eq!(lane.bytes.capacity(), 0, "nobody will read it");
    }

    #[test]
    fn dropping_an_end_wakes_the_reader() {
        let (near, mut far) = sides(4);
        assert_eq!(far.read(9), Poll::Pending);
        drop(near);
        assert_eq!(far.woken.get(), 1);
        assert_eq!(far.read(9), ready(b""));
    }
}
