//! How a cause reads: a word for programs, the fact and the next step for people.

use std::fmt;

use super::Hint;
use crate::tls::TlsReason;

impl Hint {
    /// A word for the variant, which does not change: for logs, metrics and other programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSuchFile { .. } => "no-such-file",
            Self::Directory { .. } => "directory",
            Self::NoWorkingDirectory { .. } => "no-working-directory",
            Self::ClosedDirectory { .. } => "closed-directory",
            Self::NotExecutable { .. } => "not-executable",
            Self::NoExecMount { .. } => "noexec-mount",
            Self::Forbidden { .. } => "forbidden",
            Self::NoInterpreter { .. } => "no-interpreter",
            Self::NoCommand { .. } => "no-command",
            Self::CarriageReturn { .. } => "carriage-return",
            Self::NoLoader { .. } => "no-loader",
            Self::OtherSystem { .. } => "other-system",
            Self::OtherArchitecture { .. } => "other-architecture",
            Self::NotAProgram { .. } => "not-a-program",
            Self::NoLibrary { .. } => "no-library",
            Self::OldLibrary { .. } => "old-library",
            Self::CookieRefused => "cookie-refused",
            Self::Panicked { .. } => "panicked",
            Self::Exited { .. } => "exited",
            Self::Signalled { .. } => "signalled",
            Self::Noise { .. } => "noise",
            Self::ForeignProtocol { .. } => "foreign-protocol",
            Self::OtherCoreVersion { .. } => "other-core-version",
            Self::OtherProtocol { .. } => "other-protocol",
            Self::OtherVersion { .. } => "other-version",
            Self::NoAutoMtls => "no-auto-mtls",
            Self::OtherTls { .. } => "other-tls",
            Self::NoMultiplexing { .. } => "no-multiplexing",
        }
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
            Self::ClosedDirectory { dir, mode, user } => format!(
                "this user may not search the directory {} (mode {:04o}, owner {user})",
                dir.display(),
                mode & 0o7777
            ),
            Self::NotExecutable { path, .. } => {
                format!("{} is not executable by this user", path.display())
            }
            Self::NoExecMount { path, mount } => format!(
                "{} lies on a file system on which nothing may be executed, mounted \"noexec\" at {}",
                path.display(),
                mount.display()
            ),
            Self::Forbidden { path } => format!("{} may not be executed", path.display()),
            Self::NoInterpreter { interpreter } => {
                format!("its interpreter {} does not exist", interpreter.display())
            }
            Self::NoCommand { command } => {
                format!("there is no {command} in its PATH, which its first line has run it")
            }
            Self::CarriageReturn { path, line } => format!(
                "the first line of {}, #!{line}, ends with CR LF, and the CR counts as part of the name",
                path.display()
            ),
            Self::NoLoader { loader } => {
                format!("its loader {} does not exist", loader.display())
            }
            Self::OtherSystem { executable, this } => format!(
                "it was built for another system ({executable}; programs of this one are {this})"
            ),
            Self::OtherArchitecture { executable, this } => {
                format!("it was built for another machine ({executable}; this one: {this})")
            }
            Self::NotAProgram { path, contents } => format!(
                "{} is not a program for this system: it is {contents}",
                path.display()
            ),
            Self::NoLibrary { library, .. } => {
                format!("the shared library {library} is missing")
            }
            Self::OldLibrary { library, version } => {
                format!("{library} is too old for it: it has no version {version}")
            }
            Self::CookieRefused => "it refused this host's magic cookie".to_owned(),
            Self::ForeignProtocol { protocol, .. } => format!("it speaks {protocol}"),
            Self::Panicked { .. }
            | Self::Exited { .. }
            | Self::Signalled { .. }
            | Self::Noise { .. }
            | Self::OtherCoreVersion { .. }
            | Self::OtherProtocol { .. }
            | Self::OtherVersion { .. }
            | Self::NoAutoMtls
            | Self::OtherTls { .. }
            | Self::NoMultiplexing { .. } => return None,
        })
    }
}

/// What to do about it.
impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotExecutable {
                path,
                others_may: false,
                ..
            } => write!(
                f,
                "Make it executable, if it is a program: chmod +x {}",
                path.display()
            ),
            Self::NotExecutable { path, .. } => write!(
                f,
                "Its owner or group may execute it, and the host runs as neither; if others \
                 may too: chmod +x {}",
                path.display()
            ),
            Self::ClosedDirectory { dir, .. } => write!(
                f,
                "Install the plugin where this user may go; or if others may search the \
                 directory: chmod a+x {}",
                dir.display()
            ),
            Self::NoExecMount { mount, .. } => write!(
                f,
                "Install the plugin elsewhere, or have {} mounted without \"noexec\".",
                mount.display()
            ),
            Self::NoCommand { command } => write!(
                f,
                "Install {command}, or give the plugin a PATH in which it is found; a host \
                 that does not pass on its environment passes on no PATH."
            ),
            Self::CarriageReturn { path, .. } => write!(
                f,
                "Save it with the line ends of unix: sed -i 's/\\r$//' {}",
                path.display()
            ),
            Self::OtherSystem { executable, .. } => write!(
                f,
                "Programs of this format are for {}: install a build of the plugin for this \
                 system.",
                executable.format.systems()
            ),
            Self::NoLibrary {
                library,
                by_program: Some(false),
            } => write!(
                f,
                "The program itself does not name it: a library that it uses does. Install \
                 {library}."
            ),
            Self::NoLibrary { library, .. } => write!(
                f,
                "Install what contains {library}, or use a build of the plugin that is linked \
                 statically. A library that lies elsewhere is found with LD_LIBRARY_PATH, if \
                 the plugin's environment has that."
            ),
            Self::OldLibrary { version, .. } => write!(
                f,
                "The plugin was built on a newer system than this one, for {version}: use a \
                 build for an older one, or one that is linked statically, or update the \
                 system."
            ),
            Self::Panicked { .. } => f.write_str(
                "It panicked before it served: a mistake in the plugin or in what it was given \
                 (its arguments, environment and files).",
            ),
            Self::OtherVersion { plugin, offered } => f.write_str(other_version(*plugin, offered)),
            Self::OtherCoreVersion { plugin, this } => f.write_str(if plugin < this {
                "It was built with a library older than any release of go-plugin: build it \
                 anew."
            } else {
                "It was built with a library that is newer than this host's: update the host."
            }),
            Self::OtherTls { reason } => f.write_str(other_tls(*reason)),
            Self::NoSuchFile { searched: true, .. } => f.write_str(
                "Add the program's directory to the host's PATH, or name the program by its \
                 path.",
            ),
            Self::NoSuchFile { path, .. } if path.is_relative() => f.write_str(
                "Check the path: a relative one begins at the host's own working directory.",
            ),
            Self::NoSuchFile { .. } => f.write_str("Check the path, or install the plugin there."),
            Self::Directory { .. } => f.write_str("Name the program in it."),
            Self::NoWorkingDirectory { .. } => {
                f.write_str("Make the directory, or give the command another one.")
            }
            Self::Forbidden { .. } => f.write_str(
                "The file itself is executable by this user, and so are the directories and \
                 the file system that it is on, as far as can be told: the system's reason is \
                 another, such as an interpreter that may not be executed, or a security \
                 policy.",
            ),
            Self::NoInterpreter { .. } => {
                f.write_str("Install it, or name another in the script's first line.")
            }
            Self::NoLoader { .. } => f.write_str(
                "The program was built for another system or C library: build it for this one, \
                 or link it statically.",
            ),
            Self::OtherArchitecture { .. } => {
                f.write_str("Install a build of the plugin for this machine.")
            }
            Self::NotAProgram { .. } => f.write_str(
                "It is neither an executable of this system nor a script that begins with #! \
                 and an interpreter.",
            ),
            Self::CookieRefused => f.write_str(
                "Is it a plugin of another program? The key and the value of the magic cookie \
                 in the host's handshake must be those that the plugin was built with.",
            ),
            Self::Exited { status } => f.write_str(early_exit(*status)),
            Self::Signalled { signal, .. } => f.write_str(early_signal(*signal)),
            Self::Noise { .. } => f.write_str(
                "What a plugin prints before it serves belongs on stderr. In a plugin of \
                 outboard's nothing is in the way once Plugin::new was called: call it first \
                 in main.",
            ),
            Self::ForeignProtocol { .. } => f.write_str(
                "It is no plugin of go-plugin's kind: launch it with a library for that \
                 protocol, or look for an option that makes it a plugin.",
            ),
            Self::OtherProtocol { found, .. } => f.write_str(other_protocol(found)),
            Self::NoAutoMtls => f.write_str(
                "A plugin that answers it prints its certificate as the sixth field of its \
                 line.",
            ),
            Self::NoMultiplexing { .. } => {
                f.write_str("Plugins built with go-plugin 1.6 or later can multiplex, over gRPC.")
            }
        }
    }
}

fn other_protocol(found: &str) -> &'static str {
    match found {
        "netrpc" => {
            "A plugin that names no protocol, or this one, was built with an old \
                 go-plugin, or is meant for hosts that speak Go's net/rpc."
        }
        "stdio" => {
            "Only a plugin of outboard's speaks it, to a host that offers it: whoever \
                 launched this one has passed on an offer that is not this host's."
        }
        _ => {
            "It is meant for another host, or built with a library that this one does not \
                 know."
        }
    }
}

fn other_version(plugin: i64, offered: &[i64]) -> &'static str {
    match (offered.first(), offered.last()) {
        (Some(lowest), _) if plugin < *lowest => {
            "The plugin is older than all that this host works with: update the plugin, or \
                 have the host offer this version, too."
        }
        (_, Some(highest)) if plugin > *highest => {
            "The plugin is newer than this host: update the host, or use an older plugin."
        }
        _ => {
            "Use a plugin of a version that this host offers, or have the host offer the \
                 plugin's."
        }
    }
}

fn other_tls(reason: TlsReason) -> &'static str {
    match reason {
        TlsReason::NotTls => {
            "The plugin talks in the clear: it has no TLS of its own, or was not asked for \
                 it. Give it the same as the host, or leave TLS out in both."
        }
        TlsReason::Expired | TlsReason::NotYetValid => {
            "Check the dates of the certificate and the clocks of both machines."
        }
        TlsReason::NotTrusted => {
            "Have the host's configuration trust the plugin's certificate, or its issuer."
        }
        TlsReason::NoCertificate | TlsReason::Refused => {
            "One side asks for a certificate, or for one of another issuer, that the other \
                 does not have: compare the two configurations."
        }
        TlsReason::NotACertificate | TlsReason::OtherCertificate | TlsReason::WrongKey => {
            "Whoever answers at the plugin's address is not the one that announced it, or \
                 the plugin mixes up its certificates: with AutoMTLS it has one, made for this \
                 launch."
        }
        TlsReason::NoProtocol | TlsReason::Ended | TlsReason::TimedOut | TlsReason::Other => {
            "Compare what host and plugin are configured with: the plugin's log may say \
                 what it did not like."
        }
    }
}

fn early_exit(status: i32) -> &'static str {
    match status {
        0 => {
            "It ended by itself, content, before it served: it is no plugin, it was given \
                 arguments that have it do something else (such as --help), or its main \
                 returns without serving."
        }
        126 => {
            "A shell ends with this status if a command that it was told to run may not be \
                 executed."
        }
        127 => {
            "A shell ends with this status if a command that it was told to run does not \
                 exist, and the system's loader if it cannot put the program together."
        }
        _ => {
            "It ended by itself before it served: it is no plugin, it does not know the \
                 arguments it was given, or it failed at its own start (a missing setting or \
                 file, a host that asks for what it does not have). A plugin says why on its \
                 stderr."
        }
    }
}

fn early_signal(signal: i32) -> &'static str {
    match signal {
        4 => {
            "It was built for a processor with instructions that this one does not have, \
                 or it ended itself at an error."
        }
        9 => {
            "Somebody killed it before it served: a person, or the system for want of \
                 memory."
        }
        _ => "It was ended by a signal before it served: it crashed, or somebody ended it.",
    }
}
