//! What a plugin prints, straight to its host: named pipes that the host makes and the plugin takes as
//! its descriptors 1 and 2. Whatever way a process ends, what it has written stays in the pipe for
//! whoever reads it; what only its own memory holds is lost with it.
//!
//! Named, since a program that knows nothing of them inherits nothing, and its children neither.
#![cfg_attr(target_vendor = "apple", allow(unsafe_code))]

use std::io::{self, PipeReader, PipeWriter};
use std::path::Path;

use super::files::OwnFile;

/// The host's ends.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// Of the pipes for stdout and stderr.
    pub(crate) readers: [PipeReader; 2],
    pub(crate) held: Held,
}

/// What keeps the pipes from seeming to be at their end before a plugin has opened them. Dropped when
/// the plugin's process has ended.
#[derive(Debug)]
pub(crate) struct Held {
    names: Vec<OwnFile>,
    _writers: [PipeWriter; 2],
}

impl Held {
    /// Removes the names: who is to have the pipes has opened them, or knows nothing of them.
    pub(crate) fn unname(&mut self) {
        self.names.clear();
    }
}

/// The plugin's ends of one pipe.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) writer: PipeWriter,
    /// For what is printed once the host is gone: without a reader each print would fail, and with
    /// one that nobody reads from wait for ever. It is never blocking.
    pub(super) reader: PipeReader,
}

#[cfg(not(unix))]
pub(crate) fn make(_dir: &Path, _group: Option<&str>) -> io::Result<Pipes> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
pub(crate) use unix::make;
#[cfg(unix)]
pub(super) use unix::take;

#[cfg(unix)]
mod unix {
    use std::fs::{Permissions, set_permissions};
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use outboard_core::env::{OUTPUT_STDERR, OUTPUT_STDOUT};
    use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, open};

    use super::*;

    /// Makes the pipes in `dir`, which only those may enter who may print.
    ///
    /// # Errors
    /// The system's; nothing is left then.
    pub(crate) fn make(dir: &Path, group: Option<&str>) -> io::Result<Pipes> {
        let group = group.map(crate::sys::group::resolve).transpose()?;
        let make = |name| make_one(&dir.join(name), group);
        let (out, err) = (make(OUTPUT_STDOUT)?, make(OUTPUT_STDERR)?);
        Ok(Pipes {
            readers: [out.0, err.0],
            held: Held {
                names: vec![out.2, err.2],
                _writers: [out.1, err.1],
            },
        })
    }

    fn make_one(path: &Path, group: Option<u32>) -> io::Result<(PipeReader, PipeWriter, OwnFile)> {
        make_fifo(path)?;
        let name = OwnFile::new(path.to_owned());
        let mode = if group.is_some() {
            chown(path, None, group)?;
            0o660
        } else {
            0o600
        };
        // Whatever this process's mask has made of it.
        set_permissions(path, Permissions::from_mode(mode))?;
        // In this order neither waits for the other end, nor finds that there is none.
        let reader = open_one(path, OFlags::RDONLY)?.into();
        let writer = open_one(path, OFlags::WRONLY)?.into();
        Ok((reader, writer, name))
    }

    /// Takes the pipes in `dir`, and their names away from who else might take them.
    ///
    /// # Errors
    /// The system's, also if there are no such pipes or nobody reads from them.
    pub(in crate::sys) fn take(dir: &Path) -> io::Result<[Taken; 2]> {
        let paths = [OUTPUT_STDOUT, OUTPUT_STDERR].map(|name| dir.join(name));
        let taken = [take_one(&paths[0])?, take_one(&paths[1])?];
        for path in paths {
            // A host that could not be told of it removes it, too.
            let _by_the_host = std::fs::remove_file(path);
        }
        Ok(taken)
    }

    fn take_one(path: &Path) -> io::Result<Taken> {
        // Refused if nobody reads: who made the pipe is gone then.
        let writer = open_one(path, OFlags::WRONLY)?;
        let reader = open_one(path, OFlags::RDONLY)?;
        let (to, from) = (fstat(&writer)?, fstat(&reader)?);
        let is_pipe = FileType::from_raw_mode(to.st_mode) == FileType::Fifo;
        if !is_pipe || (to.st_dev, to.st_ino) != (from.st_dev, from.st_ino) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // What prints is made to wait, as anywhere. It was opened here: nobody shares the flag.
        fcntl_setfl(&writer, OFlags::empty())?;
        Ok(Taken {
            writer: writer.into(),
            reader: reader.into(),
        })
    }

    fn open_one(path: &Path, access: OFlags) -> io::Result<OwnedFd> {
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(open(path, flags, Mode::empty())?)
    }

    #[cfg(not(target_vendor = "apple"))]
    fn make_fifo(path: &Path) -> io::Result<()> {
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, mode)?)
    }

    #[cfg(target_vendor = "apple")]
    fn make_fifo(path: &Path) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt as _;

        let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the path is a string with its end, which lives for the call.
        match unsafe { libc::mkfifo(path.as_ptr(), 0o600) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::os::unix::fs::MetadataExt as _;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn entries(dir: &Path) -> usize {
        std::fs::read_dir(dir).expect("readable").count()
    }

    // A test beside these may be about to start a process, which has copies of all descriptors until its
    // program begins. So nothing that was dropped is gone at once.

    /// Waits until nobody can read any more.
    fn has_no_reader(writer: &PipeWriter) {
        let mut fds = [PollFd::new(writer, PollFlags::empty())];
        poll(&mut fds, None).expect("waited");
        assert!(fds[0].revents().contains(PollFlags::ERR));
    }

    /// Waits for what comes next, and says whether it is the end.
    fn is_at_end(reader: &mut PipeReader) -> bool {
        let mut fds = [PollFd::new(reader, PollFlags::IN)];
        poll(&mut fds, None).expect("waited");
        read(reader).is_some_and(|read| read.is_empty())
    }

    /// What can be read now; `None` if there is nothing yet.
    fn read(reader: &mut PipeReader) -> Option<Vec<u8>> {
        let mut buffer = [0; 100];
        match reader.read(&mut buffer) {
            Ok(count) => Some(buffer[..count].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_was_printed_outlives_who_printed_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let Pipes { readers, held } = make(dir.path(), None).expect("made");
        let [mut out, mut err] = readers;
        assert_eq!((read(&mut out), read(&mut err)), (None, None), "not ended");
        let [mut stdout, mut stderr] = take(dir.path()).expect("there");
        assert_eq!(entries(dir.path()), 0, "nobody else can take them");
        stdout.writer.write_all(b"printed").expect("room");
        stderr.writer.write_all(b"fatal").expect("room");
        drop((stdout, stderr));
        assert_eq!(read(&mut out).as_deref(), Some(&b"printed"[..]));
        assert_eq!(read(&mut out), None, "others might take it");
        drop(held);
        assert!(is_at_end(&mut out));
        assert_eq!(read(&mut err).as_deref(), Some(&b"fatal"[..]));
        assert!(is_at_end(&mut err));
    }

    #[test]
    fn prints_go_on_without_the_host_and_can_be_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipes = make(dir.path(), None).expect("made");
        let [mut stdout, _stderr] = take(dir.path()).expect("there");
        drop(pipes);
        stdout
            .writer
            .write_all(b"alone")
            .expect("it does not break");
        assert_eq!(read(&mut stdout.reader).as_deref(), Some(&b"alone"[..]));
        assert_eq!(read(&mut stdout.reader), None);
    }

    #[test]
    fn only_pipes_that_somebody_reads_are_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let refused = |why: &str| take(dir.path()).expect_err(why);
        assert_eq!(refused("there are none").kind(), ErrorKind::NotFound);
        let Pipes { readers, mut held } = make(dir.path(), None).expect("made");
        drop(readers);
        held.unname();
        assert_eq!(entries(dir.path()), 0);
        let own = rustix::process::getgid().as_raw();
        let Pipes { readers, held } = make(dir.path(), Some(&own.to_string())).expect("made");
        let meta = std::fs::metadata(dir.path().join("stdout")).expect("there");
        assert_eq!((meta.mode() & 0o777, meta.gid()), (0o660, own));
        let Held { names, _writers } = held;
        drop(readers);
        for writer in &_writers {
            has_no_reader(writer);
        }
        drop(_writers);
        refused("nobody reads");
        assert_eq!(entries(dir.path()), 2, "they are left alone");
        drop(names);
        for name in ["stdout", "stderr"] {
            std::fs::write(dir.path().join(name), "a file").expect("written");
        }
        assert_eq!(refused("no pipes").kind(), ErrorKind::InvalidInput);
        assert_eq!(entries(dir.path()), 2, "they are left alone");
    }
}
