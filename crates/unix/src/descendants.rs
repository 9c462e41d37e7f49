//! Killing a process with its descendants, which `/proc` tells of (Linux).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use outboard_core::lock::{Mutex, Rank};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::handle::{Handle, ended_is_fine};
use crate::tree::{Step, Tree};

/// How long the caller is held up; a thread goes on from there, since a process that is stopped first
/// has to be given a processor. (A choice: an idle machine needs a fraction of it.)
const PATIENCE: Duration = Duration::from_millis(1);

/// A look at processes that have not stopped yet is worth while after this. (A choice.)
const PAUSE: Duration = Duration::from_millis(1);

/// Kills a process with its descendants, or has a thread do so if that takes long. False if it has no
/// descendants, and was left alone.
pub(crate) fn kill(root: &Handle) -> bool {
    let pid = root.pid.as_raw_nonzero().get().unsigned_abs();
    // Most plugins have none: then the plugin need not even be stopped. One that is about to make
    // its first at this very moment is not caught.
    if !numbers_are_ours() || children(pid).is_empty() {
        return false;
    }
    let Some(pidfd) = root.pidfd.as_ref().and_then(|fd| fd.try_clone().ok()) else {
        return false;
    };
    let mut walk = Walk {
        tree: Tree::new(pid),
        root: pid,
        held: BTreeMap::from([(pid, pidfd)]),
    };
    let begun = Instant::now();
    let over = walk.go_on(|| {
        thread::yield_now();
        begun.elapsed() < PATIENCE
    });
    if !over {
        let walk = Arc::new(Mutex::new(Rank::Process, walk));
        let rest = {
            let walk = Arc::clone(&walk);
            move || finish(&walk)
        };
        if thread::Builder::new()
            .name("outboard-kill".to_owned())
            .spawn(rest)
            .is_err()
        {
            finish(&walk);
        }
    }
    true
}

/// More are not taken note of: each has a descriptor for as long as the plugin takes to end. (A choice.)
const NOTED: usize = 128;

/// Those that descend from a process now, for when it has ended: they are nobody's descendants then. None
/// of them is stopped, so that what it makes meanwhile is not among them.
pub(crate) fn note(root: &Handle) -> Vec<Handle> {
    let Some(pidfd) = root.pidfd.as_ref().and_then(|fd| fd.try_clone().ok()) else {
        return Vec::new();
    };
    let first = root.pid.as_raw_nonzero().get().unsigned_abs();
    let mut held = BTreeMap::from([(first, pidfd)]);
    let mut found = Vec::from_iter(numbers_are_ours().then_some(first));
    while let Some(pid) = found.pop() {
        for child in children(pid) {
            if held.len() > NOTED {
                tracing::warn!(
                    pid = first,
                    "a plugin that is to end has started more than {NOTED} processes: not all go along"
                );
                found.clear();
                break;
            }
            if !held.contains_key(&child)
                && let Some(pidfd) = hold(child, &held)
            {
                held.insert(child, pidfd);
                found.push(child);
            }
        }
    }
    held.remove(&first);
    let held = held.into_iter().filter_map(|(pid, pidfd)| {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let pidfd = Some(pidfd);
        Some(Handle { pid, pidfd })
    });
    held.collect()
}

fn finish(walk: &Mutex<Walk>) {
    let mut walk = walk.lock();
    walk.go_on(|| {
        thread::sleep(PAUSE);
        true
    });
}

struct Walk {
    tree: Tree,
    root: u32,
    held: BTreeMap<u32, OwnedFd>,
}

impl Walk {
    /// True when all are killed; false if `pause` did not want to go on.
    fn go_on(&mut self, mut pause: impl FnMut() -> bool) -> bool {
        while let Some(step) = self.tree.poll_step() {
            match step {
                Step::Stop(pid) => {
                    if pid != self.root
                        && let Some(child) = hold(pid, &self.held)
                    {
                        self.held.insert(pid, child);
                    }
                    let stopped = self
                        .held
                        .get(&pid)
                        .is_some_and(|child| pidfd_send_signal(child, Signal::STOP).is_ok());
                    self.tree.handle_stop(stopped);
                }
                Step::Look(pid) => {
                    let (children, still) = look(pid);
                    self.tree.handle_look(&children, still);
                }
                Step::Pause => {
                    if !pause() {
                        return false;
                    }
                }
                Step::Kill(pid) => {
                    let Some(process) = self.held.get(&pid) else {
                        continue;
                    };
                    if let Err(error) = ended_is_fine(pidfd_send_signal(process, Signal::KILL)) {
                        tracing::warn!(
                            pid, %error,
                            "a process of a plugin that is to end cannot be killed and goes on"
                        );
                    }
                }
            }
        }
        true
    }
}

/// A pidfd of a child of somebody known. The parent is asked for after it was opened: if the number
/// has changed hands, either this parent is a stranger or the pidfd is of the dead.
fn hold(pid: u32, held: &BTreeMap<u32, OwnedFd>) -> Option<OwnedFd> {
    let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let pidfd = pidfd_open(raw, PidfdFlags::empty()).ok()?;
    let (_, parent) = state(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    held.contains_key(&parent).then_some(pidfd)
}

/// Whether the numbers in `/proc` are those of this process's pid namespace.
fn numbers_are_ours() -> bool {
    let own = fs::read_link("/proc/self").ok();
    let own = own.as_deref().and_then(|own| own.to_str());
    own.and_then(|own| own.parse().ok()) == Some(std::process::id())
}

/// The children of a process, of all its threads.
fn children(pid: u32) -> Vec<u32> {
    threads(pid)
        .flat_map(|thread| children_of(&thread))
        .collect()
}

/// Its [`children`], and whether none of its threads runs any more.
fn look(pid: u32) -> (Vec<u32>, bool) {
    let (mut children, mut still) = (Vec::new(), true);
    for thread in threads(pid) {
        // The state first: a thread at a standstill makes no children that are not in the list.
        if let Ok(stat) = fs::read_to_string(thread.join("stat")) {
            still &= state(&stat).is_none_or(|(state, _)| "TtZXx".contains(state));
        }
        children.extend(children_of(&thread));
    }
    (children, still)
}

fn threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    threads.map(|thread| thread.path())
}

fn children_of(thread: &Path) -> Vec<u32> {
    // A thread that is gone has none.
    let list = fs::read_to_string(thread.join("children")).unwrap_or_default();
    let numbers = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    numbers.collect()
}

/// State and parent out of a line of `stat`. The name before them may hold anything.
fn state(stat: &str) -> Option<(char, u32)> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_in_stat_may_hold_anything() {
        assert_eq!(super::state("7 (a) Z 1 (b) T 42 1 1"), Some(('T', 42)));
        assert_eq!(super::state("7 (a"), None);
    }
}
