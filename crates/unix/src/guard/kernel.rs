//! The system calls of a process that was forked from one with threads, where any lock may be held for
//! ever: nothing here allocates, locks, or calls what may.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io::{self, Write as _};
use std::os::fd::RawFd;

use libc::{c_int, c_long, c_uint, pid_t};

/// Blocks every signal for this thread.
pub(crate) fn block_signals() {
    // SAFETY: writes to this stack frame, and changes the mask of this thread alone.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Has what descends from this process become its child when its parent ends.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: a flag of this process, given by numbers alone.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// What can be read when a child has ended. The signal has to be blocked, and not to be ignored.
pub(crate) fn child_signals() -> io::Result<RawFd> {
    // SAFETY: the set is of this stack frame, and the descriptor is a new one.
    check(unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    })
}

/// A child that is a copy of this process; `None` in that one.
///
/// By the system call itself: the C library's `fork` runs what libraries have registered for it, which may
/// wait for locks that nobody will give back here.
pub(crate) fn fork() -> io::Result<Option<pid_t>> {
    let flags: c_long = libc::SIGCHLD.into();
    let none: c_long = 0;
    #[cfg(not(target_arch = "s390x"))]
    let (first, second) = (flags, none);
    #[cfg(target_arch = "s390x")]
    let (first, second) = (none, flags);
    // SAFETY: without a stack and flags of sharing it is a fork: the child has a copy of all memory, and
    // goes on here. It makes system calls alone until it executes another program or ends.
    let child = unsafe { libc::syscall(libc::SYS_clone, first, second, none, none, none) };
    match check(child as c_int)? {
        0 => Ok(None),
        child => Ok(Some(child)),
    }
}

/// Leaves the process group of the host, whose end by a signal that cannot be blocked is not to be this
/// process's own: for a session of its own, or, where it leads a group already, for nothing.
pub(crate) fn leave_group() {
    // SAFETY: no argument, and no memory.
    unsafe { libc::setsid() };
}

/// A pipe: its reading and its writing end.
pub(crate) fn pipe() -> io::Result<[RawFd; 2]> {
    let mut ends = [-1; 2];
    // SAFETY: writes two numbers to this stack frame.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok(ends)
}

/// Closes one of this process's own.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: the caller has made it, and uses it no more.
    unsafe { libc::close(fd) };
}

/// Closes every descriptor but these.
pub(crate) fn close_all_but(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut first: c_uint = 0;
    for fd in kept {
        let fd = fd.cast_unsigned();
        if fd > first {
            close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    close_range(first, c_uint::MAX);
}

/// Where there is no such call (Linux before 5.9), as many as programs usually have.
fn close_range(first: c_uint, last: c_uint) {
    const MANY: c_uint = 65_535;
    // SAFETY: the descriptors are of this process, which uses none of them.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) != 0 {
            for fd in first..=last.min(MANY) {
                libc::close(fd.cast_signed());
            }
        }
    }
}

/// Gives the process a name of its own, and a directory that nobody wants to unmount.
pub(crate) fn settle(name: &CStr) {
    // SAFETY: both strings end with a NUL, and live as long as the calls.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, name.as_ptr());
        libc::chdir(c"/".as_ptr());
    }
}

/// Milliseconds of a clock that only goes forward, and stands still while the machine sleeps.
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to this stack frame.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1000 + nanos / 1_000_000
}

/// Waits until one of these can be read, for so many milliseconds at most. Which can be; a negative
/// descriptor never.
pub(crate) fn wait<const N: usize>(fds: [RawFd; N], patience: Option<u64>) -> [bool; N] {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let patience = patience.map_or(-1, |ms| c_int::try_from(ms).unwrap_or(c_int::MAX));
    // SAFETY: the list is of this stack frame, and as long as is said.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, patience) };
    // A wait that was interrupted has shown nothing.
    polled.map(|one| ready > 0 && one.revents != 0)
}

/// Reads what is there: how many bytes, or none at the end, and not if there is nothing to be read yet.
pub(crate) fn read(fd: RawFd, bytes: &mut [u8]) -> Option<usize> {
    // SAFETY: the buffer is as long as is said.
    let count = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
    usize::try_from(count).ok()
}

/// Sends all of it at once, if the other side is there and has room.
pub(crate) fn send(fd: RawFd, bytes: &[u8]) {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the buffer is as long as is said.
    unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) };
}

/// Sends a signal to a child that was not reaped.
pub(crate) fn kill(child: pid_t, signal: c_int) {
    // SAFETY: numbers alone.
    unsafe { libc::kill(child, signal) };
}

/// What came of looking for a child that has ended.
pub(crate) enum Reaped {
    /// This one has, and how.
    One(pid_t, c_int),
    /// All live.
    None,
    /// There is no child at all.
    Childless,
}

/// Reaps a child that has ended, if there is one.
pub(crate) fn reap() -> Reaped {
    let mut status = 0;
    let options = libc::__WALL | libc::WNOHANG;
    loop {
        // SAFETY: writes to this stack frame.
        let child = unsafe { libc::waitpid(-1, &mut status, options) };
        match child {
            0 => return Reaped::None,
            1.. => return Reaped::One(child, status),
            _ => {
                if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                    return Reaped::Childless;
                }
            }
        }
    }
}

/// Where the system lists the children of the thread that asks.
const CHILDREN: &CStr = c"/proc/thread-self/children";

/// Whether the system tells which children a process has, by the numbers that they have for this one: not
/// where `/proc` is that of another pid namespace, in which they are others, of strangers here.
pub(crate) fn lists_children() -> bool {
    let list = open_list();
    if list >= 0 {
        close(list);
    }
    list >= 0
}

/// The list of this process's children; negative if there is none to be relied on.
fn open_list() -> RawFd {
    let mut name = [0; 16];
    // SAFETY: the path ends with a NUL, and the buffer is as long as is said.
    let length = unsafe {
        let path = c"/proc/self".as_ptr();
        libc::readlink(path, name.as_mut_ptr().cast(), name.len())
    };
    let name = usize::try_from(length).ok().and_then(|end| name.get(..end));
    let number = name.and_then(|name| std::str::from_utf8(name).ok()?.parse::<pid_t>().ok());
    // SAFETY: no argument, and no memory.
    if number != Some(unsafe { libc::getpid() }) {
        return -1;
    }
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path ends with a NUL.
    unsafe { libc::open(CHILDREN.as_ptr(), flags) }
}

/// Kills all children of this process, but for those that are called so. False if the system does not tell
/// which there are.
pub(crate) fn kill_children(spared: Option<&CStr>) -> bool {
    let list = open_list();
    if list < 0 {
        return false;
    }
    let end = |child: pid_t| {
        if child > 0 && !spared.is_some_and(|name| is_called(child, name)) {
            kill(child, libc::SIGKILL);
        }
    };
    let mut bytes = [0; 1024];
    let mut child: pid_t = 0;
    while let Some(count @ 1..) = read(list, &mut bytes) {
        for byte in &bytes[..count] {
            if byte.is_ascii_digit() {
                child = child.wrapping_mul(10).wrapping_add((byte - b'0').into());
            } else {
                end(child);
                child = 0;
            }
        }
    }
    end(child);
    close(list);
    true
}

/// Whether a process has this name, as [`settle`] gives it.
fn is_called(process: pid_t, name: &CStr) -> bool {
    let mut path = [0_u8; 32];
    let mut rest = &mut path[..];
    // Ends with the zeros that are there.
    if write!(rest, "/proc/{process}/comm").is_err() {
        return false;
    }
    // SAFETY: the path ends with a NUL: it is shorter than its buffer.
    let file = unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return false;
    }
    let mut found = [0; 32];
    let length = read(file, &mut found).unwrap_or(0);
    close(file);
    found[..length].strip_suffix(b"\n") == Some(name.to_bytes())
}

/// Removes a directory; with `all`, with what is in it first. The path ends with a NUL. True if nothing
/// of that name is left, or it is not to be had.
pub(crate) fn remove_directory(path: &[u8], all: bool) -> bool {
    let Ok(path) = CStr::from_bytes_until_nul(path) else {
        return true;
    };
    if all {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: the path ends with a NUL.
        let directory = unsafe { libc::open(path.as_ptr(), flags) };
        if directory >= 0 {
            remove_all_in(directory, DEPTH);
            // SAFETY: it is of this function alone.
            unsafe { libc::close(directory) };
        }
    }
    // SAFETY: the path ends with a NUL.
    let removed = unsafe { libc::rmdir(path.as_ptr()) };
    if removed == 0 {
        return true;
    }
    let error = io::Error::last_os_error().raw_os_error();
    // Of one that was only expected, and is not empty, somebody else has charge.
    !(all
        && matches!(
            error,
            Some(libc::ENOTEMPTY | libc::EEXIST | libc::EBUSY | libc::EINTR)
        ))
}

/// Directories in directories are followed so far: each takes its share of the stack. (A choice.)
const DEPTH: u32 = 16;

/// Removes what is in a directory; links are removed and not followed.
fn remove_all_in(directory: RawFd, depth: u32) {
    /// Where in an entry its length and its name are (`struct linux_dirent64`).
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut entries = [0_u8; 4096];
    loop {
        // SAFETY: the buffer is as long as is said.
        let count = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory,
                entries.as_mut_ptr(),
                entries.len(),
            )
        };
        let Ok(count @ 1..) = usize::try_from(count) else {
            return;
        };
        let mut rest = &entries[..count.min(4096)];
        while let Some([low, high]) = rest.get(LENGTH..LENGTH + 2) {
            let length = usize::from(u16::from_ne_bytes([*low, *high]));
            let (Some(entry), Some(next)) = (rest.get(NAME..length), rest.get(length..)) else {
                return;
            };
            if let Ok(name) = CStr::from_bytes_until_nul(entry) {
                remove(directory, name, depth);
            }
            rest = next;
        }
    }
}

/// Removes what has this name in a directory, also a directory with all in it.
fn remove(directory: RawFd, name: &CStr, depth: u32) {
    if [c".", c".."].contains(&name) {
        return;
    }
    // SAFETY: the name ends with a NUL; what it names is not followed.
    let removed = unsafe { libc::unlinkat(directory, name.as_ptr(), 0) };
    if removed == 0 || depth == 0 {
        return;
    }
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: as above.
    let inner = unsafe { libc::openat(directory, name.as_ptr(), flags) };
    if inner >= 0 {
        remove_all_in(inner, depth - 1);
        close(inner);
        // SAFETY: as above.
        unsafe { libc::unlinkat(directory, name.as_ptr(), libc::AT_REMOVEDIR) };
    }
}

/// Ends without what programs do at their end.
pub(crate) fn end() -> ! {
    // SAFETY: it takes a plain number, touches no memory of ours and does not return.
    unsafe { libc::_exit(0) }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        // Made of a number: nothing is allocated.
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
