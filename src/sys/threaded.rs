//! Pipes that other processes may share, read and written by a thread each.
//!
//! Non-blocking mode belongs to the open pipe and not to the descriptor, so setting it on an
//! inherited stdin or stdout would also change it for a shell or wrapper that holds the same pipe.
//! Where the pipe cannot be opened anew, blocking calls on threads leave it as it is. The threads
//! are not waited for: one that is blocked ends with the process.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Condvar, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::lock::{Mutex, MutexGuard, Rank};

use super::sigpipe;

/// Bytes kept between the thread and the task: what a Linux pipe holds.
const CAPACITY: usize = 64 * 1024;

struct Buffer {
    state: Mutex<State>,
    /// Told when the thread has something to do.
    work: Condvar,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            state: Mutex::new(Rank::Source, State::default()),
            work: Condvar::new(),
        }
    }
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// The thread met the end of the stream or an error.
    ended: bool,
    error: Option<io::Error>,
    /// The task has let go.
    dropped: bool,
    waker: Option<Waker>,
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Blocks the thread while `idle` holds.
    fn wait(&self, idle: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.lock().wait(|state| {
            self.work
                .wait_while(state, |state| idle(state))
                .unwrap_or_else(PoisonError::into_inner)
        })
    }
}

impl State {
    fn end(&mut self, error: Option<io::Error>) -> Option<Waker> {
        self.ended = true;
        self.error = error;
        self.waker.take()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A pipe's reading end.
pub(crate) struct Reader(Arc<Buffer>);

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's error if there is no thread to be had.
    pub(crate) fn new(mut file: File) -> io::Result<Self> {
        let buffer = Arc::new(Buffer::default());
        let shared = Arc::clone(&buffer);
        thread::Builder::new()
            .name("outboard-stdin".to_owned())
            .spawn(move || {
                let mut chunk = vec![0; CAPACITY];
                loop {
                    let full = |state: &State| state.bytes.len() >= CAPACITY && !state.dropped;
                    if shared.wait(full).dropped {
                        return;
                    }
                    let read = file.read(&mut chunk);
                    let mut state = shared.lock();
                    let waker = match read {
                        Ok(0) => state.end(None),
                        Ok(count) => {
                            state.bytes.extend(&chunk[..count]);
                            state.waker.take()
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        Err(error) => state.end(Some(error)),
                    };
                    let ended = state.ended;
                    drop(state);
                    wake(waker);
                    if ended {
                        return;
                    }
                }
            })?;
        Ok(Self(buffer))
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if state.bytes.is_empty() {
            if let Some(error) = state.error.take() {
                return Poll::Ready(Err(error));
            }
            if state.ended {
                return Poll::Ready(Ok(0));
            }
            return sleep(state, cx);
        }
        // Reading from a deque takes what lies in one piece and cannot fail.
        let count = state.bytes.read(buffer)?;
        drop(state);
        self.0.work.notify_one();
        Poll::Ready(Ok(count))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.lock().dropped = true;
        self.0.work.notify_one();
    }
}

/// Leaves a waker. The one before is dropped without the lock: it may be the last of a task.
fn sleep<T>(mut state: MutexGuard<'_, State>, cx: &Context<'_>) -> Poll<T> {
    let earlier = state.waker.replace(cx.waker().clone());
    drop(state);
    drop(earlier);
    Poll::Pending
}

/// A pipe's writing end.
pub(crate) struct Writer(Arc<Buffer>);

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's error if there is no thread to be had.
    pub(crate) fn new(mut file: File) -> io::Result<Self> {
        let buffer = Arc::new(Buffer::default());
        let shared = Arc::clone(&buffer);
        thread::Builder::new()
            .name("outboard-stdout".to_owned())
            .spawn(move || {
                loop {
                    let mut state = shared.wait(|state| state.bytes.is_empty() && !state.dropped);
                    if state.bytes.is_empty() {
                        return;
                    }
                    let chunk: Vec<u8> = state.bytes.iter().copied().collect();
                    drop(state);
                    let written = sigpipe::without(|| file.write_all(&chunk));
                    state = shared.lock();
                    // Taken out only now, so that an empty buffer means that all is written.
                    state.bytes.drain(..chunk.len());
                    let waker = match written {
                        Ok(()) => state.waker.take(),
                        Err(error) => state.end(Some(error)),
                    };
                    let ended = state.ended;
                    drop(state);
                    wake(waker);
                    if ended {
                        return;
                    }
                }
            })?;
        Ok(Self(buffer))
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if state.ended {
            let error = state.error.take();
            return Poll::Ready(Err(
                error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
            ));
        }
        let room = CAPACITY.saturating_sub(state.bytes.len());
        if room == 0 && !buffer.is_empty() {
            return sleep(state, cx);
        }
        let count = room.min(buffer.len());
        state.bytes.extend(&buffer[..count]);
        drop(state);
        self.0.work.notify_one();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.ended {
            let error = state.error.take();
            return Poll::Ready(Err(
                error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
            ));
        }
        if state.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        sleep(state, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_ref().get_ref().0.lock().bytes.is_empty();
        if flushed {
            Poll::Ready(Ok(()))
        } else {
            self.poll_flush(cx)
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What is buffered is still written; the thread ends after it.
        self.0.lock().dropped = true;
        self.0.work.notify_one();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
    use std::os::fd::OwnedFd;

    fn block_on<F: Future>(future: F) -> F::Output {
        struct Unpark(thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        let mut future = std::pin::pin!(future);
        loop {
            match future.as_mut().poll(&mut cx) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }

    fn pipe() -> (File, File) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (
            File::from(OwnedFd::from(reader)),
            File::from(OwnedFd::from(writer)),
        )
    }

    #[test]
    fn a_megabyte_passes_and_the_end_is_seen() {
        let (from, to) = pipe();
        let mut reader = Reader::new(from).expect("a thread");
        let sent: Vec<u8> = (0..1_000_003u32).map(|i| (i % 253) as u8).collect();
        let copy = sent.clone();
        let writing = thread::spawn(move || {
            let mut writer = Writer::new(to).expect("a thread");
            block_on(async {
                writer.write_all(&copy).await?;
                writer.flush().await
            })
        });
        let mut got = Vec::new();
        block_on(reader.read_to_end(&mut got)).expect("reads");
        writing.join().expect("no panic").expect("writes");
        assert!(got == sent);
    }

    #[test]
    fn what_was_written_before_the_drop_still_arrives() {
        let (mut from, to) = pipe();
        let mut writer = Writer::new(to).expect("a thread");
        block_on(writer.write_all(b"last words")).expect("writes");
        drop(writer);
        let mut got = String::new();
        from.read_to_string(&mut got).expect("reads");
        assert_eq!(got, "last words");
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let (from, to) = pipe();
        drop(from);
        let mut writer = Writer::new(to).expect("a thread");
        let outcome = block_on(async {
            writer.write_all(b"x").await?;
            writer.flush().await
        });
        assert_eq!(
            outcome.map_err(|e| e.kind()),
            Err(io::ErrorKind::BrokenPipe)
        );
    }
}
