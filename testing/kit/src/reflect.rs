//! What probes do with the metadata of a call: tell it, and send a part of it back.

use outboard_core::rpc::{Metadata, MetadataError, MetadataValue};

/// What was made of a call's metadata.
#[derive(Debug, Default)]
pub struct Reflected {
    /// All of it, values of either kind as bytes.
    pub entries: Vec<(String, Vec<u8>)>,
    /// For the headers of the answer: all keys that begin with `x-`, behind `h-`.
    pub headers: Metadata,
    /// For its trailers: the same behind `t-`.
    pub trailers: Metadata,
}

/// # Errors
/// If it cannot be sent back.
pub fn reflect(metadata: &Metadata) -> Result<Reflected, MetadataError> {
    let mut made = Reflected::default();
    for (key, value) in metadata.iter() {
        if key.starts_with("x-") {
            add(&mut made.headers, format!("h-{key}"), value)?;
            add(&mut made.trailers, format!("t-{key}"), value)?;
        }
        let value = match value {
            MetadataValue::Text(text) => text.as_bytes().to_vec(),
            MetadataValue::Binary(bytes) => bytes.to_vec(),
        };
        made.entries.push((key.to_owned(), value));
    }
    Ok(made)
}

fn add(
    metadata: &mut Metadata,
    key: String,
    value: MetadataValue<'_>,
) -> Result<(), MetadataError> {
    match value {
        MetadataValue::Text(text) => metadata.insert(key, text),
        MetadataValue::Binary(bytes) => metadata.insert_bin(key, bytes.to_vec()),
    }
}
