//! What hosts and plugins that were killed have left behind in a directory for sockets: by which names
//! it is known, what must hold before it is removed, and when it is worth to look again. No IO: who sweeps
//! looks, and asks here.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the names of directories begin with that a host makes for the sockets of one plugin. A number
/// follows, in hosts of outboard one that begins with 0: in go-plugin's, which have no lock on theirs,
/// it never does.
pub const DIRECTORY: &str = "plugin-dir";

/// What the names of sockets begin with, go-plugin's too. A number follows.
pub const SOCKET: &str = "plugin";

/// How long ago the last change must have been. Far more than the moment in which a directory is there
/// and not locked yet, or a socket and nobody listens yet. (A choice.)
pub const MIN_AGE: Duration = Duration::from_secs(60);

/// How many entries of a directory are looked at in one launch; more are left for later ones.
pub const MAX_ENTRIES: usize = 4096;

/// How many of those that have such a name are looked at more closely in one launch.
pub const MAX_CANDIDATES: usize = 64;

/// How many entries a directory may have in which it is looked for sockets that are alive. One with more
/// is left alone.
pub const MAX_INSIDE: usize = 2048;

/// How long a process does not look again where it has found nothing. As long as what is left next must be
/// there at least. (A choice.)
pub const PAUSE: Duration = MIN_AGE;

/// Where a process has looked and found nothing: a host that launches many plugins in a row would else
/// look before each.
#[derive(Debug)]
pub struct Looked {
    empty: VecDeque<(PathBuf, Instant)>,
}

impl Looked {
    /// So many directories are remembered; of more, those that were looked at last.
    const MAX: usize = 16;

    /// One that has not looked anywhere.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            empty: VecDeque::new(),
        }
    }

    /// Whether it is time to look there.
    #[must_use]
    pub fn is_due(&self, dir: &Path, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < PAUSE;
        !(self.empty.iter()).any(|(known, at)| known == dir && lately(*at))
    }

    /// There was nothing at this time that could be a leftover.
    pub fn found_nothing(&mut self, dir: PathBuf, now: Instant) {
        self.empty.retain(|(known, _)| *known != dir);
        if self.empty.len() == Self::MAX {
            self.empty.pop_front();
        }
        self.empty.push_back((dir, now));
    }
}

/// What an entry may be, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Candidate {
    /// The directory of one plugin, made by a host of outboard.
    Directory,
    /// A socket of a host's or plugin's.
    Socket,
}

impl Candidate {
    /// What an entry of this name may be.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        if let Some(number) = name.strip_prefix(DIRECTORY) {
            return (is_number(number) && number.starts_with('0') && number != "0")
                .then_some(Self::Directory);
        }
        is_number(name.strip_prefix(SOCKET)?).then_some(Self::Socket)
    }

    /// The name of a directory with this number.
    #[must_use]
    pub fn directory(number: u32) -> String {
        // Of the same length for all, so that paths are.
        format!("{DIRECTORY}0{number:010}")
    }
}

/// Whether this is the name of a directory that some host has made for one plugin, whichever library it
/// uses.
#[must_use]
pub fn is_directory(name: &str) -> bool {
    name.strip_prefix(DIRECTORY).is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is seen of an entry from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// What it is: a directory, a socket, or something else. Links are not followed.
    pub kind: Option<Candidate>,
    /// The number of the user to whom it belongs.
    pub owner: u32,
    /// How long ago it was changed; nothing if that is in the future.
    pub age: Option<Duration>,
}

impl Seen {
    /// An entry.
    #[must_use]
    pub fn new(kind: Option<Candidate>, owner: u32, age: Option<Duration>) -> Self {
        Self { kind, owner, age }
    }

    /// Whether it may be looked at more closely, by a process of the user `own`, and removed if nobody
    /// holds it: it is what its name says, this user's, and old enough.
    #[must_use]
    pub fn is_worth_a_look(&self, by_name: Candidate, own: u32) -> bool {
        let old = self.age.is_some_and(|age| age >= MIN_AGE);
        self.kind == Some(by_name) && self.owner == own && old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_and_others_are_not() {
        use Candidate::{Directory, Socket};

        for (name, known) in [
            ("plugin-dir00000000001", Some(Directory)),
            ("plugin-dir04294967295", Some(Directory)),
            // go-plugin's.
            ("plugin-dir4294967295", None),
            ("plugin-dir0", None),
            ("plugin-dir", None),
            ("plugin-dir0x", None),
            ("plugin1", Some(Socket)),
            ("plugin18446744073709551615", Some(Socket)),
            ("plugin", None),
            ("plugin-1", None),
            ("plugin1.sock", None),
            ("plugins1", None),
            ("Plugin1", None),
            ("", None),
        ] {
            assert_eq!(Candidate::of(name), known, "{name}");
        }
        for number in [0, 1, u32::MAX] {
            let name = Candidate::directory(number);
            assert_eq!(Candidate::of(&name), Some(Directory), "{name}");
            assert!(is_directory(&name), "{name}");
            assert_eq!(name.len(), Candidate::directory(7).len());
        }
        assert!(is_directory("plugin-dir4294967295") && !is_directory("plugin-dir"));
    }

    #[test]
    fn where_nothing_was_it_is_looked_again_after_a_while() {
        let mut looked = Looked::new();
        let (dir, begin) = (Path::new("/tmp"), Instant::now());
        assert!(looked.is_due(dir, begin));
        looked.found_nothing(dir.to_owned(), begin);
        let almost = begin + PAUSE - Duration::from_nanos(1);
        assert!(!looked.is_due(dir, almost));
        assert!(looked.is_due(Path::new("/run"), almost));
        assert!(looked.is_due(dir, begin + PAUSE));

        let of = |number: usize| PathBuf::from(format!("/{number}"));
        for number in 0..=Looked::MAX {
            looked.found_nothing(of(number), begin);
            looked.found_nothing(of(number), almost);
        }
        assert_eq!(looked.empty.len(), Looked::MAX, "each once, and not all");
        assert!(looked.is_due(&of(0), almost), "the oldest is forgotten");
        assert!(!looked.is_due(&of(1), begin + PAUSE));
        assert!(!looked.is_due(&of(Looked::MAX), almost));
    }

    #[test]
    fn only_what_is_ones_own_and_old_is_worth_a_look() {
        use Candidate::{Directory, Socket};

        let old = Some(MIN_AGE);
        let seen = |kind, owner, age| Seen::new(kind, owner, age).is_worth_a_look(Directory, 1000);
        assert!(seen(Some(Directory), 1000, old));
        assert!(!seen(Some(Socket), 1000, old), "not what its name says");
        assert!(!seen(None, 1000, old), "a link or a file");
        assert!(!seen(Some(Directory), 1001, old), "another's");
        assert!(!seen(Some(Directory), 0, old), "root's");
        let young = MIN_AGE.checked_sub(Duration::from_nanos(1));
        assert!(!seen(Some(Directory), 1000, young));
        assert!(!seen(Some(Directory), 1000, None), "of the future");
    }
}
