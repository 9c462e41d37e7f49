//! Making the host on Node runnable.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::toolchain::{build_once, fingerprint, loud_skip, sources, step, target, version_of};

/// A host on `@grpc/grpc-js` with its packages.
#[derive(Debug)]
pub struct NodePeer {
    script: PathBuf,
    modules: PathBuf,
}

impl NodePeer {
    /// The directory of its packages, for `NODE_PATH`.
    #[must_use]
    pub fn modules(&self) -> &Path {
        &self.modules
    }

    /// The command of the host, which launches this plugin. It prints `well` when everything was
    /// as it should be.
    #[must_use]
    pub fn host(&self, plugin: &[OsString]) -> Command {
        let mut command = Command::new("node");
        command
            .arg(&self.script)
            .arg(sources().join("proto"))
            .arg(sources().join("../../core/proto/plugin"))
            .args(plugin)
            .env("NODE_PATH", &self.modules);
        command
    }
}

/// The host on Node; `None` without Node, npm or its packages.
///
/// # Panics
/// With `CI=true` instead of `None`.
#[must_use]
pub fn node() -> Option<&'static NodePeer> {
    static PEER: OnceLock<Option<NodePeer>> = OnceLock::new();
    PEER.get_or_init(build).as_ref()
}

fn build() -> Option<NodePeer> {
    const WHAT: &str = "tests with the host on Node";
    let mut versions = String::new();
    for program in ["node", "npm"] {
        let Some(version) = version_of(program, "--version") else {
            loud_skip(WHAT, &format!("there is no `{program}` command"));
            return None;
        };
        versions += &version;
        versions.push('\n');
    }
    let node = sources().join("node");
    let files = ["package.json", "package-lock.json"];
    let [package, lock] = files.map(|file| node.join(file));
    let home = target("node");
    let key = format!("{versions}{}", fingerprint(&[&package, &lock]));
    let built = build_once(&home, &key, || {
        for file in files {
            std::fs::copy(node.join(file), home.join(file)).expect("a copy of the list");
        }
        // `ci`: what the lock file names, and nothing else; no program of a package runs.
        step(Command::new("npm").current_dir(&home).args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ]))
    });
    if let Err(error) = built {
        loud_skip(WHAT, &format!("no packages: {error}"));
        return None;
    }
    Some(NodePeer {
        script: node.join("host_peer.js"),
        modules: home.join("node_modules"),
    })
}
