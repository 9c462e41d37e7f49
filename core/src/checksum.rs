//! Whether a program's file is the one that is expected, and what the mistake may be if it is not.
//!
//! Reading and hashing the file is the driver's work; here digests are read, compared and shown, and
//! what is expected is looked at once more when it does not fit: many a checksum was written down in
//! another encoding, or taken of a download that had failed.

mod list;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::fault::Fault;

pub use list::{ChecksumList, ChecksumListError};

/// The digest of a file, of any length. Shown and parsed in hex, as `sha256sum` prints it.
///
/// ```
/// use outboard_core::checksum::FileDigest;
///
/// let digest: FileDigest = "00ff".parse()?;
/// assert_eq!(digest, FileDigest::from([0x00, 0xff]));
/// # Ok::<(), outboard_core::checksum::FileDigestError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileDigest(Vec<u8>);

impl FileDigest {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they are equal. It takes as long wherever they differ, as go-plugin's comparison does.
    fn is(&self, other: &Self) -> bool {
        let differs = |sum: u8, (one, other): (&u8, &u8)| sum | (one ^ other);
        let pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && std::hint::black_box(pairs.fold(0, differs)) == 0
    }
}

impl From<Vec<u8>> for FileDigest {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for FileDigest {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for FileDigest {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Display for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileDigest({self})")
    }
}

/// Digits of either case, and nothing else.
impl FromStr for FileDigest {
    type Err = FileDigestError;

    fn from_str(text: &str) -> Result<Self, FileDigestError> {
        if let Some((at, found)) = text.char_indices().find(|(_, c)| !c.is_ascii_hexdigit()) {
            return Err(FileDigestError::NotHex { at, found });
        }
        let length = text.len();
        hex(text.as_bytes())
            .map(Self)
            .ok_or(FileDigestError::OddLength { length })
    }
}

/// Why a text is no digest in hex.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileDigestError {
    /// There is something else in it than digits.
    #[error(
        "expected a digest in hex, such as \"9f86d081…\", found {found:?} at byte {at}; give the \
         digits alone, without the name of the hash or of the file"
    )]
    NotHex {
        /// The first character that is no digit.
        found: char,
        /// At what byte it stands.
        at: usize,
    },
    /// A digit is missing.
    #[error("expected two digits for each byte of a digest in hex, found {length} digits in all")]
    OddLength {
        /// How many digits there are.
        length: usize,
    },
}

/// Two digests that are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The one that the host was given.
    pub expected: FileDigest,
    /// The one of the file.
    pub actual: FileDigest,
    /// What may have gone wrong, where it shows.
    pub mistake: Option<Mistake>,
}

/// What may have gone wrong with an expected checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mistake {
    /// It is the digest of no bytes at all: it was taken of an empty file, or of a failed download.
    ExpectsNothing,
    /// The file has no bytes.
    FileIsEmpty,
    /// It is not a digest but one's text.
    Text {
        /// How the text has the bytes.
        encoding: TextEncoding,
        /// Whether what it means is the digest of the file.
        fits: bool,
    },
    /// It is not as long as what the hash gives: it is that of another hash, or was cut.
    Length {
        /// Its length, in bytes.
        expected: usize,
        /// What the hash gives, in bytes.
        actual: usize,
    },
}

/// How a text has bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TextEncoding {
    /// Two digits for each.
    Hex,
    /// Four characters for three, of either alphabet.
    Base64,
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
        })
    }
}

/// What was found out, and what to do.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpectsNothing => f.write_str(
                "the expected one is that of no bytes at all: it was taken of an empty file, such as \
                 a failed download; take it anew",
            ),
            Self::FileIsEmpty => f.write_str("the file is empty: install the plugin again"),
            Self::Text {
                encoding,
                fits: true,
            } => write!(
                f,
                "the expected one is the text of this very digest in {encoding}: decode it first"
            ),
            Self::Text { encoding, .. } => write!(
                f,
                "the expected one is the text of a digest in {encoding}, and of another file's: decode \
                 it first, and see whether it is that of this file"
            ),
            Self::Length { expected, actual } => write!(
                f,
                "the expected one has {expected} bytes, where the hash gives {actual}: it is that of \
                 another hash, or was cut"
            ),
        }
    }
}

impl Mismatch {
    /// Compares what a file hashes to with what is expected; `of_nothing` is what the same hash gives
    /// for no bytes.
    ///
    /// # Errors
    /// If they differ, with the mistake that this looks like.
    pub fn check(
        expected: &FileDigest,
        actual: FileDigest,
        of_nothing: &FileDigest,
    ) -> Result<(), Self> {
        if expected.is(&actual) {
            return Ok(());
        }
        let mistake = if expected.is(of_nothing) {
            Some(Mistake::ExpectsNothing)
        } else if let Some((encoding, fits)) = text_of(expected.as_bytes(), actual.as_bytes()) {
            Some(Mistake::Text { encoding, fits })
        } else if expected.0.len() != actual.0.len() {
            let (expected, actual) = (expected.0.len(), actual.0.len());
            Some(Mistake::Length { expected, actual })
        } else {
            actual.is(of_nothing).then_some(Mistake::FileIsEmpty)
        };
        Err(Self {
            expected: expected.clone(),
            actual,
            mistake,
        })
    }
}

/// One line.
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.actual)?;
        match &self.mistake {
            Some(mistake) => write!(f, "; {mistake}"),
            None => f.write_str("; it is another build of the program, or was changed"),
        }
    }
}

/// Whether `expected` is the text of a digest as long as `actual`, and whether of that one.
fn text_of(expected: &[u8], actual: &[u8]) -> Option<(TextEncoding, bool)> {
    let text = without_name(expected.trim_ascii());
    let hex = hex(text).map(|bytes| (TextEncoding::Hex, bytes));
    let base64 = || base64(text).map(|bytes| (TextEncoding::Base64, bytes));
    [hex, base64()]
        .into_iter()
        .flatten()
        .find(|(_, bytes)| !bytes.is_empty() && bytes.len() == actual.len())
        .map(|(encoding, bytes)| (encoding, bytes == actual))
}

/// What follows the name of a hash: `sha256:…` of container images, `sha256-…` of web pages.
fn without_name(text: &[u8]) -> &[u8] {
    /// The longest name that is looked for, `blake2b-512` say.
    const LONGEST: usize = 12;

    let end = text.iter().take(LONGEST).rposition(|&b| b == b':');
    let end = end.or_else(|| {
        let dash = || text.iter().position(|&b| b == b'-');
        text.starts_with(b"sha").then(dash).flatten()
    });
    end.map_or(text, |end| &text[end + 1..])
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if text.len() % 2 == 1 {
        return None;
    }
    text.chunks_exact(2)
        .map(|pair| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok())
        .collect()
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let either = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, either).decode(text).ok())
}

/// What is executed of a program whose checksum fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Execute {
    /// A copy in memory that was sealed before it was hashed (Linux): the very bytes that were hashed,
    /// whatever happens to the file.
    SealedCopy,
    /// The open file that was hashed (Linux), whatever stands at its path by then. Who may write into
    /// that very file can still change it.
    OpenFile,
    /// What stands at the path by then, as with go-plugin: whoever may replace or change the file in
    /// between wins.
    Path,
}

impl fmt::Display for Execute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SealedCopy => "a sealed copy in memory",
            Self::OpenFile => "the open file",
            Self::Path => "what stands at the path",
        })
    }
}

/// Why a program was not launched by its checksum. Nothing ran.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChecksumError {
    /// The expected checksum has no bytes.
    #[error(
        "the checksum that {} is to have is empty: give the bytes of its digest",
        path.display()
    )]
    Empty {
        /// The program.
        path: PathBuf,
    },
    /// The file is missing, cannot be read, or is no file; or the hash failed.
    #[error(
        "the checksum of {} cannot be computed: {fault} (expected {expected})",
        path.display()
    )]
    Unreadable {
        /// The program.
        path: PathBuf,
        /// What the file was to hash to.
        expected: FileDigest,
        /// What the system said, or the hash.
        fault: Fault,
    },
    /// The hash has not looked at all of the file, so that it says nothing of the rest.
    #[error(
        "the hash read {read} of the {size} bytes of {}: it must read its input to the end",
        path.display()
    )]
    NotAllRead {
        /// The program.
        path: PathBuf,
        /// How many bytes were read.
        read: u64,
        /// How many there are.
        size: u64,
    },
    /// A copy of the file would take more memory than is allowed.
    #[error(
        "{} has {size} bytes, and no more than {limit} are copied into memory to be executed from \
         there; have the open file executed (Execute::OpenFile)",
        path.display()
    )]
    TooLarge {
        /// The program.
        path: PathBuf,
        /// Its size, in bytes.
        size: u64,
        /// The most that is copied, in bytes.
        limit: u64,
    },
    /// The system gives no memory to execute a copy from.
    #[error(
        "no sealed copy of {} can be made to be executed: {fault}; where the system forbids that (the \
         sysctl vm.memfd_noexec, a security policy), have the open file executed (Execute::OpenFile)",
        path.display()
    )]
    NoCopy {
        /// The program.
        path: PathBuf,
        /// What the system said.
        fault: Fault,
    },
    /// It was asked for in so many words what cannot be done here.
    #[error(
        "{execute} cannot be executed for {}: that takes Linux and a runner that executes open files, \
         such as ForkExec; with Execute::Path the file is checked, and may change until it runs",
        path.display()
    )]
    CannotExecute {
        /// The program.
        path: PathBuf,
        /// What was asked for.
        execute: Execute,
    },
    /// The file hashes to something else. go-plugin's `ErrChecksumsDoNotMatch`.
    #[error("the checksum of {} does not match: {mismatch}", path.display())]
    Mismatch {
        /// The program.
        path: PathBuf,
        /// Both digests.
        mismatch: Mismatch,
    },
}

crate::debug_as_text!(FileDigestError, ChecksumError);

#[cfg(test)]
#[path = "checksum_tests.rs"]
mod tests;
