//! What the cases share.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use outboard_core::rt::{
    BoxByteStream, BoxFuture, BoxReader, BoxWriter, Child, Descriptors, Launch, Listener,
    Runner as _, SharedRuntime, Stdin, Timer,
};

/// What an adapter runs: give it the runtime, drive the future to its end.
pub type Case = Box<dyn FnOnce(SharedRuntime) -> BoxFuture<'static, ()> + Send>;

/// How an adapter runs a case: on a fresh runtime, shut down when the case is done.
#[derive(Clone, Copy, Debug)]
pub struct Run(fn(Case));

impl Run {
    /// From the adapter's function.
    #[must_use]
    pub fn new(run: fn(Case)) -> Self {
        Self(run)
    }

    /// Runs one case. A case that hangs fails after a time no healthy one comes near.
    pub(crate) fn case<F>(self, case: impl FnOnce(SharedRuntime) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        (self.0)(Box::new(move |runtime| {
            let mut limit = runtime.timer(runtime.now() + Duration::from_secs(60));
            let case = Box::pin(case(runtime));
            Box::pin(async move {
                let limit = poll_fn(move |cx| limit.as_mut().poll_expired(cx));
                if let Either::Right(_) = select(case, pin!(limit)).await {
                    panic!("the case hangs");
                }
            })
        }));
    }
}

/// Polls once, and says what came out.
pub(crate) async fn once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll_fn(|cx| Poll::Ready(poll(cx))).await
}

/// Lets every other task that is ready have a turn, a few times over.
pub(crate) async fn yield_now() {
    for _ in 0..10 {
        let mut first = true;
        poll_fn(|cx| {
            if std::mem::take(&mut first) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// Runs `work` on a thread that knows no runtime.
pub(crate) async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || drop(sender.send(work())));
    receiver.await.expect("the thread does not panic")
}

/// Drives a future on this thread, without any runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits for a timer.
pub(crate) async fn expired(timer: &mut std::pin::Pin<Box<dyn Timer>>) {
    poll_fn(|cx| timer.as_mut().poll_expired(cx)).await;
}

/// Waits for a connection.
pub(crate) async fn accept(listener: &mut Box<dyn Listener>) -> std::io::Result<BoxByteStream> {
    let accepted = poll_fn(|cx| listener.poll_accept(cx)).await?;
    Ok(accepted.io)
}

/// Waits for a child.
pub(crate) async fn wait(process: &mut Process) -> outboard_core::exit::Exit {
    poll_fn(|cx| process.child.poll_wait(cx))
        .await
        .expect("a child can be waited for")
}

/// `/bin/sh -c script`, with nothing in its environment and a pipe to its stdin.
pub(crate) fn shell(script: &str) -> Launch {
    let mut launch = Launch::new("/bin/sh");
    launch.args = vec!["-c".into(), script.into()];
    launch.stdin = Stdin::Pipe;
    launch
}

/// A child with all its pipes.
pub(crate) struct Process {
    pub(crate) child: Box<dyn Child>,
    pub(crate) stdin: Option<BoxWriter>,
    pub(crate) stdout: BoxReader,
    pub(crate) stderr: BoxReader,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid().expect("a process of this system")
    }

    /// Asks for its end.
    pub(crate) async fn kill(&mut self) {
        let killed = poll_fn(|cx| self.child.poll_kill(cx)).await;
        killed.expect("it can be killed");
    }
}

/// Starts it.
pub(crate) async fn start(runtime: &SharedRuntime, launch: Launch) -> Process {
    let started = try_start(runtime, launch).await;
    let process = started.expect("the program can be started");
    Process {
        child: process.child,
        stdin: process.stdin,
        stdout: process.stdout.expect("a pipe"),
        stderr: process.stderr.expect("a pipe"),
    }
}

/// The same, where it may fail.
pub(crate) async fn try_start(
    runtime: &SharedRuntime,
    launch: Launch,
) -> std::io::Result<outboard_core::rt::Process> {
    outboard_unix::ForkExec.launch(runtime, launch).await
}

/// What the runtime does with descriptors.
pub(crate) fn descriptors(runtime: &SharedRuntime) -> &dyn Descriptors {
    runtime.descriptors().expect("it takes over descriptors")
}

/// Everything until the end of the stream.
pub(crate) async fn read_all(reader: &mut BoxReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.expect("reading works");
    bytes
}

/// Bytes that tell when some are lost, doubled or out of order.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    // 251 is prime, so no power of two (buffers, pages) is in step with it.
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Sends `bytes` from one end to the other and back.
pub(crate) async fn ping(here: &mut BoxByteStream, there: &mut BoxByteStream, bytes: &[u8]) {
    for turn in 0..2 {
        let (from, to) = if turn == 0 {
            (&mut *here, &mut *there)
        } else {
            (&mut *there, &mut *here)
        };
        from.write_all(bytes).await.expect("writing works");
        from.flush().await.expect("flushing works");
        let mut got = vec![0; bytes.len()];
        to.read_exact(&mut got).await.expect("reading works");
        assert!(got == bytes, "the bytes arrive as sent");
    }
}
