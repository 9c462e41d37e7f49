//! Socket files and named pipes this process made, and the directories for them, removed on every way out that can
//! run code.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::cleanup;
use super::signals::{self, Caught, ENDING, Shared};

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
    /// If a signal that ends the process has it removed.
    caught: Option<Caught>,
}

impl SocketFile {
    /// Takes charge of the file at `path`, which this process has just made.
    pub(crate) fn new(path: PathBuf) -> Self {
        install_hooks();
        MADE.with(|made| made.insert(path.clone(), Entry::new(Kind::File)));
        Self {
            path,
            caught: Some(Caught::new(&ENDING)),
        }
    }

    /// The same, which no signal is caught for: in a program whose signals are its own affair.
    #[must_use]
    pub(crate) fn without_signals(mut self) -> Self {
        self.caught = None;
        self
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
        install_hooks();
        MADE.with(|made| made.insert(path.clone(), Entry::new(Kind::File)));
        Self { path }
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        give_back(&self.path);
    }
}

/// A directory that is removed, if it is empty, when this is dropped and when the process ends by
/// `exit` or by returning from `main`.
#[derive(Debug)]
pub(crate) struct EmptyDir {
    path: PathBuf,
    /// If a signal that ends the process has it removed, too.
    _caught: Option<Caught>,
}

impl EmptyDir {
    /// Takes charge of the directory at `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        install_hooks();
        MADE.with(|made| made.insert(path.clone(), Entry::new(Kind::Directory)));
        Self {
            path,
            _caught: None,
        }
    }

    /// Has it go as a [`SocketFile`] does, also where there is none that has signals caught.
    pub(crate) fn on_signals(mut self) -> Self {
        self._caught = Some(Caught::new(&ENDING));
        self
    }
}

impl Drop for EmptyDir {
    fn drop(&mut self) {
        give_back(&self.path);
    }
}

/// Has what is left removed on every way out.
fn install_hooks() {
    HOOK.get_or_init(|| {
        signals::before_end(try_remove_all);
        cleanup::at_exit(at_exit)
    });
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
#[allow(unsafe_code)]
mod tests {
    use rustix::process::{Pid, WaitOptions, waitpid};

    use super::SocketFile;

    #[test]
    fn a_child_that_forked_and_exits_leaves_its_parents_files_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        std::fs::write(&path, "").expect("made");
        let file = SocketFile::new(path.clone());
        // SAFETY: the child does nothing but end, with the hooks that this is about.
        let child = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::exit(0);
            }
            child
        };
        let child = Pid::from_raw(child).expect("it forks");
        let ended = waitpid(Some(child), WaitOptions::empty()).expect("a child");
        let (_, status) = ended.expect("it has ended");
        assert_eq!(status.exit_status(), Some(0));
        assert!(path.exists());
        drop(file);
        assert!(!path.exists());
    }
}
