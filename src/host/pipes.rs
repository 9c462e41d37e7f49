//! What comes from a process on its pipes, as far as it has any.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_io::AsyncRead as _;
use outboard_core::host::{self as machine, HostInput, Printed};
use outboard_core::rt::BoxReader;

use super::logs::LogPump;
use super::printed::Reading;
use super::shared::Shared;

/// Bytes read at a time. Small: a plugin that logs much is read more often.
const READ_SIZE: usize = 16 * 1024;

/// The reading ends of a process's pipes, and the log that comes from one of them.
pub(super) struct Pipes {
    pub(super) stdout: Option<BoxReader>,
    pub(super) stderr: Option<BoxReader>,
    /// Those for what it prints, if it has some of its own.
    pub(super) printed: Option<Reading>,
    pub(super) logs: LogPump,
    /// Until it serves, what it says on stderr is in the log, too.
    pub(super) starting: bool,
    buffer: Vec<u8>,
}

impl Pipes {
    pub(super) fn new(printed: Option<Reading>, logs: LogPump) -> Self {
        Self {
            stdout: None,
            stderr: None,
            printed,
            logs,
            starting: true,
            buffer: vec![0; READ_SIZE],
        }
    }

    /// The pipes of a process that was just launched. What it has not got has ended.
    pub(super) fn opened(
        &mut self,
        now: Instant,
        machine: &mut machine::Host,
        [stdout, stderr]: [Option<BoxReader>; 2],
    ) {
        if stdout.is_none() {
            machine.handle(now, HostInput::StdoutClosed);
        }
        if stderr.is_none() {
            machine.handle(now, HostInput::StderrClosed);
        }
        (self.stdout, self.stderr) = (stdout, stderr);
    }

    /// Its process has ended: what its pipes hold is all.
    pub(super) fn process_ended(&mut self) {
        if let Some(printed) = &mut self.printed {
            printed.process_ended();
        }
    }

    /// Reads some of each, for the machine and the log. Whether anything came.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        machine: &mut machine::Host,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> bool {
        // Each must be polled, so that all have seen the waker.
        let progress = [
            self.poll_stdout(now, machine, cx),
            self.poll_stderr(now, machine, shared, cx),
            self.poll_printed(now, machine, shared, cx),
        ];
        progress.contains(&true)
    }

    fn poll_stdout(
        &mut self,
        now: Instant,
        machine: &mut machine::Host,
        cx: &mut Context<'_>,
    ) -> bool {
        let Poll::Ready(bytes) = poll_read(&mut self.stdout, &mut self.buffer, cx) else {
            return false;
        };
        machine.handle(
            now,
            bytes.map_or(HostInput::StdoutClosed, HostInput::Stdout),
        );
        true
    }

    fn poll_stderr(
        &mut self,
        now: Instant,
        machine: &mut machine::Host,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> bool {
        if self.logs.is_busy() {
            self.logs.turn(now);
            return true;
        }
        let Poll::Ready(bytes) = poll_read(&mut self.stderr, &mut self.buffer, cx) else {
            return false;
        };
        match bytes {
            Some(bytes) => {
                machine.handle(now, HostInput::Stderr(bytes));
                #[cfg(feature = "netrpc")]
                shared.last_lines.push(bytes);
                #[cfg(not(feature = "netrpc"))]
                let _of_no_use = shared;
                self.logs.stderr(now, bytes);
            }
            None => machine.handle(now, HostInput::StderrClosed),
        }
        true
    }

    fn poll_printed(
        &mut self,
        now: Instant,
        machine: &mut machine::Host,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut progress = false;
        if let Poll::Ready(bytes) = shared.said.poll(cx) {
            let on = Printed::Stderr;
            machine.handle(now, HostInput::Printed { on, bytes: &bytes });
            progress = true;
        }
        let Some(printed) = &mut self.printed else {
            return progress;
        };
        for on in [Printed::Stdout, Printed::Stderr] {
            if on == Printed::Stderr && self.starting && self.logs.is_busy() {
                continue;
            }
            let Poll::Ready(count) = printed.poll_read(on, cx, &mut self.buffer) else {
                continue;
            };
            progress = true;
            let bytes = &self.buffer[..count];
            machine.handle(now, HostInput::Printed { on, bytes });
            if on == Printed::Stderr && self.starting {
                self.logs.early(now, bytes);
            }
        }
        if printed.is_over() {
            self.printed = None;
            machine.handle(now, HostInput::PrintedClosed);
        }
        progress
    }
}

/// What came of one, `None` once at its end. Nothing comes of one that is not there.
fn poll_read<'a>(
    pipe: &mut Option<BoxReader>,
    buffer: &'a mut [u8],
    cx: &mut Context<'_>,
) -> Poll<Option<&'a [u8]>> {
    let Some(open) = pipe else {
        return Poll::Pending;
    };
    loop {
        match Pin::new(&mut *open).poll_read(cx, buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(count)) if count > 0 => return Poll::Ready(Some(&buffer[..count])),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Poll::Ready(_) => {
                *pipe = None;
                return Poll::Ready(None);
            }
        }
    }
}
