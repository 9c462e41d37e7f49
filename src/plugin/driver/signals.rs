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
    /// Gets a byte for each.
    told: BoxReader,
}

impl Caught {
    /// Where nobody can be told of it, the signal has its default action again.
    fn new(runtime: &SharedRuntime, (interrupts, told): (Interrupts, PipeReader)) -> Option<Self> {
        let descriptors = runtime.descriptors();
        let told = descriptors.and_then(|with| with.pipe_reader(told)).ok()?;
        Some(Self {
            _interrupts: interrupts,
            told,
        })
    }

    /// How many there were since; none if nothing can be read any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut bytes = [0; 16];
        let read = Pin::new(&mut self.told).poll_read(cx, &mut bytes);
        read.map(|count| count.unwrap_or(0))
    }
}

impl Driver {
    /// Catches what asks the process to end, from here to the end of the serving.
    pub(super) fn catch_signals(&mut self) {
        let runtime = &self.parts.runtime;
        let caught = |caught| Caught::new(runtime, caught);
        let interrupts = Interrupts::catch(self.parts.config.held);
        self.signals = Signals {
            interrupts: interrupts.and_then(caught),
            terminations: Interrupts::catch_termination().and_then(caught),
        };
    }

    pub(super) fn poll_caught(&mut self, cx: &mut Context<'_>) -> bool {
        let Signals {
            interrupts,
            terminations,
        } = &mut self.signals;
        let mut count = |caught: &mut Option<Caught>| {
            let count = caught.as_mut().map_or(Poll::Pending, |one| one.poll(cx));
            if count == Poll::Ready(0) {
                *caught = None;
                return Poll::Pending;
            }
            count
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
