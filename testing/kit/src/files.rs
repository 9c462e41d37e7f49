//! What a plugin leaves in a directory.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// The sockets in this directory and those in it.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn sockets_in(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the directory is there") {
        let entry = entry.expect("readable");
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            found.extend(sockets_in(&entry.path()));
        } else if kind.is_socket() {
            found.push(entry.path());
        }
    }
    found
}
