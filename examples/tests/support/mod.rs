//! Finding the examples and looking at what they did.

// Not every test program uses all of it.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::process::Output;

/// An example beside this test: cargo builds the examples of a package with its tests.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let target = test
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/deps/TEST");
    let path = target.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is built with the tests of this package",
        path.display()
    );
    path
}

/// What it printed; it must have succeeded.
pub fn ok(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
    stdout
}
