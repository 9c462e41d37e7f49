//! Where the measured programs are, and building those in Go.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// The directories of the measured programs.
#[derive(Clone, Debug)]
pub struct Programs {
    rust: PathBuf,
    go: PathBuf,
}

impl Programs {
    /// The programs that cargo built into `dir`.
    #[must_use]
    pub fn beside(dir: &Path) -> Self {
        Self {
            rust: dir.to_owned(),
            go: dir.join("outboard-bench-go"),
        }
    }

    /// The programs beside `program`, which is one of them.
    ///
    /// # Errors
    /// If its path has no directory.
    pub fn beside_program(program: &Path) -> Result<Self, Failure> {
        let dir = program.parent().ok_or("a program without a directory")?;
        Ok(Self::beside(dir))
    }

    /// A program in Rust.
    ///
    /// # Errors
    /// If it has not been built.
    pub fn rust(&self, name: &str) -> Result<PathBuf, Failure> {
        existing(self.rust.join(name), "cargo build -p outboard-benches")
    }

    /// A program in Go.
    ///
    /// # Errors
    /// If it has not been built.
    pub fn go(&self, name: &str) -> Result<PathBuf, Failure> {
        existing(self.go.join(name), "go build, which the runner does")
    }

    /// Builds the programs in Go, statically, as plugins are usually shipped.
    ///
    /// # Errors
    /// If there is no Go, its modules cannot be had, or the programs do not compile.
    pub fn build_go(&self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.go)?;
        let status = Command::new("go")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"))
            .args(["build", "-o"])
            .arg(std::path::absolute(&self.go)?)
            .arg("./cmd/...")
            // The build is a function of go.mod, go.sum and the sources alone.
            .env("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false")
            .env("GOWORK", "off")
            .env("GOTOOLCHAIN", "local")
            .env("CGO_ENABLED", "0")
            .status()
            .map_err(|error| format!("the Go peers cannot be built: go: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the Go peers cannot be built: go build: {status}").into())
        }
    }

    /// The size of a program without symbols, in bytes.
    ///
    /// # Errors
    /// If `strip` is missing or fails.
    pub fn stripped_size(program: &Path) -> Result<u64, Failure> {
        let copy = std::env::temp_dir().join(format!("outboard-bench-{}", std::process::id()));
        let status = Command::new("strip")
            .arg("-o")
            .arg(&copy)
            .arg(program)
            .status()?;
        let size = std::fs::metadata(&copy).map(|facts| facts.len());
        std::fs::remove_file(&copy)?;
        if status.success() {
            Ok(size?)
        } else {
            Err(format!("strip {}: {status}", program.display()).into())
        }
    }
}

fn existing(path: PathBuf, how: &str) -> Result<PathBuf, Failure> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} does not exist; {how} makes it", path.display()).into())
    }
}
