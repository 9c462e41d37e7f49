//! Descriptors that are watched and not used.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{OFlags, fcntl_getfl};

use crate::support::{Run, descriptors, once};

/// Resolves, and leaves the bytes where they are.
pub fn readable(run: Run) {
    run.case(|runtime| async move {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let watched = near.try_clone().expect("a copy");
        let mut watch = descriptors(&runtime)
            .watch(watched.into())
            .expect("a socket");
        assert!(once(|cx| watch.as_mut().poll(cx)).await.is_pending());
        far.write_all(b"x").expect("open");
        watch.await.expect("it can be watched");
        let mut got = [0];
        (&near).read_exact(&mut got).expect("nothing was read");
        assert_eq!(&got, b"x");

        let watch = descriptors(&runtime).watch(near.into()).expect("a socket");
        drop(far);
        watch.await.expect("it can be watched");
    });
}

/// A pidfd becomes readable; the child is not reaped by that.
pub fn end_of_a_child(run: Run) {
    #[cfg(target_os = "linux")]
    run.case(|runtime| async move {
        use outboard_core::exit::Exit;
        use rustix::process::{Pid, PidfdFlags, pidfd_open};

        use crate::support::{shell, start, wait};

        let mut process = start(&runtime, shell("read line; exit 6")).await;
        let pid = i32::try_from(process.pid()).ok().and_then(Pid::from_raw);
        let pidfd = pidfd_open(pid.expect("a pid"), PidfdFlags::empty()).expect("a child");
        let mut watch = descriptors(&runtime).watch(pidfd).expect("a pidfd");
        assert!(once(|cx| watch.as_mut().poll(cx)).await.is_pending());
        drop(process.stdin.take());
        watch.await.expect("it can be watched");
        assert_eq!(wait(&mut process).await, Exit::Code(6));
    });
    #[cfg(not(target_os = "linux"))]
    let _ = run;
}

/// How a plugin learns that its host is gone. That the pipe can be written is no event.
pub fn writing_end_whose_reader_closes(run: Run) {
    run.case(|runtime| async move {
        let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
        let watched = OwnedFd::from(writer.try_clone().expect("a copy"));
        let mut watch = descriptors(&runtime).watch(watched).expect("a pipe");
        assert!(once(|cx| watch.as_mut().poll(cx)).await.is_pending());
        writer.write_all(b"x").expect("open");
        reader.read_exact(&mut [0]).expect("open");
        // An event that follows all of that in the same reactor.
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let other = descriptors(&runtime).watch(near.into()).expect("a socket");
        far.write_all(b"x").expect("open");
        other.await.expect("it can be watched");
        assert!(once(|cx| watch.as_mut().poll(cx)).await.is_pending());
        drop(reader);
        watch.await.expect("it can be watched");
    });
}

/// They are shared with whoever else has the descriptor.
pub fn flags_stay(run: Run) {
    run.case(|runtime| async move {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let kept = writer.try_clone().expect("a copy");
        let before = fcntl_getfl(kept.as_fd()).expect("open");
        assert!(!before.contains(OFlags::NONBLOCK));
        let mut watch = descriptors(&runtime).watch(writer.into()).expect("a pipe");
        assert!(once(|cx| watch.as_mut().poll(cx)).await.is_pending());
        assert_eq!(fcntl_getfl(kept.as_fd()).expect("open"), before);
        drop(reader);
        watch.await.expect("it can be watched");
        assert_eq!(fcntl_getfl(kept.as_fd()).expect("open"), before);
    });
}

/// An error at once, not a wait without end.
pub fn files_cannot_be_watched(run: Run) {
    #[cfg(target_os = "linux")]
    run.case(|runtime| async move {
        let file: File = tempfile::tempfile().expect("a file");
        let error = descriptors(&runtime)
            .watch(file.into())
            .err()
            .expect("a file has no events");
        assert_eq!(
            rustix::io::Errno::from_io_error(&error),
            Some(rustix::io::Errno::PERM)
        );
    });
    #[cfg(not(target_os = "linux"))]
    let _: (Run, Option<File>) = (run, None);
}
