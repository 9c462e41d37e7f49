//! Proof that `core/clippy.toml` does forbid IO, clocks and threads: each function here breaks one of
//! its rules and *expects* clippy to say so. If a rule stops working, its expectation is unfulfilled,
//! which is a warning, and warnings are errors where the project is checked.
#![cfg(unix)]
#![allow(dead_code, reason = "checked by clippy, never run")]

/// A function for each path, that does nothing but name what may not be called.
macro_rules! methods {
    ($($name:ident: $method:expr;)*) => {$(
        #[expect(clippy::disallowed_methods)]
        fn $name() {
            let _ = $method;
        }
    )*};
}

macro_rules! types {
    ($($name:ident: $type:ty;)*) => {$(
        #[expect(clippy::disallowed_types)]
        type $name = $type;
    )*};
}

methods! {
    time_instant_now: std::time::Instant::now;
    time_instant_elapsed: std::time::Instant::elapsed;
    time_system_time_now: std::time::SystemTime::now;
    time_system_time_elapsed: std::time::SystemTime::elapsed;
    thread_spawn: std::thread::spawn::<fn(), ()>;
    thread_scope: std::thread::scope::<fn(&std::thread::Scope<'_, '_>), ()>;
    thread_sleep: std::thread::sleep;
    thread_park: std::thread::park;
    thread_park_timeout: std::thread::park_timeout;
    thread_yield_now: std::thread::yield_now;
    thread_current: std::thread::current;
    thread_available_parallelism: std::thread::available_parallelism;
    sync_mpsc_channel: std::sync::mpsc::channel::<()>;
    sync_mpsc_sync_channel: std::sync::mpsc::sync_channel::<()>;
    backtrace_backtrace_capture: std::backtrace::Backtrace::capture;
    panic_set_hook: std::panic::set_hook;
    panic_take_hook: std::panic::take_hook;
    env_var: std::env::var::<&str>;
    env_var_os: std::env::var_os::<&str>;
    env_vars: std::env::vars;
    env_vars_os: std::env::vars_os;
    env_set_var: std::env::set_var::<&str, &str>;
    env_remove_var: std::env::remove_var::<&str>;
    env_temp_dir: std::env::temp_dir;
    env_current_dir: std::env::current_dir;
    env_set_current_dir: std::env::set_current_dir::<&str>;
    env_home_dir: std::env::home_dir;
    env_current_exe: std::env::current_exe;
    env_args: std::env::args;
    env_args_os: std::env::args_os;
    process_exit: std::process::exit;
    process_abort: std::process::abort;
    process_id: std::process::id;
    fs_read: std::fs::read::<&str>;
    fs_read_to_string: std::fs::read_to_string::<&str>;
    fs_read_dir: std::fs::read_dir::<&str>;
    fs_write: std::fs::write::<&str, &str>;
    fs_metadata: std::fs::metadata::<&str>;
    fs_symlink_metadata: std::fs::symlink_metadata::<&str>;
    fs_create_dir: std::fs::create_dir::<&str>;
    fs_create_dir_all: std::fs::create_dir_all::<&str>;
    fs_remove_file: std::fs::remove_file::<&str>;
    fs_remove_dir: std::fs::remove_dir::<&str>;
    fs_remove_dir_all: std::fs::remove_dir_all::<&str>;
    fs_rename: std::fs::rename::<&str, &str>;
    fs_copy: std::fs::copy::<&str, &str>;
    fs_canonicalize: std::fs::canonicalize::<&str>;
    fs_exists: std::fs::exists::<&str>;
    fs_hard_link: std::fs::hard_link::<&str, &str>;
    fs_read_link: std::fs::read_link::<&str>;
    fs_set_permissions: std::fs::set_permissions::<&str>;
    os_unix_fs_symlink: std::os::unix::fs::symlink::<&str, &str>;
    os_unix_fs_chown: std::os::unix::fs::chown::<&str>;
    os_unix_fs_fchown: std::os::unix::fs::fchown::<std::os::fd::BorrowedFd<'_>>;
    os_unix_fs_lchown: std::os::unix::fs::lchown::<&str>;
    os_unix_fs_chroot: std::os::unix::fs::chroot::<&str>;
    path_path_exists: std::path::Path::exists;
    path_path_try_exists: std::path::Path::try_exists;
    path_path_is_file: std::path::Path::is_file;
    path_path_is_dir: std::path::Path::is_dir;
    path_path_is_symlink: std::path::Path::is_symlink;
    path_path_metadata: std::path::Path::metadata;
    path_path_symlink_metadata: std::path::Path::symlink_metadata;
    path_path_canonicalize: std::path::Path::canonicalize;
    path_path_read_dir: std::path::Path::read_dir;
    path_path_read_link: std::path::Path::read_link;
    io_stdin: std::io::stdin;
    io_stdout: std::io::stdout;
    io_stderr: std::io::stderr;
    io_pipe: std::io::pipe;
    net_to_socket_addrs_to_socket_addrs: <str as std::net::ToSocketAddrs>::to_socket_addrs;
}

types! {
    NetTcpStream: std::net::TcpStream;
    NetTcpListener: std::net::TcpListener;
    NetUdpSocket: std::net::UdpSocket;
    OsUnixNetUnixStream: std::os::unix::net::UnixStream;
    OsUnixNetUnixListener: std::os::unix::net::UnixListener;
    OsUnixNetUnixDatagram: std::os::unix::net::UnixDatagram;
    FsFile: std::fs::File;
    FsOpenOptions: std::fs::OpenOptions;
    FsDirBuilder: std::fs::DirBuilder;
    ProcessCommand: std::process::Command;
    ProcessChild: std::process::Child;
    ProcessChildStdin: std::process::ChildStdin;
    ProcessChildStdout: std::process::ChildStdout;
    ProcessChildStderr: std::process::ChildStderr;
    ProcessStdio: std::process::Stdio;
    ProcessOutput: std::process::Output;
    ProcessExitStatus: std::process::ExitStatus;
    ThreadJoinHandle: std::thread::JoinHandle<()>;
    ThreadBuilder: std::thread::Builder;
    ThreadThread: std::thread::Thread;
    SyncCondvar: std::sync::Condvar;
    SyncBarrier: std::sync::Barrier;
}

#[expect(clippy::disallowed_macros)]
fn print() {
    std::print!("x");
}

#[expect(clippy::disallowed_macros)]
fn println() {
    std::println!("x");
}

#[expect(clippy::disallowed_macros)]
fn eprint() {
    std::eprint!("x");
}

#[expect(clippy::disallowed_macros)]
fn eprintln() {
    std::eprintln!("x");
}

#[expect(clippy::disallowed_macros)]
fn dbg() {
    std::dbg!(());
}

/// No rule without a proof.
#[test]
fn every_rule_is_broken_here() {
    let (rules, here) = (include_str!("../clippy.toml"), include_str!("purity.rs"));
    let paths = rules.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix("{ path = \"")?;
        rest.split_once('"').map(|(path, _)| path)
    });
    let mut count = 0;
    for path in paths {
        // Not the beginning of a longer name.
        let named = |line: &str| {
            let path = path
                .rsplit_once("ToSocketAddrs::")
                .map_or(path, |(_, name)| name);
            line.rsplit_once(path)
                .is_some_and(|(_, rest)| rest.starts_with([';', ':', '<', '!']))
        };
        assert!(
            here.lines().any(named),
            "nothing here breaks the rule on {path}"
        );
        count += 1;
    }
    assert!(count > 80, "only {count} rules were found");
}

/// What no lint tells: that nothing in the core is an `async` function or block. Futures that it hands
/// on are polled by others.
#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "reads the sources"
)]
fn nothing_in_the_core_is_async() {
    let mut directories = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
                let is_async = words
                    .into_iter()
                    .any(|word| word == "async" || word == "await");
                let number = number + 1;
                assert!(!is_async, "{}:{number}: {line}", path.display());
            }
        }
    }
    assert!(files > 50, "{files} files: the sources are elsewhere");
}
