//! What the program printed, on its way to the host's `GRPCStdio` stream.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_core::lock::{Mutex, MutexGuard, Rank};

use crate::sys::stdio::Stream;

/// Bytes kept for a host that does not read: enough that nothing printed before a host connects
/// is lost in practice, little enough to lose in a plugin's memory. (A choice; go-plugin blocks
/// the program after about 64 KiB instead.)
const LIMIT: usize = 1 << 20;

/// What a queued piece costs beside its bytes, so that many tiny pieces are bounded too.
const PIECE: usize = 64;

/// The largest piece sent in one message: go-plugin's own.
pub(crate) const MAX_CHUNK: usize = 1024;

/// How long a print may wait for a host that reads slowly before its bytes are dropped. A guess:
/// long for a live reader, short for a handler that holds up the very thread that would send.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long ago, and how much, a piece that was read may still not be with the host: the transport
/// has it, and takes its turn to send it. (A guess; what it costs to be wrong is a repetition in the
/// log of a process that ends.)
const RECENT: Duration = Duration::from_millis(100);
const RECENT_BYTES: usize = 16 * 1024;

/// A bounded queue between the thread that reads the captured streams and the one stream that
/// sends them. While a host reads, a full queue makes the program's prints wait for a moment;
/// while none does, or it has stalled, what does not fit is dropped and counted.
#[derive(Debug)]
pub(crate) struct Output {
    state: Mutex<State>,
    room: Condvar,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            state: Mutex::new(Rank::Driver, State::default()),
            room: Condvar::new(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(Stream, Bytes)>,
    cost: usize,
    /// The reader that gets the output: the newest. Zero before the first.
    reader: u64,
    readers_made: u64,
    /// The reader did not make room in time; until it does, nobody waits for it again.
    stalled: bool,
    dropped: u64,
    closed: bool,
    waker: Option<Waker>,
    sent: Option<Waker>,
    /// Pieces of stderr that were read last, and when.
    recent: VecDeque<(Instant, Bytes)>,
    recent_bytes: usize,
}

impl Output {
    /// Queues what was printed. Waits for at most a second, and only while somebody reads. Gives
    /// the number of bytes lost since the program began, if this call lost any.
    pub(crate) fn push(&self, stream: Stream, bytes: &[u8]) -> Option<u64> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let cost = bytes.len() + PIECE;
        if !state.fits(cost) && state.reader != 0 && !state.stalled {
            let full = |state: &mut State| !state.fits(cost) && state.reader != 0 && !state.closed;
            state = state.wait(|state| {
                let waited = self.room.wait_timeout_while(state, PATIENCE, full);
                waited.unwrap_or_else(PoisonError::into_inner).0
            });
        }
        if !state.fits(cost) {
            state.stalled = true;
            state.dropped += bytes.len() as u64;
            return Some(state.dropped);
        }
        state.cost += cost;
        state
            .queue
            .push_back((stream, Bytes::copy_from_slice(bytes)));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        None
    }

    /// A reader of all output not yet read. An earlier reader ends: two would get random halves.
    pub(crate) fn reader(self: &Arc<Self>) -> Reader {
        let mut state = self.lock();
        state.readers_made += 1;
        state.reader = state.readers_made;
        state.stalled = false;
        let reader = Reader {
            output: Arc::clone(self),
            id: state.reader,
        };
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        reader
    }

    /// Ends the output: readers get what is queued, then the end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waker = state.waker.take();
        drop(state);
        self.room.notify_all();
        wake(waker);
    }

    /// Takes what was printed on stderr and has not been read, or so shortly ago that it may not be
    /// sent, for a process that ends now. Nothing is taken while another thread holds the queue for longer than a moment.
    pub(crate) fn take_unsent(&self) -> Vec<u8> {
        /// Others hold it for a copy of 64 KiB at most.
        const TRIES: usize = 1000;
        for _ in 0..TRIES {
            let Some(mut state) = self.state.try_lock() else {
                std::thread::yield_now();
                continue;
            };
            let now = Instant::now();
            let recent = std::mem::take(&mut state.recent).into_iter();
            let recent = recent.filter(|(read, _)| now.saturating_duration_since(*read) < RECENT);
            let mut taken: Vec<u8> = recent.flat_map(|(_, piece)| piece).collect();
            state.recent_bytes = 0;
            let mut freed = 0;
            state.queue.retain(|(of, piece)| {
                if *of != Stream::Stderr {
                    return true;
                }
                taken.extend_from_slice(piece);
                freed += piece.len() + PIECE;
                false
            });
            state.cost -= freed;
            drop(state);
            // A print may wait for the room.
            self.room.notify_all();
            return taken;
        }
        Vec::new()
    }

    /// Ready, after [`close`](Self::close), when the reader has sent everything and is dropped, or
    /// there is none.
    pub(crate) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.reader == 0 {
            return Poll::Ready(());
        }
        let earlier = state.sent.replace(cx.waker().clone());
        drop(state);
        // It may be the last of a task.
        drop(earlier);
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn fits(&self, cost: usize) -> bool {
        // A piece larger than the limit itself still passes through an empty queue.
        self.cost + cost <= LIMIT || self.queue.is_empty()
    }
}

/// The reading end of an [`Output`].
#[derive(Debug)]
pub(crate) struct Reader {
    output: Arc<Output>,
    id: u64,
}

impl Reader {
    /// The next piece, at most [`MAX_CHUNK`] bytes; `None` at the end of the output, or when
    /// another reader took over.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Stream, Bytes)>> {
        let mut state = self.output.lock();
        if state.reader != self.id {
            return Poll::Ready(None);
        }
        let Some((stream, front)) = state.queue.front_mut() else {
            if state.closed {
                return Poll::Ready(None);
            }
            let earlier = state.waker.replace(cx.waker().clone());
            drop(state);
            drop(earlier);
            return Poll::Pending;
        };
        let piece = (*stream, front.split_to(front.len().min(MAX_CHUNK)));
        let emptied = front.is_empty();
        let (read, bytes) = (piece.0, piece.1.clone());
        state.cost -= piece.1.len();
        if emptied {
            state.queue.pop_front();
            state.cost -= PIECE;
        }
        state.stalled = false;
        if read == Stream::Stderr {
            state.recent_bytes += bytes.len();
            state.recent.push_back((Instant::now(), bytes));
            while state.recent_bytes > RECENT_BYTES
                && let Some((_, oldest)) = state.recent.pop_front()
            {
                state.recent_bytes -= oldest.len();
            }
        }
        drop(state);
        self.output.room.notify_all();
        Poll::Ready(Some(piece))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.output.lock();
        if state.reader == self.id {
            state.reader = 0;
            let sent = state.sent.take();
            drop(state);
            self.output.room.notify_all();
            wake(sent);
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use futures_util::future::poll_fn;

    fn next(reader: &mut Reader) -> Option<Option<(Stream, Bytes)>> {
        poll_fn(|cx| reader.poll_next(cx)).now_or_never()
    }

    fn collect(reader: &mut Reader, stream: Stream) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(Some((from, piece))) = next(reader) {
            assert!(piece.len() <= MAX_CHUNK && !piece.is_empty());
            if from == stream {
                all.extend_from_slice(&piece);
            }
        }
        all
    }

    #[test]
    fn what_was_printed_before_a_reader_came_arrives_in_order() {
        let output = Arc::new(Output::default());
        let text: Vec<u8> = (0..5000u32).map(|i| (i % 251) as u8).collect();
        output.push(Stream::Stdout, &text);
        output.push(Stream::Stderr, b"aside");
        output.push(Stream::Stdout, b"end");
        let mut reader = output.reader();
        let mut expected = text;
        expected.extend_from_slice(b"end");
        assert_eq!(collect(&mut reader, Stream::Stdout), expected);
        assert_eq!(next(&mut reader), None, "open and empty");
        output.close();
        assert_eq!(next(&mut reader), Some(None));
    }

    #[test]
    fn without_a_reader_the_surplus_is_dropped_and_counted() {
        let output = Arc::new(Output::default());
        let piece = vec![b'x'; 64 * 1024];
        let lost = (0..32)
            .filter_map(|_| output.push(Stream::Stdout, &piece))
            .max();
        let lost = lost.expect("2 MiB do not fit") as usize;
        let mut reader = output.reader();
        let kept = collect(&mut reader, Stream::Stdout).len();
        assert_eq!(kept + lost, 32 * piece.len());
        assert!(kept > LIMIT / 2 && kept <= LIMIT);
        assert_eq!(output.push(Stream::Stdout, b"again"), None);
        assert_eq!(collect(&mut reader, Stream::Stdout), b"again");
    }

    #[test]
    fn tiny_pieces_are_bounded_too() {
        let output = Arc::new(Output::default());
        while output.push(Stream::Stderr, b".").is_none() {}
        assert!(output.lock().queue.len() <= LIMIT / PIECE);
    }

    #[test]
    fn the_newest_reader_wins() {
        let output = Arc::new(Output::default());
        let mut first = output.reader();
        assert_eq!(next(&mut first), None);
        let mut second = output.reader();
        output.push(Stream::Stdout, b"x");
        assert_eq!(next(&mut first), Some(None));
        drop(first);
        assert_eq!(collect(&mut second, Stream::Stdout), b"x");
    }

    #[test]
    fn sent_means_that_the_reader_is_done_or_that_there_is_none() {
        let output = Arc::new(Output::default());
        let sent = || poll_fn(|cx| output.poll_sent(cx)).now_or_never();
        output.push(Stream::Stdout, b"x");
        assert_eq!(sent(), Some(()), "nobody reads");
        let mut reader = output.reader();
        output.close();
        assert_eq!(sent(), None);
        assert!(matches!(next(&mut reader), Some(Some(_))));
        assert_eq!(next(&mut reader), Some(None));
        assert_eq!(sent(), None, "the end itself is still to be sent");
        drop(reader);
        assert_eq!(sent(), Some(()));
    }

    #[test]
    fn what_was_not_read_can_be_taken_back() {
        let output = Arc::new(Output::default());
        let mut reader = output.reader();
        output.push(Stream::Stderr, b"read, and perhaps not sent; ");
        assert!(matches!(next(&mut reader), Some(Some(_))));
        output.push(Stream::Stderr, b"fatal: ");
        output.push(Stream::Stdout, b"aside");
        output.push(Stream::Stderr, b"no cheese\n");
        let taken = String::from_utf8(output.take_unsent()).expect("text");
        // On a machine that takes its time, what was read counts as sent.
        assert!(taken.ends_with("fatal: no cheese\n"), "{taken}");
        assert_eq!(output.take_unsent(), b"");
        assert_eq!(collect(&mut reader, Stream::Stdout), b"aside");
        assert_eq!(output.lock().cost, 0);
    }

    #[test]
    fn a_print_waits_for_a_live_reader() {
        let output = Arc::new(Output::default());
        let mut reader = output.reader();
        let piece = vec![b'x'; 64 * 1024];
        let printer = {
            let output = Arc::clone(&output);
            let piece = piece.clone();
            std::thread::spawn(move || (0..64).find_map(|_| output.push(Stream::Stdout, &piece)))
        };
        let mut got = 0;
        while got < 64 * piece.len() {
            let item = poll_fn(|cx| reader.poll_next(cx)).now_or_never();
            match item {
                Some(Some((_, bytes))) => got += bytes.len(),
                Some(None) => panic!("ended early"),
                None => std::thread::yield_now(),
            }
        }
        assert_eq!(printer.join().expect("no panic"), None, "nothing was lost");
    }

    #[test]
    fn a_reader_that_stalls_is_waited_for_once() {
        let output = Arc::new(Output::default());
        let mut reader = output.reader();
        let piece = vec![b'x'; 64 * 1024];
        let mut kept = 0;
        let (lost, took) = loop {
            let began = Instant::now();
            match output.push(Stream::Stdout, &piece) {
                None => kept += piece.len(),
                Some(lost) => break (lost, began.elapsed()),
            }
        };
        assert_eq!(lost, piece.len() as u64);
        assert!(took >= PATIENCE && took < 10 * PATIENCE, "{took:?}");
        let began = Instant::now();
        for more in 1..=100 {
            let lost = output.push(Stream::Stdout, &piece);
            assert_eq!(lost, Some((1 + more) * piece.len() as u64));
        }
        assert!(began.elapsed() < 10 * PATIENCE, "not once for each");
        // What it left is still there, and once it reads it is waited for again.
        assert_eq!(collect(&mut reader, Stream::Stdout).len(), kept);
        assert!(!output.lock().stalled);
        assert_eq!(output.push(Stream::Stdout, b"again"), None);
        assert_eq!(collect(&mut reader, Stream::Stdout), b"again");
    }
}
