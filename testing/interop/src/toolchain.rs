//! Running foreign toolchains: where their results go, one builder at a time,
//! and what happens when one is missing.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

/// Says loudly that tests are skipped.
///
/// It writes to stderr directly: what the printing macros print would be kept
/// back by the test harness, because a skipped test passes.
///
/// # Panics
/// With `CI=true` in the environment.
pub fn loud_skip(what: &str, why: &str) {
    let line = format!("SKIPPED: {what}: {why}\n");
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{line}(CI=true: nothing may be skipped)"
    );
    // A closed stderr leaves nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The directory `interop` of the crate's sources.
pub(crate) fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory under cargo's target directory, made if needed.
pub(crate) fn target(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    // Cargo marks its target directory with this file.
    let target = exe
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file())
        .map_or_else(|| sources().join("../../target"), Path::to_path_buf);
    let dir = target.join("interop").join(name);
    fs::create_dir_all(&dir).expect("a directory under target");
    dir
}

/// Calls `build` unless the last successful build in `dir` had the same `key`.
/// Of several processes that come here at once, one builds and the others wait.
pub(crate) fn build_once<E>(
    dir: &Path,
    key: &str,
    build: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let _lock = lock(dir);
    let stamp = dir.join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == key) {
        return Ok(());
    }
    let _ = fs::remove_file(&stamp);
    build()?;
    fs::write(&stamp, key).expect("the stamp of the build");
    Ok(())
}

/// The lock is released when the file is closed.
fn lock(dir: &Path) -> fs::File {
    let file = fs::File::create(dir.join("lock")).expect("the lock file of the build");
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .expect("the lock of the build");
    file
}

/// A text that changes when a file below one of `roots` does: path, size and
/// time of change of each.
pub(crate) fn fingerprint(roots: &[&Path]) -> String {
    let mut lines = Vec::new();
    let mut pending: Vec<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
    while let Some(path) = pending.pop() {
        let facts = fs::metadata(&path).expect("a source file");
        if facts.is_dir() {
            for entry in fs::read_dir(&path).expect("a source directory") {
                pending.push(entry.expect("a directory entry").path());
            }
        } else {
            let changed = facts.modified().expect("the time of change");
            lines.push(format!("{} {} {changed:?}", path.display(), facts.len()));
        }
    }
    lines.sort();
    lines.join("\n")
}

/// Runs a command to its end and collects its output; its group of processes is
/// killed when it takes longer than `limit`.
///
/// # Panics
/// When it cannot be started or does not end in time.
#[must_use]
pub fn run_to_end(command: &mut Command, limit: Duration) -> Output {
    let shown = format!("{command:?}");
    std::os::unix::process::CommandExt::process_group(command, 0);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
    let pid = child.id();
    let (sender, receiver) = mpsc::channel();
    // Collecting blocks, so the clock is watched from here.
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(limit) {
        Ok(output) => output.unwrap_or_else(|error| panic!("{shown}: {error}")),
        Err(_) => {
            kill_group(pid);
            panic!("{shown} did not end within {limit:?}")
        }
    }
}

fn kill_group(pid: u32) {
    let group = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .expect("a process id");
    // Gone already: then there is nothing to do.
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
}

/// Runs a build step; an error carries everything it printed.
pub(crate) fn step(command: &mut Command) -> Result<(), String> {
    // Downloads on a slow line are the longest thing that happens here.
    let output = run_to_end(command, Duration::from_secs(600));
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    ))
}

/// The first line that `program` prints about its version; `None` if there is
/// no such program.
pub(crate) fn version_of(program: impl AsRef<OsStr>, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
