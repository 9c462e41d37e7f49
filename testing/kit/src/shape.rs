//! Streams of bytes that are hard to please, around others.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::{BoxByteStream, ByteStream};

/// How many bytes each read or write moves, over and over.
const PIECES: [usize; 6] = [3, 1, 7, 2, 64, 5];

/// Gives and takes a few bytes at a time, and says that nothing is ready before each of them.
pub struct Cut<S> {
    inner: S,
    read: Steps,
    write: Steps,
    flush: Steps,
}

/// Of one direction.
#[derive(Default)]
struct Steps {
    number: usize,
    waited: bool,
}

impl Steps {
    /// Ready every second time.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.waited = !self.waited;
        if self.waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn most(&self) -> usize {
        PIECES[self.number % PIECES.len()]
    }

    /// The step was taken, or is to be tried again at once.
    fn took<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(_) => self.number += 1,
            Poll::Pending => self.waited = true,
        }
        polled
    }
}

impl<S> Cut<S> {
    /// Around this stream.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            read: Steps::default(),
            write: Steps::default(),
            flush: Steps::default(),
        }
    }
}

impl<S: ByteStream> AsyncRead for Cut<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.read.poll(cx));
        let most = this.read.most().min(target.len());
        let read = Pin::new(&mut this.inner).poll_read(cx, &mut target[..most]);
        this.read.took(read)
    }
}

impl<S: ByteStream> AsyncWrite for Cut<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.write.poll(cx));
        let most = this.write.most().min(bytes.len());
        let written = Pin::new(&mut this.inner).poll_write(cx, &bytes[..most]);
        this.write.took(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.flush.poll(cx));
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        this.flush.took(flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.flush.poll(cx));
        let closed = Pin::new(&mut this.inner).poll_close(cx);
        this.flush.took(closed)
    }
}

/// Tears or freezes the streams that it was put around.
#[derive(Clone, Default)]
pub struct Tear(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    torn: bool,
    frozen: bool,
    /// Who waits, two of each stream: to read and to write.
    waiting: Vec<Option<Waker>>,
}

impl Tear {
    /// A stream that ends when this tears it: reads come to the end, writes fail.
    pub fn around(&self, inner: BoxByteStream) -> Tearable {
        let mut state = self.lock();
        let first = state.waiting.len();
        state.waiting.resize(first + 2, None);
        Tearable {
            inner,
            tear: self.clone(),
            first,
        }
    }

    /// Tears them all.
    pub fn tear(&self) {
        let mut state = self.lock();
        state.torn = true;
        let wakers: Vec<_> = state.waiting.iter_mut().filter_map(Option::take).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// From now on nothing goes through them, and nobody says so.
    pub fn freeze(&self) {
        self.lock().frozen = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic under the lock")
    }
}

/// A stream that can be torn.
pub struct Tearable {
    inner: BoxByteStream,
    tear: Tear,
    /// Where its two wakers are.
    first: usize,
}

impl Tearable {
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        direction: usize,
        torn: impl Fn() -> io::Result<T>,
        poll: impl FnOnce(Pin<&mut BoxByteStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let (is_torn, is_frozen) = {
            let state = self.tear.lock();
            (state.torn, state.frozen)
        };
        if is_torn {
            return Poll::Ready(torn());
        }
        if !is_frozen {
            let polled = poll(Pin::new(&mut self.inner), cx);
            if polled.is_ready() {
                return polled;
            }
        }
        let mut state = self.tear.lock();
        if state.torn {
            return Poll::Ready(torn());
        }
        let slot = &mut state.waiting[self.first + direction];
        let earlier = slot.replace(cx.waker().clone());
        drop(state);
        drop(earlier);
        Poll::Pending
    }
}

fn broken<T>() -> io::Result<T> {
    Err(io::ErrorKind::BrokenPipe.into())
}

impl AsyncRead for Tearable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, 0, || Ok(0), |inner, cx| inner.poll_read(cx, target))
    }
}

impl AsyncWrite for Tearable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, 1, broken, |inner, cx| inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, 1, broken, |inner, cx| {
            inner.poll_write_vectored(cx, slices)
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, 1, broken, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, 1, broken, |inner, cx| inner.poll_close(cx))
    }
}

/// A stream that cannot be closed: its peer went first, as a TLS peer may.
pub struct Abrupt(pub BoxByteStream);

impl AsyncRead for Abrupt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, target)
    }
}

impl AsyncWrite for Abrupt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(broken())
    }
}

/// Counts the writes that a stream takes.
pub struct Counted {
    inner: BoxByteStream,
    writes: Arc<AtomicUsize>,
}

impl Counted {
    /// Around this stream.
    pub fn new(inner: BoxByteStream) -> Self {
        let writes = Arc::default();
        Self { inner, writes }
    }

    /// How many there were.
    pub fn writes(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.writes)
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.writes.fetch_add(1, Ordering::SeqCst);
        }
        written
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, target)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

/// Has the peer of a stream answer and be gone in the moment in which this side writes.
#[derive(Clone, Default)]
pub struct Part(Arc<Mutex<Parting>>);

/// `Joined` -> `KeepsBack` -> `Parting` -> `Parted`.
#[derive(Default)]
struct Parting {
    stage: Stage,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Joined,
    /// What comes is not given to whoever reads.
    KeepsBack,
    /// The next write fails.
    Parting,
    /// What came is read, and the end.
    Parted,
}

impl Part {
    /// A stream that ends by this.
    pub fn around(&self, inner: BoxByteStream) -> Partable {
        Partable {
            inner,
            part: self.clone(),
            kept: VecDeque::new(),
        }
    }

    /// Keeps back what comes from now on.
    pub fn keep_back(&self) {
        self.lock().stage = Stage::KeepsBack;
    }

    /// The next write fails, and with that what came can be read.
    pub fn part(&self) {
        self.lock().stage = Stage::Parting;
    }

    fn lock(&self) -> MutexGuard<'_, Parting> {
        self.0.lock().expect("no panic under the lock")
    }

    /// Whether a write fails, as does every later one.
    fn fails(&self) -> bool {
        let mut state = self.lock();
        if !matches!(state.stage, Stage::Parting | Stage::Parted) {
            return false;
        }
        state.stage = Stage::Parted;
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        true
    }
}

/// A stream whose peer can go in the middle of a write.
pub struct Partable {
    inner: BoxByteStream,
    part: Part,
    kept: VecDeque<u8>,
}

impl AsyncRead for Partable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let stage = this.part.lock().stage;
        if stage == Stage::Joined {
            return Pin::new(&mut this.inner).poll_read(cx, target);
        }
        let mut piece = [0; 1_000];
        while let Poll::Ready(read) = Pin::new(&mut this.inner).poll_read(cx, &mut piece) {
            match read? {
                0 => break,
                count => this.kept.extend(&piece[..count]),
            }
        }
        let mut state = this.part.lock();
        if state.stage != Stage::Parted {
            let earlier = state.reader.replace(cx.waker().clone());
            drop(state);
            drop(earlier);
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut this.kept, target))
    }
}

impl AsyncWrite for Partable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.part.fails() {
            return Poll::Ready(broken());
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
