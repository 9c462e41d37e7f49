//! Restrictions that a child puts on itself between its fork and the program: system calls and nothing
//! else.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd as _;

use outboard_core::rt::{Confinement, Limit};

/// Restrictions as the system takes them, made before the fork.
pub(crate) struct Confine {
    /// With the hard limit beside the soft one.
    limits: Vec<(Resource, libc::rlimit)>,
    filter: Vec<libc::sock_filter>,
    /// Whose ruleset it is.
    confinement: Confinement,
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

impl Confine {
    /// # Errors
    /// If the system's types do not hold what is asked for.
    pub(crate) fn new(confinement: Confinement) -> io::Result<Self> {
        let limits = confinement.limits().iter();
        let limits = limits.map(|(limit, value)| resource(*limit, *value));
        let filter = confinement.filter().iter();
        let filter = filter.map(|step| libc::sock_filter {
            code: step.code,
            jt: step.jump_true,
            jf: step.jump_false,
            k: step.value,
        });
        Ok(Self {
            limits: limits.collect::<io::Result<_>>()?,
            filter: filter.collect(),
            confinement,
        })
    }

    /// Puts all of it on this process: for a child before it becomes its program.
    pub(crate) fn carry_out(&self) -> io::Result<()> {
        for (resource, limit) in &self.limits {
            lower(*resource, *limit)?;
        }
        // As wide as the kernel reads them.
        let (yes, no): (libc::c_ulong, libc::c_ulong) = (1, 0);
        // SAFETY: a system call with numbers alone.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, no, no, no) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if let Some(ruleset) = self.confinement.ruleset() {
            let (ruleset, flags) = (ruleset.as_raw_fd(), 0);
            // SAFETY: a system call with numbers alone, of which one is a descriptor that is open.
            if unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, flags) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        if !self.filter.is_empty() {
            let program = libc::sock_fprog {
                len: u16::try_from(self.filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
                filter: self.filter.as_ptr().cast_mut(),
            };
            let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
            // SAFETY: the kernel reads the program, which lies on this stack frame, and the steps, of
            // which there are as many, and writes to neither.
            if unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

fn resource(limit: Limit, value: u64) -> io::Result<(Resource, libc::rlimit)> {
    let (resource, hard) = match limit {
        Limit::AddressSpace => (libc::RLIMIT_AS, value),
        // A signal at the soft limit, and the end a second later for whoever ignores that.
        Limit::CpuSeconds => (libc::RLIMIT_CPU, value.saturating_add(1)),
        Limit::FileSize => (libc::RLIMIT_FSIZE, value),
        Limit::Tasks => (libc::RLIMIT_NPROC, value),
        other => {
            let text = format!("this runner sets no limit on {other:?}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
    };
    let number = |value: u64| libc::rlim_t::try_from(value).unwrap_or(libc::RLIM_INFINITY);
    let limit = libc::rlimit {
        rlim_cur: number(value),
        rlim_max: number(hard),
    };
    Ok((resource, limit))
}

/// Sets a limit, but for what is lower already.
fn lower(resource: Resource, limit: libc::rlimit) -> io::Result<()> {
    let mut now = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: it writes to a structure on this stack frame.
    if unsafe { libc::getrlimit(resource, &raw mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let limit = libc::rlimit {
        rlim_cur: limit.rlim_cur.min(now.rlim_cur),
        rlim_max: limit.rlim_max.min(now.rlim_max),
    };
    // SAFETY: it reads a structure on this stack frame.
    if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
