//! Cases that look at the whole process: no other test may run beside them. Linux only, as they
//! read `/proc`.

use crate::support::Run;

/// All of them, one after the other.
pub fn all(run: Run) {
    #[cfg(target_os = "linux")]
    {
        linux::inherited_stdin_is_the_same_descriptor(run);
        linux::nothing_is_left_open(run);
        linux::descriptors_are_not_inherited(run);
        linux::tcp_does_not_delay(run);
        linux::a_peer_that_is_gone_is_no_signal(run);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = run;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::IoSlice;
    use std::os::unix::net::UnixStream;

    use futures_util::{AsyncWrite, AsyncWriteExt as _};
    use outboard_core::rt::{SharedRuntime, Stdin};
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::Errno;
    use rustix::process::{
        PidfdFlags, PidfdGetfdFlags, WaitOptions, getpid, pidfd_getfd, pidfd_open, wait,
    };
    use rustix::stdio::{dup2_stdin, stdin};

    use crate::net::{connected, tcp, unix};
    use crate::support::{self, Run, descriptors, once, ping, read_all, shell, start, try_start};

    /// The very pipe, and still in blocking mode.
    pub(super) fn inherited_stdin_is_the_same_descriptor(run: Run) {
        run.case(|runtime| async move {
            let (reader, _writer) = std::io::pipe().expect("a pipe");
            dup2_stdin(&reader).expect("a descriptor");
            let name = fs::read_link("/proc/self/fd/0").expect("it is open");
            let mut launch = shell("readlink /proc/$$/fd/0");
            launch.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
            launch.stdin = Stdin::Inherit;
            let mut process = start(&runtime, launch).await;
            assert!(process.stdin.is_none());
            let out = String::from_utf8(read_all(&mut process.stdout).await);
            assert_eq!(out.expect("text").trim_end(), name.to_string_lossy());
            let flags = fcntl_getfl(stdin()).expect("it is open");
            assert!(!flags.contains(OFlags::NONBLOCK));
        });
    }

    /// After everything a runtime can do, and giving up in the middle of it.
    pub(super) fn nothing_is_left_open(run: Run) {
        run.case(|runtime| async move {
            // What is made once and kept does not count.
            use_everything(&runtime).await;
            let before = open();
            for _ in 0..10 {
                use_everything(&runtime).await;
            }
            assert_eq!(open(), before);
            assert_eq!(wait(WaitOptions::NOHANG).map(drop), Err(Errno::CHILD));
        });
    }

    /// Whatever the runtime opens is closed in the children of others.
    pub(super) fn descriptors_are_not_inherited(run: Run) {
        let before = open();
        run.case(move |runtime| async move {
            let (_dir, mut by_unix) = unix(&runtime);
            let (_, mut by_tcp) = tcp(&runtime);
            let _streams = [
                connected(&runtime, &mut by_unix).await,
                connected(&runtime, &mut by_tcp).await,
            ];
            let _process = start(&runtime, shell("read line")).await;
            let opened: Vec<u32> = open().difference(&before).copied().collect();
            // Two listeners, two streams of two ends, three pipes.
            assert!(opened.len() >= 9, "{opened:?}");
            for fd in opened {
                let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"));
                let info = info.expect("it is open");
                let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
                let flags = u32::from_str_radix(flags.expect("it has flags").trim(), 8);
                let flags = OFlags::from_bits_retain(flags.expect("octal"));
                assert!(flags.contains(OFlags::CLOEXEC), "{fd} is inherited");
            }
        });
    }

    /// Small messages leave at once, on both sides.
    pub(super) fn tcp_does_not_delay(run: Run) {
        run.case(|runtime| async move {
            let (_, mut listener) = tcp(&runtime);
            let before = open();
            let _streams = connected(&runtime, &mut listener).await;
            let myself = pidfd_open(getpid(), PidfdFlags::empty()).expect("I am alive");
            let delays: Vec<bool> = open()
                .difference(&before)
                .filter_map(|&fd| {
                    let fd = i32::try_from(fd).expect("a descriptor");
                    let copy = pidfd_getfd(&myself, fd, PidfdGetfdFlags::empty()).ok()?;
                    rustix::net::sockopt::tcp_nodelay(&copy).ok()
                })
                .collect();
            assert_eq!(delays, [true, true]);
        });
    }

    /// In a program that has SIGPIPE at its default, as command-line programs set it. The signal
    /// would end this very process.
    pub(super) fn a_peer_that_is_gone_is_no_signal(run: Run) {
        sigpipe_at_default(true);
        run.case(|runtime| async move {
            let (_dir, mut by_unix) = unix(&runtime);
            let (_, mut by_tcp) = tcp(&runtime);
            let long = vec![0; 100_000];
            for vectored in [false, true] {
                for listener in [&mut by_unix, &mut by_tcp] {
                    let (mut near, far) = connected(&runtime, listener).await;
                    drop(far);
                    break_it(&mut near, &long, vectored).await;
                }
                let mut process = start(&runtime, shell("read line")).await;
                process.kill().await;
                support::wait(&mut process).await;
                let mut stdin = process.stdin.take().expect("a pipe was asked for");
                break_it(&mut stdin, &long, vectored).await;
            }
        });
        sigpipe_at_default(false);
    }

    /// Writes until that fails, and once more.
    async fn break_it(
        writer: &mut (impl AsyncWrite + Unpin + ?Sized),
        bytes: &[u8],
        vectored: bool,
    ) {
        let mut errors = 0;
        for _ in 0..1000 {
            let slices = [IoSlice::new(bytes), IoSlice::new(bytes)];
            let written = if vectored {
                writer.write_vectored(&slices).await
            } else {
                writer.write(bytes).await
            };
            errors += u32::from(written.is_err());
            if errors == 2 {
                return;
            }
        }
        panic!("it can be written to without end");
    }

    /// The standard library has it ignored in every program.
    #[allow(unsafe_code)]
    fn sigpipe_at_default(at_default: bool) {
        let action = if at_default {
            libc::SIG_DFL
        } else {
            libc::SIG_IGN
        };
        // SAFETY: neither action is a function.
        unsafe { libc::signal(libc::SIGPIPE, action) };
    }

    async fn use_everything(runtime: &SharedRuntime) {
        let (dir, mut by_unix) = unix(runtime);
        let (_, mut by_tcp) = tcp(runtime);
        for listener in [&mut by_unix, &mut by_tcp] {
            let (mut near, mut far) = connected(runtime, listener).await;
            ping(&mut near, &mut far, b"hello").await;
            let mut begun = runtime.connect(&listener.local().clone());
            let _ = once(|cx| begun.as_mut().poll(cx)).await;
            let _ = once(|cx| listener.poll_accept(cx)).await;
        }
        let missing = outboard_core::endpoint::Endpoint::Unix(dir.path().join("missing"));
        assert!(runtime.connect(&missing).await.is_err());

        let mut process = start(runtime, shell("exit 0")).await;
        support::wait(&mut process).await;
        read_all(&mut process.stdout).await;
        let mut process = start(runtime, shell("read line")).await;
        process.kill().await;
        support::wait(&mut process).await;
        drop(start(runtime, shell("read line")).await);
        let mut launch = shell("exit");
        launch.program = dir.path().join("missing").into();
        assert!(try_start(runtime, launch).await.is_err());

        let (near, _far) = UnixStream::pair().expect("a pair");
        let mut watch = descriptors(runtime).watch(near.into()).expect("a socket");
        assert!(once(|cx| watch.as_mut().poll(cx)).await.is_pending());
    }

    /// The descriptors of this process.
    fn open() -> BTreeSet<u32> {
        let listed: Vec<u32> = fs::read_dir("/proc/self/fd")
            .expect("/proc is readable")
            .map(|entry| entry.expect("/proc is readable").file_name())
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect();
        // One of them was the directory.
        let still = |fd: &u32| fs::read_link(format!("/proc/self/fd/{fd}")).is_ok();
        listed.into_iter().filter(still).collect()
    }
}
