//! Rust plugins in builds of their own.

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
    let package = ["--profile", PROFILE, "--package", env!("CARGO_PKG_NAME")];
    build(PROFILE, PROGRAM, &package)
        .join(PROFILE)
        .join(PROGRAM)
}

/// Builds the greeter's plugin without TLS, which the other plugins have, unless that is done, and gives
/// its path. Its cookie is `GREETER_PLUGIN=hello`.
///
/// # Panics
/// When it does not compile.
#[must_use]
pub fn plugin_without_tls() -> PathBuf {
    const PROGRAM: &str = "greeter-plugin";
    let features = ["--no-default-features", "--features", "tokio-h2"];
    let package = [&["--package", "outboard-footprint"], &features[..]].concat();
    build("without-tls", PROGRAM, &package)
        .join("debug")
        .join(PROGRAM)
}

/// Builds a program in a directory of its own, and gives that.
fn build(name: &str, program: &str, package: &[&str]) -> PathBuf {
    let dir = target(name);
    // The cargo that runs the tests says where it is; without it, that of the user's.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--bin", program])
        .args(package)
        .current_dir(sources())
        .env("CARGO_TARGET_DIR", &dir);
    let built = run_to_end(&mut build, LIMIT);
    let told = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{told}");
    dir
}
