//! Who can have put a program where it is, or can change it: owners and modes on the way to it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use outboard_core::fault::Fault;

/// Why a program is not trusted.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    /// It, or a directory on the way to it, belongs to another user.
    #[error(
        "{} belongs to user {owner}, neither root nor this process's user {own}: chown it, or install \
         the program elsewhere",
        path.display()
    )]
    Owner {
        /// What belongs to another.
        path: PathBuf,
        /// The number of its user.
        owner: u32,
        /// The number of this process's user.
        own: u32,
    },
    /// Others may write to it, or to a directory on the way to it.
    #[error(
        "{} may be changed by others (mode {mode:04o}): chmod go-w, or install the program elsewhere",
        path.display()
    )]
    Writable {
        /// What may be changed.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It cannot be looked at.
    #[error("{} cannot be looked at: {fault}", path.display())]
    Unreadable {
        /// What cannot be.
        path: PathBuf,
        /// What the system said.
        fault: Fault,
    },
}

outboard_core::debug_as_text!(Distrust);

/// Whether nobody but root and this process's user can have put a program where it is or can change it:
/// the file, every directory from there to the root, and both again for what links on the way lead to.
/// Neither may belong to another user or be writable by group or others; a directory in which all may make
/// files and each change only its own (sticky, as `/tmp`) is enough above another one.
///
/// This is about what can happen later, too, as far as modes and owners tell; it knows nothing of access
/// lists, of mounts made later, or of who else is root.
///
/// # Errors
/// [`Distrust`] names the first thing that is in the way.
pub fn trusted(program: &Path) -> Result<(), Distrust> {
    let own = rustix::process::geteuid().as_raw();
    let unreadable = |path: &Path, error: io::Error| Distrust::Unreadable {
        path: path.to_owned(),
        fault: error.into(),
    };
    let here = std::path::absolute(program).map_err(|error| unreadable(program, error))?;
    let real = here
        .canonicalize()
        .map_err(|error| unreadable(&here, error))?;
    // Where the name is as well: whoever may write there may have it lead elsewhere.
    let parent = here.parent().unwrap_or(&here);
    let named = parent
        .canonicalize()
        .map_err(|error| unreadable(parent, error))?;
    let above = named.ancestors().map(|dir| (dir, false));
    let way = real.ancestors().enumerate().map(|(n, path)| (path, n == 0));
    for (path, is_program) in way.chain(above) {
        let data = std::fs::symlink_metadata(path).map_err(|error| unreadable(path, error))?;
        let direct = is_program || Some(path) == real.parent() || path == named;
        judge(path, data.uid(), data.mode(), own, direct)?;
    }
    Ok(())
}

/// One of them. `direct`: the file itself or a directory that it is directly in.
fn judge(path: &Path, owner: u32, mode: u32, own: u32, direct: bool) -> Result<(), Distrust> {
    let path = || path.to_owned();
    if owner != 0 && owner != own {
        let path = path();
        return Err(Distrust::Owner { path, owner, own });
    }
    let sticky = mode & 0o1000 != 0;
    if mode & 0o022 != 0 && (direct || !sticky) {
        let (path, mode) = (path(), mode & 0o7777);
        return Err(Distrust::Writable { path, mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_modes_decide() {
        let path = Path::new("/opt/plugin");
        let judge = |owner, mode, direct| judge(path, owner, mode, 1000, direct);
        for (owner, mode, direct) in [(0, 0o755, true), (1000, 0o700, true), (0, 0o41777, false)] {
            assert_eq!(judge(owner, mode, direct), Ok(()), "{owner} {mode:o}");
        }
        for (mode, direct) in [(0o775, true), (0o757, true), (0o1777, true), (0o777, false)] {
            let error = judge(0, mode, direct).expect_err("others may write");
            let text = error.to_string();
            assert!(text.starts_with("/opt/plugin may be changed"), "{text}");
        }
        let error = judge(1001, 0o755, true).expect_err("another's");
        let text = error.to_string();
        assert!(text.contains("belongs to user 1001"), "{text}");
    }
}
