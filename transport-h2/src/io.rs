//! futures-io streams as the tokio IO traits that `h2` asks for, with writes put together.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use futures_io::{AsyncRead as _, AsyncWrite as _};
use outboard_core::later::Later;
use outboard_core::lock::{Mutex, MutexGuard, Rank};
use outboard_core::rpc::Spin;
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::announce::announce_header_list;
use crate::authority::Filter;
use crate::greeting::{Greeted, Greeting};
use crate::reads::ReadLimit;

/// Writes of more than this go to the stream directly, without a copy: about where copying begins
/// to cost as much as the system call it saves. A guess.
const COPY_MAX: usize = 8 * 1024;

/// With this much held back, further writes wait for the stream. A guess: a few dozen answers of
/// a kilobyte.
const HOLD_MAX: usize = 64 * 1024;

/// How many pieces one vectored write takes: `h2` gives two, one is for what is held back.
const MAX_SLICES: usize = 8;

/// The adapter that `h2` owns.
///
/// `h2` flushes after every DATA frame of 256 bytes and more, and before the trailers that follow
/// it. So flushing does nothing here: small writes are held back until the connection's task has
/// let `h2` do all there is to do, and then leave together through [`Flusher`]. Large ones are
/// passed on as vectored writes, together with what was held back before them. The stream below
/// may hold things back in its turn, as TLS does: it is flushed after each of these, once.
///
/// In the same way the client's preface, its settings and the first calls leave in one write, and
/// `h2`'s handshake, which only writes the preface, never has to wait.
///
/// `h2` also reads until there is nothing to read. So reading stops here when a turn of the task has
/// read enough for its [`ReadLimit`]; the flusher begins the next turn.
pub(crate) struct Io(Arc<Mutex<Kept>>);

/// What the connection's task uses to send what [`Io`] holds back.
pub(crate) struct Flusher(Arc<Mutex<Kept>>);

struct Kept {
    /// Whom the stream wakes while it is used. `h2` has locks of its own meanwhile, so they wait until
    /// it has been polled.
    later: Later,
    inner: Inner,
}

/// A peer that closes may have answered first, and its answers wait to be read when a write
/// fails. So a failed write is told through the flusher only: `h2` goes on reading, and what it
/// writes is dropped.
struct Inner {
    stream: BoxByteStream,
    runtime: SharedRuntime,
    limit: ReadLimit,
    /// What a server reads goes through this.
    filter: Option<Filter>,
    held: BytesMut,
    /// The stream has been written to and not been flushed to the end.
    unflushed: bool,
    writing: Writing,
    /// The limit on header lists to announce, until that has been written.
    announce: Option<u32>,
    /// The peer has sent all it will ever send.
    ended: bool,
    /// Bytes have come since that was asked last, for the spin.
    has_read: bool,
    /// Bytes have ever come.
    has_heard: bool,
    /// Bytes have come since that was asked last, for the keepalive.
    alive: bool,
    /// What a client hears first.
    greeting: Hearing,
}

enum Hearing {
    /// Nobody asks, or has been told already.
    Over,
    Listens(Greeting),
    Heard(Greeted),
}

enum Writing {
    Works,
    /// To be told.
    Failed(io::Error),
    /// Told.
    Over,
}

/// The adapter of a stream. Whoever polls `h2` polls the flusher afterwards, in the same task.
/// `max_header_list` is what the peer is told of the limit on header lists.
pub(crate) fn adapt(
    runtime: &SharedRuntime,
    stream: BoxByteStream,
    max_header_list: u32,
    filter: Option<Filter>,
) -> (Io, Flusher) {
    // Clients have no filter.
    let greeting = match &filter {
        None => Hearing::Listens(Greeting::default()),
        Some(_) => Hearing::Over,
    };
    let inner = Inner {
        stream,
        runtime: Arc::clone(runtime),
        limit: ReadLimit::new(),
        filter,
        held: BytesMut::new(),
        unflushed: false,
        writing: Writing::Works,
        announce: Some(max_header_list),
        ended: false,
        has_read: false,
        has_heard: false,
        alive: false,
        greeting,
    };
    let later = Later::default();
    let kept = Arc::new(Mutex::new(Rank::Bytes, Kept { later, inner }));
    (Io(Arc::clone(&kept)), Flusher(kept))
}

impl Flusher {
    /// Comes back at once if that is likely to find something to read.
    pub(crate) fn spin(&self, spin: &mut Spin, runtime: &SharedRuntime, cx: &Context<'_>) {
        if !spin.is_on() {
            return;
        }
        if std::mem::take(&mut lock(&self.0).inner.has_read) {
            spin.handle_bytes();
        }
        if spin.handle_idle(runtime.now()) {
            runtime.wake_after_io(cx.waker());
        }
    }

    /// Whether the peer has closed its direction: `h2` tells that by the same result as its own
    /// orderly end.
    pub(crate) fn peer_has_ended(&self) -> bool {
        lock(&self.0).inner.ended
    }

    /// Whether anything has come from the peer.
    pub(crate) fn has_heard(&self) -> bool {
        lock(&self.0).inner.has_heard
    }

    /// What the server began with, once, as soon as it is there.
    pub(crate) fn take_greeted(&self) -> Option<Greeted> {
        let inner = &mut lock(&self.0).inner;
        let Hearing::Heard(greeted) = inner.greeting else {
            return None;
        };
        inner.greeting = Hearing::Over;
        Some(greeted)
    }

    /// Whether bytes have come since that was asked last.
    pub(crate) fn take_alive(&self) -> bool {
        std::mem::take(&mut lock(&self.0).inner.alive)
    }

    /// Wakes whom the stream was to wake while `h2` was polled, where no flush does that.
    pub(crate) fn wake_others(&self) {
        let later = std::mem::take(&mut lock(&self.0).later);
        drop(later);
    }

    /// Ends a turn: sends what is held back. Gives the first error of any write, once.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut kept = lock(&self.0);
        let more = kept.inner.end_turn();
        let pending = kept.use_stream(|inner| inner.poll_flush(cx).is_pending());
        let later = (!kept.later.is_empty()).then(|| std::mem::take(&mut kept.later));
        let failed = kept.inner.take_failure();
        drop(kept);
        drop(later);
        if let Some(runtime) = more {
            // Later, so that whatever has become ready meanwhile comes first.
            runtime.wake_after_io(cx.waker());
        }
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if pending => Poll::Pending,
            None => Poll::Ready(Ok(())),
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // One task at a time uses it; a stream that panicked has ended that task.
    kept.lock()
}

impl Kept {
    /// Whoever uses the stream does it in here.
    fn use_stream<T>(&mut self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let Self { later, inner } = self;
        later.keep(|| work(inner))
    }
}

impl Inner {
    fn works(&self) -> bool {
        matches!(self.writing, Writing::Works)
    }

    /// The error that nobody was told of yet.
    fn take_failure(&mut self) -> Option<io::Error> {
        match &self.writing {
            Writing::Works | Writing::Over => None,
            Writing::Failed(_) => match std::mem::replace(&mut self.writing, Writing::Over) {
                Writing::Failed(error) => Some(error),
                Writing::Works | Writing::Over => None,
            },
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.held.clear();
        self.unflushed = false;
        self.writing = Writing::Failed(error);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(error) = ready!(self.try_poll_flush(cx)) {
            self.fail(error);
        }
        Poll::Ready(())
    }

    fn try_poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            self.unflushed = true;
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the runtime if there may be more to read.
    fn end_turn(&mut self) -> Option<SharedRuntime> {
        let is_over = self.limit.is_over();
        self.limit.end_turn();
        is_over.then(|| Arc::clone(&self.runtime))
    }

    fn next_read(&mut self) -> Option<usize> {
        self.limit.next_read(|| self.runtime.now())
    }

    /// What `h2` is to read.
    fn poll_read(&mut self, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let Some(filter) = &mut self.filter else {
                return self.poll_read_stream(cx, target);
            };
            let taken = filter.take(target);
            if taken > 0 || target.is_empty() {
                return Poll::Ready(Ok(taken));
            }
            let Some(missing) = filter.missing() else {
                let read = ready!(self.poll_read_stream(cx, target))?;
                let passed = match &mut self.filter {
                    Some(filter) => filter.pass(&mut target[..read]),
                    None => read,
                };
                if passed > 0 || read == 0 {
                    return Poll::Ready(Ok(passed));
                }
                continue;
            };
            // Taken out for a moment, as it lends what the stream reads into.
            let Some(mut filter) = self.filter.take() else {
                continue;
            };
            let read = filter.fill(missing, |space| {
                let read = self.poll_read_stream(cx, space);
                let count = match &read {
                    Poll::Ready(Ok(count)) => *count,
                    Poll::Ready(Err(_)) | Poll::Pending => 0,
                };
                (count, read)
            });
            if let Poll::Ready(Ok(0)) = read {
                // `h2` finds out what the end comes in the middle of.
                filter.end();
            }
            self.filter = Some(filter);
            ready!(read)?;
        }
    }

    fn poll_read_stream(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.next_read().is_none() {
            return Poll::Pending;
        }
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, target))?;
        self.ended |= read == 0 && !target.is_empty();
        self.has_read |= read > 0;
        self.has_heard |= read > 0;
        self.alive |= read > 0;
        if let Hearing::Listens(greeting) = &mut self.greeting
            && let Some(greeted) = greeting.push(&target[..read])
        {
            self.greeting = Hearing::Heard(greeted);
        }
        self.limit.handle_read(read, || self.runtime.now());
        Poll::Ready(Ok(read))
    }

    /// Writes what is held back and these slices as one; gives how much of the slices went.
    fn poll_write_through(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        while !self.held.is_empty() {
            let held = self.held.len();
            let mut all = [IoSlice::new(&[]); MAX_SLICES];
            let mut count = 1;
            all[0] = IoSlice::new(&self.held);
            for (slot, slice) in all[1..].iter_mut().zip(slices) {
                *slot = IoSlice::new(slice);
                count += 1;
            }
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write_vectored(cx, &all[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written.min(held));
            if written > held {
                return Poll::Ready(Ok(written - held));
            }
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut kept = lock(&self.0);
        let Some(step) = kept.inner.next_read() else {
            // The flusher sees to it that this is polled again.
            return Poll::Pending;
        };
        let step = buffer.remaining().min(step);
        let target = buffer.initialize_unfilled_to(step);
        let read = ready!(kept.use_stream(|inner| inner.poll_read(cx, target)))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut kept = lock(&self.0);
        let inner = &mut kept.inner;
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if !inner.works() {
            return Poll::Ready(Ok(length));
        }
        let direct = length > COPY_MAX || inner.held.len() + length > HOLD_MAX;
        if direct && inner.announce.is_none() {
            let written = kept.use_stream(|inner| inner.poll_write_through(cx, slices));
            return Poll::Ready(Ok(match ready!(written) {
                Ok(written) => written,
                Err(error) => {
                    kept.inner.fail(error);
                    length
                }
            }));
        }
        for slice in slices {
            inner.held.extend_from_slice(slice);
        }
        if let Some(limit) = inner.announce
            && announce_header_list(&mut inner.held, limit)
        {
            inner.announce = None;
        }
        Poll::Ready(Ok(length))
    }

    /// True although some streams below write one piece at a time: those only return early.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing: see the type.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).use_stream(|inner| {
            ready!(inner.poll_flush(cx));
            if inner.works() {
                // All that was written has left. That the farewell of a stream such as TLS fails says
                // only that the peer went first.
                let _farewell = ready!(Pin::new(&mut inner.stream).poll_close(cx));
            }
            Poll::Ready(Ok(()))
        })
    }
}
