//! Metadata of a size, for what has limits.

use outboard_core::rpc::Metadata;
use outboard_core::rpc::limits::METADATA_ENTRY_OVERHEAD;

/// One entry, which counts as this many bytes.
///
/// # Panics
/// If that is less than an entry counts without a value.
#[must_use]
pub fn of_size(size: usize) -> Metadata {
    let mut metadata = Metadata::new();
    let value = vec![7; size - METADATA_ENTRY_OVERHEAD - "k-bin".len()];
    metadata.insert_bin("k-bin", value).expect("valid");
    assert_eq!(metadata.size(), size);
    metadata
}
