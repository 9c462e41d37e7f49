//! What may have been the mistake when a plugin did not start.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::{Evidence, StartFailure, StartPhase};
use crate::diagnose::{FileKind, Notes};
use crate::exit::Exit;
use crate::handshake::HandshakeError;

/// What may have been the mistake when a plugin did not start, and what to do about it.
///
/// The `Display` form is the advice; [`summary`](Self::summary) is the fact, for the first line of
/// an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// There is no file of that name.
    NoSuchFile {
        /// The program.
        path: PathBuf,
        /// Whether it is a bare name that was looked up in `PATH`.
        searched: bool,
    },
    /// The program is a directory.
    Directory {
        /// The program.
        path: PathBuf,
    },
    /// The working directory that the plugin was to get is none.
    NoWorkingDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// The program's file may not be executed by this user.
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// Whether some other user may.
        others_may: bool,
    },
    /// The program's file is fine, and may not be executed all the same.
    Forbidden {
        /// The program.
        path: PathBuf,
    },
    /// What the program names as its interpreter or loader does not exist.
    NoInterpreter {
        /// The interpreter or loader.
        interpreter: PathBuf,
        /// Whether the program is a script.
        script: bool,
    },
    /// The program was built for another machine.
    OtherArchitecture {
        /// What it was built for.
        built_for: String,
        /// What this is.
        this: String,
    },
    /// The file is of no kind that this system can execute.
    NotAProgram {
        /// The program.
        path: PathBuf,
    },
    /// The program said that it is a plugin and that it was not launched by its host.
    CookieRefused,
    /// The program ended by itself before it served.
    EndedEarly {
        /// How it ended.
        exit: Exit,
        /// Whether it panicked, so that the exit status says no more.
        panicked: bool,
    },
}

/// What programs say that are plugins and find no cookie of theirs: go-plugin's and outboard's.
const COOKIE_TEXTS: [&str; 2] = ["This binary is a plugin", "This program is a plugin"];

impl Hint {
    /// What fits a failure and what was seen; `None` if the failure says all there is.
    #[must_use]
    pub fn of(failure: &StartFailure, evidence: &Evidence) -> Option<Self> {
        match failure {
            StartFailure::Launch(fault) => Self::of_launch(fault.kind, evidence.notes.as_deref()?),
            StartFailure::Exited {
                phase: StartPhase::Launch | StartPhase::Handshake,
            }
            | StartFailure::Handshake(
                HandshakeError::NoLine
                | HandshakeError::Unrecognised { .. }
                | HandshakeError::OnlyStrayLines { .. },
            ) => Self::of_end(evidence),
            StartFailure::Exited {
                phase: StartPhase::Connect | StartPhase::Tls,
            }
            | StartFailure::Handshake(_)
            | StartFailure::Refused(_)
            | StartFailure::TimedOut { .. }
            | StartFailure::Connect { .. }
            | StartFailure::Tls { .. }
            | StartFailure::Cancelled => None,
        }
    }

    fn of_launch(kind: ErrorKind, notes: &Notes) -> Option<Self> {
        let path = || notes.path.clone();
        match (kind, notes.kind?) {
            // The system gives the same error for a program and for a directory that is not there.
            (ErrorKind::NotFound | ErrorKind::NotADirectory, _) if notes.missing_dir.is_some() => {
                let dir = notes.missing_dir.clone()?;
                Some(Self::NoWorkingDirectory { dir })
            }
            (ErrorKind::NotFound | ErrorKind::NotADirectory, FileKind::Missing) => {
                let searched = notes.path.components().count() == 1;
                let path = path();
                Some(Self::NoSuchFile { path, searched })
            }
            (_, FileKind::Directory) => Some(Self::Directory { path: path() }),
            (ErrorKind::NotFound, FileKind::File | FileKind::Other) => {
                let interpreter = notes.missing_interpreter.clone()?;
                let script = notes.executable.is_none();
                Some(Self::NoInterpreter {
                    interpreter,
                    script,
                })
            }
            (ErrorKind::PermissionDenied, FileKind::File | FileKind::Other) => {
                if notes.may_execute != Some(false) {
                    return Some(Self::Forbidden { path: path() });
                }
                let others_may = notes.mode.is_some_and(|mode| mode & 0o111 != 0);
                let path = path();
                Some(Self::NotExecutable { path, others_may })
            }
            // "Exec format error" has no kind of its own.
            (kind, FileKind::File) if kind != ErrorKind::NotFound && !is_common(kind) => {
                match &notes.executable {
                    Some(executable) if !executable.runs_on(&notes.host_arch) => {
                        Some(Self::OtherArchitecture {
                            built_for: executable.to_string(),
                            this: notes.host_arch.clone(),
                        })
                    }
                    Some(_) => None,
                    None => Some(Self::NotAProgram { path: path() }),
                }
            }
            (_, FileKind::Missing | FileKind::File | FileKind::Other) => None,
        }
    }

    fn of_end(evidence: &Evidence) -> Option<Self> {
        let is_refusal = |line: &String| COOKIE_TEXTS.iter().any(|text| line.contains(text));
        if evidence.stderr.iter().any(is_refusal) {
            return Some(Self::CookieRefused);
        }
        let exit = evidence.exit.filter(|_| !evidence.killed)?;
        let panicked = evidence.panic.is_some();
        Some(Self::EndedEarly { exit, panicked })
    }

    /// The fact in a few words, to complete "the plugin could not be started: …"; `None` if the
    /// failure itself says it.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        Some(match self {
            Self::NoSuchFile { path, searched } if *searched => {
                format!("there is no program {} in PATH", path.display())
            }
            Self::NoSuchFile { path, .. } => format!("there is no file {}", path.display()),
            Self::Directory { path } => format!("{} is a directory", path.display()),
            Self::NoWorkingDirectory { dir } => {
                format!("its working directory {} does not exist", dir.display())
            }
            Self::NotExecutable { path, .. } => {
                format!("{} is not executable by this user", path.display())
            }
            Self::Forbidden { path } => format!("{} may not be executed", path.display()),
            Self::NoInterpreter {
                interpreter,
                script,
            } => {
                let role = if *script { "interpreter" } else { "loader" };
                format!("its {role} {} does not exist", interpreter.display())
            }
            Self::OtherArchitecture { built_for, this } => {
                format!(
                    "it was built for another machine or system ({built_for}; this one: {this})"
                )
            }
            Self::NotAProgram { path } => {
                format!("{} is not a program for this system", path.display())
            }
            Self::CookieRefused => "it refused this host's magic cookie".to_owned(),
            Self::EndedEarly { .. } => return None,
        })
    }
}

/// Kinds that tell of something else than the file's format.
fn is_common(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::OutOfMemory
            | ErrorKind::WouldBlock
            | ErrorKind::ExecutableFileBusy
            | ErrorKind::ArgumentListTooLong
            | ErrorKind::InvalidInput
            | ErrorKind::Interrupted
    )
}

/// What to do about it.
impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchFile { searched: true, .. } => f.write_str(
                "Add the program's directory to the host's PATH, or name the program by its path.",
            ),
            Self::NoSuchFile { path, .. } if path.is_relative() => f.write_str(
                "Check the path: a relative one begins at the host's own working directory.",
            ),
            Self::NoSuchFile { .. } => f.write_str("Check the path, or install the plugin there."),
            Self::Directory { .. } => f.write_str("Name the program in it."),
            Self::NoWorkingDirectory { .. } => {
                f.write_str("Make the directory, or give the command another one.")
            }
            Self::NotExecutable {
                path,
                others_may: false,
            } => write!(
                f,
                "Make it executable, if it is a program: chmod +x {}",
                path.display()
            ),
            Self::NotExecutable { path, .. } => write!(
                f,
                "Its owner or group may execute it, and the host runs as neither; if others may \
                 too: chmod +x {}",
                path.display()
            ),
            Self::Forbidden { .. } => f.write_str(
                "The file itself is executable by this user, so the system's reason is another: a \
                 directory on the way that this user may not search, a file system mounted \
                 \"noexec\", an interpreter that may not be executed, or a security policy.",
            ),
            Self::NoInterpreter { script: true, .. } => {
                f.write_str("Install it, or name another in the script's first line.")
            }
            Self::NoInterpreter { .. } => f.write_str(
                "The program was built for another system or C library: build it for this one, or \
                 link it statically.",
            ),
            Self::OtherArchitecture { .. } => {
                f.write_str("Install a build of the plugin for this machine.")
            }
            Self::NotAProgram { .. } => f.write_str(
                "It is neither an executable of this system nor a script that begins with #! and \
                 an interpreter.",
            ),
            Self::CookieRefused => f.write_str(
                "Is it a plugin of another program? The key and the value of the magic cookie in \
                 the host's handshake must be those that the plugin was built with.",
            ),
            Self::EndedEarly { exit, panicked } => {
                if *panicked {
                    return f.write_str(
                        "It panicked before it served: a mistake in the plugin or in what it was \
                         given (its arguments, environment and files).",
                    );
                }
                f.write_str(early_end(*exit))
            }
        }
    }
}

fn early_end(exit: Exit) -> &'static str {
    match exit {
        Exit::Code(0) => {
            "It ended by itself, content, before it served: it is no plugin, it was given \
             arguments that have it do something else (such as --help), or its main returns \
             without serving."
        }
        Exit::Code(126) => {
            "A shell ends with this status if a command that it was told to run may not be \
             executed."
        }
        Exit::Code(127) => {
            "A shell ends with this status if a command that it was told to run does not exist, \
             and the system's loader if a shared library of the program is missing."
        }
        Exit::Code(_) => {
            "It ended by itself before it served: it is no plugin, it does not know the arguments \
             it was given, or it failed at its own start (a missing setting or file, a host that \
             asks for what it does not have). A plugin says why on its stderr."
        }
        Exit::Signal { signal: 4, .. } => {
            "It was built for a processor with instructions that this one does not have, or it \
             ended itself at an error."
        }
        Exit::Signal { signal: 9, .. } => {
            "Somebody killed it before it served: a person, or the system for want of memory."
        }
        Exit::Signal { .. } => {
            "It was ended by a signal before it served: it crashed, or somebody ended it."
        }
        Exit::Unknown => "It ended before it served.",
    }
}

#[cfg(test)]
#[path = "hint_tests.rs"]
mod tests;
