//! What several fuzz targets need.

use serde_json::{Map, Value};

/// Cuts `bytes` into portions whose sizes `cuts` gives, over and over; without cuts, single bytes.
pub fn portions<'a>(mut bytes: &'a [u8], cuts: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let sizes = if cuts.is_empty() { &[1][..] } else { cuts };
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let size = usize::from(*sizes.next()?).clamp(1, bytes.len());
        let (portion, rest) = bytes.split_at(size);
        bytes = rest;
        Some(portion)
    })
}

/// An object of these names, with the values read as JSON where they are, else as text.
pub fn json_object(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs
        .iter()
        .map(|(name, text)| {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
            (name.clone(), value)
        })
        .collect()
}
