//! What the mistake was when a plugin did not start: one variant for each cause.

mod choice;
mod text;

use std::path::PathBuf;

use crate::diagnose::{Contents, Executable, Foreign, Format, Ids};
use crate::exit::Exit;
use crate::handshake::{MultiplexingRefusal, Protocol};
use crate::tls::TlsReason;

/// What the mistake was when a plugin did not start, and what to do about it.
///
/// Programs read the variants, whose fields are the evidence, or [`code`](Self::code); people read
/// [`summary`](Self::summary), which is the fact, for the first line of an error, and the `Display` form,
/// which is the next step.
///
/// There is none for a failure that says all by itself, such as
/// [`StartFailure::TimedOut`](super::StartFailure::TimedOut), and for one that nothing is known of.
///
/// ```
/// use outboard_core::host::{Hint, StartError};
///
/// fn install_again(error: &StartError) -> bool {
///     match &error.evidence.hint {
///         Some(Hint::OtherArchitecture { executable, .. }) => executable.arch != "arm64",
///         Some(Hint::NoSuchFile { .. }) => true,
///         _ => false,
///     }
/// }
/// # assert_eq!(Hint::CookieRefused.code(), "cookie-refused");
/// # let _ = install_again;
/// ```
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
    /// A directory on the way to the program may not be searched by this user.
    ClosedDirectory {
        /// The directory.
        dir: PathBuf,
        /// Its unix mode bits.
        mode: u32,
        /// Its owner, and this process's user.
        user: Ids,
    },
    /// The program's file may not be executed by this user.
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// Its unix mode bits.
        mode: Option<u32>,
        /// Its owner, and this process's user.
        user: Option<Ids>,
        /// Whether some other user may.
        others_may: bool,
    },
    /// Nothing may be executed where the program lies.
    NoExecMount {
        /// The program.
        path: PathBuf,
        /// Where the file system is mounted, with the option `noexec`.
        mount: PathBuf,
    },
    /// The program's file is fine, and may not be executed all the same.
    Forbidden {
        /// The program.
        path: PathBuf,
    },
    /// The interpreter that a script names does not exist.
    NoInterpreter {
        /// The interpreter.
        interpreter: PathBuf,
    },
    /// The command that a script has `env` look up is not in the plugin's `PATH`.
    NoCommand {
        /// The command.
        command: String,
    },
    /// The first line of a script ends as on Windows, and the system looks for an interpreter, or `env`
    /// for a command, with a CR in its name.
    CarriageReturn {
        /// The script.
        path: PathBuf,
        /// The line, without `#!` and CR.
        line: String,
    },
    /// The loader that a program asks for does not exist.
    NoLoader {
        /// The loader.
        loader: PathBuf,
    },
    /// The program is one of another system.
    OtherSystem {
        /// Its format and what it was built for.
        executable: Executable,
        /// The format of this system's programs.
        this: Format,
    },
    /// The program was built for another architecture.
    OtherArchitecture {
        /// Its format and what it was built for.
        executable: Executable,
        /// The architecture of this process, as Go names it.
        this: String,
    },
    /// The file is of no kind that this system can execute.
    NotAProgram {
        /// The program.
        path: PathBuf,
        /// What it is.
        contents: Contents,
    },
    /// The program ended since a shared library is missing.
    NoLibrary {
        /// The library's name.
        library: String,
        /// Whether the program's own file names it, in place of another library. `None` if that could
        /// not be read.
        by_program: Option<bool>,
    },
    /// The program ended since a shared library of the system is too old for it.
    OldLibrary {
        /// The library.
        library: String,
        /// The version that it does not have.
        version: String,
    },
    /// The program said that it is a plugin and that it was not launched by its host.
    CookieRefused,
    /// The program panicked before it served.
    Panicked {
        /// What the panic said, one line.
        message: String,
        /// How it ended.
        exit: Exit,
    },
    /// The program ended by itself before it served.
    Exited {
        /// Its exit status.
        status: i32,
    },
    /// The program was ended by a signal before it served.
    Signalled {
        /// The signal's number.
        signal: i32,
        /// Whether the system wrote a core file.
        core_dumped: bool,
    },
    /// The program printed something else on stdout than a handshake line, and lived on.
    Noise {
        /// The line that was no handshake, shortened.
        line: String,
    },
    /// The program printed what belongs to another protocol.
    ForeignProtocol {
        /// Which.
        protocol: Foreign,
        /// The line that says so, shortened.
        line: String,
    },
    /// The plugin's handshake is of another version than this host's, which no library of today has.
    OtherCoreVersion {
        /// The plugin's.
        plugin: i64,
        /// This host's.
        this: i64,
    },
    /// The plugin's calls go by a protocol that this host was not given: an older one, or another.
    OtherProtocol {
        /// What the plugin speaks, as its line names it, shortened.
        found: String,
        /// What this host speaks; `None` where the failure does not tell.
        allowed: Option<Vec<Protocol>>,
    },
    /// The plugin needs another version of the application's protocol.
    OtherVersion {
        /// The version that the plugin has.
        plugin: i64,
        /// The versions that this host offers, ascending.
        offered: Vec<i64>,
    },
    /// The host asked for AutoMTLS, and the plugin did not answer with a certificate.
    NoAutoMtls,
    /// Host and plugin do not agree on TLS.
    OtherTls {
        /// What did not fit.
        reason: TlsReason,
    },
    /// The host asked for one connection for everything, and the plugin does not do that.
    NoMultiplexing {
        /// How it says so.
        refusal: MultiplexingRefusal,
    },
}
