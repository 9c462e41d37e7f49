//! Socket files this process made, removed on every way out that can run code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::cleanup;

static MADE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static HOOK: OnceLock<bool> = OnceLock::new();

/// A socket file of this process. Dropping it removes the file; so does the end of the process by
/// `exit` or by returning from `main`, for those that are left then.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl SocketFile {
    /// Takes charge of the file at `path`, which this process has just made.
    pub(crate) fn new(path: PathBuf) -> Self {
        HOOK.get_or_init(|| cleanup::at_exit(remove_at_exit));
        lock().insert(path.clone());
        Self(path)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever takes the name off the list removes the file, so that it happens once: a second
        // removal could hit a file somebody else has made there since.
        if lock().remove(&self.0) {
            remove(&self.0);
        }
    }
}

/// Removes a socket file that a peer, now dead, has left behind; anything but a socket stays.
pub(crate) fn remove_stale_socket(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        let is_socket =
            std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
        // A listener that still answers belongs to a live process, whoever that is.
        if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
            remove(path);
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Removes all that are left, for a process about to end without unwinding.
pub(crate) fn remove_all() {
    for path in std::mem::take(&mut *lock()) {
        remove(&path);
    }
}

extern "C" fn remove_at_exit() {
    // The lock may be held by a thread that will never run again.
    if let Ok(mut made) = MADE.try_lock() {
        for path in std::mem::take(&mut *made) {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    // It may be gone already, which is as good.
    let _gone = std::fs::remove_file(path);
}

fn lock() -> std::sync::MutexGuard<'static, BTreeSet<PathBuf>> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}
