//! What is said about the file of a program that did not start: the notes below the error.
//!
//! Looking at the file is the driver's work; here are the facts it may find, how an executable's
//! header is read, and the text made of it all. A fact that could not be found is left out or
//! shown as `?`, and nothing here fails.

mod contents;
mod executable;
mod foreign;
mod interpreter;
mod libraries;
mod mounts;
mod names;
mod script;

use std::fmt;
use std::path::PathBuf;

pub use contents::Contents;
pub use executable::{Executable, Format, HEADER_BYTES, go_arch};
pub use foreign::Foreign;
pub use interpreter::interpreter;
pub use libraries::{LoaderComplaint, needed_libraries};
pub use mounts::Mount;
pub use names::name_of;
pub use script::Script;

/// What was found out about a plugin's program. Prints as several lines without a closing LF.
///
/// Everything but the path may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notes {
    /// The program.
    pub path: PathBuf,
    /// What stands there, links followed.
    pub kind: Option<FileKind>,
    /// Whether the system lets this process's user execute it.
    pub may_execute: Option<bool>,
    /// The interpreter or loader that its first bytes name, if that does not exist.
    pub missing_interpreter: Option<PathBuf>,
    /// The working directory that the plugin was to get, if that is no directory.
    pub missing_dir: Option<PathBuf>,
    /// The first directory on the way to the program that this process's user may not search.
    pub closed_dir: Option<ClosedDir>,
    /// Where the file system is mounted that holds it, if nothing on that may be executed.
    pub noexec_mount: Option<PathBuf>,
    /// Its unix mode bits, with or without those for the type of file.
    pub mode: Option<u32>,
    /// Who owns it, and who runs this process.
    pub user: Option<Ids>,
    /// The same of groups.
    pub group: Option<Ids>,
    /// What its first bytes say. `None` if they could not be read.
    pub contents: Option<Contents>,
    /// The shared libraries that it says it needs. None for what is linked statically, for scripts, and
    /// where that could not be read.
    pub libraries: Vec<String>,
    /// The architecture this process was built for, as Go names it: see [`go_arch`].
    pub host_arch: String,
}

/// A directory that may not be searched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedDir {
    /// The directory.
    pub path: PathBuf,
    /// Its unix mode bits.
    pub mode: u32,
    /// Who owns it, and who runs this process.
    pub user: Ids,
}

impl ClosedDir {
    /// A directory with this mode and owner.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, mode: u32, user: Ids) -> Self {
        Self {
            path: path.into(),
            mode,
            user,
        }
    }
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// Nothing.
    Missing,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, pipe or socket.
    Other,
}

/// The owner of a file next to that of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ids {
    /// The file's.
    pub file: Id,
    /// This process's.
    pub current: Id,
}

/// A user or group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Id {
    /// Its number.
    pub number: u32,
    /// Its name, if there is one.
    pub name: Option<String>,
}

impl Ids {
    /// The owner of a file, and that of this process.
    #[must_use]
    pub const fn new(file: Id, current: Id) -> Self {
        Self { file, current }
    }
}

impl Id {
    /// A user or group with this number, and with a name if there is one.
    #[must_use]
    pub const fn new(number: u32, name: Option<String>) -> Self {
        Self { number, name }
    }
}

impl Notes {
    /// Notes on a program of which nothing else is known yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, host_arch: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind: None,
            may_execute: None,
            missing_interpreter: None,
            missing_dir: None,
            closed_dir: None,
            noexec_mount: None,
            mode: None,
            user: None,
            group: None,
            contents: None,
            libraries: Vec::new(),
            host_arch: host_arch.into(),
        }
    }

    /// What its first bytes say, if it is a program in machine code.
    #[must_use]
    pub fn executable(&self) -> Option<&Executable> {
        self.contents.as_ref().and_then(Contents::executable)
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "About the program:\n  Path: {}", self.path.display())?;
        if let Some(mode) = self.mode {
            write!(f, "\n  Mode: {} ({:04o})", ModeText(mode), mode & 0o7777)?;
            if mode & 0o111 == 0 {
                f.write_str(", not executable by anybody")?;
            }
        }
        if let Some(ids) = &self.user {
            write!(f, "\n  Owner: {ids}")?;
        }
        if let Some(ids) = &self.group {
            write!(f, "\n  Group: {ids}")?;
        }
        match &self.contents {
            Some(Contents::Executable(executable)) => write!(
                f,
                "\n  {executable} (current architecture: {})",
                self.host_arch
            )?,
            Some(contents) => write!(f, "\n  Contents: {contents}")?,
            None => {}
        }
        if !self.libraries.is_empty() {
            write!(f, "\n  Libraries: {}", self.libraries.join(", "))?;
        }
        if let Some(mount) = &self.noexec_mount {
            write!(f, "\n  Mounted \"noexec\": {}", mount.display())?;
        }
        Ok(())
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (current: {})", self.file, self.current)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        match &self.name {
            Some(name) => write!(f, " [{name}]"),
            None => Ok(()),
        }
    }
}

/// Permission bits as `ls -l` shows them, without the special ones.
struct ModeText(u32);

impl fmt::Display for ModeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("-")?;
        for (bit, letter) in (0..9).rev().zip("rwxrwxrwx".chars()) {
            let shown = if self.0 >> bit & 1 == 1 { letter } else { '-' };
            write!(f, "{shown}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32, name: Option<&str>) -> Id {
        Id {
            number,
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn every_fact_is_shown() {
        let mut notes = Notes::new("/opt/plugin", "amd64");
        notes.mode = Some(0o100_755);
        notes.user = Some(Ids {
            file: id(0, Some("root")),
            current: id(1000, None),
        });
        notes.group = Some(Ids {
            file: id(7, Some("staff")),
            current: id(7, Some("staff")),
        });
        let arm = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0";
        notes.contents = Some(Contents::detect(arm));
        notes.libraries = vec!["libc.so.6".to_owned(), "libm.so.6".to_owned()];
        notes.noexec_mount = Some("/opt".into());
        let text = notes.to_string();
        assert_eq!(
            text,
            "About the program:\n\
             \x20 Path: /opt/plugin\n\
             \x20 Mode: -rwxr-xr-x (0755)\n\
             \x20 Owner: 0 [root] (current: 1000)\n\
             \x20 Group: 7 [staff] (current: 7 [staff])\n\
             \x20 ELF architecture: arm64 (current architecture: amd64)\n\
             \x20 Libraries: libc.so.6, libm.so.6\n\
             \x20 Mounted \"noexec\": /opt"
        );
        notes.contents = Some(Contents::detect(b"#!/bin/sh"));
        let text = notes.to_string();
        assert!(text.contains("Contents: a script for /bin/sh"), "{text}");
    }

    #[test]
    fn missing_facts_are_left_out() {
        let text = Notes::new("/opt/plugin", "amd64").to_string();
        assert_eq!(text, "About the program:\n  Path: /opt/plugin");
    }

    #[test]
    fn a_file_that_cannot_be_executed_is_pointed_out() {
        let mut notes = Notes::new("p", "amd64");
        notes.mode = Some(0o640);
        let text = notes.to_string();
        assert!(text.contains("-rw-r----- (0640), not executable"), "{text}");
    }
}
