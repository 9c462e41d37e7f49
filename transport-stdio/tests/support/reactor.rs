//! A pipe in each direction that a level-triggered reactor watches. Whoever reads tries first; who found
//! nothing is woken when the reactor looks, if there is something by then. When it looks is up to the test.

use std::io::{Read as _, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use async_executor::Executor;
use bytes::{Buf as _, BytesMut};
use futures_io::{AsyncRead, AsyncWrite};
use outboard_core::rt::SharedRuntime;

use super::TestRuntime;

/// One direction.
#[derive(Clone, Default)]
pub struct Watched(Arc<Mutex<Direction>>);

#[derive(Default)]
struct Direction {
    unread: BytesMut,
    reader: Option<Waker>,
}

impl Watched {
    /// The reactor looks.
    pub fn look(&self) {
        let found = {
            let mut direction = self.direction();
            let ready = !direction.unread.is_empty();
            direction.reader.take_if(|_| ready)
        };
        found.into_iter().for_each(Waker::wake);
    }

    fn direction(&self) -> MutexGuard<'_, Direction> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

/// One end of the two.
pub struct End {
    reads: Watched,
    writes: Watched,
}

/// Both ends.
pub fn ends() -> (End, End) {
    let (there, back) = (Watched::default(), Watched::default());
    let far = End {
        reads: there.clone(),
        writes: back.clone(),
    };
    let near = End {
        reads: back,
        writes: there,
    };
    (near, far)
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        place: &mut [u8],
    ) -> Poll<Result<usize>> {
        let mut direction = self.reads.direction();
        if direction.unread.has_remaining() {
            let count = (&mut direction.unread).reader().read(place)?;
            return Poll::Ready(Ok(count));
        }
        direction.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.writes.direction().unread.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A process: its tasks, and what its reactor watches.
pub struct Side {
    pub runtime: SharedRuntime,
    tasks: &'static Executor<'static>,
    pub watched: Watched,
}

impl Side {
    pub fn new(end: &End) -> Self {
        let (runtime, tasks) = TestRuntime::on_this_thread();
        let watched = end.reads.clone();
        Self {
            runtime,
            tasks,
            watched,
        }
    }

    /// Runs what was woken.
    pub fn work(&self) {
        while self.tasks.try_tick() {}
    }

    /// Has the reactor look, and runs what that wakes.
    pub fn turn(&self) {
        self.watched.look();
        self.work();
    }
}

/// Until nothing comes of it any more: a call is two turns of either side, and there are few.
pub fn quiet(sides: [&Side; 2]) {
    for side in sides.iter().cycle().take(16) {
        side.turn();
    }
}
