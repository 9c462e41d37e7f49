//! What is around a plugin that serves: a process that a host has launched, a test, or memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;
use futures_io::AsyncWrite as _;
use outboard_core::handshake::HandshakeLine;
use outboard_core::plugin::PluginInput;
use outboard_core::rt::BoxByteStream;

use super::Driver;
use crate::sys::stdio::Claim;

/// What a plugin has beside the interfaces that it serves. With nothing of it no line is written and
/// nothing printed is sent.
#[derive(Default)]
pub(in crate::plugin) struct Around {
    /// The process's stdout and stderr.
    pub(in crate::plugin) claim: Option<Claim>,
    /// What stands for the process's stdin and stdout where there is no claim: takes the line, and carries
    /// the connection where the protocol needs no socket.
    pub(in crate::plugin) pipes: Option<BoxByteStream>,
    /// Is told where it serves, and what.
    pub(in crate::plugin) serving: Option<oneshot::Sender<HandshakeLine>>,
    /// Ends it in good order; its drop does not.
    pub(in crate::plugin) stop: Option<oneshot::Receiver<()>>,
    /// Whether an interrupt ends it in good order although there is no claim.
    pub(in crate::plugin) interruptible: bool,
}

impl Around {
    /// Whether a host has the other ends of its pipes.
    pub(in crate::plugin) fn is_held(&self) -> bool {
        !self.interruptible && self.claim.as_ref().is_none_or(Claim::is_held)
    }

    /// Whether the process's signals are its own affair.
    pub(super) fn leaves_signals(&self) -> bool {
        self.claim.is_none() && !self.interruptible
    }

    /// Whether there is anything to write the line to.
    pub(super) fn can_announce(&self) -> bool {
        self.claim.is_some() || self.pipes.is_some()
    }

    fn announce(&mut self, line: &[u8]) -> io::Result<()> {
        match (&self.claim, &mut self.pipes) {
            (Some(claim), _) => claim.announce(line),
            (None, Some(pipes)) => write_now(pipes, line),
            (None, None) => Ok(()),
        }
    }
}

/// Writes all of it to what has room for it: nothing was written before.
fn write_now(pipes: &mut BoxByteStream, bytes: &[u8]) -> io::Result<()> {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(pipes).poll_write(&mut cx, bytes) {
        Poll::Ready(Ok(count)) if count == bytes.len() => Ok(()),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Ready(Ok(_)) | Poll::Pending => Err(io::ErrorKind::WriteZero.into()),
    }
}

impl Driver {
    /// Writes the handshake line.
    pub(super) fn announce(&mut self, line: &[u8]) {
        // Before the line, which tells the host that all is set up.
        if self.parts.around.claim.is_some() {
            self.catch_signals();
        }
        match self.parts.around.announce(line) {
            Ok(()) => self.input(PluginInput::HandshakeWritten),
            Err(error) => self.input(PluginInput::HandshakeWriteFailed(error.into())),
        }
    }

    /// What heeds the level that the host wants to be logged: of the process's log only where that is the plugin's.
    #[cfg(feature = "log")]
    pub(super) fn follower(&self) -> crate::log::level::Follower {
        let hook = self.parts.on_log_level.clone();
        crate::log::level::Follower::new(hook).of_process(self.parts.around.claim.is_some())
    }

    /// Tells whoever waits for it where it serves.
    pub(super) fn tell_serving(&mut self, line: &HandshakeLine) {
        if self.parts.around.interruptible {
            self.catch_signals();
        }
        if let Some(serving) = self.parts.around.serving.take() {
            // Nobody needs to wait for it.
            let _unread = serving.send(line.clone());
        }
    }

    /// Whether the program itself wants it to end.
    pub(super) fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stop) = &mut self.parts.around.stop else {
            return false;
        };
        let Poll::Ready(told) = Pin::new(stop).poll(cx) else {
            return false;
        };
        self.parts.around.stop = None;
        if told.is_ok() {
            let now = self.parts.runtime.now();
            self.machine.shutdown(now);
        }
        true
    }
}
