//! Keeps `docs/locks.md` true: a row for each rank, in their order, and no lock that is not watched.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// The variants of `Rank`, as they are written down.
fn ranks() -> Vec<String> {
    let source = read("core/src/lock.rs");
    let (_, after) = source.split_once("pub enum Rank {").expect("the ranks");
    let (body, _) = after.split_once("\n}").expect("their end");
    let lines = body.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .map(|line| line.trim_end_matches(',').to_owned())
        .collect()
}

#[test]
fn each_rank_has_its_row_in_the_order_of_taking() {
    let page = read("docs/locks.md");
    let table = page
        .lines()
        .skip_while(|line| !line.starts_with("| `Rank`"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows
        .map(|row| row.split('`').nth(1).expect("a name").to_owned())
        .collect();
    assert!(rows.len() > 5, "{rows:?}");
    assert_eq!(rows, ranks());
}

/// Where a lock is not a `Mutex` of `outboard_core::lock`; the page says why.
const OTHERS: [&str; 4] = [
    "core/src/lock.rs",
    "src/sys/last_words.rs",
    "src/sys/signals.rs",
    "src/sys/signals_other.rs",
];

/// The sources of what is published, without their tests and models.
fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "tests" {
                sources(&path, into);
            }
        } else if name.ends_with(".rs") && !name.contains("tests") && !name.contains("model") {
            into.push(path);
        }
    }
}

#[test]
fn every_lock_is_watched() {
    let mut files = Vec::new();
    for dir in [
        "src",
        "core/src",
        "transport-h2/src",
        "transport-stdio/src",
        "runtime-tokio/src",
        "runtime-smol/src",
        "crates/unix/src",
        "crates/gob/src",
        "crates/mux/src",
        "crates/tls/src",
        "crates/yamux/src",
    ] {
        sources(&root().join(dir), &mut files);
    }
    let mut found = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).expect("readable");
        let own = source.split("#[cfg(test)]").next().unwrap_or_default();
        let own = own.split("#[cfg(all(test").next().unwrap_or_default();
        let locks = |line: &str| {
            let code = line.split("//").next().unwrap_or_default();
            // Also by another name for the module, which models of it have their own of.
            let of_std = code.contains("sync::") || code.contains("std::cell::");
            let lock = ["Mutex", "RwLock", "RefCell", "ReentrantLock"];
            of_std && lock.iter().any(|lock| code.contains(lock))
        };
        if own.lines().any(locks) {
            let path = file.strip_prefix(root()).unwrap_or(&file);
            found.push(path.to_string_lossy().into_owned());
        }
    }
    found.sort();
    assert_eq!(
        found, OTHERS,
        "use outboard_core::lock, or say on the page why not"
    );
}
