//! Accepting connections, also where nothing is left to accept them with.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use outboard_core::rt::{BoxByteStream, BoxFuture, Listener, SharedRuntime};

use crate::sys::files::SocketFile;
use crate::sys::reserve::{self, Reserve};
use crate::time;

/// How long accepting pauses after it failed, most likely for want of file descriptors: trying
/// again at once would spin. (A choice.)
const PAUSE: Duration = Duration::from_millis(50);

/// A socket that listens, with its file.
///
/// Without a descriptor the system accepts nobody, and leaves who has connected waiting for ever. So
/// one is held in reserve: whoever comes then is hung up on, and this side's log says why.
pub(crate) struct Acceptor {
    listener: Box<dyn Listener>,
    _file: Option<SocketFile>,
    reserve: Reserve,
    pause: Option<BoxFuture<'static, ()>>,
}

impl Acceptor {
    pub(crate) fn new(listener: Box<dyn Listener>, file: Option<SocketFile>) -> Self {
        Self {
            listener,
            _file: file,
            reserve: Reserve::keep(),
            pause: None,
        }
    }

    /// The next connection. `what` it is of stands in what is logged of one that cannot be accepted.
    pub(crate) fn poll(
        &mut self,
        runtime: &SharedRuntime,
        what: &'static str,
        cx: &mut Context<'_>,
    ) -> Poll<BoxByteStream> {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            let error = match self.listener.poll_accept(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(io)) => return Poll::Ready(io),
                Poll::Ready(Err(error)) => error,
            };
            if reserve::is_used_up(&error) {
                match self.hang_up(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => tracing::error!(
                        target: "outboard",
                        %error,
                        "no file descriptor is left for a connection to {what}, which was closed; \
                         raise the limit of open files (ulimit -n), or find out what holds so many"
                    ),
                    Poll::Ready(Err(error)) => cannot(what, &error),
                }
            } else {
                cannot(what, &error);
            }
            self.pause = Some(Box::pin(time::sleep(runtime, PAUSE)));
        }
    }

    /// Closes the connection that waits longest.
    fn hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            listener, reserve, ..
        } = self;
        // The connection is closed before the reserve is taken back.
        reserve.lend(|| listener.poll_accept(cx).map_ok(drop))
    }
}

fn cannot(what: &str, error: &io::Error) {
    tracing::warn!(target: "outboard", %error, "a connection to {what} could not be accepted");
}
