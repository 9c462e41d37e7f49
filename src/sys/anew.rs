//! Pipes that somebody else has opened, opened once more.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};

/// The same pipe under an open file description of our own: it may be set non-blocking without
/// touching those of whoever shares the inherited one. Only Linux can do this, and only for pipes,
/// with `/proc` in place.
pub(super) fn open_anew(fd: &impl AsFd, access: OFlags) -> Option<OwnedFd> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return None;
    }
    let fd = fd.as_fd();
    let kind = FileType::from_raw_mode(fstat(fd).ok()?.st_mode);
    if kind != FileType::Fifo {
        return None;
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // Non-blocking from the start: the open itself would wait for the other end of a named pipe.
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use rustix::fs::{CWD, mkfifoat};

    use super::*;

    #[test]
    fn opening_a_named_pipe_anew_waits_for_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        // The one that is opened anew, with nobody at the other end; whether that can be done.
        for (access, there) in [(OFlags::RDONLY, true), (OFlags::WRONLY, false)] {
            let path = dir.path().join(format!("{access:?}"));
            mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("made");
            let open = |access| open(&path, access, Mode::empty());
            let both = open(OFlags::RDWR).expect("never waits");
            let end = open(access).expect("the other end is there");
            drop(both);
            let (done, opened) = mpsc::channel();
            thread::spawn(move || done.send(open_anew(&end, access).is_some()));
            let limit = Duration::from_secs(20);
            assert_eq!(opened.recv_timeout(limit), Ok(there), "{access:?}");
        }
    }
}
