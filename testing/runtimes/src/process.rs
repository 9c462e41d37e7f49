//! Child processes. The children are `/bin/sh`, which waits for input where it must stay alive.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use outboard_core::exit::Exit;
use outboard_core::rt::{Launch, SharedRuntime, Stdin};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::support::{
    Process, Run, block_on, elsewhere, once, read_all, shell, start, try_start, wait,
};

const KILLED: Exit = Exit::Signal {
    signal: 9,
    core_dumped: false,
};

/// Empty, with blanks, special to a shell, not UTF-8.
pub fn arguments_arrive_as_given(run: Run) {
    run.case(|runtime| async move {
        let odd = OsString::from_vec(vec![0xff, b'x']);
        let mut launch = shell(r#"printf '<%s>' "$@""#);
        launch
            .args
            .extend(["sh", "a b", "", "*", "$HOME"].map(OsString::from));
        launch.args.push(odd);
        let mut process = start(&runtime, launch).await;
        let out = read_all(&mut process.stdout).await;
        assert_eq!(out, b"<a b><><*><$HOME><\xffx>");
        assert_eq!(wait(&mut process).await, Exit::Code(0));
    });
}

/// Nothing is inherited, nothing is added.
pub fn environment_is_exactly_the_given_one(run: Run) {
    run.case(|runtime| async move {
        let odd = OsString::from_vec(vec![0xff, b'=', b'"']);
        let mut launch = Launch::new("/usr/bin/env");
        launch.env = vec![("FIRST".into(), "a b".into()), ("SECOND".into(), odd)];
        launch.stdin = Stdin::Null;
        let mut process = start(&runtime, launch).await;
        let out = read_all(&mut process.stdout).await;
        let mut lines: Vec<&[u8]> = out.split_inclusive(|&byte| byte == b'\n').collect();
        lines.sort_unstable();
        assert_eq!(lines, [&b"FIRST=a b\n"[..], b"SECOND=\xff=\"\n"]);
    });
}

/// The parent's own stays as it is.
pub fn directory_is_the_given_one(run: Run) {
    run.case(|runtime| async move {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().canonicalize().expect("it exists");
        let before = std::env::current_dir().expect("there is one");
        let mut launch = shell("pwd -P");
        launch.dir = Some(dir.clone());
        let mut process = start(&runtime, launch).await;
        let out = String::from_utf8(read_all(&mut process.stdout).await);
        assert_eq!(
            out.expect("a temporary path is text").trim_end(),
            dir.to_string_lossy()
        );
        assert_eq!(std::env::current_dir().expect("there is one"), before);
    });
}

/// It ends at once.
pub fn null_stdin_is_empty(run: Run) {
    run.case(|runtime| async move {
        let mut launch = shell("read line; echo \"$? <$line>\"");
        launch.stdin = Stdin::Null;
        let mut process = start(&runtime, launch).await;
        assert!(process.stdin.is_none());
        assert_eq!(read_all(&mut process.stdout).await, b"1 <>\n");
    });
}

/// And the child sees its end when it is closed.
pub fn piped_stdin_arrives_and_ends(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("read a; read b; echo \"$? <$a> <$b>\"")).await;
        let mut stdin = process.stdin.take().expect("a pipe was asked for");
        stdin.write_all(b"one\ntwo").await.expect("the child reads");
        stdin.close().await.expect("it can be closed");
        assert_eq!(read_all(&mut process.stdout).await, b"1 <one> <two>\n");
        assert_eq!(wait(&mut process).await, Exit::Code(0));
    });
}

/// Each has its own pipe, and both end.
pub fn stdout_and_stderr_are_apart(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("echo out; echo err >&2")).await;
        assert_eq!(read_all(&mut process.stderr).await, b"err\n");
        assert_eq!(read_all(&mut process.stdout).await, b"out\n");
    });
}

/// A missing program, one that may not be run, a missing directory.
pub fn failures_to_start_are_the_systems(run: Run) {
    run.case(|runtime| async move {
        let dir = tempfile::tempdir().expect("a directory");
        let errno = async |launch| {
            let error = try_start(&runtime, launch).await;
            Errno::from_io_error(&error.expect_err("it cannot start"))
        };
        let mut launch = shell("exit");
        launch.program = dir.path().join("missing").into();
        assert_eq!(errno(launch.clone()).await, Some(Errno::NOENT));

        let file = dir.path().join("file");
        std::fs::write(&file, "#!/bin/sh\n").expect("it can be written");
        launch.program = file.into();
        assert_eq!(errno(launch).await, Some(Errno::ACCESS));

        let mut launch = shell("exit");
        launch.dir = Some(dir.path().join("missing"));
        assert_eq!(errno(launch).await, Some(Errno::NOENT));
    });
}

/// And again on every later poll.
pub fn exit_status(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("exit 7")).await;
        for _ in 0..3 {
            assert_eq!(wait(&mut process).await, Exit::Code(7));
        }
    });
}

/// A signal is not a status.
pub fn exit_signal(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("kill -TERM $$")).await;
        let exit = wait(&mut process).await;
        assert_eq!((exit.signal(), exit.code()), (Some(15), None));
    });
}

/// A child that waits for input forever.
pub fn kill_ends_it(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("read line")).await;
        assert!(once(|cx| process.child.poll_wait(cx)).await.is_pending());
        process.kill().await;
        assert_eq!(wait(&mut process).await, KILLED);
    });
}

/// Neither a zombie nor a pid that is no longer ours is an error.
pub fn kill_twice_and_after_the_exit(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("read line")).await;
        process.kill().await;
        process.kill().await;
        assert_eq!(wait(&mut process).await, KILLED);
        process.kill().await;

        let mut process = start(&runtime, shell("exit 3")).await;
        read_all(&mut process.stdout).await;
        process.kill().await;
        let exit = wait(&mut process).await;
        assert!(exit == Exit::Code(3) || exit == KILLED, "{exit}");
    });
}

/// No zombie is left when the exit is known.
pub fn waiting_reaps(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("exit 0")).await;
        let pid = process.pid();
        assert!(is_ours(pid));
        wait(&mut process).await;
        assert!(!is_ours(pid));
    });
}

/// The pipes are somebody else's matter.
pub fn exit_is_noticed_while_a_grandchild_holds_the_pipes(run: Run) {
    run.case(|runtime| async move {
        let script = "exec 3<&0; (read line <&3; echo \"got $line\") & exit 3";
        let mut process = start(&runtime, shell(script)).await;
        assert_eq!(wait(&mut process).await, Exit::Code(3));
        let mut byte = [0];
        let mut read = process.stdout.read(&mut byte);
        assert!(
            once(|cx| std::pin::Pin::new(&mut read).poll(cx))
                .await
                .is_pending()
        );
        let mut stdin = process.stdin.take().expect("a pipe was asked for");
        stdin
            .write_all(b"it\n")
            .await
            .expect("the grandchild reads");
        assert_eq!(read_all(&mut process.stdout).await, b"got it\n");
    });
}

/// Another task can go on waiting where one gave up.
pub fn abandoned_wait_loses_nothing(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("read line; exit 4")).await;
        assert!(once(|cx| process.child.poll_wait(cx)).await.is_pending());
        let (sender, receiver) = futures_channel::oneshot::channel();
        let stdin = process.stdin.take();
        runtime.spawn(Box::pin(async move {
            let mut waiting = Box::pin(wait(&mut process));
            let first = once(|cx| waiting.as_mut().poll(cx)).await;
            assert!(first.is_pending());
            drop(stdin);
            sender.send(waiting.await).expect("the case waits");
        }));
        assert_eq!(receiver.await, Ok(Exit::Code(4)));
    });
}

/// No way out leaves a process or a zombie.
pub fn drop_kills_and_reaps(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("read line; echo alive")).await;
        let pid = process.pid();
        let _stdin = process.stdin.take();
        assert!(once(|cx| process.child.poll_wait(cx)).await.is_pending());
        drop(process.child);
        assert_eq!(read_all(&mut process.stdout).await, b"");
        await_reaped(pid);
    });
}

/// A child that has ended without anybody asking.
pub fn drop_reaps_what_has_ended(run: Run) {
    run.case(|runtime| async move {
        let mut process = start(&runtime, shell("exit 0")).await;
        let pid = process.pid();
        read_all(&mut process.stdout).await;
        drop(process);
        await_reaped(pid);
    });
}

/// The last owner of a child may outlive the runtime.
pub fn drop_after_shutdown_reaps(run: Run) {
    let (sender, receiver) = mpsc::channel();
    run.case(|runtime| async move {
        let process = start(&runtime, shell("read line")).await;
        sender.send(process).expect("the test waits");
    });
    let process = receiver.recv().expect("the case has sent it");
    let pid = process.pid();
    assert!(is_ours(pid));
    drop(process);
    await_reaped(pid);
}

/// Each gets its own exit.
pub fn many_children_at_once(run: Run) {
    run.case(|runtime| async move {
        let starts = (0..16).map(|status| {
            let launch = shell(&format!("read line; exit {status}"));
            start(&runtime, launch)
        });
        let mut processes = join_all(starts).await;
        let exits = processes.iter_mut().map(async |process| {
            drop(process.stdin.take());
            wait(process).await
        });
        let expected: Vec<Exit> = (0..16).map(Exit::Code).collect();
        assert_eq!(join_all(exits).await, expected);
    });
}

/// A thread that knows no runtime can launch, read and wait.
pub fn launches_from_any_thread(run: Run) {
    run.case(|runtime| async move {
        let seen = elsewhere(move || {
            let mut process = block_on(start(&runtime, shell("echo here; exit 5")));
            let out = block_on(read_all(&mut process.stdout));
            (out, block_on(wait(&mut process)))
        });
        assert_eq!(seen.await, (b"here\n".to_vec(), Exit::Code(5)));
    });
}

/// A shell with children and grandchildren that all hold its stdout and wait for its stdin.
#[cfg(target_os = "linux")]
const FAMILY: &str = "exec 3<&0; (read a <&3; echo $a) & (echo here; (read a <&3; echo $a) & read a <&3) & read a <&3";

/// Waits until the grandchildren are being made.
async fn family(runtime: &SharedRuntime, launch: Launch) -> Process {
    let mut process = start(runtime, launch).await;
    let mut line = [0; 5];
    let read = process.stdout.read_exact(&mut line);
    read.await.expect("the shell prints");
    assert_eq!(&line, b"here\n");
    process
}

/// All that hold the pipe are gone when it ends.
pub fn kill_takes_descendants_along(run: Run) {
    #[cfg(target_os = "linux")]
    run.case(|runtime| async move {
        for _ in 0..10 {
            let mut process = family(&runtime, shell(FAMILY)).await;
            process.kill().await;
            assert_eq!(wait(&mut process).await, KILLED);
            assert_eq!(read_all(&mut process.stdout).await, b"");
        }
    });
    #[cfg(not(target_os = "linux"))]
    let _ = run;
}

/// As a kill does.
pub fn drop_takes_descendants_along(run: Run) {
    #[cfg(target_os = "linux")]
    run.case(|runtime| async move {
        let mut process = family(&runtime, shell(FAMILY)).await;
        let _stdin = process.stdin.take();
        drop(process.child);
        assert_eq!(read_all(&mut process.stdout).await, b"");
    });
    #[cfg(not(target_os = "linux"))]
    let _ = run;
}

/// They go on reading and printing.
pub fn kill_spares_descendants_if_asked_to(run: Run) {
    run.case(|runtime| async move {
        let mut launch = shell("exec 3<&0; (echo here; read a <&3; echo $a) & wait");
        launch.spare_descendants = true;
        let mut process = family(&runtime, launch).await;
        process.kill().await;
        assert_eq!(wait(&mut process).await, KILLED);
        let mut stdin = process.stdin.take().expect("a pipe was asked for");
        stdin.write_all(b"on\n").await.expect("it reads");
        assert_eq!(read_all(&mut process.stdout).await, b"on\n");
    });
}

/// The system's own signal for a dead parent goes by threads.
pub fn outlives_the_thread_that_launched_it(run: Run) {
    run.case(|runtime| async move {
        let launching = thread::spawn({
            let runtime = runtime.clone();
            move || block_on(start(&runtime, shell("read a; echo $a")))
        });
        let mut process = elsewhere(move || launching.join().expect("no panic")).await;
        let mut stdin = process.stdin.take().expect("a pipe was asked for");
        stdin.write_all(b"on\n").await.expect("it reads");
        assert_eq!(read_all(&mut process.stdout).await, b"on\n");
        assert_eq!(wait(&mut process).await, Exit::Code(0));
    });
}

/// Whether `pid` is a child of this process, running or a zombie.
fn is_ours(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(pid.expect("a pid")), options) {
        Ok(_) => true,
        Err(Errno::CHILD) => false,
        Err(error) => panic!("{}", std::io::Error::from(error)),
    }
}

/// Dropping reaps at once unless the machine is so busy that the adapter hands it on.
fn await_reaped(pid: u32) {
    let limit = Instant::now() + Duration::from_secs(60);
    while is_ours(pid) {
        assert!(Instant::now() < limit, "{}", ErrorKind::TimedOut);
        thread::yield_now();
    }
}
