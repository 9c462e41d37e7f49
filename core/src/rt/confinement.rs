//! What a process may no longer do from its first instruction on.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Restrictions that a runner puts on a process before it becomes its program, and which neither that nor
/// what it starts can put off: limits, a Landlock ruleset, a seccomp filter, in this order, and with any
/// of them that it gains no new privileges (`PR_SET_NO_NEW_PRIVS`).
///
/// All of it is data that was prepared before the fork, so that nothing but system calls is left to do
/// behind it. Cheap to clone; equal to its clones alone.
#[derive(Clone)]
pub struct Confinement(Arc<Restrictions>);

#[derive(Debug)]
struct Restrictions {
    limits: Vec<(Limit, u64)>,
    ruleset: Option<OwnedFd>,
    filter: Vec<FilterStep>,
}

/// What a limit is on; getrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of address space (`RLIMIT_AS`), of each process.
    AddressSpace,
    /// Seconds of processor time (`RLIMIT_CPU`), of each process.
    CpuSeconds,
    /// Bytes in a file that is written (`RLIMIT_FSIZE`).
    FileSize,
    /// Processes and threads of the user, all together (`RLIMIT_NPROC`).
    Tasks,
}

/// A step of a seccomp filter, as the system takes it: `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FilterStep {
    /// What to do.
    pub code: u16,
    /// How many steps to skip if a comparison holds.
    pub jump_true: u8,
    /// And if it does not.
    pub jump_false: u8,
    /// What to do it with.
    pub value: u32,
}

impl FilterStep {
    /// A step.
    #[must_use]
    pub const fn new(code: u16, jump_true: u8, jump_false: u8, value: u32) -> Self {
        Self {
            code,
            jump_true,
            jump_false,
            value,
        }
    }
}

impl Confinement {
    /// These limits, and of a Landlock ruleset and a seccomp filter what there is.
    #[must_use]
    pub fn new(
        limits: Vec<(Limit, u64)>,
        ruleset: Option<OwnedFd>,
        filter: Vec<FilterStep>,
    ) -> Self {
        Self(Arc::new(Restrictions {
            limits,
            ruleset,
            filter,
        }))
    }

    /// The limits; one that is there already and lower stays.
    #[must_use]
    pub fn limits(&self) -> &[(Limit, u64)] {
        &self.0.limits
    }

    /// The ruleset, if there is one.
    #[must_use]
    pub fn ruleset(&self) -> Option<BorrowedFd<'_>> {
        self.0.ruleset.as_ref().map(AsFd::as_fd)
    }

    /// The filter's steps; none if there is no filter.
    #[must_use]
    pub fn filter(&self) -> &[FilterStep] {
        &self.0.filter
    }
}

impl PartialEq for Confinement {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Confinement {}

impl fmt::Debug for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confinement")
            .field("limits", &self.0.limits)
            .field("ruleset", &self.0.ruleset)
            .field("filter", &self.0.filter.len())
            .finish()
    }
}
