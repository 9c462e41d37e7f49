//! The variants: how they are built, and what they are built of.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The greeter plugin in one of its forms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// On smol over stdio, under the profile for size.
    Smallest,
    /// The same, but a panic in a handler is a status and not the end.
    Unwinding,
    /// On tokio over HTTP/2, under the profile for size.
    Tokio,
    /// On tokio over HTTP/2, as every release build.
    Release,
    /// On go-plugin.
    Go,
}

/// The settings of Go for a build that is a function of the sources alone, as in the tests of
/// `interop`.
const GO_ENV: [(&str, &str); 4] = [
    ("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false"),
    ("GOWORK", "off"),
    ("GOTOOLCHAIN", "local"),
    ("CGO_ENABLED", "0"),
];

impl Variant {
    pub(crate) const ALL: [Self; 5] = [
        Self::Smallest,
        Self::Unwinding,
        Self::Tokio,
        Self::Release,
        Self::Go,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smallest => "`smol` + `stdio`, profile `small`",
            Self::Unwinding => "`smol` + `stdio`, profile `small` with `panic = \"unwind\"`",
            Self::Tokio => "`tokio` + `h2`, profile `small`",
            Self::Release => "`tokio` + `h2`, profile `release`, stripped",
            Self::Go => "Go, go-plugin 1.8.0, `-ldflags \"-s -w\"`",
        }
    }

    pub(crate) fn over_stdio(self) -> bool {
        matches!(self, Self::Smallest | Self::Unwinding)
    }

    fn file(self) -> &'static str {
        match self {
            Self::Smallest => "smallest",
            Self::Unwinding => "unwinding",
            Self::Tokio => "tokio",
            Self::Release => "release",
            Self::Go => "go",
        }
    }

    fn features(self) -> &'static str {
        if self.over_stdio() {
            "smol-stdio"
        } else {
            "tokio-h2"
        }
    }

    /// Builds it; the program's path.
    pub(crate) fn build(self) -> Result<PathBuf, Box<dyn Error>> {
        let programs = root().join("target/footprint");
        fs::create_dir_all(&programs)?;
        let program = programs.join(self.file());
        if self == Self::Go {
            let mut go = go();
            go.args(["build", "-ldflags", "-s -w", "-o"]).arg(&program);
            run(go.arg("./cmd/go-greeter"))?;
            return Ok(program);
        }
        let profile = if self == Self::Release {
            "release"
        } else {
            "small"
        };
        let target = root().join("target");
        let mut cargo = cargo();
        cargo
            .args(["build", "--quiet", "--package", "outboard-footprint"])
            .args(["--bin", "greeter-plugin", "--no-default-features"])
            .args(["--features", self.features(), "--profile", profile])
            .arg("--target-dir")
            .arg(&target)
            .env("CARGO_PROFILE_RELEASE_STRIP", "true");
        if self == Self::Unwinding {
            cargo.env("CARGO_PROFILE_SMALL_PANIC", "unwind");
        }
        run(&mut cargo)?;
        fs::copy(target.join(profile).join("greeter-plugin"), &program)?;
        Ok(program)
    }

    /// How many crates or modules it is linked from, its own and the standard library aside.
    pub(crate) fn dependencies(self) -> Result<String, Box<dyn Error>> {
        if self == Self::Go {
            let mut go = go();
            go.args(["list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"]);
            let count = distinct(&run(go.arg("./cmd/go-greeter"))?);
            return Ok(format!("{} modules", count - 1));
        }
        let mut cargo = cargo();
        cargo
            .args(["tree", "--package", "outboard-footprint"])
            .args(["--edges", "normal,no-proc-macro", "--prefix", "none"])
            .args(["--no-default-features", "--features", self.features()])
            .args(["--format", "{p}"]);
        let count = distinct(&run(&mut cargo)?);
        Ok(format!("{} crates", count - 1))
    }
}

/// What the numbers were measured on and with.
pub(crate) fn machine() -> Result<String, Box<dyn Error>> {
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let rust = run(Command::new("rustc").arg("--version"))?;
    let go = run(go().arg("version"))?;
    Ok(format!(
        "{} with {cores} cores, Linux {}, {}, {}",
        std::env::consts::ARCH,
        kernel.trim(),
        rust.trim(),
        go.trim()
    ))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root());
    cargo
}

fn go() -> Command {
    let mut go = Command::new("go");
    go.current_dir(root().join("testing/interop/go"))
        .envs(GO_ENV);
    go
}

fn distinct(lines: &str) -> usize {
    let lines = lines.lines().map(|line| line.trim_end_matches(" (*)"));
    let lines: BTreeSet<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.len()
}

/// Runs a command to its end and gives what it printed on stdout; its stderr is shown.
fn run(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
