//! The signals that a plugin takes note of while it serves.

use std::io::PipeReader;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncRead as _;
use outboard_core::plugin::PluginInput;
use outboard_core::rt::{BoxReader, SharedRuntime};

use super::Driver;
use crate::sys::interrupt::Interrupts;

/// Those that are caught. Dropped, each has its default action again.
#[derive(Default)]
pub(super) struct Signals {
    interrupts: Option<Caught>,
    terminations: Option<Caught>,
}

/// A signal that is caught.
struct Caught {
    _interrupts: Interrupts,
    /// Gets a byte for each. Without it nobody is told, and they have their effect all the same.
    told: Option<BoxReader>,
}

impl Caught {
    fn new(runtime: &SharedRuntime, (interrupts, told): (Interrupts, PipeReader)) -> Self {
        let descriptors = runtime.descriptors();
        Self {
            _interrupts: interrupts,
            told: descriptors.and_then(|with| with.pipe_reader(told)).ok(),
        }
    }

    /// How many there were since.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(told) = &mut self.told else {
            return Poll::Pending;
        };
        let mut bytes = [0; 16];
        match Pin::new(told).poll_read(cx, &mut bytes) {
            Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(count),
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => {
                self.told = None;
                Poll::Pending
            }
        }
    }
}

impl Driver {
    /// Catches what asks the process to end, from here to the end of the serving.
    pub(super) fn catch_signals(&mut self) {
        let runtime = &self.parts.runtime;
        let caught = |caught| Caught::new(runtime, caught);
        let interrupts = Interrupts::catch(self.parts.config.held);
        self.signals = Signals {
            interrupts: interrupts.map(caught),
            terminations: Interrupts::catch_termination().map(caught),
        };
    }

    pub(super) fn poll_caught(&mut self, cx: &mut Context<'_>) -> bool {
        let Signals {
            interrupts,
            terminations,
        } = &mut self.signals;
        let mut count = |caught: &mut Option<Caught>| match caught {
            Some(caught) => caught.poll(cx),
            None => Poll::Pending,
        };
        let counts = [
            (count(interrupts), PluginInput::Interrupted),
            (count(terminations), PluginInput::Terminated),
        ];
        let mut progress = false;
        for (count, input) in counts {
            if let Poll::Ready(count) = count {
                for _ in 0..count {
                    self.input(input.clone());
                }
                progress = true;
            }
        }
        progress
    }
}
