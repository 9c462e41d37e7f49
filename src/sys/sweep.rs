//! Removing what hosts and plugins that were killed have left in a directory for sockets. What may go by
//! its name, owner and age is decided in [`outboard_core::leftover`]; here it is found out whether
//! somebody holds it.
//!
//! A host holds a lock on each directory that it has made ([`hold`]), which the kernel takes from it
//! whatever way it ends. A socket is held by whoever has its descriptor, which the kernel knows, too
//! ([`is_dead`]). So nothing is guessed from numbers of processes, which are used again.
//!
//! [`is_dead`]: super::stale::is_dead

use std::ffi::OsStr;
use std::fs::{DirEntry, File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::SystemTime;

use outboard_core::leftover::{Candidate, MAX_CANDIDATES, MAX_ENTRIES, MAX_INSIDE, Seen};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

use super::stale::is_dead;

/// That a process uses a directory: dropped by its end at the latest, however that comes.
#[derive(Debug)]
pub(super) struct Hold {
    _locked: OwnedFd,
}

/// Has others know that this process uses `dir`. They may do so as well.
///
/// # Errors
/// The system's, above all where the file system knows no locks; nobody takes it for a leftover there.
pub(super) fn hold(dir: &Path) -> io::Result<Hold> {
    let locked = open_dir(dir)?;
    flock(&locked, FlockOperation::NonBlockingLockShared)?;
    Ok(Hold { _locked: locked })
}

fn open_dir(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(dir, flags, Mode::empty())?)
}

/// Removes what is left in `base` of hosts and plugins of this user that are dead. The work is bounded:
/// what is left over is found by another launch. What is called `own` is passed over. Says what was removed,
/// for the log.
///
/// # Errors
/// The system's if `base` cannot be read. What cannot be removed is passed over.
pub(crate) fn sweep(base: &Path, own: Option<&OsStr>, now: SystemTime) -> io::Result<Swept> {
    let mut swept = Swept::default();
    if !is_of_this_machine(base)? {
        return Ok(swept);
    }
    let user = rustix::process::geteuid().as_raw();
    let mut candidates = Vec::new();
    for (number, entry) in std::fs::read_dir(base)?.take(MAX_ENTRIES).enumerate() {
        swept.suspects |= number + 1 == MAX_ENTRIES;
        // One that cannot be read is left.
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        if own == Some(&*name) {
            continue;
        }
        if let Some(candidate) = name.to_str().and_then(Candidate::of) {
            candidates.push((entry, candidate));
        }
    }
    // Those that are alive come first for ever in some directories: begin somewhere else each time.
    swept.suspects |= !candidates.is_empty();
    let count = candidates.len().max(1);
    let first = usize::try_from(super::random::number() % count as u64).unwrap_or_default();
    candidates.rotate_left(first);
    for (entry, by_name) in candidates.into_iter().take(MAX_CANDIDATES) {
        let Ok(meta) = entry.metadata() else { continue };
        if !seen(&meta, now).is_worth_a_look(by_name, user) {
            continue;
        }
        match by_name {
            Candidate::Directory if remove_dir(&entry, &meta) => swept.directories += 1,
            Candidate::Socket if remove_socket(&entry) => swept.sockets += 1,
            _ => {}
        }
    }
    Ok(swept)
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Whether anything has the name of a leftover, now or when it is older, or was not looked at.
    pub(crate) suspects: bool,
    /// Those that were removed.
    pub(crate) directories: u32,
    pub(crate) sockets: u32,
}

fn seen(meta: &Metadata, now: SystemTime) -> Seen {
    let kind = meta.file_type();
    let candidate = match () {
        () if kind.is_dir() => Some(Candidate::Directory),
        () if kind.is_socket() => Some(Candidate::Socket),
        () => None,
    };
    let age = meta
        .modified()
        .ok()
        .and_then(|at| now.duration_since(at).ok());
    Seen::new(candidate, meta.uid(), age)
}

fn remove_socket(entry: &DirEntry) -> bool {
    let path = entry.path();
    is_dead(&path) && std::fs::remove_file(path).is_ok()
}

/// Removes a directory unless its host lives, or anything that has a socket in it.
fn remove_dir(entry: &DirEntry, meta: &Metadata) -> bool {
    let path = entry.path();
    // Held until it is removed: no two sweep the same one.
    let Ok(locked) = open_dir(&path).map(File::from) else {
        return false;
    };
    let is_same = |found: Metadata| (found.dev(), found.ino()) == (meta.dev(), meta.ino());
    locked.metadata().is_ok_and(is_same)
        && flock(&locked, FlockOperation::NonBlockingLockExclusive).is_ok()
        && holds_nothing_alive(&path)
        && std::fs::remove_dir_all(&path).is_ok()
}

fn holds_nothing_alive(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return false;
    };
    for (number, entry) in entries.enumerate() {
        let Ok(entry) = entry else { return false };
        let Ok(kind) = entry.file_type() else {
            return false;
        };
        if number >= MAX_INSIDE || kind.is_socket() && !is_dead(&entry.path()) {
            return false;
        }
    }
    true
}

/// Whether a directory is on a file system that no other machine has, too: the locks and sockets of
/// another one are not seen here. One that is not known to be counts as no such.
fn is_of_this_machine(dir: &Path) -> io::Result<bool> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        /// Of ext, tmpfs, ramfs, xfs, btrfs, overlayfs, f2fs, zfs and bcachefs.
        const LOCAL: [u32; 9] = [
            0xef53,
            0x0102_1994,
            0x8584_58f6,
            0x5846_5342,
            0x9123_683e,
            0x794c_7630,
            0xf2f5_2010,
            0x2fc1_2fc1,
            0xca45_1a4e,
        ];
        // Numbers of 32 bits in a field that is signed and wider or not, as the processor has it.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let kind = rustix::fs::statfs(dir)?.f_type as u32;
        Ok(LOCAL.contains(&kind))
    }
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    {
        // Of different widths from system to system.
        #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
        let (flags, local) = (
            rustix::fs::statfs(dir)?.f_flags as u64,
            libc::MNT_LOCAL as u64,
        );
        Ok(flags & local != 0)
    }
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_vendor = "apple",
        target_os = "freebsd"
    )))]
    {
        let _not_known = dir;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use outboard_core::leftover::MIN_AGE;
    use tempfile::TempDir;

    use super::*;
    use crate::sys::care::Care;
    use crate::sys::private::PrivateDir;

    fn later() -> SystemTime {
        SystemTime::now() + MIN_AGE + Duration::from_secs(1)
    }

    fn base() -> TempDir {
        tempfile::tempdir().expect("a directory")
    }

    fn swept(directories: u32, sockets: u32) -> Swept {
        Swept {
            directories,
            sockets,
            suspects: true,
        }
    }

    /// Sweeps until so much is gone: a process that another test starts right now may still hold what was
    /// dropped here.
    fn removed(base: &Path, wanted: Swept) {
        let (began, mut all) = (Instant::now(), swept(0, 0));
        while all != wanted {
            assert!(began.elapsed() < Duration::from_secs(20), "{all:?}");
            let more = sweep(base, None, later()).expect("readable");
            all.directories += more.directories;
            all.sockets += more.sockets;
        }
    }

    /// A directory whose host is dead, with a socket that nobody holds.
    fn dead(base: &Path, number: u32) -> PathBuf {
        let dir = base.join(Candidate::directory(number));
        std::fs::create_dir(&dir).expect("made");
        drop(UnixListener::bind(dir.join("plugin1")).expect("bound"));
        std::fs::write(dir.join("stdout"), "").expect("written");
        dir
    }

    #[test]
    fn what_the_dead_have_left_is_removed_once_it_is_old() {
        let base = base();
        let dir = dead(base.path(), 1);
        drop(UnixListener::bind(base.path().join("plugin2")).expect("bound"));
        let young = sweep(base.path(), None, SystemTime::now()).expect("readable");
        assert_eq!(young, swept(0, 0));
        assert!(dir.exists() && base.path().join("plugin2").exists());
        removed(base.path(), swept(1, 1));
        assert_eq!(std::fs::read_dir(base.path()).expect("there").count(), 0);
    }

    #[test]
    fn what_is_in_no_way_like_a_leftover_is_no_suspect() {
        let base = base();
        std::fs::write(base.path().join("another"), "").expect("written");
        let own = PrivateDir::new(base.path(), None, Care::default()).expect("made");
        let looked = |own| sweep(base.path(), own, SystemTime::now()).expect("readable");
        assert_eq!(looked(own.path().file_name()), Swept::default());
        assert!(looked(None).suspects, "not its own");
        std::fs::create_dir(base.path().join(Candidate::directory(1))).expect("made");
        assert!(looked(own.path().file_name()).suspects, "young as it is");
    }

    #[test]
    fn what_is_held_stays() {
        let base = base();
        // By a host, though nothing listens in it.
        let held = PrivateDir::new(base.path(), None, Care::default()).expect("made");
        // By a plugin whose host is dead.
        let plugin = dead(base.path(), 1);
        let listens = UnixListener::bind(plugin.join("plugin3")).expect("bound");
        let alone = UnixListener::bind(base.path().join("plugin4")).expect("bound");
        assert_eq!(
            sweep(base.path(), None, later()).expect("readable"),
            swept(0, 0)
        );
        assert!(held.path().exists() && plugin.join("plugin1").exists());
        drop((listens, alone));
        removed(base.path(), swept(1, 1));
        assert!(held.path().exists());
    }

    #[test]
    fn what_is_anothers_stays() {
        let (base, other) = (base(), base());
        let at = |name: &str| base.path().join(name);
        // go-plugin's hosts have no lock on theirs.
        std::fs::create_dir(at("plugin-dir7")).expect("made");
        std::fs::create_dir(at("plugin-dir0mine")).expect("made");
        std::fs::write(at("plugin5"), "no socket").expect("written");
        std::fs::write(at(&Candidate::directory(5)), "no directory").expect("written");
        symlink(other.path(), at(&Candidate::directory(6))).expect("linked");
        std::fs::write(other.path().join("file"), "stays").expect("written");
        drop(UnixListener::bind(at("plugin.sock")).expect("bound"));
        let count = || std::fs::read_dir(base.path()).expect("there").count();
        let before = count();
        assert_eq!(
            sweep(base.path(), None, later()).expect("readable"),
            swept(0, 0)
        );
        assert_eq!((count(), before), (6, 6));
        assert!(other.path().join("file").exists());
        // What a dead one links to is not followed either.
        let dir = dead(base.path(), 8);
        symlink(other.path(), dir.join("link")).expect("linked");
        removed(base.path(), swept(1, 0));
        assert!(other.path().join("file").exists());
    }

    #[test]
    fn the_work_of_one_launch_is_bounded_and_the_next_goes_on() {
        let base = base();
        let count = u32::try_from(MAX_CANDIDATES).expect("few") + 10;
        for number in 0..count {
            std::fs::create_dir(base.path().join(Candidate::directory(number))).expect("made");
        }
        let full = u32::try_from(MAX_CANDIDATES).expect("few");
        assert_eq!(
            sweep(base.path(), None, later()).expect("there"),
            swept(full, 0)
        );
        assert_eq!(
            sweep(base.path(), None, later()).expect("there"),
            swept(10, 0)
        );
        // One that is too full to be looked through is left alone.
        let dir = dead(base.path(), 1);
        for number in 0..MAX_INSIDE {
            std::fs::write(dir.join(format!("file{number}")), "").expect("written");
        }
        assert_eq!(
            sweep(base.path(), None, later()).expect("there"),
            swept(0, 0)
        );
    }

    #[test]
    fn a_directory_that_is_left_to_a_plugin_is_held_no_longer() {
        let base = base();
        let dir = PrivateDir::new(base.path(), None, Care::default()).expect("made");
        let path = dir.path().to_owned();
        let plugin = UnixListener::bind(path.join("plugin1")).expect("bound");
        dir.leave();
        assert_eq!(
            sweep(base.path(), None, later()).expect("there"),
            swept(0, 0)
        );
        drop(plugin);
        removed(base.path(), swept(1, 0));
        assert!(!path.exists());
    }
}
