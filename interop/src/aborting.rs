//! The Rust plugin in a build in which a panic ends the process.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::toolchain::{run_to_end, sources, target};

/// How long the build may take: everything is compiled anew, on a machine that may be busy.
const LIMIT: Duration = Duration::from_secs(1200);

/// Builds the plugin of this crate with `panic = "abort"`, unless that is done, and gives its path.
///
/// # Panics
/// When it does not compile.
#[must_use]
pub fn aborting_plugin() -> PathBuf {
    const PROFILE: &str = "aborting";
    const PROGRAM: &str = "rust-plugin-peer";
    let dir = target(PROFILE);
    // The cargo that runs the tests says where it is; without it, that of the user's.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--profile", PROFILE])
        .args(["--package", env!("CARGO_PKG_NAME"), "--bin", PROGRAM])
        .current_dir(sources())
        .env("CARGO_TARGET_DIR", &dir);
    let built = run_to_end(&mut build, LIMIT);
    let told = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{told}");
    dir.join(PROFILE).join(PROGRAM)
}
