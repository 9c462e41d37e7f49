//! Which processes die with one that is killed, as a decision without system calls.

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take hold of this process and stop it; answer with [`Tree::handle_stop`].
    Stop(u32),
    /// Look for its children; answer with [`Tree::handle_look`].
    Look(u32),
    /// Let the processes get to where they stop.
    Pause,
    /// End it.
    Kill(u32),
}

/// A process and all that descends from it, stopped and then killed from the top down.
///
/// A child is its parent's only while that lives, and the parent may make another at any time. So each
/// process is stopped before its children are asked for, again and again until a whole pass found
/// everybody at a standstill and nobody new; only then the first is killed.
///
/// ```text
/// Stop root -> Look at all -> [new: Stop each, or moving: Look again] -> Kill all -> end
/// ```
pub(crate) struct Tree {
    /// From the top down.
    known: Vec<u32>,
    /// Found, and not yet stopped.
    found: Vec<u32>,
    /// The next in `known` to look at, or to kill.
    next: usize,
    /// What this pass has shown so far.
    settled: bool,
    passes: u32,
    killing: bool,
}

/// Passes before the killing begins although something still moves: for a process that hangs in the
/// kernel. With pauses of a millisecond, more than a second on a busy machine.
const PASSES: u32 = 1000;

/// More are not looked for: each takes a descriptor.
const MEMBERS: usize = 512;

impl Tree {
    pub(crate) fn new(root: u32) -> Self {
        Self {
            known: Vec::new(),
            found: vec![root],
            next: 0,
            settled: true,
            passes: 0,
            killing: false,
        }
    }

    pub(crate) fn poll_step(&mut self) -> Option<Step> {
        if !self.killing {
            if let Some(&pid) = self.found.last() {
                return Some(Step::Stop(pid));
            }
            if self.next == self.known.len() {
                self.passes += 1;
                self.killing = self.settled || self.passes == PASSES;
                self.next = 0;
                if !std::mem::replace(&mut self.settled, true) && !self.killing {
                    return Some(Step::Pause);
                }
            }
        }
        let &pid = self.known.get(self.next)?;
        if self.killing {
            self.next += 1;
            return Some(Step::Kill(pid));
        }
        Some(Step::Look(pid))
    }

    /// Whether the process could be taken hold of. One that is gone has no children any more.
    pub(crate) fn handle_stop(&mut self, held: bool) {
        if let Some(pid) = self.found.pop()
            && held
        {
            self.known.push(pid);
        }
    }

    /// The children of the process that was looked at, and whether it stands still.
    pub(crate) fn handle_look(&mut self, children: &[u32], still: bool) {
        self.next += 1;
        self.settled &= still;
        for &child in children {
            let room = self.known.len() + self.found.len() < MEMBERS;
            if room && !self.known.contains(&child) && !self.found.contains(&child) {
                self.settled = false;
                self.found.push(child);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Process {
        parent: u32,
        /// How many children it will still make, one each time that anything happens.
        forks: u32,
        /// What happens between the request to stop it and its standstill.
        moves: u32,
        stopped: bool,
    }

    /// Kills the tree of process 1 in a system where every process goes on forking; how many are left.
    fn kill(forks: u32, moves: u32) -> usize {
        let mut system = BTreeMap::new();
        let process = |parent, forks| Process {
            parent,
            forks,
            moves,
            stopped: false,
        };
        system.insert(1, process(0, forks));
        system.insert(2, process(0, 0));
        let mut last = 2;
        let mut tree = Tree::new(1);
        while let Some(step) = tree.poll_step() {
            match step {
                Step::Stop(pid) => {
                    let held = system.get_mut(&pid).map(|process| process.stopped = true);
                    tree.handle_stop(held.is_some());
                }
                Step::Pause => {}
                Step::Look(pid) => {
                    let children: Vec<u32> = system
                        .iter()
                        .filter_map(|(child, process)| (process.parent == pid).then_some(*child))
                        .collect();
                    tree.handle_look(&children, system[&pid].stopped && system[&pid].moves == 0);
                }
                Step::Kill(pid) => {
                    system.remove(&pid).expect("each once");
                    for process in system.values_mut().filter(|child| child.parent == pid) {
                        process.parent = 0;
                    }
                }
            }
            let mut born = Vec::new();
            for (pid, process) in &mut system {
                if process.stopped && process.moves == 0 {
                    continue;
                }
                process.moves = process.moves.saturating_sub(u32::from(process.stopped));
                if process.forks > 0 {
                    process.forks -= 1;
                    born.push((*pid, process.forks));
                }
            }
            for (parent, forks) in born {
                last += 1;
                system.insert(last, process(parent, forks));
            }
        }
        system.len()
    }

    #[test]
    fn nothing_of_a_tree_is_left_however_it_grows_meanwhile() {
        for forks in 0..6 {
            for moves in 0..4 {
                assert_eq!(
                    kill(forks, moves),
                    1,
                    "{forks} forks, {moves} moves: the stranger"
                );
            }
        }
    }

    #[test]
    fn what_never_stands_still_is_killed_all_the_same() {
        assert_eq!(kill(0, u32::MAX), 1);
    }
}
