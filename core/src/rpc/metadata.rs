//! Metadata: the headers and trailers of calls.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::limits::METADATA_ENTRY_OVERHEAD;

/// Metadata of a call: names with text or binary values, in the order they were added, names
/// may repeat.
///
/// Names are lower-case ASCII letters, digits, `-`, `_` and `.`; those ending in `-bin` carry
/// binary values (any bytes), the others printable ASCII. Names that begin with `grpc-` are the
/// protocol's own and refused. Source: the gRPC HTTP/2 protocol document, "Custom-Metadata".
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    entries: Vec<(Cow<'static, str>, Bytes)>,
}

/// A value of [`Metadata`], text or binary by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "gRPC has these two")]
pub enum MetadataValue<'a> {
    /// The value of an ordinary name.
    Text(&'a str),
    /// The value of a `-bin` name, decoded.
    Binary(&'a [u8]),
}

/// Why a name or value cannot be metadata.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The name has characters that are not allowed, or none.
    #[error(
        "bad metadata name {name:?}: expected lower-case ASCII letters, digits, '-', '_' or '.'"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// The name is the protocol's own.
    #[error("metadata name {name:?} is reserved for the protocol; choose another")]
    Reserved {
        /// The name.
        name: String,
    },
    /// A text value with other than printable ASCII.
    #[error(
        "bad text value for metadata {name:?}: expected printable ASCII; \
         use a name that ends in \"-bin\" for other bytes"
    )]
    BadText {
        /// The name.
        name: String,
    },
    /// A text value for a `-bin` name, or the reverse.
    #[error("metadata {name:?}: names that end in \"-bin\" take binary values, others take text")]
    WrongKind {
        /// The name.
        name: String,
    },
}

impl Metadata {
    /// No metadata. Does not allocate.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Adds a text value; values already under the name stay.
    ///
    /// # Errors
    /// [`MetadataError`] if the name or value is not allowed.
    pub fn insert(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: &str,
    ) -> Result<(), MetadataError> {
        let name = name.into();
        check_name(&name)?;
        if name.ends_with("-bin") {
            return Err(MetadataError::WrongKind {
                name: name.into_owned(),
            });
        }
        if !value.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
            return Err(MetadataError::BadText {
                name: name.into_owned(),
            });
        }
        self.entries
            .push((name, Bytes::copy_from_slice(value.as_bytes())));
        Ok(())
    }

    /// Adds a binary value; the name must end in `-bin`.
    ///
    /// # Errors
    /// [`MetadataError`] if the name is not allowed.
    pub fn insert_bin(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Bytes>,
    ) -> Result<(), MetadataError> {
        let name = name.into();
        check_name(&name)?;
        if !name.ends_with("-bin") {
            return Err(MetadataError::WrongKind {
                name: name.into_owned(),
            });
        }
        self.entries.push((name, value.into()));
        Ok(())
    }

    /// The first text value under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(n, value)| match value {
            MetadataValue::Text(text) if n == name => Some(text),
            MetadataValue::Text(_) | MetadataValue::Binary(_) => None,
        })
    }

    /// The first binary value under `name`.
    #[must_use]
    pub fn get_bin(&self, name: &str) -> Option<&[u8]> {
        self.iter().find_map(|(n, value)| match value {
            MetadataValue::Binary(bytes) if n == name => Some(bytes),
            MetadataValue::Text(_) | MetadataValue::Binary(_) => None,
        })
    }

    /// All names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, MetadataValue<'_>)> {
        self.entries.iter().filter_map(|(name, value)| {
            let value = if name.ends_with("-bin") {
                MetadataValue::Binary(value)
            } else {
                // Text was checked to be ASCII on the way in, so this never drops an entry.
                MetadataValue::Text(std::str::from_utf8(value).ok()?)
            };
            Some((name.as_ref(), value))
        })
    }

    /// Adds all entries of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.entries.extend_from_slice(&other.entries);
    }

    /// Takes all entries of `other`, in place of those that have the names of any of them.
    pub fn replace(&mut self, other: &Self) {
        let is_new = |name: &str| other.entries.iter().any(|(other, _)| other == name);
        self.entries.retain(|(name, _)| !is_new(name));
        self.extend(other);
    }

    /// Adds those entries of `other` that have one of these names.
    pub fn extend_named(&mut self, other: &Self, names: &[&str]) {
        let named = |(name, _): &&(Cow<'static, str>, Bytes)| names.contains(&name.as_ref());
        let entries = other.entries.iter().filter(named).cloned();
        self.entries.extend(entries);
    }

    /// Takes out all entries with this name.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|(other, _)| other != name);
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How much it counts against [the limit](super::limits::MAX_METADATA_SIZE), in bytes: names and
    /// values (binary ones as they are, before any encoding), and
    /// [32](super::limits::METADATA_ENTRY_OVERHEAD) for each entry.
    #[must_use]
    pub fn size(&self) -> usize {
        self.entries
            .iter()
            .map(|(name, value)| name.len() + value.len() + METADATA_ENTRY_OVERHEAD)
            .sum()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

fn check_name(name: &str) -> Result<(), MetadataError> {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(MetadataError::BadName {
            name: name.to_owned(),
        });
    }
    if name.starts_with("grpc-") {
        return Err(MetadataError::Reserved {
            name: name.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_binary_are_kept_apart() {
        let mut metadata = Metadata::new();
        metadata.insert("trace", "a").expect("valid");
        metadata.insert("trace", "b").expect("valid");
        metadata.insert_bin("key-bin", vec![0, 255]).expect("valid");
        assert_eq!(metadata.get("trace"), Some("a"));
        assert_eq!(metadata.get_bin("key-bin"), Some(&[0u8, 255][..]));
        assert_eq!((metadata.get("key-bin"), metadata.len()), (None, 3));
    }

    #[test]
    fn bad_names_and_values_are_refused() {
        let mut metadata = Metadata::new();
        for name in ["", "Upper", "sp ace", ":path", "ä"] {
            assert!(matches!(
                metadata.insert(name, "v"),
                Err(MetadataError::BadName { .. })
            ));
        }
        assert!(matches!(
            metadata.insert("grpc-x", "v"),
            Err(MetadataError::Reserved { .. })
        ));
        assert!(matches!(
            metadata.insert("x", "ä"),
            Err(MetadataError::BadText { .. })
        ));
        assert!(matches!(
            metadata.insert("x-bin", "v"),
            Err(MetadataError::WrongKind { .. })
        ));
        assert!(matches!(
            metadata.insert_bin("x", "v"),
            Err(MetadataError::WrongKind { .. })
        ));
        assert!(metadata.is_empty());
    }
}
