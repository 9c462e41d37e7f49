//! Building the Go programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::toolchain::{build_once, fingerprint, loud_skip, sources, step, target, version_of};

/// The built Go programs.
#[derive(Debug)]
pub struct GoPeers {
    /// The plugin; its first argument is a mode, see `go/cmd/go-plugin-peer`.
    pub plugin: PathBuf,
    /// The host; see `go/cmd/go-host-peer`, and [`HostRun`](crate::HostRun).
    pub host: PathBuf,
    /// An end of a yamux session; see `go/cmd/go-yamux-peer`.
    pub yamux: PathBuf,
    /// What writes and reads streams of gob; see `go/cmd/go-gob-peer`.
    pub gob: PathBuf,
    /// A host or a plugin over net/rpc; see `go/cmd/go-netrpc-peer`.
    pub netrpc: PathBuf,
}

impl GoPeers {
    /// The `go` command, set up as for the build, in a directory of the Go
    /// sources (`"."` is the module of the peers).
    #[must_use]
    pub fn command(&self, directory: &str) -> Command {
        go_command(&sources().join("go").join(directory))
    }

    /// The same in the directory of the module that generates their code.
    #[must_use]
    pub fn generator(&self) -> Command {
        go_command(&sources().join(GENERATOR))
    }
}

/// Where the generator of Go code is, from this crate's directory.
pub const GENERATOR: &str = "../kit/go/gen";

/// The Go programs, built when the sources changed; `None` without Go or
/// without its modules.
///
/// # Panics
/// When the programs do not compile; with `CI=true` also instead of `None`.
#[must_use]
pub fn go() -> Option<&'static GoPeers> {
    static PEERS: OnceLock<Option<GoPeers>> = OnceLock::new();
    PEERS.get_or_init(build).as_ref()
}

fn build() -> Option<GoPeers> {
    const WHAT: &str = "tests with Go peers";
    let Some(version) = version_of("go", "version") else {
        loud_skip(WHAT, "there is no `go` command");
        return None;
    };
    let module = sources().join("go");
    let bin = target("go");
    let key = format!("{version}\n{}", fingerprint(&[&module]));
    let built = build_once(&bin, &key, || {
        // Apart from the build, because only this step needs a network.
        step(go_command(&module).args(["mod", "download"]))?;
        step(
            go_command(&module)
                .arg("build")
                .arg("-o")
                .arg(&bin)
                .arg("./cmd/..."),
        )
        .unwrap_or_else(|error| panic!("the Go peers do not compile: {error}"));
        Ok::<(), String>(())
    });
    if let Err(error) = built {
        loud_skip(WHAT, &format!("no Go modules: {error}"));
        return None;
    }
    Some(GoPeers {
        plugin: bin.join("go-plugin-peer"),
        host: bin.join("go-host-peer"),
        yamux: bin.join("go-yamux-peer"),
        gob: bin.join("go-gob-peer"),
        netrpc: bin.join("go-netrpc-peer"),
    })
}

/// go-plugin's own example programs, at the version of its library.
#[derive(Debug)]
pub struct GoExamples {
    /// The host of `basic`, which launches `./plugin/greeter`.
    pub basic_host: PathBuf,
    /// Its plugin.
    pub basic_plugin: PathBuf,
    /// The host of `grpc`, which launches what `KV_PLUGIN` says.
    pub kv_host: PathBuf,
    /// Its plugin over gRPC.
    pub kv_grpc_plugin: PathBuf,
    /// Its plugin over net/rpc.
    pub kv_netrpc_plugin: PathBuf,
    /// The host of `negotiated`, which launches `./kv-plugin`.
    pub negotiated_host: PathBuf,
    /// Its plugin.
    pub negotiated_plugin: PathBuf,
}

/// go-plugin's example programs; `None` without Go or without its modules.
///
/// # Panics
/// As [`go`].
#[must_use]
pub fn go_examples() -> Option<&'static GoExamples> {
    static EXAMPLES: OnceLock<Option<GoExamples>> = OnceLock::new();
    EXAMPLES.get_or_init(build_examples).as_ref()
}

fn build_examples() -> Option<GoExamples> {
    const WHAT: &str = "tests with go-plugin's examples";
    const PACKAGE: &str = "github.com/hashicorp/go-plugin/examples";
    let Some(version) = version_of("go", "version") else {
        loud_skip(WHAT, "there is no `go` command");
        return None;
    };
    let module = sources().join("go");
    let bin = target("go-examples");
    let program = |name: &str| bin.join(name.replace('/', "-"));
    let names = [
        "basic",
        "basic/plugin",
        "grpc",
        "grpc/plugin-go-grpc",
        "grpc/plugin-go-netrpc",
        "negotiated",
        "negotiated/plugin-go",
    ];
    let key = format!("{version}\n{}", fingerprint(&[&module.join("go.sum")]));
    let built = build_once(&bin, &key, || {
        step(go_command(&module).args(["mod", "download"]))?;
        for name in names {
            let mut build = go_command(&module);
            build.args(["build", "-o"]).arg(program(name));
            step(build.arg(format!("{PACKAGE}/{name}")))
                .unwrap_or_else(|error| panic!("{PACKAGE}/{name} does not compile: {error}"));
        }
        Ok::<(), String>(())
    });
    if let Err(error) = built {
        loud_skip(WHAT, &format!("no Go modules: {error}"));
        return None;
    }
    let [
        basic_host,
        basic_plugin,
        kv_host,
        kv_grpc_plugin,
        kv_netrpc_plugin,
        negotiated_host,
        negotiated_plugin,
    ] = names.map(program);
    Some(GoExamples {
        basic_host,
        basic_plugin,
        kv_host,
        kv_grpc_plugin,
        kv_netrpc_plugin,
        negotiated_host,
        negotiated_plugin,
    })
}

fn go_command(directory: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(directory)
        // The build is a function of go.mod, go.sum and the sources alone.
        .env("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0")
        // Never fetch another toolchain in silence.
        .env("GOTOOLCHAIN", "local");
    command
}
