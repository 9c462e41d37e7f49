//! A host's caretaker: a small process that outlives the host by a moment and removes the directories that
//! it leaves.
//!
//! There is one for a process, begun with the first directory that is to be gone whatever becomes of that.
//! It is told of each directory *before* that is made, so that there is no moment in which one would be
//! forgotten, and waits for the end of its host by a pidfd. As a [guard](crate::guard) it is what was forked
//! and makes system calls alone; it is nobody's child whom the host waits for.

mod rooms;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process;
use std::sync::LazyLock;
use std::thread;

use outboard_core::lock::{Mutex, Rank};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
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

/// How long it may take to have room for a word: far longer than one that runs needs. (A choice.)
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// What tells the caretaker of this process of directories. One that has ended, as somebody may kill it, is
/// replaced when it is told something, and the next one is told of all.
#[derive(Clone, Debug)]
pub struct Caretaker(());

/// The caretaker, of which the host remembers what that has in charge.
#[derive(Debug)]
struct Begun {
    /// Who has begun it: a process that was forked has none.
    process: u32,
    control: OwnedFd,
    rooms: BTreeMap<Vec<u8>, Word>,
    /// What it was not told yet, in order.
    unsaid: VecDeque<(Word, Vec<u8>)>,
}

static BEGUN: LazyLock<Mutex<Option<Begun>>> = LazyLock::new(|| Mutex::new(Rank::Process, None));

impl Caretaker {
    /// That of this process, which begins now if there is none.
    ///
    /// # Errors
    /// The system's, unchanged: there is no process to be had, or no pidfd (Linux 5.4 has them).
    pub fn of_this_process() -> io::Result<Self> {
        of_this_process(&mut BEGUN.lock())?;
        Ok(Self(()))
    }

    /// A directory is about to be made at this path. If this process ends now, it is removed, if it is empty.
    ///
    /// # Errors
    /// `InvalidFilename` for a path that is longer than one of a socket may be; otherwise the system's, if the
    /// caretaker has ended and no other one can be begun; `WouldBlock` if it takes nothing for 100 ms, as
    /// one that somebody has stopped.
    pub fn expect(&self, path: &Path) -> io::Result<()> {
        self.say(Word::Expect, path)
    }

    /// That was made, and is this process's. If this process ends now, it is removed with all that is in it.
    ///
    /// # Errors
    /// As those of [`expect`](Self::expect).
    pub fn keep(&self, path: &Path) -> io::Result<()> {
        self.say(Word::Keep, path)
    }

    /// It is gone, was never made, or is no affair of this process any more.
    pub fn forget(&self, path: &Path) {
        if let Err(error) = self.say(Word::Forget, path) {
            let path = path.display();
            tracing::debug!(%path, %error, "who removes directories is not told of it yet");
        }
    }

    #[expect(clippy::unused_self, reason = "who has one has begun it")]
    fn say(&self, word: Word, path: &Path) -> io::Result<()> {
        let path = path.as_os_str().as_bytes();
        if path.len() > rooms::LONGEST {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let mut begun = BEGUN.lock();
        let begun = of_this_process(&mut begun)?;
        let told = begun.say(word, path);
        if told.is_err() && word != Word::Forget {
            begun.rooms.remove(path);
            begun.unsaid.retain(|(_, unsaid)| unsaid != path);
        }
        told
    }
}

fn of_this_process(begun: &mut Option<Begun>) -> io::Result<&mut Begun> {
    let this = process::id();
    let ours = begun.take_if(|begun| begun.process == this);
    let ours = match ours {
        Some(ours) => ours,
        None => Begun {
            process: this,
            control: begin_elsewhere()?,
            rooms: BTreeMap::new(),
            unsaid: VecDeque::new(),
        },
    };
    Ok(begun.insert(ours))
}

impl Begun {
    fn say(&mut self, word: Word, path: &[u8]) -> io::Result<()> {
        match word {
            Word::Forget => drop(self.rooms.remove(path)),
            word => drop(self.rooms.insert(path.to_vec(), word)),
        }
        self.unsaid.push_back((word, path.to_vec()));
        match self.flush() {
            Ok(()) => Ok(()),
            Err(Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            Err(_ended) => {
                self.control = begin_elsewhere()?;
                let all = self.rooms.iter();
                self.unsaid = all.map(|(path, word)| (*word, path.clone())).collect();
                self.flush().map_err(io::Error::from)
            }
        }
    }

    /// Tells what was not told yet.
    fn flush(&mut self) -> Result<(), Errno> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        while let Some((word, path)) = self.unsaid.front() {
            let mut message = [0; 1 + rooms::LONGEST];
            message[0] = word.byte();
            message[1..=path.len()].copy_from_slice(path);
            match send(&self.control, &message[..=path.len()], flags) {
                Ok(_) => drop(self.unsaid.pop_front()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut room = [PollFd::new(&self.control, PollFlags::OUT)];
                    if poll(&mut room, Some(&PATIENCE)) == Ok(0) {
                        return Err(Errno::AGAIN);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// On a thread of its own, since the process goes on with the stack of the thread that forks.
fn begin_elsewhere() -> io::Result<OwnedFd> {
    let starting = thread::Builder::new()
        .name("outboard-care".to_owned())
        .stack_size(STACK)
        .spawn(begin)?;
    let gone = |_| io::Error::other("the thread that begins the caretaker has panicked");
    starting.join().map_err(gone)?
}

/// Forks it, twice: what is left is nobody's child here.
fn begin() -> io::Result<OwnedFd> {
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
    Ok(ours)
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
    use std::os::unix::fs::symlink;
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::PathBuf;

    use rustix::process::{Signal, kill_process};

    use super::*;

    #[test]
    fn long_paths_are_refused() {
        let one = Caretaker::of_this_process().expect("begins");
        let long = "/x".repeat(rooms::LONGEST);
        let refused = one.expect(Path::new(&long)).map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::InvalidFilename));
    }

    /// The caretakers of a process whose environment has this directory.
    fn caretakers(dir: &Path) -> Vec<Pid> {
        let named = |pid: &Pid| {
            let read = |file| fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero()));
            let comm = read("comm").unwrap_or_default();
            let environ = read("environ").unwrap_or_default();
            comm.strip_suffix(b"\n") == Some(CARETAKER.to_bytes())
                && String::from_utf8_lossy(&environ).contains(&dir.display().to_string())
        };
        let processes = fs::read_dir("/proc").expect("a list").flatten();
        let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        pids.filter_map(Pid::from_raw).filter(named).collect()
    }

    /// Runs this test again as a host with a directory, which is to end by itself.
    fn host(test: &str, variable: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("outboard-{test}-{}", process::id()));
        fs::create_dir(&dir).expect("made");
        let program = std::env::current_exe().expect("a path");
        let output = process::Command::new(program)
            .args([
                "--exact",
                &format!("caretaker::tests::{test}"),
                "--nocapture",
            ])
            .env(variable, &dir)
            .output()
            .expect("starts");
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{output:?}");
        dir
    }

    fn wait_until(what: impl Fn() -> bool) {
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !what() {
            assert!(
                std::time::Instant::now() < limit,
                "it does not come to that"
            );
            thread::yield_now();
        }
    }

    #[test]
    fn one_that_was_killed_is_replaced() {
        const DIR: &str = "OUTBOARD_TEST_REPLACED";
        if let Some(dir) = std::env::var_os(DIR) {
            let dir = Path::new(&dir);
            let caretaker = Caretaker::of_this_process().expect("begins");
            let make = |name| {
                let path = dir.join(name);
                caretaker.expect(&path).expect("told");
                fs::create_dir(&path).expect("made");
                caretaker.keep(&path).expect("told");
                fs::write(path.join("file"), "").expect("made");
            };
            make("before");
            make("left");
            wait_until(|| caretakers(dir).len() == 1);
            let killed = caretakers(dir)[0];
            kill_process(killed, Signal::KILL).expect("it runs");
            wait_until(|| !caretakers(dir).contains(&killed));
            caretaker.forget(&dir.join("left"));
            make("after");
            kill_process(getpid(), Signal::KILL).expect("ends");
        }
        let dir = host("one_that_was_killed_is_replaced", DIR);
        wait_until(|| !dir.join("before").exists() && !dir.join("after").exists());
        assert!(dir.join("left/file").exists(), "it was forgotten");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn one_that_was_stopped_holds_nobody_up_and_is_told_afterwards() {
        const DIR: &str = "OUTBOARD_TEST_STOPPED";
        if let Some(dir) = std::env::var_os(DIR) {
            let dir = Path::new(&dir);
            let caretaker = Caretaker::of_this_process().expect("begins");
            let (kept, left) = (dir.join("kept"), dir.join("left"));
            for path in [&kept, &left] {
                fs::create_dir(path).expect("made");
                caretaker.keep(path).expect("told");
            }
            fs::write(left.join("file"), "").expect("made");
            wait_until(|| caretakers(dir).len() == 1);
            let stopped = caretakers(dir)[0];
            kill_process(stopped, Signal::STOP).expect("it runs");
            let full = (0..).find_map(|number| {
                let path = dir.join(number.to_string());
                caretaker.expect(&path).err()
            });
            let kind = full.map(|error| error.kind());
            assert_eq!(kind, Some(io::ErrorKind::WouldBlock));
            caretaker.forget(&left);
            kill_process(stopped, Signal::CONT).expect("it is there");
            let late = dir.join("late");
            caretaker.expect(&late).expect("it takes what there is");
            fs::create_dir(&late).expect("made");
            assert_eq!(caretakers(dir), [stopped]);
            kill_process(getpid(), Signal::KILL).expect("ends");
        }
        let name = "one_that_was_stopped_holds_nobody_up_and_is_told_afterwards";
        let dir = host(name, DIR);
        wait_until(|| !dir.join("kept").exists() && !dir.join("late").exists());
        assert!(dir.join("left/file").exists(), "it was forgotten");
        fs::remove_dir_all(dir).expect("removed");
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
                if name == "kept" {
                    fs::create_dir_all(path.join("deeper/and/deeper")).expect("made");
                    fs::write(path.join("deeper/and/file"), "").expect("made");
                    symlink(dir, path.join("deeper/link")).expect("made");
                }
            }
            caretaker.forget(&dir.join("forgotten"));
            kill_process(getpid(), Signal::KILL).expect("ends");
        }
        let dir = host("what_is_left_goes_with_the_process", DIR);
        wait_until(|| !dir.join("kept").exists() && !dir.join("expected").exists());
        assert!(dir.join("expected-full/file").exists(), "somebody else's");
        assert!(dir.join("forgotten/file").exists());
        fs::remove_dir_all(dir).expect("removed");
    }
}
