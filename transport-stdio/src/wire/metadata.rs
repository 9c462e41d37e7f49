//! Lists of metadata: for each entry `u8` length and name, `u16` length and value.

use bytes::Bytes;
use outboard_core::rpc::{Metadata, MetadataError, MetadataValue};

use super::frame::{MAX_ENTRIES, MAX_HEAD};
use super::violation::Violation;

/// The most bytes of a list, so that there is room for the other parts of a frame's head.
const MOST: usize = MAX_HEAD - MAX_HEAD / 8;

/// Metadata that cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "metadata too large: at most {MOST} bytes and {MAX_ENTRIES} entries, names of at most 255 bytes"
)]
pub struct MetadataTooLarge;

/// The entries, encoded.
///
/// # Errors
/// [`MetadataTooLarge`]
pub fn encode(metadata: &Metadata) -> Result<Vec<u8>, MetadataTooLarge> {
    if metadata.iter().nth(MAX_ENTRIES).is_some() {
        return Err(MetadataTooLarge);
    }
    let mut out = Vec::new();
    for (name, value) in metadata.iter() {
        let value = match value {
            MetadataValue::Text(text) => text.as_bytes(),
            MetadataValue::Binary(bytes) => bytes,
        };
        let name_len = u8::try_from(name.len()).map_err(|_| MetadataTooLarge)?;
        let value_len = u16::try_from(value.len()).map_err(|_| MetadataTooLarge)?;
        out.push(name_len);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&value_len.to_le_bytes());
        out.extend_from_slice(value);
    }
    if out.len() > MOST {
        return Err(MetadataTooLarge);
    }
    Ok(out)
}

/// Reads entries.
///
/// # Errors
/// A [`Violation`] if the list is malformed. The inner error, which concerns the call only, if a
/// name or value is not allowed.
pub fn decode(mut rest: &[u8]) -> Result<Result<Metadata, MetadataError>, Violation> {
    let mut metadata = Metadata::new();
    let mut bad = None;
    let mut count = 0;
    while let Some((&name_len, after)) = rest.split_first() {
        let (name, after) = after
            .split_at_checked(name_len.into())
            .ok_or(Violation::BadMetadata)?;
        let (len, after) = after
            .split_first_chunk::<2>()
            .ok_or(Violation::BadMetadata)?;
        let (value, after) = after
            .split_at_checked(u16::from_le_bytes(*len).into())
            .ok_or(Violation::BadMetadata)?;
        rest = after;
        count += 1;
        if count > MAX_ENTRIES {
            return Err(Violation::TooManyEntries);
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

    #[test]
    fn entries_round_trip_in_order() {
        let mut metadata = Metadata::new();
        metadata.insert("a", "one").expect("valid");
        metadata.insert_bin("b-bin", vec![0, 255]).expect("valid");
        metadata.insert("a", "").expect("valid");
        let bytes = encode(&metadata).expect("small");
        assert_eq!(decode(&bytes), Ok(Ok(metadata)));
        for cut in 1..bytes.len() {
            // Between entries a cut is not visible here.
            if cut != 7 && cut != 17 {
                let got = decode(bytes.get(..cut).expect("in range"));
                assert_eq!(got, Err(Violation::BadMetadata), "{cut}");
            }
        }
    }

    #[test]
    fn bad_names_concern_the_call_only() {
        assert!(matches!(decode(b"\x01A\x00\x00"), Ok(Err(_))));
        assert!(matches!(decode(b"\x06grpc-x\x00\x00"), Ok(Err(_))));
        assert!(matches!(decode(b"\x01a\x01\x00\xff"), Ok(Err(_))));
    }

    #[test]
    fn the_number_of_entries_is_limited_both_ways() {
        let mut metadata = Metadata::new();
        for _ in 0..MAX_ENTRIES {
            metadata.insert("a", "").expect("valid");
        }
        let most = encode(&metadata).expect("just fits");
        assert_eq!(decode(&most), Ok(Ok(metadata.clone())));
        metadata.insert("a", "").expect("valid");
        assert_eq!(encode(&metadata), Err(MetadataTooLarge));
        let more = [most.as_slice(), b"\x01a\x00\x00"].concat();
        assert_eq!(decode(&more), Err(Violation::TooManyEntries));
    }

    #[test]
    fn too_much_is_refused_before_it_is_sent() {
        let mut metadata = Metadata::new();
        metadata
            .insert_bin("b-bin", vec![0; MAX_HEAD])
            .expect("valid");
        assert_eq!(encode(&metadata), Err(MetadataTooLarge));
    }
}
