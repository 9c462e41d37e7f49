//! A host's caretaker: a small process that outlives the host by a moment and removes the directories that
//! it leaves.
//!
//! There is one for a process, begun with the first directory that is to be gone whatever becomes of that.
//! It is told of each directory *before* that is made, so that there is no moment in which one would be
//! forgotten, and waits for the end of its host by a pidfd. As a [guard](crate::guard) it is what was forked
//! and makes system calls alone; it is nobody's child whom the host waits for.

mod rooms;

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process;
use std::sync::{Arc, LazyLock};
use std::thread;

use outboard_core::lock::{Mutex, Rank};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::process::{Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, waitpid};

use self::rooms::{Rooms, Word};
use crate::guard::kernel;

/// How long what was left is tried to be removed, in milliseconds: processes that still die may make new
/// sockets there. (A choice: far longer than a killed process lives.)
const TRIES_FOR: u64 = 5_000;
const PAUSE: u64 = 5;

/// The stack of the process: the table of directories is on it.
const STACK: usize = 2 << 20;

/// What the process is called, by which a guard knows it.
pub(crate) const CARETAKER: &CStr = c"outboard-care";

/// What tells the caretaker of this process of directories. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caretaker(Arc<OwnedFd>);

/// The caretaker, and the process that has begun it: one that was forked has none.
type Begun = Option<(u32, Caretaker)>;
static BEGUN: LazyLock<Mutex<Begun>> = LazyLock::new(|| Mutex::new(Rank::Process, None));

impl Caretaker {
    /// That of this process, which begins now if there is none.
    ///
    /// # Errors
    /// The system's, unchanged: there is no process to be had, or no pidfd (Linux 5.4 has them).
    pub fn of_this_process() -> io::Result<Self> {
        let mut begun = BEGUN.lock();
        let this = process::id();
        if let Some((process, caretaker)) = &*begun
            && *process == this
        {
            return Ok(caretaker.clone());
        }
        // On a thread of its own, since the process goes on with the stack of the thread that forks.
        let starting = thread::Builder::new()
            .name("outboard-care".to_owned())
            .stack_size(STACK)
            .spawn(begin)?;
        let gone = |_| io::Error::other("the thread that begins the caretaker has panicked");
        let caretaker = starting.join().map_err(gone)??;
        *begun = Some((this, caretaker.clone()));
        Ok(caretaker)
    }

    /// A directory is about to be made at this path. If this process ends now, it is removed, if it is empty.
    ///
    /// # Errors
    /// `InvalidFilename` for a path that is longer than one of a socket may be; otherwise the system's.
    pub fn expect(&self, path: &Path) -> io::Result<()> {
        self.say(Word::Expect, path)
    }

    /// That was made, and is this process's. If this process ends now, it is removed with the files in it.
    ///
    /// # Errors
    /// As those of [`expect`](Self::expect).
    pub fn keep(&self, path: &Path) -> io::Result<()> {
        self.say(Word::Keep, path)
    }

    /// It is gone, was never made, or is no affair of this process any more.
    pub fn forget(&self, path: &Path) {
        // A caretaker that is gone has forgotten everything.
        let _gone = self.say(Word::Forget, path);
    }

    fn say(&self, word: Word, path: &Path) -> io::Result<()> {
        let path = path.as_os_str().as_bytes();
        if path.len() > rooms::LONGEST {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let mut message = [0; 1 + rooms::LONGEST];
        message[0] = word.byte();
        message[1..=path.len()].copy_from_slice(path);
        send(&*self.0, &message[..=path.len()], SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Forks it, twice: what is left is nobody's child here.
fn begin() -> io::Result<Caretaker> {
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
    let host = getpid();
    let watched = pidfd_open(host, PidfdFlags::empty())?;
    // A handler of the program's is not to run in the copy.
    kernel::block_signals();
    let between = kernel::fork()?;
    let Some(between) = between else {
        // Whoever kills the host's whole group is not to kill the caretaker with it.
        kernel::leave_group();
        if matches!(kernel::fork(), Ok(None)) {
            care(theirs.as_raw_fd(), watched.as_raw_fd());
        }
        kernel::end();
    };
    if let Some(between) = Pid::from_raw(between) {
        // Somebody else in the process may have reaped it, which is as good.
        let _reaped = waitpid(Some(between), WaitOptions::empty());
    }
    Ok(Caretaker(Arc::new(ours)))
}

/// The process itself: system calls alone, on memory of its stack.
fn care(told: i32, host: i32) -> ! {
    kernel::close_all_but(&mut [told, host]);
    kernel::settle(CARETAKER);
    let mut rooms = Rooms::new();
    let mut message = [0; 1 + rooms::LONGEST];
    loop {
        let [word, gone] = kernel::wait([told, host], None);
        // All that was said counts, also what was said last.
        if word {
            match kernel::read(told, &mut message) {
                Some(length @ 1..) => {
                    if let Some(word) = Word::of(message[0]) {
                        rooms.told(word, &message[1..length]);
                    }
                    continue;
                }
                Some(0) | None => break,
            }
        }
        if gone {
            break;
        }
    }
    let begun = kernel::now();
    while rooms.clear(kernel::remove_directory) && kernel::now() < begun + TRIES_FOR {
        kernel::wait([-1], Some(PAUSE));
    }
    kernel::end();
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn there_is_one_for_a_process_and_long_paths_are_refused() {
        let one = Caretaker::of_this_process().expect("begins");
        let same = Caretaker::of_this_process().expect("is there");
        assert!(Arc::ptr_eq(&one.0, &same.0));
        let long = "/x".repeat(rooms::LONGEST);
        let refused = one.expect(Path::new(&long)).map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::InvalidFilename));
    }

    /// Stands for the host: what it was told of goes with it, and nothing else.
    #[test]
    fn what_is_left_goes_with_the_process() {
        const DIR: &str = "OUTBOARD_TEST_CARETAKER";
        if let Some(dir) = std::env::var_os(DIR) {
            let dir = Path::new(&dir);
            let caretaker = Caretaker::of_this_process().expect("begins");
            for name in ["kept", "expected", "expected-full", "forgotten"] {
                let path = dir.join(name);
                caretaker.expect(&path).expect("told");
                fs::create_dir(&path).expect("made");
                if name == "kept" || name == "forgotten" {
                    caretaker.keep(&path).expect("told");
                }
                if name != "expected" {
                    fs::write(path.join("file"), "").expect("made");
                }
            }
            caretaker.forget(&dir.join("forgotten"));
            rustix::process::kill_process(getpid(), rustix::process::Signal::KILL).expect("ends");
        }
        let dir = std::env::temp_dir().join(format!("outboard-care-{}", process::id()));
        fs::create_dir(&dir).expect("made");
        let name = "caretaker::tests::what_is_left_goes_with_the_process";
        let program = std::env::current_exe().expect("a path");
        let mut child = process::Command::new(program)
            .args(["--exact", name])
            .env(DIR, &dir)
            .stdout(process::Stdio::null())
            .spawn()
            .expect("starts");
        child.wait().expect("a child");
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while dir.join("kept").exists() || dir.join("expected").exists() {
            assert!(std::time::Instant::now() < limit, "it is left");
            thread::yield_now();
        }
        assert!(dir.join("expected-full/file").exists(), "somebody else's");
        assert!(dir.join("forgotten/file").exists());
        fs::remove_dir_all(dir).expect("removed");
    }
}
