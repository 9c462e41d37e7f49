//! The file of a program as something to be hashed and then executed, whatever becomes of its path.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::Path;

use outboard_core::rt::Launch;

/// What is executed in place of what stands at a path.
#[cfg(unix)]
pub(crate) type Open = outboard_core::rt::OpenProgram;
/// There is no such thing here.
#[cfg(not(unix))]
pub(crate) enum Open {}

/// An open program: its file, or a copy that nobody can change any more.
pub(crate) struct Image {
    file: File,
    size: u64,
}

/// Why there is no copy.
pub(crate) enum NoCopy {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The system gives no memory for it, or does not have it executed.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    Refused(io::Error),
}

impl Image {
    /// Opens a file, following links. Does not block, whatever stands there.
    ///
    /// # Errors
    /// The system's; `InvalidInput` if it is no regular file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // A pipe that nobody writes into would be waited for.
            options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        }
        let file = options.open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            let what = if meta.is_dir() {
                "a directory"
            } else {
                "no regular file"
            };
            let text = format!("it is {what}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let size = meta.len();
        Ok(Self { file, size })
    }

    /// How many bytes it had when it was opened.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// All of it, from its beginning.
    pub(crate) fn reader(&self) -> io::Result<impl Read + use<'_>> {
        let mut file = &self.file;
        file.rewind()?;
        Ok(file)
    }

    /// A copy in memory of no more than `limit` bytes that can be executed, and neither written to nor
    /// made longer or shorter by anybody.
    #[cfg(target_os = "linux")]
    pub(crate) fn sealed(&self, limit: u64) -> Result<Self, NoCopy> {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        use rustix::io::Errno;

        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let made = memfd_create(c"outboard-plugin", flags | MemfdFlags::EXEC);
        let made = match made {
            // Linux before 6.3 does not know the flag, nor any system that would need it.
            Err(Errno::INVAL) => memfd_create(c"outboard-plugin", flags),
            made => made,
        };
        let mut file: File = made.map_err(|e| NoCopy::Refused(e.into()))?.into();
        let source = self.reader().map_err(NoCopy::Unreadable)?;
        let size = copy(&mut source.take(limit), &mut file)?;
        let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&file, all).map_err(|e| NoCopy::Refused(e.into()))?;
        Ok(Self { file, size })
    }

    /// Nowhere else.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn sealed(&self, _: u64) -> Result<Self, NoCopy> {
        Err(NoCopy::Unreadable(io::ErrorKind::Unsupported.into()))
    }

    /// To be executed.
    #[cfg(unix)]
    pub(crate) fn into_open(self) -> io::Result<Open> {
        use rustix::io::fcntl_dupfd_cloexec;

        let mut magic = Vec::new();
        self.reader()?.take(4).read_to_end(&mut magic)?;
        // The first three become the process's standard streams.
        let file = fcntl_dupfd_cloexec(&self.file, 3)?;
        // What is no program of the system's own is opened once more by what executes it.
        Ok(Open::new(file, magic != *b"\x7fELF"))
    }

    #[cfg(not(unix))]
    pub(crate) fn into_open(self) -> io::Result<Open> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Copies until the end, and says how much that was and which side failed.
#[cfg(target_os = "linux")]
fn copy(from: &mut impl Read, to: &mut File) -> Result<u64, NoCopy> {
    use std::io::Write as _;

    let (mut copied, mut buffer) = (0, vec![0; 1 << 18]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(read) => {
                let written = to.write_all(&buffer[..read]);
                written.map_err(NoCopy::Refused)?;
                copied += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(NoCopy::Unreadable(error)),
        }
    }
}

/// Whether the system lets this process's user execute the file, on the file system that it is on.
///
/// # Errors
/// The system's, as it would be from the launch.
#[cfg(unix)]
pub(crate) fn may_execute(path: &Path) -> io::Result<()> {
    use rustix::fs::{Access, CWD, accessat};

    Ok(accessat(
        CWD,
        path,
        Access::EXEC_OK,
        super::program::EFFECTIVE,
    )?)
}

#[cfg(not(unix))]
pub(crate) fn may_execute(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Has this executed in place of what stands at the path.
pub(crate) fn launch_open(launch: &mut Launch, open: Option<Open>) {
    #[cfg(unix)]
    {
        launch.open = open;
    }
    #[cfg(not(unix))]
    {
        let (_, None) = (launch, open);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write as _;
    use std::os::fd::{AsFd as _, AsRawFd as _};

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content).expect("written");
        file
    }

    fn content(image: &Image) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = image.reader().expect("it is open").read_to_end(&mut bytes);
        read.expect("it can be read");
        bytes
    }

    #[test]
    fn a_sealed_copy_stays_as_it_was() {
        let file = file(b"before");
        let image = Image::open(file.path()).expect("it is there");
        let Ok(copy) = image.sealed(100) else {
            panic!("no memory");
        };
        assert_eq!((image.size(), copy.size()), (6, 6));
        std::fs::write(file.path(), "after").expect("written");
        assert_eq!(content(&image), b"after");
        assert_eq!(content(&copy), b"before");
        assert_eq!(content(&copy), b"before", "again from its beginning");

        let again = format!("/proc/self/fd/{}", copy.file.as_raw_fd());
        let written = File::options().write(true).open(&again);
        let written = written.and_then(|mut file| file.write_all(b"x"));
        written.expect_err("nobody can write to it");
        let longer = File::options().append(true).open(&again);
        let longer = longer.and_then(|mut file| file.write_all(b"x"));
        longer.expect_err("nor append");
        (&copy.file)
            .write_all(b"x")
            .expect_err("nor whoever made it");
        copy.file.set_len(0).expect_err("nor cut it");
        assert_eq!(content(&copy), b"before");
    }

    #[test]
    fn only_files_are_opened_and_none_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = |path: &Path| Image::open(path).err().expect("no file").kind();
        assert_eq!(error(dir.path()), io::ErrorKind::InvalidInput);
        assert_eq!(error(Path::new("/dev/null")), io::ErrorKind::InvalidInput);
        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).expect("made");
        assert_eq!(error(&pipe), io::ErrorKind::InvalidInput);
        let missing = dir.path().join("missing");
        assert_eq!(error(&missing), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_an_interpreter_opens_once_more_is_kept_open() {
        for (content, kept_open) in [
            (&b"\x7fELF..."[..], false),
            (b"#!/bin/sh", true),
            (b"", true),
        ] {
            let file = file(content);
            let image = Image::open(file.path()).expect("it is there");
            let open = image.into_open().expect("a descriptor");
            assert_eq!(open.is_kept_open(), kept_open);
            assert!(open.as_fd().as_raw_fd() >= 3);
            let flags = rustix::io::fcntl_getfd(&open).expect("it is open");
            assert!(
                flags.contains(rustix::io::FdFlags::CLOEXEC),
                "not in other children"
            );
        }
    }
}
