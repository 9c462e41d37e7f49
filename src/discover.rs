//! Which plugins there are: the programs of a directory, and what they say of themselves.
//!
//! ```no_run
//! # use outboard::{Command, Handshake, Host, Tokio};
//! use outboard::discover::{Search, enumerate};
//!
//! # async fn example(handshake: Handshake) -> Result<(), Box<dyn std::error::Error>> {
//! let found = Search::new("/usr/lib/acme/plugins")
//!     .pattern("acme-*")
//!     .trusted(true)
//!     .find()?;
//! for skipped in &found.skipped {
//!     eprintln!("not used: {skipped}");
//! }
//! let hosts = found
//!     .programs
//!     .iter()
//!     .map(|program| Host::new(handshake).command(Command::new(program)));
//! for candidate in enumerate(Tokio::current(), hosts, 4).await {
//!     match candidate.outcome {
//!         Ok(described) => println!("{}: version {}", candidate.name, described.version),
//!         Err(error) => println!("{}: {error}", candidate.name),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Who may run can be a matter of a file of checksums, as a release has one. What is not in it is not
//! launched, nor is what has changed:
//!
//! ```no_run
//! # #[cfg(feature = "checksum")]
//! # fn example(handshake: outboard::Handshake) -> Result<(), Box<dyn std::error::Error>> {
//! use outboard::discover::Search;
//! use outboard::{Checksum, ChecksumList, Command, Host};
//!
//! let list = std::fs::read_to_string("/etc/acme/SHA256SUMS")?;
//! let list = ChecksumList::parse(&list)?;
//! for program in Search::new("/usr/lib/acme/plugins").find()?.programs {
//!     let name = program.file_name().unwrap_or_default().to_string_lossy();
//!     let checksum = Checksum::sha256(list.digest(&name)?.clone());
//!     let host = Host::new(handshake).command(Command::new(&program)).checksum(checksum);
//!     // ...
//! #   drop(host);
//! }
//! # Ok(())
//! # }
//! ```

mod enumerate;
mod pattern;
mod trust;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use outboard_core::fault::Fault;

pub use self::enumerate::{Candidate, Described, enumerate};
pub use self::trust::{Distrust, trusted};

/// Looks for plugins in a directory: files that may be executed and whose names fit a pattern.
#[derive(Clone, Debug)]
pub struct Search {
    dir: PathBuf,
    pattern: String,
    trusted: bool,
}

/// What a [`Search`] found, each sorted by path.
#[derive(Debug)]
#[non_exhaustive]
pub struct Found {
    /// The programs, by their paths in the directory.
    pub programs: Vec<PathBuf>,
    /// What else is in the directory.
    pub skipped: Vec<Skipped>,
}

/// What is in the directory and no program to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Its path in the directory.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.reason)
    }
}

/// Why something in the directory is no program to be used. A phrase that follows its path.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its name does not fit the pattern.
    #[error("has another name than the pattern asks for")]
    OtherName,
    /// It is neither a file nor a link to one.
    #[error("is no file")]
    NoFile,
    /// Nobody may execute it.
    #[error("is not executable (mode {mode:04o}): chmod +x, if it is a program")]
    NotExecutable {
        /// Its mode.
        mode: u32,
    },
    /// It is a link to a link. Links are followed once.
    #[error("is a link to {}, which is a link itself: link to the file", target.display())]
    LinkToLink {
        /// What it points to.
        target: PathBuf,
    },
    /// It is a link to nothing.
    #[error("is a link to {}, where there is nothing", target.display())]
    BrokenLink {
        /// What it points to.
        target: PathBuf,
    },
    /// Another name in the directory stands for the same file.
    #[error("is the same file as {}", other.display())]
    Same {
        /// The name that is used.
        other: PathBuf,
    },
    /// Somebody else could have put it there, or could change it.
    #[error("is not trusted: {0}")]
    Untrusted(Distrust),
    /// It cannot be looked at.
    #[error("cannot be looked at: {0}")]
    Unreadable(Fault),
}

outboard_core::debug_as_text!(SkipReason);

/// A directory that cannot be searched.
#[derive(thiserror::Error)]
#[error("plugins cannot be looked for in {}", dir.display())]
#[non_exhaustive]
pub struct SearchError {
    /// The directory.
    pub dir: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

outboard_core::debug_as_text!(SearchError);

impl Search {
    /// Every program directly in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            pattern: "*".to_owned(),
            trusted: false,
        }
    }

    /// Those alone whose names fit: `*` stands for any characters, `?` for one, everything else for
    /// itself. A name that begins with a dot fits only a pattern that does.
    #[must_use]
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = pattern.into();
        self
    }

    /// Whether those alone are found that nobody but root and this user can have put there or can change;
    /// see [`trusted`]. All are found unless this is called.
    #[must_use]
    pub fn trusted(mut self, trusted: bool) -> Self {
        self.trusted = trusted;
        self
    }

    /// Looks. It reads the directory and what there is of each file, and blocks for that.
    ///
    /// # Errors
    /// [`SearchError`] if the directory cannot be read. What cannot be read in it is skipped.
    pub fn find(&self) -> Result<Found, SearchError> {
        let failed = |source| SearchError {
            dir: self.dir.clone(),
            source,
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort();
        let mut found = Found {
            programs: Vec::new(),
            skipped: Vec::new(),
        };
        let mut seen = BTreeMap::new();
        for path in paths {
            match self.judge(&path, &mut seen) {
                Ok(()) => found.programs.push(path),
                Err(reason) => found.skipped.push(Skipped { path, reason }),
            }
        }
        Ok(found)
    }

    fn judge(
        &self,
        path: &Path,
        seen: &mut BTreeMap<(u64, u64), PathBuf>,
    ) -> Result<(), SkipReason> {
        use std::os::unix::fs::MetadataExt as _;

        let name = path.file_name().unwrap_or_default();
        if !pattern::fits(&self.pattern, &name.to_string_lossy()) {
            return Err(SkipReason::OtherName);
        }
        let data = followed_once(path)?;
        if !data.is_file() {
            return Err(SkipReason::NoFile);
        }
        let mode = data.permissions().mode() & 0o7777;
        if mode & 0o111 == 0 {
            return Err(SkipReason::NotExecutable { mode });
        }
        if self.trusted {
            trusted(path).map_err(SkipReason::Untrusted)?;
        }
        // Last, so that what is used stands for it and not what is skipped.
        match seen.get(&(data.dev(), data.ino())) {
            Some(other) => Err(SkipReason::Same {
                other: other.clone(),
            }),
            None => {
                seen.insert((data.dev(), data.ino()), path.to_owned());
                Ok(())
            }
        }
    }
}

/// What there is at a path, or behind the one link that is there.
fn followed_once(path: &Path) -> Result<Metadata, SkipReason> {
    let unreadable = |error: io::Error| SkipReason::Unreadable(error.into());
    let data = std::fs::symlink_metadata(path).map_err(unreadable)?;
    if !data.is_symlink() {
        return Ok(data);
    }
    let target = std::fs::read_link(path).map_err(unreadable)?;
    let from = path.parent().unwrap_or_else(|| Path::new(""));
    match std::fs::symlink_metadata(from.join(&target)) {
        Ok(data) if data.is_symlink() => Err(SkipReason::LinkToLink { target }),
        Ok(data) => Ok(data),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(SkipReason::BrokenLink { target })
        }
        Err(error) => Err(unreadable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, hard_link, set_permissions, write};
    use std::os::unix::fs::symlink;

    fn file(path: &Path, mode: u32) {
        write(path, "#!/bin/sh\n").expect("written");
        set_permissions(path, Permissions::from_mode(mode)).expect("ours");
    }

    #[test]
    fn programs_are_found_and_everything_else_is_told_why_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        file(&at("p-b"), 0o755);
        file(&at("p-a"), 0o700);
        file(&at("p-text"), 0o644);
        file(&at("other"), 0o755);
        file(&at(".p-hidden"), 0o755);
        create_dir(at("p-dir")).expect("made");
        symlink("other", at("p-link")).expect("linked");
        symlink("p-link", at("p-link-to-link")).expect("linked");
        symlink("nothing", at("p-nothing")).expect("linked");
        hard_link(at("p-b"), at("p-c")).expect("linked");
        let found = Search::new(dir.path())
            .pattern("p-*")
            .find()
            .expect("there");
        assert_eq!(found.programs, [at("p-a"), at("p-b"), at("p-link")]);
        let skipped: Vec<_> = found
            .skipped
            .iter()
            .map(|skipped| (skipped.path.clone(), skipped.reason.clone()))
            .collect();
        let expected = [
            (at(".p-hidden"), SkipReason::OtherName),
            (at("other"), SkipReason::OtherName),
            (at("p-c"), SkipReason::Same { other: at("p-b") }),
            (at("p-dir"), SkipReason::NoFile),
            (
                at("p-link-to-link"),
                SkipReason::LinkToLink {
                    target: "p-link".into(),
                },
            ),
            (
                at("p-nothing"),
                SkipReason::BrokenLink {
                    target: "nothing".into(),
                },
            ),
            (at("p-text"), SkipReason::NotExecutable { mode: 0o644 }),
        ];
        assert_eq!(skipped, expected);
        let text = found.skipped[6].to_string();
        assert!(
            text.ends_with("p-text is not executable (mode 0644): chmod +x, if it is a program")
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let error = Search::new("/no/such/directory").find().expect_err("none");
        assert!(format!("{error:?}").contains("/no/such/directory: "));
    }

    #[test]
    fn what_others_can_change_is_not_found_where_that_matters() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        file(&at("own"), 0o755);
        file(&at("everybodys"), 0o757);
        let search = Search::new(dir.path());
        let all = search.find().expect("there");
        assert_eq!(all.programs, [at("everybodys"), at("own")]);
        let found = search.clone().trusted(true).find().expect("there");
        assert_eq!(found.programs, [at("own")]);
        // One link leads to the file that others can change.
        let elsewhere = tempfile::tempdir().expect("a directory");
        set_permissions(elsewhere.path(), Permissions::from_mode(0o777)).expect("ours");
        file(&elsewhere.path().join("program"), 0o755);
        symlink(elsewhere.path().join("program"), at("link")).expect("linked");
        let found = search.trusted(true).find().expect("there");
        assert_eq!(found.programs, [at("own")]);
        let reason = found
            .skipped
            .iter()
            .find(|skipped| skipped.path == at("link"));
        let Some(SkipReason::Untrusted(why)) = reason.map(|skipped| &skipped.reason) else {
            panic!("{reason:?}");
        };
        assert!(
            why.to_string()
                .contains(&*elsewhere.path().to_string_lossy())
        );
    }
}
