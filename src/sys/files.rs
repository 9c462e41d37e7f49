//! Socket files this process made, removed on every way out that can run code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::cleanup;
use super::signals::{Caught, ENDING, Shared};

/// The files, and the process that made each: one that forked has its parent's list too, and must
/// leave what is on that alone.
type Made = BTreeMap<PathBuf, u32>;

static MADE: Shared<Made> = Shared::new(Made::new());
static HOOK: OnceLock<bool> = OnceLock::new();

/// A socket file of this process. Dropping it removes the file; so does the end of the process by
/// `exit`, by returning from `main`, or by a signal that asks for it, for those that are left then.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    _caught: Caught,
}

impl SocketFile {
    /// Takes charge of the file at `path`, which this process has just made.
    pub(crate) fn new(path: PathBuf) -> Self {
        HOOK.get_or_init(|| cleanup::at_exit(at_exit));
        MADE.with(|made| made.insert(path.clone(), std::process::id()));
        Self {
            path,
            _caught: Caught::new(&ENDING),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever takes the name off the list removes the file, so that it happens once: a second
        // removal could hit a file somebody else has made there since.
        let maker = MADE.with(|made| made.remove(&self.path));
        if maker == Some(std::process::id()) {
            remove(&self.path);
        }
    }
}

/// Removes a socket file that a peer, now dead, has left behind; anything but a socket stays, and
/// any socket that may be in use. Never blocks on whoever listens: the peer chose the path.
pub(crate) fn remove_stale_socket(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        let is_socket =
            std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
        if is_socket && super::socket::is_dead(path) {
            remove(path);
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

extern "C" fn at_exit() {
    try_remove_all();
}

/// Removes all that are left, for a process about to end without unwinding. Waits for nobody, and
/// may be called by a handler of a signal: nothing is allocated or freed.
pub(crate) fn try_remove_all() {
    let own = std::process::id();
    let _held = MADE.try_with(|made| {
        for (path, maker) in made {
            // The name stays on the list, with nobody as its maker.
            if std::mem::take(maker) == own {
                remove(path);
            }
        }
    });
}

fn remove(path: &Path) {
    // It may be gone already, which is as good.
    let _gone = std::fs::remove_file(path);
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    #[test]
    fn only_a_socket_that_nobody_holds_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let live = UnixListener::bind(at("live")).expect("binds");
        let datagrams = UnixDatagram::bind(at("datagrams")).expect("binds");
        drop(UnixListener::bind(at("dead")).expect("binds"));
        let address = SocketAddrUnix::new(at("early")).expect("short");
        let early = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None);
        let early = early.expect("a socket");
        rustix::net::bind(&early, &address).expect("binds, and does not listen yet");
        std::fs::write(at("file"), "text").expect("written");
        std::os::unix::fs::symlink(at("dead"), at("link")).expect("linked");
        for name in ["live", "early", "datagrams", "file", "link", "dead"] {
            remove_stale_socket(&at(name));
            let there = std::fs::symlink_metadata(at(name)).is_ok();
            assert_eq!(there, name != "dead", "{name}");
        }
        drop((live, early, datagrams));
    }

    #[test]
    fn a_listener_that_accepts_nobody_does_not_hold_up_the_host() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("busy");
        let _busy = UnixListener::bind(&path).expect("binds");
        let (connected, one) = std::sync::mpsc::channel();
        let filling = path.clone();
        // Until the backlog is full; then the thread blocks and ends with the test.
        std::thread::spawn(move || {
            let mut connections = Vec::new();
            while let Ok(connection) = UnixStream::connect(&filling) {
                connections.push(connection);
                if connected.send(()).is_err() {
                    return;
                }
            }
        });
        while one
            .recv_timeout(std::time::Duration::from_millis(500))
            .is_ok()
        {}
        let (done, returned) = std::sync::mpsc::channel();
        let looking = path.clone();
        std::thread::spawn(move || {
            remove_stale_socket(&looking);
            let _over = done.send(());
        });
        let limit = std::time::Duration::from_secs(20);
        returned.recv_timeout(limit).expect("it does not wait");
        assert!(path.exists());
    }
}
