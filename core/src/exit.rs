//! How a process ended.

use std::fmt;

/// How a process ended, as its parent learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exit {
    /// It ended by itself with this status.
    Code(i32),
    /// A signal ended it (unix).
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether the system wrote a core file.
        core_dumped: bool,
    },
    /// The system does not tell.
    Unknown,
}

impl Exit {
    /// Reads the status word of `wait(2)`, as all unixes lay it out: the signal in the low 7 bits,
    /// then a bit for the core file, then 8 bits of exit status. A stopped process (low bits 0x7f)
    /// has not ended: [`Unknown`](Self::Unknown).
    #[must_use]
    pub fn from_wait_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Code((status >> 8) & 0xff),
            0x7f => Self::Unknown,
            signal => Self::Signal {
                signal,
                core_dumped: status & 0x80 != 0,
            },
        }
    }

    /// Whether the process ended by itself with status 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The exit status, unless a signal ended the process.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal { .. } | Self::Unknown => None,
        }
    }

    /// The signal that ended the process, if one did.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Signal { signal, .. } => Some(signal),
            Self::Code(_) | Self::Unknown => None,
        }
    }
}

/// A phrase that completes "the plugin …": `exited with status 3`, `was killed by signal 9 (SIGKILL)`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal {
                signal,
                core_dumped,
            } => {
                write!(f, "was killed by signal {signal}")?;
                if let Some(name) = signal_name(signal) {
                    write!(f, " ({name})")?;
                }
                if core_dumped {
                    f.write_str(", core dumped")?;
                }
                Ok(())
            }
            Self::Unknown => f.write_str("ended for an unknown reason"),
        }
    }
}

/// Names of the signals whose numbers are the same on every unix outboard runs on.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_read() {
        let signal = |signal, core_dumped| Exit::Signal {
            signal,
            core_dumped,
        };
        assert_eq!(Exit::from_wait_status(0), Exit::Code(0));
        assert_eq!(Exit::from_wait_status(0xff00), Exit::Code(255));
        assert_eq!(Exit::from_wait_status(9), signal(9, false));
        assert_eq!(Exit::from_wait_status(0x8b), signal(11, true));
        assert_eq!(Exit::from_wait_status(0x137f), Exit::Unknown);
    }

    #[test]
    fn exits_read_as_phrases() {
        assert_eq!(Exit::Code(3).to_string(), "exited with status 3");
        let killed = Exit::Signal {
            signal: 9,
            core_dumped: false,
        };
        assert_eq!(killed.to_string(), "was killed by signal 9 (SIGKILL)");
        let odd = Exit::Signal {
            signal: 40,
            core_dumped: true,
        };
        assert_eq!(odd.to_string(), "was killed by signal 40, core dumped");
        assert!(Exit::Code(0).success() && !killed.success());
    }
}
