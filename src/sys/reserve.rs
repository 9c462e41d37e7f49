//! One file descriptor of the process, held for the case that all others are used up.

use std::io;

use outboard_core::lock::{Mutex, Rank};

#[cfg(unix)]
type Descriptor = std::os::unix::net::UnixDatagram;
/// Handles are not counted there, so that there is none of these.
#[cfg(not(unix))]
#[derive(Debug)]
enum Descriptor {}

#[derive(Debug)]
struct State {
    users: usize,
    held: Option<Descriptor>,
}

static STATE: Mutex<State> = Mutex::new(
    Rank::Process,
    State {
        users: 0,
        held: None,
    },
);

/// While one of these lives, the process holds one descriptor that it needs for nothing else.
#[derive(Debug)]
pub(crate) struct Reserve(());

impl Reserve {
    pub(crate) fn keep() -> Self {
        STATE.lock().users += 1;
        let reserve = Self(());
        reserve.refill();
        reserve
    }

    /// Does something with one descriptor more, which must be free again afterwards.
    pub(crate) fn lend<R>(&self, attempt: impl FnOnce() -> R) -> R {
        let held = STATE.lock().held.take();
        drop(held);
        let outcome = attempt();
        self.refill();
        outcome
    }

    fn refill(&self) {
        // Whoever was faster has it. It is tried again the next time.
        let Some(new) = descriptor() else { return };
        let mut state = STATE.lock();
        let surplus = state.held.replace(new);
        drop(state);
        drop(surplus);
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        let mut state = STATE.lock();
        state.users -= 1;
        let last = if state.users == 0 {
            state.held.take()
        } else {
            None
        };
        drop(state);
        drop(last);
    }
}

/// Needs no file system and no other end.
fn descriptor() -> Option<Descriptor> {
    #[cfg(unix)]
    return Descriptor::unbound().ok();
    #[cfg(not(unix))]
    None
}

/// Whether this error says that the process, or the system, has no descriptor left.
pub(crate) fn is_used_up(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let code = error.raw_os_error();
        [Errno::MFILE, Errno::NFILE]
            .iter()
            .any(|errno| code == Some(errno.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}
