//! The names under which a side provides interfaces, as they travel and as they are kept.

use super::head::Cursor;
use super::violation::Violation;

/// The most names that can be told: as they may be empty, their bytes alone are no bound of what
/// they take in memory.
pub const MAX_NAMES: usize = 1_024;
/// The longest name that can be told, in bytes.
pub const MAX_NAME: usize = u8::MAX as usize;

/// What the peer has told of the names under which it provides interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerNames<'a> {
    /// Its preface, or the names that it announced there, have not come yet.
    NotYet,
    /// It does not tell.
    Untold,
    /// These, in its own order, and no others.
    Told(&'a [String]),
}

/// The names of both sides.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Those of this side, as they travel, until they do.
    pub(super) ours: Option<Vec<u8>>,
    theirs: Theirs,
}

#[derive(Debug, Default)]
enum Theirs {
    #[default]
    NoPreface,
    Announced,
    Untold,
    Told(Vec<String>),
}

impl Names {
    /// The peer's preface came.
    pub(super) fn settle(&mut self, announced: bool) {
        self.theirs = if announced {
            Theirs::Announced
        } else {
            Theirs::Untold
        };
    }

    /// Whether the peer's names are to come next.
    pub(super) fn is_announced(&self) -> bool {
        matches!(self.theirs, Theirs::Announced)
    }

    /// The peer's names came, and were [checked](check).
    pub(super) fn came(&mut self, payload: &[u8]) {
        self.theirs = Theirs::Told(each(payload).map(str::to_owned).collect());
    }

    pub(super) fn of_peer(&self) -> PeerNames<'_> {
        match &self.theirs {
            Theirs::NoPreface | Theirs::Announced => PeerNames::NotYet,
            Theirs::Untold => PeerNames::Untold,
            Theirs::Told(names) => PeerNames::Told(names),
        }
    }
}

/// Names as they travel, if they can be told in `most` bytes.
pub(super) fn encode<'a>(names: impl IntoIterator<Item = &'a str>, most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (before, name) in names.into_iter().enumerate() {
        out.push(u8::try_from(name.len()).ok()?);
        out.extend_from_slice(name.as_bytes());
        if before >= MAX_NAMES || out.len() > most {
            return None;
        }
    }
    Some(out)
}

/// Checks names that came.
pub(super) fn check(rest: &mut Cursor<'_>) -> Result<(), Violation> {
    let mut count = 0;
    while !rest.rest.is_empty() {
        let [len] = rest.array()?;
        rest.text(usize::from(len))?;
        count += 1;
        if count > MAX_NAMES {
            return Err(Violation::TooManyNames { most: MAX_NAMES });
        }
    }
    Ok(())
}

fn each(mut payload: &[u8]) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (&len, rest) = payload.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(len))?;
        payload = rest;
        std::str::from_utf8(name).ok()
    })
}
