//! Files of checksums, as releases carry them: one digest and one name a line.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{FileDigest, FileDigestError};
use crate::text::excerpt;

/// How much of a line that cannot be read an error shows, in bytes.
const SHOWN: usize = 120;

/// The digests of several files by their names, read from what `sha256sum` and its relatives write:
///
/// ```text
/// 9f86d081…  terraform-provider-null_v3.2.4          the usual form
/// 9f86d081… *terraform-provider-null_v3.2.4          the same, of a file that was read as binary
/// SHA256 (terraform-provider-null_v3.2.4) = 9f86d081…  the form of BSD, and of `--tag`
/// ```
///
/// A line that begins with a backslash has a name in which `\\`, `\n` and `\r` stand for these
/// characters. Empty lines say nothing. Which hash it is the file does not say (that of BSD does, and is
/// not believed): whoever uses a digest knows that.
///
/// A list is worth as much as where it comes from: read it from a place that only those can write to
/// who may choose what runs, or check its signature first.
///
/// ```
/// use outboard_core::checksum::ChecksumList;
///
/// let list = ChecksumList::parse("00ff  ./greeter\n0102 *kv\n")?;
/// assert_eq!(list.digest("greeter")?.to_string(), "00ff");
/// assert!(list.digest("counter").is_err());
/// # Ok::<(), outboard_core::checksum::ChecksumListError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChecksumList {
    digests: BTreeMap<String, FileDigest>,
}

/// Why a file of checksums is of no use.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChecksumListError {
    /// A line has neither form.
    #[error(
        "line {line} of the file of checksums: expected a digest in hex, a space, a space or an asterisk, \
         and a name, as sha256sum writes it, found {found:?}"
    )]
    Line {
        /// Its number, from 1.
        line: usize,
        /// The line, shortened.
        found: String,
    },
    /// What stands in a digest's place is none.
    #[error("line {line} of the file of checksums, of {name:?}: {error}")]
    Digest {
        /// The line's number, from 1.
        line: usize,
        /// The name that it has, shortened.
        name: String,
        /// Why it is none.
        error: FileDigestError,
    },
    /// One name has two digests.
    #[error(
        "line {line} of the file of checksums gives {name:?} a digest that is not the one of an earlier \
         line: see which of them is right"
    )]
    Ambiguous {
        /// The second line's number, from 1.
        line: usize,
        /// The name, shortened.
        name: String,
    },
    /// There is no such name.
    #[error(
        "none of the {listed} names in the file of checksums is {name:?}: see whether it is that of this \
         release, and whether the program was renamed"
    )]
    NotListed {
        /// The name that was asked for, shortened.
        name: String,
        /// How many names there are.
        listed: usize,
    },
}

crate::debug_as_text!(ChecksumListError);

impl ChecksumList {
    /// Reads the content of such a file. What it keeps is bounded by the text.
    ///
    /// # Errors
    /// If a line cannot be read, or two of them contradict each other. A list that is not whole is no list:
    /// a digest that went missing would be taken for a program that nobody has listed.
    pub fn parse(text: &str) -> Result<Self, ChecksumListError> {
        let mut digests = BTreeMap::new();
        for (index, content) in text.lines().enumerate() {
            let line = index + 1;
            if content.trim_ascii().is_empty() {
                continue;
            }
            let shown = |text: &str| excerpt(text.as_bytes(), SHOWN);
            let Some((digest, name)) = parts(content) else {
                let found = shown(content);
                return Err(ChecksumListError::Line { line, found });
            };
            let digest = digest.parse::<FileDigest>();
            let digest = digest.map_err(|error| ChecksumListError::Digest {
                line,
                name: shown(&name),
                error,
            })?;
            match digests.entry(plain(name)) {
                Entry::Vacant(free) => {
                    free.insert(digest);
                }
                Entry::Occupied(taken) if *taken.get() == digest => {}
                Entry::Occupied(taken) => {
                    let name = shown(taken.key());
                    return Err(ChecksumListError::Ambiguous { line, name });
                }
            }
        }
        Ok(Self { digests })
    }

    /// The digest of the file that is listed under this name, with or without `./` before it.
    ///
    /// # Errors
    /// [`NotListed`](ChecksumListError::NotListed).
    pub fn digest(&self, name: &str) -> Result<&FileDigest, ChecksumListError> {
        let found = self.digests.get(name.strip_prefix("./").unwrap_or(name));
        found.ok_or_else(|| ChecksumListError::NotListed {
            name: excerpt(name.as_bytes(), SHOWN),
            listed: self.digests.len(),
        })
    }

    /// All names with their digests, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FileDigest)> {
        self.digests
            .iter()
            .map(|(name, digest)| (name.as_str(), digest))
    }
}

/// The digest and the name of a line.
fn parts(line: &str) -> Option<(&str, String)> {
    let (line, escaped) = match line.strip_prefix('\\') {
        Some(line) => (line, true),
        None => (line, false),
    };
    let (digest, name) = usual(line).or_else(|| tagged(line))?;
    let name = if escaped {
        unescaped(name)?
    } else {
        name.to_owned()
    };
    (!digest.is_empty() && !name.is_empty()).then_some((digest, name))
}

fn usual(line: &str) -> Option<(&str, &str)> {
    let (digest, rest) = line.split_once(' ')?;
    let name = rest.strip_prefix([' ', '*'])?;
    Some((digest, name))
}

fn tagged(line: &str) -> Option<(&str, &str)> {
    let (_hash, rest) = line.split_once(" (")?;
    let (name, digest) = rest.rsplit_once(") = ")?;
    Some((digest, name))
}

fn unescaped(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name.chars();
    while let Some(character) = rest.next() {
        plain.push(match character {
            '\\' => match rest.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

fn plain(name: String) -> String {
    match name.strip_prefix("./") {
        Some(plain) => plain.to_owned(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(list: &ChecksumList, name: &str) -> String {
        let digest = list.digest(name);
        digest.map_or_else(|error| error.to_string(), ToString::to_string)
    }

    #[test]
    fn all_forms_are_read() {
        let text = "00ff  greeter\r\n\n\
                    0102 *two words\n\
                    SHA256 (a (b) c) = 03\n\
                    04  ./below/it\n\
                    \\05  a\\nb\\\\c\n\
                    00FF  greeter\n";
        let list = ChecksumList::parse(text).expect("a list");
        for (name, hex) in [
            ("greeter", "00ff"),
            ("./greeter", "00ff"),
            ("two words", "0102"),
            ("a (b) c", "03"),
            ("below/it", "04"),
            ("a\nb\\c", "05"),
        ] {
            assert_eq!(digest(&list, name), hex, "{name:?}");
        }
        assert_eq!(list.iter().count(), 5);
        let error = list.digest("counter").expect_err("nobody knows it");
        assert!(matches!(
            error,
            ChecksumListError::NotListed { listed: 5, .. }
        ));
    }

    #[test]
    fn what_is_no_list_is_told_by_its_line() {
        for (text, line) in [
            ("00ff  a\nnonsense", 2),
            ("00ff a", 1),
            ("00ff  ", 1),
            ("  a", 1),
            ("\\00  a\\x", 1),
            ("SHA256 (a) = ", 1),
        ] {
            let error = ChecksumList::parse(text).expect_err(text);
            assert!(
                matches!(error, ChecksumListError::Line { line: at, .. } if at == line),
                "{text:?}: {error}"
            );
        }
        let error = ChecksumList::parse("00ff  a\nxyz  b\n").expect_err("no digest");
        assert!(
            matches!(error, ChecksumListError::Digest { line: 2, .. }),
            "{error}"
        );
        let error = ChecksumList::parse("00  a\n01 *./a\n").expect_err("they differ");
        assert!(
            matches!(error, ChecksumListError::Ambiguous { line: 2, .. }),
            "{error}"
        );
        let long = "x".repeat(1 << 20);
        let error = ChecksumList::parse(&long).expect_err("no line");
        assert!(error.to_string().len() < 400, "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".*") {
            let _read = ChecksumList::parse(&text);
        }

        #[test]
        fn what_sha256sum_writes_is_found(
            files in proptest::collection::btree_map("[^\u{0}./][^\u{0}]{0,20}", proptest::collection::vec(any::<u8>(), 1..40), 0..10),
        ) {
            let mut text = String::new();
            for (name, bytes) in &files {
                let escaped = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
                let mark = if escaped == *name { "" } else { "\\" };
                let digest = FileDigest::from(bytes.clone());
                text.push_str(&format!("{mark}{digest}  {escaped}\n"));
            }
            let list = ChecksumList::parse(&text).expect("a list");
            prop_assert_eq!(list.iter().count(), files.len());
            for (name, bytes) in files {
                prop_assert_eq!(list.digest(&name), Ok(&FileDigest::from(bytes)));
            }
        }
    }
}
