//! Which cause fits a failure, by what was seen and found out.

use std::io::ErrorKind;

use super::Hint;
use crate::diagnose::{Contents, FileKind, Foreign, Format, LoaderComplaint, Notes};
use crate::exit::Exit;
use crate::handshake::{CORE_VERSION, HandshakeError, Protocol};
use crate::host::{Evidence, StartFailure, StartPhase};
use crate::version::IncompatibleVersion;

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
            } => Self::of_end(evidence),
            StartFailure::Handshake(error) => Self::of_handshake(error, evidence),
            StartFailure::Tls { reason, .. } => Some(Self::OtherTls { reason: *reason }),
            StartFailure::Exited {
                phase: StartPhase::Connect | StartPhase::Tls,
            }
            | StartFailure::Refused(_)
            | StartFailure::TimedOut { .. }
            | StartFailure::Connect { .. }
            | StartFailure::Cancelled => None,
        }
    }

    fn of_launch(kind: ErrorKind, notes: &Notes) -> Option<Self> {
        let path = || notes.path.clone();
        if kind == ErrorKind::PermissionDenied
            && let Some(closed) = &notes.closed_dir
        {
            return Some(Self::ClosedDirectory {
                dir: closed.path.clone(),
                mode: closed.mode,
                user: closed.user.clone(),
            });
        }
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
            (ErrorKind::NotFound, FileKind::File | FileKind::Other) => Self::of_interpreter(notes),
            (ErrorKind::PermissionDenied, FileKind::File | FileKind::Other) => {
                Some(Self::of_permission(notes))
            }
            // "Exec format error" has no kind of its own.
            (kind, FileKind::File) if kind != ErrorKind::NotFound && !is_common(kind) => {
                Self::of_format(notes)
            }
            (_, FileKind::Missing | FileKind::File | FileKind::Other) => None,
        }
    }

    fn of_interpreter(notes: &Notes) -> Option<Self> {
        let missing = notes.missing_interpreter.clone()?;
        match notes.contents.as_ref().and_then(Contents::script) {
            Some(script) if script.carriage_return => Some(Self::CarriageReturn {
                path: notes.path.clone(),
                line: script.to_string(),
            }),
            Some(_) => Some(Self::NoInterpreter {
                interpreter: missing,
            }),
            None => Some(Self::NoLoader { loader: missing }),
        }
    }

    fn of_permission(notes: &Notes) -> Self {
        let path = notes.path.clone();
        // Where nothing may be executed, the system says of each file that it is not executable.
        if let Some(mount) = notes.noexec_mount.clone() {
            return Self::NoExecMount { path, mount };
        }
        if notes.may_execute != Some(false) {
            return Self::Forbidden { path };
        }
        Self::NotExecutable {
            path,
            mode: notes.mode,
            user: notes.user.clone(),
            others_may: notes.mode.is_some_and(|mode| mode & 0o111 != 0),
        }
    }

    fn of_format(notes: &Notes) -> Option<Self> {
        match notes.contents.as_ref()? {
            Contents::Executable(executable) if executable.format != Format::OWN => {
                Some(Self::OtherSystem {
                    executable: executable.clone(),
                    this: Format::OWN,
                })
            }
            Contents::Executable(executable) if !executable.runs_on(&notes.host_arch) => {
                Some(Self::OtherArchitecture {
                    executable: executable.clone(),
                    this: notes.host_arch.clone(),
                })
            }
            Contents::Executable(_) => None,
            contents => Some(Self::NotAProgram {
                path: notes.path.clone(),
                contents: contents.clone(),
            }),
        }
    }

    fn of_handshake(error: &HandshakeError, evidence: &Evidence) -> Option<Self> {
        match error {
            HandshakeError::NoLine => Self::of_end(evidence),
            HandshakeError::Unrecognised { line }
            | HandshakeError::LineTooLong { start: line, .. }
            | HandshakeError::OnlyStrayLines { first: line, .. } => Self::of_noise(line, evidence),
            HandshakeError::IncompatibleCore { plugin } => Some(Self::OtherCoreVersion {
                plugin: *plugin,
                this: CORE_VERSION,
            }),
            HandshakeError::IncompatibleVersion(IncompatibleVersion { plugin, host }) => {
                Some(Self::OtherVersion {
                    plugin: *plugin,
                    offered: host.clone(),
                })
            }
            HandshakeError::ProtocolNotAllowed { found, allowed } => Some(Self::OtherProtocol {
                found: found.clone(),
                allowed: Some(allowed.clone()),
            }),
            HandshakeError::NetRpcUnsupported => Some(Self::OtherProtocol {
                found: Protocol::NetRpc.name().to_owned(),
                allowed: None,
            }),
            HandshakeError::StdioNotOffered => Some(Self::OtherProtocol {
                found: Protocol::Stdio.name().to_owned(),
                allowed: None,
            }),
            HandshakeError::CertificateMissing => Some(Self::NoAutoMtls),
            HandshakeError::MultiplexingUnsupported(refusal) => {
                Some(Self::NoMultiplexing { refusal: *refusal })
            }
            // A line of go-plugin's kind that is broken: what there is to say stands in the error.
            HandshakeError::Refused(_)
            | HandshakeError::CoreVersionNotInteger { .. }
            | HandshakeError::AppVersionNotInteger { .. }
            | HandshakeError::Translation { .. }
            | HandshakeError::BadAddress(_)
            | HandshakeError::UnknownNetwork { .. }
            | HandshakeError::BadStdioAnswer { .. }
            | HandshakeError::Certificate(_)
            | HandshakeError::MultiplexingNotBoolean { .. } => None,
        }
    }

    /// A program that ended explains what it printed before.
    fn of_noise(line: &str, evidence: &Evidence) -> Option<Self> {
        let line_told = || line.to_owned();
        if let Some(protocol) = Foreign::detect(line) {
            let line = line_told();
            return Some(Self::ForeignProtocol { protocol, line });
        }
        Self::of_end(evidence).or_else(|| Some(Self::Noise { line: line_told() }))
    }

    fn of_end(evidence: &Evidence) -> Option<Self> {
        let is_refusal = |line: &String| COOKIE_TEXTS.iter().any(|text| line.contains(text));
        if evidence.stderr.iter().any(is_refusal) {
            return Some(Self::CookieRefused);
        }
        let exit = evidence.exit.filter(|_| !evidence.killed)?;
        if let Some(message) = evidence.panic.clone() {
            return Some(Self::Panicked { message, exit });
        }
        if !exit.success()
            && let Some(hint) = Self::of_complaint(evidence)
        {
            return Some(hint);
        }
        match exit {
            Exit::Code(status) => Some(Self::Exited { status }),
            Exit::Signal {
                signal,
                core_dumped,
            } => Some(Self::Signalled {
                signal,
                core_dumped,
            }),
            Exit::Unknown => None,
        }
    }

    /// What the system's loader said, or `env`.
    fn of_complaint(evidence: &Evidence) -> Option<Self> {
        let lines = || evidence.stderr.iter();
        let notes = evidence.notes.as_deref();
        if let Some(complaint) = lines().find_map(|line| LoaderComplaint::detect(line)) {
            return Some(match complaint {
                LoaderComplaint::NoLibrary { library } => {
                    let named = notes.map(|notes| &notes.libraries);
                    let named = named.filter(|named| !named.is_empty());
                    let by_program = named.map(|named| named.contains(&library));
                    Self::NoLibrary {
                        library,
                        by_program,
                    }
                }
                LoaderComplaint::NoVersion { library, version } => {
                    Self::OldLibrary { library, version }
                }
            });
        }
        if evidence.exit != Some(Exit::Code(127)) {
            return None;
        }
        let notes = notes?;
        let script = notes.contents.as_ref().and_then(Contents::script)?;
        let command = script.looked_up()?;
        let says_env = |line: &String| line.starts_with("env: ") || line.contains("/env: ");
        if !lines().any(|line| says_env(line) && line.contains(command)) {
            return None;
        }
        Some(if script.carriage_return {
            Self::CarriageReturn {
                path: notes.path.clone(),
                line: script.to_string(),
            }
        } else {
            Self::NoCommand {
                command: command.to_owned(),
            }
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
            | ErrorKind::Unsupported
    )
}

#[cfg(test)]
#[path = "../hint_tests.rs"]
mod tests;
