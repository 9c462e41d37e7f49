//! Sockets that a program is given by whoever has started it: the protocol of systemd's socket
//! activation (`sd_listen_fds`), which other supervisors and `systemd-socket-activate` speak as well.
//! No IO: what the variables say.

use std::ffi::OsString;

/// The number of the process that the descriptors are for, decimal.
pub const LISTEN_PID: &str = "LISTEN_PID";
/// How many descriptors there are, decimal.
pub const LISTEN_FDS: &str = "LISTEN_FDS";
/// Their names in their order, separated by colons.
pub const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

/// The first descriptor that is handed over; the others follow it.
pub const FIRST: i32 = 3;

/// The most that are taken: far more than a program listens on, and fewer than it may have open.
/// (A choice; systemd has no limit of its own.)
pub const MOST: i32 = 1024;

/// How much of a bad value an error quotes, in bytes.
const QUOTED: usize = 64;

/// A descriptor that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// Its number.
    pub descriptor: i32,
    /// Its name, if names were given: that of the socket's unit, or what that says.
    pub name: Option<String>,
}

/// The descriptors that the environment says are for the process `pid`; none if it says nothing, or
/// speaks of another process.
///
/// # Errors
/// [`ActivationError`] if the variables contradict themselves: then it cannot be known which descriptors
/// are meant.
pub fn passed(
    pid: u32,
    lookup: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<Passed>, ActivationError> {
    let get = |name| lookup(name).map(|value: OsString| value.to_string_lossy().into_owned());
    let (Some(for_process), Some(count)) = (get(LISTEN_PID), get(LISTEN_FDS)) else {
        return Ok(Vec::new());
    };
    let bad = |variable, value: &str| ActivationError::NotANumber {
        variable,
        found: crate::text::excerpt(value.as_bytes(), QUOTED),
    };
    let number: u32 = for_process
        .parse()
        .map_err(|_| bad(LISTEN_PID, &for_process))?;
    if number != pid {
        // Inherited from one that was started so.
        return Ok(Vec::new());
    }
    let count: i32 = count.parse().map_err(|_| bad(LISTEN_FDS, &count))?;
    if !(0..=MOST).contains(&count) {
        return Err(ActivationError::Count { count });
    }
    let names: Option<Vec<String>> =
        get(LISTEN_FDNAMES).map(|names| names.split(':').map(str::to_owned).collect());
    let mut names = match names {
        Some(names) if i32::try_from(names.len()) == Ok(count) => names.into_iter(),
        Some(names) if count > 0 => {
            let names = names.len();
            return Err(ActivationError::Names { names, count });
        }
        Some(_) | None => Vec::new().into_iter(),
    };
    let passed = (FIRST..FIRST + count).map(|descriptor| Passed {
        descriptor,
        name: names.next(),
    });
    Ok(passed.collect())
}

/// Why it cannot be said which descriptors a program was given.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// A value that is no number.
    #[error(
        "expected a decimal number in {variable}, found {found:?}; it is set by what starts the program"
    )]
    NotANumber {
        /// The variable.
        variable: &'static str,
        /// Its value, shortened.
        found: String,
    },
    /// More descriptors than any program is given, or fewer than none.
    #[error("LISTEN_FDS is {count}, expected a number from 0 to {MOST}")]
    Count {
        /// What it says.
        count: i32,
    },
    /// Other names than descriptors.
    #[error(
        "LISTEN_FDNAMES has {names} names and LISTEN_FDS is {count}: there must be one for each"
    )]
    Names {
        /// How many names there are.
        names: usize,
        /// How many descriptors there are to be.
        count: i32,
    },
    /// A descriptor that is not open.
    #[error(
        "descriptor {descriptor} is to be a socket (LISTEN_FDS) and is not open; it was closed before \
         outboard was asked for it, or never handed over"
    )]
    NotOpen {
        /// Its number.
        descriptor: i32,
    },
}

crate::debug_as_text!(ActivationError);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PID: u32 = 4711;

    fn read(variables: &[(&str, &str)]) -> Result<Vec<Passed>, ActivationError> {
        passed(PID, |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn descriptors_and_their_names_are_read() {
        let given = read(&[(LISTEN_PID, "4711"), (LISTEN_FDS, "2")]).expect("they fit");
        let expected = |names: [Option<&str>; 2]| -> Vec<Passed> {
            let numbered = names.into_iter().zip(FIRST..);
            let one = |(name, descriptor): (Option<&str>, i32)| Passed {
                descriptor,
                name: name.map(str::to_owned),
            };
            numbered.map(one).collect()
        };
        assert_eq!(given, expected([None, None]));
        let named = [
            (LISTEN_PID, "4711"),
            (LISTEN_FDS, "2"),
            (LISTEN_FDNAMES, "plugin.socket:"),
        ];
        let given = read(&named).expect("they fit");
        assert_eq!(given, expected([Some("plugin.socket"), Some("")]));
    }

    #[test]
    fn what_is_not_there_or_for_another_process_is_nothing() {
        for variables in [
            &[][..],
            &[(LISTEN_FDS, "1")],
            &[(LISTEN_PID, "4711")],
            &[(LISTEN_PID, "4712"), (LISTEN_FDS, "1")],
            &[(LISTEN_PID, "4712"), (LISTEN_FDS, "x")],
            &[(LISTEN_PID, "4711"), (LISTEN_FDS, "0")],
            &[
                (LISTEN_PID, "4711"),
                (LISTEN_FDS, "0"),
                (LISTEN_FDNAMES, ""),
            ],
        ] {
            assert_eq!(read(variables), Ok(Vec::new()), "{variables:?}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_an_error() {
        for (pid, count, names, told) in [
            ("4711x", "1", None, "LISTEN_PID"),
            ("", "1", None, "LISTEN_PID"),
            ("4711", "one", None, "\"one\""),
            ("4711", "99999999999", None, "LISTEN_FDS"),
            ("4711", "-1", None, "is -1"),
            ("4711", "1025", None, "0 to 1024"),
            ("4711", "2", Some("a"), "1 names"),
            ("4711", "1", Some("a:b"), "2 names"),
        ] {
            let mut variables = vec![(LISTEN_PID, pid), (LISTEN_FDS, count)];
            variables.extend(names.map(|names| (LISTEN_FDNAMES, names)));
            let error = read(&variables).expect_err(told).to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_values_are_read(pid in "4711|.{0,8}", count in "[0-9]{0,5}|.*", names in ".*") {
            let given = read(&[(LISTEN_PID, &pid), (LISTEN_FDS, &count), (LISTEN_FDNAMES, &names)]);
            if let Ok(given) = given {
                prop_assert!(given.len() <= 1024);
                prop_assert!(given.iter().all(|one| one.descriptor >= FIRST));
            }
        }
    }
}
