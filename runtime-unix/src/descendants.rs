//! Killing a process with its descendants, which `/proc` tells of (Linux).

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::tree::{Step, Tree};

/// How long the caller is held up for what stands still at once; a walk beyond that ends with what it
/// has found. (A choice: some thirty processes fit, and a wrapper has a few.)
const PATIENCE: Duration = Duration::from_millis(20);

/// Ends the descendants of `root`, whose pidfd is given, and then nothing is left but to end itself.
pub(crate) fn kill(pid: Pid, root: BorrowedFd<'_>) {
    let begun = Instant::now();
    let root_pid = pid.as_raw_nonzero().get().unsigned_abs();
    // Most plugins have none: then the plugin need not even be stopped. One that is about to make
    // its first at this very moment is not caught.
    if look(root_pid).0.is_empty() {
        return;
    }
    let mut held: BTreeMap<u32, OwnedFd> = BTreeMap::new();
    let mut tree = Tree::new(root_pid);
    while let Some(step) = tree.poll_step() {
        match step {
            Step::Stop(pid) if pid == root_pid => {
                tree.handle_stop(pidfd_send_signal(root, Signal::STOP).is_ok());
            }
            Step::Stop(pid) => {
                let child = hold(pid, root_pid, &held);
                let stopped = child
                    .as_ref()
                    .is_some_and(|child| pidfd_send_signal(child, Signal::STOP).is_ok());
                tree.handle_stop(stopped);
                if let Some(child) = child.filter(|_| stopped) {
                    held.insert(pid, child);
                }
            }
            Step::Look(pid) => {
                let (children, still) = look(pid);
                let late = begun.elapsed() > PATIENCE;
                if !still && !late {
                    std::thread::yield_now();
                }
                tree.handle_look(if late { &[] } else { &children }, still || late);
            }
            Step::Kill(pid) => {
                let process = held.get(&pid).map_or(root, AsFd::as_fd);
                if let Err(error) = pidfd_send_signal(process, Signal::KILL)
                    && error != rustix::io::Errno::SRCH
                {
                    tracing::warn!(pid, %error, "a descendant of a plugin cannot be killed and stays");
                }
            }
        }
    }
}

/// A pidfd of a child of somebody known. The parent is asked for after it was opened: if the number
/// has changed hands, either this parent is a stranger or the pidfd is of the dead.
fn hold(pid: u32, root: u32, held: &BTreeMap<u32, OwnedFd>) -> Option<OwnedFd> {
    let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let pidfd = pidfd_open(raw, PidfdFlags::empty()).ok()?;
    let (_, parent) = state(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    (parent == root || held.contains_key(&parent)).then_some(pidfd)
}

/// The children of a process, of all its threads, and whether none of these runs any more.
fn look(pid: u32) -> (Vec<u32>, bool) {
    let (mut children, mut still) = (Vec::new(), true);
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return (children, true);
    };
    for thread in threads.flatten().map(|thread| thread.path()) {
        // The state first: a thread at a standstill makes no children that are not in the list.
        if let Ok(stat) = fs::read_to_string(thread.join("stat")) {
            still &= state(&stat).is_none_or(|(state, _)| "TtZXx".contains(state));
        }
        if let Ok(list) = fs::read_to_string(thread.join("children")) {
            children.extend(
                list.split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
    }
    (children, still)
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
