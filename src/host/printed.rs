//! What a plugin prints on pipes of its host's own, on its way to the user's writers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_io::AsyncRead as _;
use outboard_core::host::Printed;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::guard::Panicked;
use outboard_core::rt::{BoxReader, SharedRuntime};

use super::progress::wake;
use super::shared::{AtEnd, Shared};
use crate::services::output::MAX_CHUNK;
use crate::sys::direct::{Held, Pipes};
use crate::time::{Turns, give_way};

/// Bytes kept for writers that take their time. Beyond it the plugin's prints wait, as those of any
/// program whose output is not read. (A choice: what a plugin keeps for a host that reads over the
/// connection.)
const LIMIT: usize = 1 << 20;

/// Bytes kept beyond that of a plugin that has ended: what its pipes still hold, of which nothing is
/// to be lost. Linux lets a pipe hold as much, unless somebody privileged asks for more.
const LAST: usize = 1 << 20;

/// A write that takes longer gives way to other tasks at once.
const SLOW: Duration = Duration::from_millis(1);

/// The reading ends, and the queue to the task that writes.
pub(super) struct Reading {
    readers: [Option<BoxReader>; 2],
    /// None where nobody wants any of it: it is read all the same, since stderr is evidence.
    queue: [Option<Arc<Queue>>; 2],
    held: Option<Held>,
}

/// What was read and is not written yet.
struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    pieces: VecDeque<(Printed, Bytes)>,
    /// In the queue and being written.
    bytes: usize,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Reading {
    /// Takes pipes that a plugin may take the other ends of.
    ///
    /// # Errors
    /// The system's error if they cannot be registered with the runtime.
    pub(super) fn new(runtime: &SharedRuntime, pipes: Pipes) -> io::Result<Self> {
        let [stdout, stderr] = pipes.readers;
        let descriptors = runtime.descriptors()?;
        let readers = [
            descriptors.pipe_reader(stdout)?,
            descriptors.pipe_reader(stderr)?,
        ];
        Ok(Self {
            readers: readers.map(Some),
            queue: [None, None],
            held: Some(pipes.held),
        })
    }

    /// Starts the task that writes, if somebody wants what comes. [`Shared::set_printed_ended`] is
    /// called at the end of that, or at once.
    pub(super) fn start(&mut self, runtime: &SharedRuntime, shared: &Arc<Shared>) {
        let wanted = shared.sync.wanted();
        if !wanted.contains(&true) {
            return shared.set_printed_ended();
        }
        let queue = Arc::new(Queue(Mutex::new(Rank::Driver, State::default())));
        self.queue = wanted.map(|wanted| wanted.then(|| Arc::clone(&queue)));
        let writing = write(Arc::clone(runtime), queue, Arc::clone(shared));
        runtime.spawn(Box::pin(writing));
    }

    /// Who is to have the pipes has opened them by now.
    pub(super) fn opened(&mut self) {
        if let Some(held) = &mut self.held {
            held.unname();
        }
    }

    /// The process has ended: what its pipes hold is all.
    pub(super) fn process_ended(&mut self) {
        self.held = None;
    }

    /// Whether both have come to their end.
    pub(super) fn is_over(&self) -> bool {
        self.readers.iter().all(Option::is_none)
    }

    /// Reads some of what was printed there into `buffer`, and queues it for its writer. Ready with
    /// how much that is, zero at the end.
    pub(super) fn poll_read(
        &mut self,
        on: Printed,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<usize> {
        let index = on as usize;
        let Some(reader) = &mut self.readers[index] else {
            return Poll::Pending;
        };
        let queue = self.queue[index].as_deref();
        let limit = LIMIT + if self.held.is_none() { LAST } else { 0 };
        if queue.is_some_and(|queue| queue.poll_room(limit, cx).is_pending()) {
            return Poll::Pending;
        }
        loop {
            match Pin::new(&mut *reader).poll_read(cx, buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 => {
                    if let Some(queue) = queue {
                        queue.push(on, &buffer[..count]);
                    }
                    return Poll::Ready(count);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(_) => {
                    self.readers[index] = None;
                    return Poll::Ready(0);
                }
            }
        }
    }
}

/// What is queued is still written.
impl Drop for Reading {
    fn drop(&mut self) {
        for queue in self.queue.iter().flatten() {
            queue.close();
        }
    }
}

impl Queue {
    fn poll_room(&self, limit: usize, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.bytes < limit {
            return Poll::Ready(());
        }
        let earlier = state.reader.replace(cx.waker().clone());
        drop(state);
        // It may be the last of a task.
        drop(earlier);
        Poll::Pending
    }

    fn push(&self, on: Printed, bytes: &[u8]) {
        let piece = Bytes::copy_from_slice(bytes);
        let mut state = self.0.lock();
        state.bytes += piece.len();
        state.pieces.push_back((on, piece));
        let waker = state.writer.take();
        drop(state);
        wake(waker);
    }

    fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let waker = state.writer.take();
        drop(state);
        wake(waker);
    }

    /// The next piece, `None` at the end.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<(Printed, Bytes)>> {
        let mut state = self.0.lock();
        if let Some(piece) = state.pieces.pop_front() {
            return Poll::Ready(Some(piece));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let earlier = state.writer.replace(cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }

    fn written(&self, bytes: usize) {
        let mut state = self.0.lock();
        state.bytes -= bytes;
        let waker = state.reader.take();
        drop(state);
        wake(waker);
    }
}

/// Hands what is queued to the user's writers.
async fn write(runtime: SharedRuntime, queue: Arc<Queue>, shared: Arc<Shared>) {
    let ended = AtEnd(shared, Shared::set_printed_ended);
    let shared = &ended.0;
    let mut turns = Turns::default();
    while let Some((on, bytes)) = poll_fn(|cx| queue.poll_next(cx)).await {
        // In pieces as they come over a connection: a slow writer costs its limit and not much more.
        for piece in bytes.chunks(MAX_CHUNK) {
            turns.step().await;
            let began = Instant::now();
            hand_over(shared, on, piece).await;
            // Where it shares its thread with who reads, a slow writer slows the plugin.
            if began.elapsed() >= SLOW {
                give_way(&runtime).await;
            }
        }
        queue.written(bytes.len());
    }
}

/// Hands one piece to its writer, unless the time for that is over.
pub(super) async fn hand_over(shared: &Shared, on: Printed, piece: &[u8]) {
    if !shared.printed.begin(piece.len()) {
        return;
    }
    let writers = &shared.sync;
    let written: Result<(), Panicked> = match on {
        Printed::Stdout => writers.stdout(piece).await,
        Printed::Stderr => writers.stderr(piece).await,
    };
    shared.printed.done();
    if let Err(panicked) = written {
        tracing::error!(
            target: "outboard",
            plugin = shared.name(),
            "the writer of what the plugin prints {panicked}; it gets nothing more"
        );
    }
}
