//! Numbers nobody can guess in advance, for names of sockets and instances.

use std::hash::{BuildHasher as _, RandomState};

/// A number that differs from call to call and from process to process. Not for secrets.
pub(crate) fn number() -> u64 {
    // The standard library seeds each of these from the system's randomness.
    RandomState::new().hash_one(std::process::id())
}
