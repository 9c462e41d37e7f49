//! What processes are started of.

use super::limit::StartLimit;
use crate::host::Host;

/// A host, and how many plugins start at once.
pub(super) struct Program {
    pub(super) host: Host,
    pub(super) limit: Option<StartLimit>,
}

impl Program {
    pub(super) fn new(host: &Host) -> Self {
        // One that lives and cannot be reached again is of no use to anybody here.
        let host = host.clone().kill_unreachable(true);
        // Calls are counted around all processes.
        let mut host = host.figures(false);
        let limit = host.take_start_limit();
        Self { host, limit }
    }
}

/// The program of a plugin, and the one that may take its place.
pub(super) struct Programs {
    present: Program,
    next: Option<(u64, Program)>,
}

impl Programs {
    pub(super) fn new(present: Program) -> Self {
        Self {
            present,
            next: None,
        }
    }

    /// The one of this number. What is not the next is the present one.
    pub(super) fn of(&self, number: u64) -> &Program {
        match &self.next {
            Some((next, program)) if *next == number => program,
            _ => &self.present,
        }
    }

    pub(super) fn offer(&mut self, number: u64, program: Program) {
        self.next = Some((number, program));
    }

    /// The swap of this number is over: its program has taken the place, or has not.
    pub(super) fn settle(&mut self, number: u64, taken: bool) {
        if let Some((_, program)) = self.next.take_if(|(next, _)| *next == number)
            && taken
        {
            self.present = program;
        }
    }
}
