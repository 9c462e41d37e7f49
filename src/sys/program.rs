//! Facts about a program's file, for a start that failed.

use std::path::Path;

#[cfg(unix)]
pub(crate) use self::unix::EFFECTIVE;

use outboard_core::diagnose::{Contents, FileKind, HEADER_BYTES, Notes, go_arch, interpreter};

/// What can be found out about `program`, which was to run in `dir`. Whatever cannot is left out.
pub(crate) fn notes(program: &Path, dir: Option<&Path>) -> Notes {
    let mut notes = Notes::new(program, go_arch(std::env::consts::ARCH));
    notes.missing_dir = dir.filter(|dir| !dir.is_dir()).map(Path::to_owned);
    notes.kind = kind(program);
    let file = open(program);
    let header = file.as_ref().and_then(header);
    notes.contents = header.as_deref().map(Contents::detect);
    #[cfg(unix)]
    {
        notes.libraries = file.as_ref().map(unix::libraries).unwrap_or_default();
        unix::add(&mut notes, program, &header.unwrap_or_default());
    }
    #[cfg(not(unix))]
    let _unix_only = interpreter;
    notes
}

fn kind(program: &Path) -> Option<FileKind> {
    match std::fs::metadata(program) {
        Ok(data) if data.is_file() => Some(FileKind::File),
        Ok(data) if data.is_dir() => Some(FileKind::Directory),
        Ok(_) => Some(FileKind::Other),
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                Some(FileKind::Missing)
            }
            _ => None,
        },
    }
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    use std::path::PathBuf;

    use outboard_core::diagnose::{ClosedDir, Id, Ids, Mount, name_of, needed_libraries};
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use rustix::io::Errno;
    use rustix::process::{getegid, geteuid};

    use super::*;

    /// As the system asks when it executes: for the effective user. Android knows the real one only,
    /// which is the same for its programs.
    #[cfg(not(target_os = "android"))]
    pub(crate) const EFFECTIVE: AtFlags = AtFlags::EACCESS;
    #[cfg(target_os = "android")]
    pub(crate) const EFFECTIVE: AtFlags = AtFlags::empty();

    pub(super) fn add(notes: &mut Notes, program: &Path, header: &[u8]) {
        let named = interpreter(header).map(|path| Path::new(OsStr::from_bytes(path)).to_owned());
        notes.missing_interpreter = named.filter(|path| kind(path) == Some(FileKind::Missing));
        notes.closed_dir = closed_dir(program);
        notes.noexec_mount = noexec_mount(program);
        let Ok(meta) = std::fs::metadata(program) else {
            return;
        };
        let may = accessat(CWD, program, Access::EXEC_OK, EFFECTIVE);
        notes.may_execute = Some(may.is_ok());
        notes.mode = Some(meta.mode());
        let users = ids("/etc/passwd", meta.uid(), geteuid().as_raw());
        let groups = ids("/etc/group", meta.gid(), getegid().as_raw());
        (notes.user, notes.group) = (Some(users), Some(groups));
    }

    /// The outermost directory on the way that may not be searched: of what is in it nothing is known.
    fn closed_dir(program: &Path) -> Option<ClosedDir> {
        let ways: Vec<&Path> = program.ancestors().skip(1).collect();
        ways.into_iter().rev().find_map(|dir| {
            let denied = accessat(CWD, dir, Access::EXEC_OK, EFFECTIVE) == Err(Errno::ACCESS);
            let meta = std::fs::metadata(dir).ok().filter(|_| denied)?;
            let user = ids("/etc/passwd", meta.uid(), geteuid().as_raw());
            Some(ClosedDir::new(dir, meta.mode(), user))
        })
    }

    /// Where the file is mounted, if nothing may be executed there. Linux tells.
    fn noexec_mount(program: &Path) -> Option<PathBuf> {
        let mounts = std::fs::read("/proc/self/mountinfo").ok()?;
        let path = std::fs::canonicalize(program).ok()?;
        let mount = Mount::of(path.as_os_str().as_bytes(), &mounts)?;
        let point = || Path::new(OsStr::from_bytes(&mount.point)).to_owned();
        mount.noexec.then(point)
    }

    /// The shared libraries that a program names.
    pub(super) fn libraries(file: &std::fs::File) -> Vec<String> {
        let needed = needed_libraries(|offset, len| {
            let mut bytes = vec![0; len];
            let read = file.read_at(&mut bytes, offset).ok()?;
            bytes.truncate(read);
            Some(bytes)
        });
        needed.unwrap_or_default()
    }

    /// The numbers are what the kernel decides by; the names, where this machine itself knows them,
    /// are for people.
    fn ids(database: &str, file: u32, current: u32) -> Ids {
        let names = std::fs::read(database).unwrap_or_default();
        let id = |number| Id::new(number, name_of(&names, number));
        Ids::new(id(file), id(current))
    }
}

fn open(program: &Path) -> Option<std::fs::File> {
    // A device or pipe could block, be it only in the opening; a program is a file.
    if kind(program) != Some(FileKind::File) {
        return None;
    }
    std::fs::File::open(program).ok()
}

fn header(file: &std::fs::File) -> Option<Vec<u8>> {
    use std::io::Read as _;

    let mut header = Vec::new();
    file.take(HEADER_BYTES as u64)
        .read_to_end(&mut header)
        .ok()?;
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_of_this_very_program_is_found() {
        let test = std::env::current_exe().expect("a path");
        let found = notes(&test, None);
        assert_eq!(
            (found.kind, &found.missing_dir),
            (Some(FileKind::File), &None)
        );
        let text = found.to_string();
        assert!(text.contains(go_arch(std::env::consts::ARCH)), "{text}");
        assert!(text.contains(&*test.to_string_lossy()), "{text}");
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        assert!(
            found.libraries.iter().any(|name| name == "libc.so.6"),
            "{:?}",
            found.libraries
        );
        let missing = notes(
            Path::new("/no/such/program"),
            Some(Path::new("/no/such/dir")),
        );
        assert_eq!((missing.mode, missing.contents), (None, None));
        assert_eq!(missing.kind, Some(FileKind::Missing));
        assert_eq!(
            missing.missing_dir.as_deref(),
            Some(Path::new("/no/such/dir"))
        );
    }

    #[cfg(unix)]
    #[test]
    fn owners_have_names_where_the_system_knows_them() {
        let root = notes(Path::new("/"), None).user.expect("it has an owner");
        assert_eq!(
            (root.file.number, root.file.name.as_deref()),
            (0, Some("root"))
        );
    }

    #[cfg(unix)]
    #[test]
    fn an_interpreter_that_is_missing_is_found_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = dir.path().join("script");
        for (first, missing) in [("#!/no/such/shell", true), ("#!/bin/sh", false)] {
            std::fs::write(&script, first).expect("written");
            let found = notes(&script, None);
            assert_eq!(found.missing_interpreter.is_some(), missing);
            assert_eq!(found.may_execute, Some(false));
        }
    }
}
