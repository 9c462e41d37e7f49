//! A checksum that a program must have to be launched: what users say of it, and the check.
//!
//! How digests are compared is the core's (`outboard_core::checksum`), how a file becomes something to
//! execute is `crate::sys::image`'s.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use futures_channel::oneshot;
use outboard_core::checksum::{ChecksumError, Execute, FileDigest, Mismatch};
use outboard_core::fault::Fault;
use outboard_core::host::{StartError, StartFailure};
use outboard_core::rt::Launch;

use super::{Host, HostError};
use crate::sys::image::{self, Image, NoCopy, Open};
use crate::sys::program;

/// The largest program that is copied into memory, in bytes: several times what a large plugin in Go has,
/// and little enough that whoever can put a file there does not take all memory by it. (A choice.)
const LARGEST_COPY: u64 = 1 << 30;

/// How a file is hashed.
type Hash = dyn Fn(&mut dyn Read) -> io::Result<FileDigest> + Send + Sync;

/// The checksum that a plugin's program must have. go-plugin's `SecureConfig`.
///
/// With the feature `checksum` SHA-256 is there ([`sha256`](Self::sha256)), and any hash of the crate
/// `digest` ([`of`](Self::of)). Without it, and for all others, [`new`](Self::new) takes whatever reads a
/// file and gives bytes.
///
/// # What is promised
///
/// The file that the command's program leads to is hashed before anything else of the start. Unless its
/// digest is the expected one, [`HostError::Checksum`] says why, and nothing was launched. What runs
/// then is
///
/// | [`Execute`] | what runs | default |
/// | --- | --- | --- |
/// | `SealedCopy` | the very bytes that were hashed: they were copied into memory and sealed before | on Linux, with [`ForkExec`](crate::rt::Runner::executes_open) |
/// | `OpenFile` | the file that was hashed, also if its path leads to another by then; whoever may write *into* it can change it until it runs | |
/// | `Path` | what stands at the path by then, as with go-plugin | elsewhere: on other systems, with other runners |
///
/// For `Path` and `OpenFile` the file and, for `Path`, every directory on the way to it are to be
/// writable by nobody but those who may choose what runs.
///
/// Checked is that one file. Its shared libraries, its loader, its configuration and what it starts
/// itself are not. Of a script it is the script: its **interpreter** is what the system executes, and is
/// not checked, nor is what the script loads. The interpreter opens the very script that was hashed, by
/// the path of a descriptor (`/proc/self/fd/7`, which is what `$0` then is), for which it needs `/proc`;
/// the descriptor stays open in it.
///
/// # What a program sees of it
///
/// Its `argv[0]` is the program of its [`Command`](crate::Command), as ever. With a sealed copy, though,
/// `std::env::current_exe` (and `/proc/self/exe`) is `/memfd:` and a name, and no path of a file: what it
/// looks for beside itself it does not find, nor does the loader find libraries by `$ORIGIN`. It can still
/// execute itself by `/proc/self/exe`. The rights of a set-user-id program and file capabilities are
/// those of the file and not the copy's. Each process has memory for the whole program of its own (no
/// more than 1 GiB is copied). `OpenFile` has none of this. With both, the short name of the process, as
/// `ps -e` and `top` show it, may be a number until the program sets one.
///
/// ```no_run
/// # #[cfg(feature = "checksum")]
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use outboard::{Checksum, Command, FileDigest, Handshake, Host, Tokio};
///
/// // As `sha256sum ./greeter` prints it, from a source that can be trusted.
/// let expected: FileDigest =
///     "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".parse()?;
/// let plugin = Host::new(Handshake::new(1, "BASIC_PLUGIN", "hello"))
///     .command(Command::new("./greeter"))
///     .checksum(Checksum::sha256(expected))
///     .start(Tokio::current())
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Checksum {
    expected: FileDigest,
    hash: Arc<Hash>,
    execute: Option<Execute>,
}

impl Checksum {
    /// A digest, and how a file is hashed: by a function that reads its input to the end.
    ///
    /// The function is called on a thread of its own. It is also called with an empty input, to tell
    /// what the digest of nothing is.
    ///
    /// ```
    /// use outboard::Checksum;
    ///
    /// /// FNV-1a: no hash for this purpose, but a short one.
    /// fn fnv(file: &mut dyn std::io::Read) -> std::io::Result<[u8; 8]> {
    ///     let (mut sum, mut buffer) = (0xcbf2_9ce4_8422_2325_u64, [0; 65536]);
    ///     loop {
    ///         let read = file.read(&mut buffer)?;
    ///         if read == 0 {
    ///             return Ok(sum.to_be_bytes());
    ///         }
    ///         for byte in &buffer[..read] {
    ///             sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    ///         }
    ///     }
    /// }
    /// let checksum = Checksum::new([0, 1, 2, 3, 4, 5, 6, 7], fnv);
    /// ```
    pub fn new<D: Into<FileDigest>>(
        expected: impl Into<FileDigest>,
        hash: impl Fn(&mut dyn Read) -> io::Result<D> + Send + Sync + 'static,
    ) -> Self {
        Self {
            expected: expected.into(),
            hash: Arc::new(move |file| hash(file).map(Into::into)),
            execute: None,
        }
    }

    /// A SHA-256 digest: 32 bytes, or parsed from 64 digits, see [`FileDigest`].
    #[cfg(feature = "checksum")]
    pub fn sha256(expected: impl Into<FileDigest>) -> Self {
        Self::of::<sha2::Sha256>(expected)
    }

    /// A digest by any hash of the crate `digest`, in its version 0.11: `Checksum::of::<Sha512>(..)`.
    /// For hashes of another version there is [`new`](Self::new).
    #[cfg(feature = "checksum")]
    pub fn of<D: sha2::Digest + 'static>(expected: impl Into<FileDigest>) -> Self {
        Self::new(expected, |file: &mut dyn Read| {
            let (mut hash, mut buffer) = (D::new(), vec![0; 1 << 16]);
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => return Ok(hash.finalize().to_vec()),
                    Ok(read) => hash.update(&buffer[..read]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// What is executed, in place of the default. Where that cannot be done, starting fails with
    /// [`ChecksumError::CannotExecute`] and launches nothing.
    #[must_use]
    pub fn execute(mut self, execute: Execute) -> Self {
        self.execute = Some(execute);
        self
    }

    /// What is to be executed by a runner that executes open files, or does not.
    fn way(&self, path: &Path, can: bool) -> Result<Execute, ChecksumError> {
        match self.execute {
            None if can => Ok(Execute::SealedCopy),
            None | Some(Execute::Path) => Ok(Execute::Path),
            Some(execute) if can => Ok(execute),
            Some(execute) => Err(ChecksumError::CannotExecute {
                path: path.to_owned(),
                execute,
            }),
        }
    }

    fn check(&self, path: &Path, can: bool, gone: &dyn Fn() -> bool) -> Result<Program, Refused> {
        if self.expected.is_empty() {
            let path = path.to_owned();
            return Err(ChecksumError::Empty { path }.into());
        }
        let way = self.way(path, can)?;
        if is_bare(path) {
            let text = "there is no such program in PATH; name it by its path";
            let error = io::Error::new(io::ErrorKind::NotFound, text);
            return Err(self.unreadable(path, error).into());
        }
        let opened = Image::open(path).map_err(|error| self.unreadable(path, error))?;
        let program = match way {
            Execute::SealedCopy => self.sealed(path, opened)?,
            _ => opened,
        };
        self.compare(path, &program, gone)?;
        if way == Execute::Path {
            return Ok(Program::default());
        }
        // A copy could be executed whatever the file's mode and file system say.
        image::may_execute(path).map_err(|error| Refused::Launch(error.into()))?;
        let program = program.into_open().map_err(|e| self.unreadable(path, e))?;
        Ok(Program(Some(program)))
    }

    fn sealed(&self, path: &Path, file: Image) -> Result<Image, ChecksumError> {
        if file.size() > LARGEST_COPY {
            return Err(ChecksumError::TooLarge {
                path: path.to_owned(),
                size: file.size(),
                limit: LARGEST_COPY,
            });
        }
        file.sealed(LARGEST_COPY).map_err(|error| match error {
            NoCopy::Unreadable(error) => self.unreadable(path, error),
            NoCopy::Refused(error) => ChecksumError::NoCopy {
                path: path.to_owned(),
                fault: error.into(),
            },
        })
    }

    fn compare(
        &self,
        path: &Path,
        program: &Image,
        gone: &dyn Fn() -> bool,
    ) -> Result<(), ChecksumError> {
        let mut file = program.reader().map_err(|e| self.unreadable(path, e))?;
        let mut counted = Counted {
            file: &mut file,
            read: 0,
            gone,
        };
        let actual = (self.hash)(&mut counted).map_err(|error| self.unreadable(path, error))?;
        let read = counted.read;
        if io::copy(&mut file.take(1), &mut io::sink()).map_err(|e| self.unreadable(path, e))? > 0 {
            return Err(ChecksumError::NotAllRead {
                path: path.to_owned(),
                read,
                size: program.size(),
            });
        }
        let of_nothing = (self.hash)(&mut io::empty());
        let of_nothing = of_nothing.unwrap_or_else(|_| Vec::new().into());
        Mismatch::check(&self.expected, actual, &of_nothing).map_err(|mismatch| {
            ChecksumError::Mismatch {
                path: path.to_owned(),
                mismatch,
            }
        })
    }

    fn unreadable(&self, path: &Path, error: io::Error) -> ChecksumError {
        ChecksumError::Unreadable {
            path: path.to_owned(),
            expected: self.expected.clone(),
            fault: error.into(),
        }
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checksum")
            .field("expected", &self.expected)
            .field("execute", &self.execute)
            .finish_non_exhaustive()
    }
}

/// What a hash reads: told how much that was, and ended when nobody waits for it any more.
struct Counted<'a, R> {
    file: &'a mut R,
    read: u64,
    gone: &'a dyn Fn() -> bool,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.gone)() {
            return Err(io::Error::other("the start was given up"));
        }
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

/// What is executed in place of what stands at the path.
#[derive(Default)]
struct Program(Option<Open>);

enum Refused {
    Checksum(ChecksumError),
    /// It would have been launched, and the system would have refused.
    Launch(Fault),
}

impl From<ChecksumError> for Refused {
    fn from(error: ChecksumError) -> Self {
        Self::Checksum(error)
    }
}

impl Host {
    /// Launches the program only if its file has this checksum; see [`Checksum`] for what that promises.
    /// go-plugin's `SecureConfig`.
    ///
    /// A start takes longer by the reading and hashing of the whole file, which a thread does; the
    /// [`start_timeout`](Self::start_timeout) begins after it.
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// Checks what is about to be launched, and has that executed which was checked.
    pub(super) async fn check(&mut self, launch: &mut Launch, name: &str) -> Result<(), HostError> {
        let Some(checksum) = self.checksum.take() else {
            return Ok(());
        };
        let path = file_of(launch);
        if !self.runner.shares_files() {
            let text = "its runner starts programs that are no files of this host";
            return Err(HostError::Checksum {
                name: name.to_owned(),
                error: Box::new(checksum.unreadable(&path, io::Error::other(text))),
            });
        }
        let can = cfg!(target_os = "linux") && self.runner.executes_open();
        let (told, outcome) = oneshot::channel();
        let expected = checksum.expected.clone();
        let work = {
            let path = path.clone();
            move || {
                let checked = checksum.check(&path, can, &|| told.is_canceled());
                // If nobody waits any more, nothing is launched.
                let _unwanted = told.send(checked);
            }
        };
        let spawned = thread::Builder::new()
            .name("outboard-checksum".to_owned())
            .spawn(work);
        let failed = |path: &Path, fault| {
            Refused::Checksum(ChecksumError::Unreadable {
                path: path.to_owned(),
                expected,
                fault,
            })
        };
        let checked = match spawned {
            Err(error) => Err(failed(&path, error.into())),
            Ok(_detached) => match outcome.await {
                Ok(checked) => checked,
                Err(oneshot::Canceled) => Err(failed(&path, Fault::other("the hash panicked"))),
            },
        };
        match checked {
            Ok(Program(open)) => {
                image::launch_open(launch, open);
                Ok(())
            }
            Err(Refused::Checksum(error)) => Err(HostError::Checksum {
                name: name.to_owned(),
                error: Box::new(error),
            }),
            Err(Refused::Launch(fault)) => {
                let mut error = StartError::new(StartFailure::Launch(fault));
                error.explain(program::notes(&path, launch.dir.as_deref()));
                Err(HostError::Start {
                    name: name.to_owned(),
                    error: Box::new(error),
                })
            }
        }
    }
}

/// A name that stands for no file by itself: it was looked for in `PATH`, and is not there.
fn is_bare(program: &Path) -> bool {
    program.components().count() == 1 && !program.as_os_str().as_encoded_bytes().contains(&b'/')
}

/// The file that is launched: a relative path begins at the plugin's own directory.
fn file_of(launch: &Launch) -> PathBuf {
    let program = Path::new(&launch.program);
    match &launch.dir {
        Some(dir) if !is_bare(program) => dir.join(program),
        _ => program.to_owned(),
    }
}
