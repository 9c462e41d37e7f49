//! What the process of a plugin still has to say when it ends by itself: a host that got no
//! handshake line is told why, and text on stderr that was not sent goes to the log.

use std::fs::File;
use std::io::{ErrorKind, PipeReader, Read as _, Write as _};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use outboard_core::handshake::Refusal;

use super::events::Events;
use super::stdio::write_log;
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
    /// The pipe behind the captured descriptor 2, unless that is the host's. Never blocking: the watching
    /// thread reads it, too.
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
    /// What is queued, then what nobody has read yet, and what is just being queued.
    fn log_unsent(&mut self, log: &mut dyn FnMut(&[u8])) {
        /// A pipe's worth and more: who still prints meanwhile is not waited for.
        const READS: usize = 16;
        let Some(stderr) = &mut self.stderr else {
            // The host has it, or gets it.
            return;
        };
        let mut buffer = vec![0; 64 * 1024];
        for _ in 0..READS {
            log_queued(&*self.events, log);
            match stderr.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nothing is there: the pipe is not waited for.
                Ok(0) | Err(_) => break,
                Ok(count) => log(&buffer[..count]),
            }
        }
        until_queued();
        log_queued(&*self.events, log);
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

fn log_queued(events: &dyn Events, log: &mut dyn FnMut(&[u8])) {
    let unsent = events.unsent_stderr();
    if !unsent.is_empty() {
        log(&unsent);
    }
}

/// How long the exit waits for [`InHand`] to be dropped. (A choice: it takes no time, unless the queue
/// is full of what was printed on stdout.)
const QUEUED_WITHIN: Duration = Duration::from_millis(100);

/// How many pieces of what was printed watching threads have in hand. Held for as long as it takes to
/// look, also at the exit.
static IN_HAND: Mutex<u32> = Mutex::new(0);
static QUEUED: Condvar = Condvar::new();

/// What is read while this exists is queued before it is dropped.
pub(super) struct InHand(());

impl InHand {
    pub(super) fn begin() -> Self {
        *IN_HAND.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        *IN_HAND.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        QUEUED.notify_all();
    }
}

/// Waits until what was read from the pipe is in the queue.
fn until_queued() {
    let in_hand = IN_HAND.lock().unwrap_or_else(PoisonError::into_inner);
    let _late = QUEUED.wait_timeout_while(in_hand, QUEUED_WITHIN, |count| *count > 0);
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
    state.log_unsent(&mut |bytes| {
        // Without a reader there is nobody to tell.
        let _unread = write_log(bytes, false);
    });
    let reason = match state.panicked.take() {
        Some(panic) => format!("it panicked: {panic}"),
        None => "its program ended before it served; what it wrote on stderr may tell why".into(),
    };
    state.refuse(&reason);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::sys::events::Stream;

    /// Where the watching thread queues what it has read. Says when somebody looks.
    struct Queue(Mutex<Vec<u8>>, mpsc::Sender<()>);

    impl Events for Queue {
        fn printed(&self, _: Stream, bytes: &[u8]) {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
        }

        fn host_gone(&self) -> Option<Duration> {
            None
        }

        fn orphaned(&self) {}

        fn released(&self) -> bool {
            false
        }

        fn unsent_stderr(&self) -> Vec<u8> {
            let _over = self.1.send(());
            std::mem::take(&mut self.0.lock().expect("no panic"))
        }
    }

    #[test]
    fn what_is_just_being_queued_is_waited_for() {
        let (looks, looked) = mpsc::channel();
        let queue = Arc::new(Queue(Mutex::default(), looks));
        let (stderr, mut printing) = std::io::pipe().expect("a pipe");
        rustix::io::ioctl_fionbio(&stderr, true).expect("a pipe");
        printing.write_all(b"in the pipe, ").expect("room");
        let mut state = State {
            pid: std::process::id(),
            stdout: None,
            panicked: None,
            stderr: Some(stderr),
            events: Arc::clone(&queue) as Arc<dyn Events>,
        };
        let (begun, in_hand) = mpsc::channel();
        let watching = std::thread::spawn(move || {
            let piece = InHand::begin();
            begun.send(()).expect("waited for");
            // The exit has begun, and found nothing queued.
            looked.recv().expect("it looks");
            looked.recv().expect("it looks again");
            queue.printed(Stream::Stderr, b"in hand");
            drop(piece);
        });
        in_hand.recv().expect("it begins");
        let mut log = Vec::new();
        state.log_unsent(&mut |bytes| log.extend_from_slice(bytes));
        assert_eq!(String::from_utf8_lossy(&log), "in the pipe, in hand");
        watching.join().expect("no panic");
        drop(printing);
    }
}
