//! What the process of a plugin still has to say when it ends by itself: a host that got no
//! handshake line is told why, and text on stderr that was not sent goes to the log.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use outboard_core::handshake::Refusal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::stdio::{Events, write_log};
use super::{cleanup, sigpipe};

/// Nothing of others is called under this lock, and it is never held for longer than a write.
static STATE: Mutex<Option<State>> = Mutex::new(None);
static HOOK: OnceLock<bool> = OnceLock::new();

struct State {
    /// The process that it is about: one that forked has its parent's state, too.
    pid: u32,
    /// The original one, until the handshake line, or what stands in its place, is out: whoever holds
    /// it longer keeps the host from seeing its end.
    stdout: Option<File>,
    /// The last panic, in short.
    panicked: Option<String>,
    /// The pipe behind the captured descriptor 2, unless that is the host's.
    stderr: Option<PipeReader>,
    events: Arc<dyn Events>,
}

/// The plugin has claimed its streams.
pub(super) fn begin(stdout: File, stderr: Option<PipeReader>, events: Arc<dyn Events>) {
    HOOK.get_or_init(|| cleanup::at_exit(at_exit));
    let state = State {
        pid: std::process::id(),
        stdout: Some(stdout),
        panicked: None,
        stderr,
        events,
    };
    let before = lock().replace(state);
    drop(before);
}

/// The handshake line is being written: from now on nothing is said in its place.
pub(super) fn announced() {
    let stdout = lock().as_mut().and_then(|state| state.stdout.take());
    drop(stdout);
}

/// Tells the host on the original stdout why there will be no handshake line, unless there was one.
pub(crate) fn refuse(reason: &str) {
    if let Some(state) = &mut *lock() {
        state.refuse(reason);
    }
}

/// Notes a panic, as a reason for an end without a handshake line.
pub(crate) fn panicked(message: &str) {
    if let Some(state) = &mut *lock() {
        state.panicked = Some(message.to_owned());
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// What is queued, then what nobody has read yet.
    fn log_unsent(&mut self) {
        /// A pipe's worth and more: who still prints meanwhile is not waited for.
        const READS: usize = 16;
        let Some(stderr) = &mut self.stderr else {
            // The host has it, or gets it.
            return;
        };
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..READS {
            log_queued(&*self.events);
            let now = Timespec::default();
            let mut fds = [PollFd::new(stderr, PollFlags::IN)];
            if !matches!(poll(&mut fds, Some(&now)), Ok(1)) {
                break;
            }
            match stderr.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    let _unread = write_log(&buffer[..count]);
                }
            }
        }
        // The watching thread may have read a piece and not queued it yet, which takes no time.
        std::thread::sleep(Duration::from_millis(1));
        log_queued(&*self.events);
    }

    fn refuse(&mut self, reason: &str) {
        if self.pid != std::process::id() {
            return;
        }
        if let Some(mut stdout) = self.stdout.take() {
            // Without a reader there is nobody to tell.
            let line = Refusal::new(reason).to_bytes();
            let _unread = sigpipe::without(|| stdout.write_all(&line));
        }
    }
}

fn log_queued(events: &dyn Events) {
    let unsent = events.unsent_stderr();
    if !unsent.is_empty() {
        // Without a reader there is nobody to tell.
        let _unread = write_log(&unsent);
    }
}

/// Called by `exit` and by returning from `main`, while other threads may hold any lock.
extern "C" fn at_exit() {
    let state = match STATE.try_lock() {
        Ok(mut state) => state.take(),
        Err(TryLockError::Poisoned(state)) => state.into_inner().take(),
        Err(TryLockError::WouldBlock) => None,
    };
    let Some(mut state) = state else { return };
    if state.pid != std::process::id() {
        return;
    }
    state.log_unsent();
    let reason = match state.panicked.take() {
        Some(panic) => format!("it panicked: {panic}"),
        None => "its program ended before it served; what it wrote on stderr may tell why".into(),
    };
    state.refuse(&reason);
}
