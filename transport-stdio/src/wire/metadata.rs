//! Lists of metadata: for each entry `u8` length and name, `u16` length and value; in the long form,
//! which travels in parts, `u32` for the value's length.

use bytes::Bytes;
use outboard_core::rpc::limits::{self, MAX_METADATA_ENTRIES, check_metadata};
use outboard_core::rpc::{Metadata, MetadataError, MetadataValue};

use super::limits::{MAX_ENTRIES, MAX_HEAD};
use super::violation::Violation;

/// The most bytes of a list in a frame's head, so that there is room for its other parts.
const MOST: usize = MAX_HEAD - MAX_HEAD / 8;

/// Metadata that cannot be sent. It concerns its call alone.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataTooLarge {
    /// It is over a limit that all transports have.
    #[error(transparent)]
    Limit(#[from] limits::MetadataTooLarge),
    /// The other side takes less.
    #[error("metadata of {len} encoded bytes: the other side takes at most {most}")]
    Peer {
        /// The length in bytes.
        len: usize,
        /// What the other side takes, in bytes.
        most: usize,
    },
}

outboard_core::debug_as_text!(MetadataTooLarge);

/// A list of entries, encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// In the long form, as it does not fit a frame's head.
    pub(super) long: bool,
}

impl Block {
    /// Whether a peer takes it that takes heads of `max_head` bytes in parts.
    pub(super) fn check(&self, max_head: u32) -> Result<(), MetadataTooLarge> {
        let (len, most) = (self.bytes.len(), max_head as usize);
        if self.long && len > most {
            let most = most.max(MOST);
            return Err(MetadataTooLarge::Peer { len, most });
        }
        Ok(())
    }

    /// The entries, for a frame's head; none if they are in parts.
    pub(super) fn short(&self) -> &[u8] {
        if self.long { &[] } else { &self.bytes }
    }
}

/// The entries, encoded: in the short form if they fit it.
///
/// # Errors
/// [`MetadataTooLarge`]
pub(super) fn encode(metadata: &Metadata) -> Result<Block, MetadataTooLarge> {
    if metadata.is_empty() {
        return Ok(Block::default());
    }
    check_metadata(metadata)?;
    let wire = |value| match value {
        MetadataValue::Text(text) => text.as_bytes(),
        MetadataValue::Binary(bytes) => bytes,
    };
    let short_len: usize = metadata
        .iter()
        .map(|(name, value)| 3 + name.len() + wire(value).len())
        .sum();
    // So no value of the short form is longer than its length can say.
    let long = metadata.len() > MAX_ENTRIES || short_len > MOST;
    let mut bytes = Vec::with_capacity(short_len + if long { 2 * metadata.len() } else { 0 });
    for (name, value) in metadata.iter() {
        let value = wire(value);
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name.as_bytes());
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes();
        bytes.extend_from_slice(if long { &len } else { &len[..2] });
        bytes.extend_from_slice(value);
    }
    Ok(Block { bytes, long })
}

/// Reads entries of the short or the long form.
///
/// # Errors
/// A [`Violation`] if the list is malformed. The inner error, which concerns the call only, if a
/// name or value is not allowed.
pub(super) fn decode(
    mut rest: &[u8],
    long: bool,
) -> Result<Result<Metadata, MetadataError>, Violation> {
    let most = if long {
        MAX_METADATA_ENTRIES
    } else {
        MAX_ENTRIES
    };
    let mut metadata = Metadata::new();
    let mut bad = None;
    let mut count = 0;
    while let Some((&name_len, after)) = rest.split_first() {
        let (name, after) = after
            .split_at_checked(name_len.into())
            .ok_or(Violation::BadMetadata)?;
        let (len, after) = after
            .split_at_checked(if long { 4 } else { 2 })
            .ok_or(Violation::BadMetadata)?;
        let len = len
            .iter()
            .rev()
            .fold(0, |len: usize, byte| len << 8 | usize::from(*byte));
        let (value, after) = after.split_at_checked(len).ok_or(Violation::BadMetadata)?;
        rest = after;
        count += 1;
        if count > most {
            return Err(Violation::TooManyEntries { most });
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let added = if name.ends_with("-bin") {
            metadata.insert_bin(name, Bytes::copy_from_slice(value))
        } else {
            // Replacement characters are not ASCII, so they are refused with the rest.
            metadata.insert(name, &String::from_utf8_lossy(value))
        };
        if let Err(error) = added {
            bad.get_or_insert(error);
        }
    }
    Ok(bad.map_or(Ok(metadata), Err))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(metadata: &Metadata) -> Vec<u8> {
        let block = encode(metadata).expect("within the limits");
        assert!(!block.long);
        block.bytes
    }

    #[test]
    fn entries_round_trip_in_order() {
        let mut metadata = Metadata::new();
        metadata.insert("a", "one").expect("valid");
        metadata.insert_bin("b-bin", vec![0, 255]).expect("valid");
        metadata.insert("a", "").expect("valid");
        let bytes = short(&metadata);
        assert_eq!(decode(&bytes, false), Ok(Ok(metadata)));
        for cut in 1..bytes.len() {
            // Between entries a cut is not visible here.
            if cut != 7 && cut != 17 {
                let got = decode(bytes.get(..cut).expect("in range"), false);
                assert_eq!(got, Err(Violation::BadMetadata), "{cut}");
            }
        }
    }

    #[test]
    fn bad_names_concern_the_call_only() {
        assert!(matches!(decode(b"\x01A\x00\x00", false), Ok(Err(_))));
        assert!(matches!(decode(b"\x06grpc-x\x00\x00", false), Ok(Err(_))));
        assert!(matches!(decode(b"\x01a\x01\x00\xff", false), Ok(Err(_))));
        let long = b"\x01a\x01\x00\x00\x00\xff";
        assert!(matches!(decode(long, true), Ok(Err(_))));
    }

    #[test]
    fn what_does_not_fit_a_frame_takes_the_long_form() {
        // Many entries, many bytes, and a value whose length 16 bits cannot say.
        for (entries, len) in [
            (MAX_ENTRIES, 0),
            (129, 0),
            (4096, 200),
            (2, 8_000),
            (1, 70_000),
        ] {
            let mut metadata = Metadata::new();
            for _ in 0..entries {
                metadata.insert_bin("b-bin", vec![7; len]).expect("valid");
            }
            let block = encode(&metadata).expect("within the limits");
            assert_eq!(block.long, entries > MAX_ENTRIES || len > 1_000);
            assert_eq!(decode(&block.bytes, block.long), Ok(Ok(metadata)));
            assert_eq!(block.check(1 << 20), Ok(()));
            assert_eq!(block.check(0).is_err(), block.long);
        }
    }

    #[test]
    fn the_number_of_entries_is_limited_both_ways() {
        let mut metadata = Metadata::new();
        for _ in 0..MAX_METADATA_ENTRIES {
            metadata.insert("a", "").expect("valid");
        }
        let most = encode(&metadata).expect("just fits").bytes;
        assert_eq!(decode(&most, true), Ok(Ok(metadata.clone())));
        metadata.insert("a", "").expect("valid");
        assert!(encode(&metadata).is_err());
        let more = [most.as_slice(), b"\x01a\x00\x00\x00\x00"].concat();
        let refused = Violation::TooManyEntries {
            most: MAX_METADATA_ENTRIES,
        };
        assert_eq!(decode(&more, true), Err(refused));
        let short = b"\x01a\x00\x00".repeat(MAX_ENTRIES + 1);
        let refused = Violation::TooManyEntries { most: MAX_ENTRIES };
        assert_eq!(decode(&short, false), Err(refused));
    }

    #[test]
    fn too_much_is_refused_before_it_is_sent() {
        let mut metadata = Metadata::new();
        metadata
            .insert_bin("b-bin", vec![0; limits::MAX_METADATA_SIZE])
            .expect("valid");
        assert!(matches!(encode(&metadata), Err(MetadataTooLarge::Limit(_))));
    }
}
