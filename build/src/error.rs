//! Why nothing was generated.

use std::fmt;
use std::path::PathBuf;

/// Why nothing was generated.
///
/// `Debug` prints the same as `Display`, as that is what cargo shows of a build script that
/// returns an error.
#[non_exhaustive]
pub enum Error {
    /// A `.proto` file is missing or wrong.
    Proto {
        /// File, line, column and reason, where known.
        reason: String,
    },
    /// The message code cannot be generated, such as for a bad `extern_path`.
    Generate {
        /// The reason.
        reason: String,
    },
    /// Two things would have the same name in Rust.
    NameTaken {
        /// The package.
        package: String,
        /// The Rust name.
        name: String,
        /// The service one of them was generated for, such as `acme.Kv`.
        service: String,
    },
    /// `rename_service` was given for a service that is in none of the files.
    UnknownService {
        /// The name given.
        name: String,
    },
    /// Neither `OUT_DIR` nor the `out_dir` option is set.
    NoOutDir,
    /// A file cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proto { reason } => write!(f, "cannot compile the .proto files: {reason}"),
            Self::Generate { reason } => write!(f, "cannot generate the messages: {reason}"),
            Self::NameTaken {
                package,
                name,
                service,
            } => write!(
                f,
                "package {package:?} would have two Rust types {name}: one is generated for service \
                 {service}; give it another name with \
                 `configure().rename_service({service:?}, \"...\")`"
            ),
            Self::UnknownService { name } => write!(
                f,
                "rename_service: there is no service {name} in the .proto files; expected its full \
                 name, such as \"acme.Kv\""
            ),
            Self::NoOutDir => f.write_str(
                "OUT_DIR is not set: call this from a build script, or say where the code shall go \
                 with `configure().out_dir(..)`",
            ),
            Self::Write { path, source } => write!(f, "cannot write {}: {source}", path.display()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Write { source, .. } => Some(source),
            Self::Proto { .. }
            | Self::Generate { .. }
            | Self::NameTaken { .. }
            | Self::UnknownService { .. }
            | Self::NoOutDir => None,
        }
    }
}
