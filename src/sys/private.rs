//! A directory for the sockets of one plugin and of what its host serves it: whatever is left in it
//! when the plugin is gone goes with it, also sockets that nobody was told of.

use std::io;
use std::path::{Path, PathBuf};

use outboard_core::leftover;
#[cfg(unix)]
use outboard_core::leftover::Candidate;

use super::care::Care;
use super::files::EmptyDir;
#[cfg(unix)]
use super::sweep::{self, Hold};

/// The longest name of a socket in it, ours or go-plugin's: `plugin` and a number of 64 bits.
#[cfg(unix)]
const LONGEST_SOCKET: usize = "plugin18446744073709551615".len();

/// How often the removal is tried again when something new appeared meanwhile.
#[cfg(unix)]
const REMOVALS: usize = 8;

/// Such a directory, made by this process. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    path: PathBuf,
    /// The file system and the number on it, so that nothing is removed that has taken its place.
    #[cfg(unix)]
    identity: (u64, u64),
    /// The process that made it; one that forked leaves it alone.
    maker: u32,
    /// Tells others that it is in use, where the file system can.
    #[cfg(unix)]
    hold: Option<Hold>,
    /// Who removes it if this process is killed.
    care: Care,
    /// Whether the plugin has nothing in it.
    hosts_alone: bool,
    /// Where the process ends before this is dropped. Not by force then: a plugin may live on.
    _at_exit: EmptyDir,
}

impl PrivateDir {
    /// Makes one in `base`, which only this user may enter, and, with a group, its members too. Whoever is to
    /// have `care` of it is told before it is there.
    ///
    /// # Errors
    /// `InvalidFilename` if the path of a socket in it would be too long, otherwise the system's; one that
    /// [`is_careless`](super::care::is_careless) if nobody takes care of it.
    #[cfg(unix)]
    pub(crate) fn new(base: &Path, group: Option<&str>, care: Care) -> io::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};

        use outboard_core::endpoint::MAX_UNIX_PATH;

        // The plugin may have another working directory.
        let base = std::path::absolute(base)?;
        let mut attempt = 1;
        let path = loop {
            // As in the directories that go-plugin makes for custom runners.
            let number = (super::random::number() >> 32) as u32;
            let path = base.join(Candidate::directory(number));
            let length = path.as_os_str().len() + 1 + LONGEST_SOCKET;
            if length > MAX_UNIX_PATH {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidFilename,
                    format!(
                        "sockets in {} would have paths of up to {length} bytes, where {MAX_UNIX_PATH} \
                         are the limit",
                        path.display()
                    ),
                ));
            }
            care.expect(&path)?;
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => break path,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 16 => {
                    care.forget(&path);
                    attempt += 1;
                }
                Err(error) => {
                    care.forget(&path);
                    return Err(error);
                }
            }
        };
        let made = EmptyDir::new(path.clone());
        care.keep(&path)?;
        let hold = sweep::hold(&path).ok();
        let meta = std::fs::symlink_metadata(&path)?;
        if let Some(group) = group {
            use std::os::unix::fs::PermissionsExt as _;
            chown(&path, None, Some(super::group::resolve(group)?))?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770))?;
        }
        Ok(Self {
            path,
            identity: (meta.dev(), meta.ino()),
            maker: std::process::id(),
            hold,
            care,
            hosts_alone: false,
            _at_exit: made,
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn new(_base: &Path, _group: Option<&str>, _care: Care) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes one in the first of these directories in which the path of a socket is not too long; with
    /// none of them it is the error of the last.
    pub(crate) fn in_first_that_fits(
        bases: impl IntoIterator<Item = PathBuf>,
        group: Option<&str>,
        care: &Care,
    ) -> io::Result<Self> {
        let mut outcome = Err(io::ErrorKind::NotFound.into());
        for base in bases {
            outcome = Self::new(&base, group, care.clone());
            let too_long = |error: &io::Error| error.kind() == io::ErrorKind::InvalidFilename;
            if !outcome.as_ref().is_err_and(too_long) {
                break;
            }
        }
        outcome
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it; links are removed and not followed. May be called again.
    pub(crate) fn remove(&self) {
        #[cfg(unix)]
        for attempt in 1..=REMOVALS {
            if self.maker != std::process::id() {
                return;
            }
            if !self.is_there() {
                return self.care.forget(&self.path);
            }
            match std::fs::remove_dir_all(&self.path) {
                Err(error)
                    if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempt < REMOVALS => {}
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let path = self.path.display();
                    tracing::warn!(
                        target: "outboard",
                        %path, %error,
                        "the directory for a plugin's sockets cannot be removed"
                    );
                    return;
                }
                Ok(()) | Err(_) => return self.care.forget(&self.path),
            }
        }
    }

    #[cfg(unix)]
    fn is_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| meta.is_dir() && (meta.dev(), meta.ino()) == self.identity)
    }
}

impl PrivateDir {
    /// Says that the plugin has nothing in it: that one has places of its own.
    #[must_use]
    pub(crate) fn of_the_host_alone(mut self) -> Self {
        self.hosts_alone = true;
        self
    }

    /// Leaves it to the plugin, if that has anything in it.
    pub(crate) fn leave(self) {
        if self.hosts_alone {
            return;
        }
        self.care.forget(&self.path);
        #[cfg(unix)]
        let left = {
            let mut left = self;
            drop(left.hold.take());
            left
        };
        #[cfg(not(unix))]
        let left = self;
        std::mem::forget(left);
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Has the directory that a plugin was given removed at the plugin's end, if it is one of these:
/// its host may be dead by then, or die of the same signal.
pub(crate) fn given(dir: &Path) -> Option<EmptyDir> {
    is_private(dir).then(|| EmptyDir::new(dir.to_owned()).on_signals())
}

fn is_private(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str());
    name.is_some_and(leftover::is_directory)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::os::unix::net::UnixListener;

    fn entries(dir: &Path) -> usize {
        std::fs::read_dir(dir).expect("readable").count()
    }

    #[test]
    fn it_is_private_and_goes_with_what_is_in_it() {
        let (base, other) = (tempfile::tempdir(), tempfile::tempdir());
        let (base, other) = (base.expect("a directory"), other.expect("a directory"));
        std::fs::write(other.path().join("file"), "stays").expect("written");
        let dir = PrivateDir::new(base.path(), None, Care::default()).expect("made");
        let meta = std::fs::metadata(dir.path()).expect("there");
        assert_eq!(meta.mode() & 0o777, 0o700);
        assert!(is_private(dir.path()));
        drop(UnixListener::bind(dir.path().join("plugin1")).expect("bound"));
        std::fs::create_dir(dir.path().join("deeper")).expect("made");
        std::fs::write(dir.path().join("deeper/file"), "").expect("written");
        symlink(other.path(), dir.path().join("link")).expect("linked");
        dir.remove();
        assert_eq!(entries(base.path()), 0);
        assert_eq!(entries(other.path()), 1);
        // What has taken its place is another's.
        std::fs::create_dir(base.path().join("keeps-the-number")).expect("made");
        std::fs::create_dir(dir.path()).expect("made");
        std::fs::write(dir.path().join("file"), "another's").expect("written");
        let taken = PrivateDir {
            identity: (0, 0),
            path: dir.path().to_owned(),
            maker: dir.maker,
            hold: None,
            care: Care::default(),
            hosts_alone: false,
            _at_exit: EmptyDir::new(dir.path().to_owned()),
        };
        drop(taken);
        assert_eq!(entries(dir.path()), 1);
        std::fs::remove_dir_all(dir.path()).expect("removed");
        // Nor is it followed where it has become a link.
        symlink(other.path(), dir.path()).expect("linked");
        drop(dir);
        assert_eq!(entries(other.path()), 1);
    }

    #[test]
    fn a_group_gets_in() {
        let base = tempfile::tempdir().expect("a directory");
        let own = rustix::process::getgid().as_raw().to_string();
        let dir = PrivateDir::new(base.path(), Some(&own), Care::default()).expect("made");
        let meta = std::fs::metadata(dir.path()).expect("there");
        assert_eq!((meta.mode() & 0o777, meta.gid().to_string()), (0o770, own));
        drop(dir);
        PrivateDir::new(base.path(), Some("no-such-group-here"), Care::default())
            .expect_err("no such group");
        assert_eq!(entries(base.path()), 0);
    }

    #[test]
    fn sockets_in_it_have_room_for_their_names() {
        let base = tempfile::tempdir().expect("a directory");
        let long = base.path().join("x".repeat(60));
        std::fs::create_dir(&long).expect("made");
        let error = PrivateDir::new(&long, None, Care::default()).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidFilename);
        assert!(error.to_string().contains("limit"), "{error}");
        assert_eq!(entries(&long), 0);
        // A shorter one takes its place; what is wrong otherwise is told of the first.
        let bases = || [long.clone(), base.path().to_owned()];
        let dir = PrivateDir::in_first_that_fits(bases(), None, &Care::default())
            .expect("the second does");
        assert_eq!(dir.path().parent(), Some(base.path()));
        let missing = [base.path().join("missing"), base.path().to_owned()];
        let error = PrivateDir::in_first_that_fits(missing, None, &Care::default())
            .expect_err("it is missing");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        PrivateDir::in_first_that_fits([long], None, &Care::default()).expect_err("too long");
    }

    #[test]
    fn only_such_directories_are_removed_by_plugins() {
        for (dir, ours) in [
            ("/tmp/plugin-dir1", true),
            ("/tmp/plugin-dir4294967295", true),
            ("/tmp/plugin-dir", false),
            ("/tmp/plugin-dir1x", false),
            ("/tmp/plugin1", false),
            ("/tmp", false),
        ] {
            assert_eq!(is_private(Path::new(dir)), ours, "{dir}");
        }
        let base = tempfile::tempdir().expect("a directory");
        let dir = base.path().join("plugin-dir7");
        std::fs::create_dir(&dir).expect("made");
        std::fs::write(dir.join("file"), "").expect("written");
        drop(given(&dir).expect("ours"));
        assert!(dir.exists(), "it is not empty");
        std::fs::remove_file(dir.join("file")).expect("removed");
        drop(given(&dir).expect("ours"));
        assert!(!dir.exists());
    }
}
