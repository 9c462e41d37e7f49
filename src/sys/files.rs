//! Socket files and named pipes this process made, and the directories for them, removed on every way out that can
//! run code.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::cleanup;
use super::signals::{Caught, ENDING, Shared};

/// What was made, and how it is removed. What is in a directory comes behind it.
type Made = BTreeMap<PathBuf, Entry>;

struct Entry {
    /// The process that has charge of it: one that forked has its parent's list too, and must leave
    /// what is on that alone.
    maker: u32,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// A socket or a pipe.
    File,
    /// Removed only if it is empty.
    Directory,
}

impl Entry {
    fn new(kind: Kind) -> Self {
        let maker = std::process::id();
        Self { maker, kind }
    }
}

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
        MADE.with(|made| made.insert(path.clone(), Entry::new(Kind::File)));
        Self {
            path,
            _caught: Caught::new(&ENDING),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        give_back(&self.path);
    }
}

/// A file of this process that the other side removes, too, and that signals therefore need not be
/// caught for. Dropping it removes it, and so does the end of the process by `exit` or by returning
/// from `main`.
#[derive(Debug)]
pub(crate) struct OwnFile {
    path: PathBuf,
}

impl OwnFile {
    /// Takes charge of the file at `path`, which this process has just made.
    pub(crate) fn new(path: PathBuf) -> Self {
        HOOK.get_or_init(|| cleanup::at_exit(at_exit));
        MADE.with(|made| made.insert(path.clone(), Entry::new(Kind::File)));
        Self { path }
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        give_back(&self.path);
    }
}

/// A directory that is removed, if it is empty, when this is dropped and when the process ends as it
/// does for a [`SocketFile`].
#[derive(Debug)]
pub(crate) struct EmptyDir {
    path: PathBuf,
}

impl EmptyDir {
    /// Takes charge of the directory at `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        HOOK.get_or_init(|| cleanup::at_exit(at_exit));
        MADE.with(|made| made.insert(path.clone(), Entry::new(Kind::Directory)));
        Self { path }
    }
}

impl Drop for EmptyDir {
    fn drop(&mut self) {
        give_back(&self.path);
    }
}

fn give_back(path: &Path) {
    // Whoever takes the name off the list removes the file, so that it happens once: a second
    // removal could hit a file somebody else has made there since.
    let entry = MADE.with(|made| made.remove(path));
    if let Some(entry) = entry.filter(|entry| entry.maker == std::process::id())
        && remove(path, entry.kind).is_err_and(|e| e.kind() == ErrorKind::DirectoryNotEmpty)
    {
        // What is in it may go before the process ends.
        MADE.with(|made| made.insert(path.to_owned(), entry));
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
            // Or removed by somebody else meanwhile.
            let _gone = remove(path, Kind::File);
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
        for (path, entry) in made.iter_mut().rev() {
            // The name stays on the list, with nobody as its maker.
            if std::mem::take(&mut entry.maker) == own {
                // It may be gone already, which is as good.
                let _gone = remove(path, entry.kind);
            }
        }
    });
}

fn remove(path: &Path, kind: Kind) -> std::io::Result<()> {
    match kind {
        Kind::File => std::fs::remove_file(path),
        Kind::Directory => std::fs::remove_dir(path),
    }
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
