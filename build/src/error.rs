//! Why nothing was generated.

use std::fmt;
use std::path::PathBuf;

/// Why nothing was generated.
///
/// `Display` has the whole reason. `Debug` prints the same and what the sources add, as that is what
/// cargo shows of a build script that returns an error.
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
    /// A `.proto` file is not encoded as UTF-8.
    Encoding {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The byte in the file, counted from 0 after a byte order mark of UTF-8.
        byte: usize,
        /// What is there.
        reason: String,
    },
    /// A `.proto` file has an edition, which can be read only as a `FileDescriptorSet`.
    Edition {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The edition, such as `2023`.
        edition: String,
    },
    /// A `FileDescriptorSet` is damaged, incomplete or contradicts itself.
    DescriptorSet {
        /// The reason.
        reason: String,
    },
    /// Two things would have the same name in Rust.
    NameTaken {
        /// The module, type or trait that both would be in.
        place: String,
        /// The Rust name.
        name: String,
        /// Both, as the `.proto` calls them.
        items: [String; 2],
        /// The setting that gives one of them another name.
        fix: Option<String>,
    },
    /// Something would have no name in Rust, or one that cannot be used.
    NoName {
        /// What, as the `.proto` calls it.
        item: String,
        /// Why not.
        reason: String,
        /// The setting that gives it another name.
        fix: Option<String>,
    },
    /// A setting names something that is in none of the files.
    Unknown {
        /// The setting.
        setting: &'static str,
        /// The name given.
        name: String,
    },
    /// A setting gives a name that is none in Rust.
    BadName {
        /// The setting.
        setting: &'static str,
        /// The name given.
        name: String,
    },
    /// The code that generates the messages panicked.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// Neither `OUT_DIR` nor the `out_dir` option is set.
    NoOutDir,
    /// A descriptor set cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
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
            Self::Encoding {
                path,
                line,
                byte,
                reason,
            } => write!(
                f,
                "{}:{line}: byte {byte} is {reason}; save the file as UTF-8",
                path.display()
            ),
            Self::Edition {
                path,
                line,
                edition,
            } => write!(
                f,
                "{}:{line}: edition {edition:?} cannot be read from a .proto file yet; have a compiler \
                 that knows it write a descriptor set (`protoc --include_imports \
                 --include_source_info --descriptor_set_out=FILE` or `buf build -o FILE.binpb`) and use \
                 `configure().compile_descriptor_set(FILE)`",
                path.display()
            ),
            Self::DescriptorSet { reason } => {
                write!(f, "cannot use the descriptor set: {reason}")
            }
            Self::NameTaken {
                place,
                name,
                items: [first, second],
                fix,
            } => {
                write!(
                    f,
                    "{place} would have two things called {name}: {first} and {second}"
                )?;
                give_another_name(f, fix.as_deref())
            }
            Self::NoName { item, reason, fix } => {
                write!(f, "{item} has no name that can be used in Rust: {reason}")?;
                give_another_name(f, fix.as_deref())
            }
            Self::Unknown { setting, name } => write!(
                f,
                "{setting}: there is no {} {name} in the .proto files; expected a full name, such as {}",
                kind(setting),
                example(setting)
            ),
            Self::BadName { setting, name } => write!(
                f,
                "{setting}: {name:?} is no name in Rust; expected one such as {}",
                if *setting == "rename_method" {
                    "get_value"
                } else {
                    "Value or r#type"
                }
            ),
            Self::Panicked { message } => write!(
                f,
                "the generator panicked, which no input should make it do: {message}; please report \
                 this with the .proto files"
            ),
            Self::NoOutDir => f.write_str(
                "OUT_DIR is not set: call this from a build script, or say where the code shall go \
                 with `configure().out_dir(..)`",
            ),
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Write { path, source } => write!(f, "cannot write {}: {source}", path.display()),
        }
    }
}

fn give_another_name(f: &mut fmt::Formatter<'_>, fix: Option<&str>) -> fmt::Result {
    match fix {
        Some(fix) => write!(f, "; give it another name with `configure().{fix}`"),
        None => f.write_str("; change the name in the .proto file"),
    }
}

/// What the setting is about.
fn kind(setting: &str) -> &str {
    match setting {
        "optional_methods" => "service",
        renaming => renaming.trim_start_matches("rename_"),
    }
}

fn example(setting: &str) -> &'static str {
    match setting {
        "rename_service" | "optional_methods" => "\"acme.Kv\"",
        "rename_method" => "\"acme.Kv.Get\"",
        _ => "\"acme.Message\", \"acme.Message.field\" or \"acme.Enum.VALUE\"",
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // It is part of the text, so that only what is behind it adds something.
            Self::Read { source, .. } | Self::Write { source, .. } => source.source(),
            Self::Proto { .. }
            | Self::Generate { .. }
            | Self::Encoding { .. }
            | Self::Edition { .. }
            | Self::DescriptorSet { .. }
            | Self::NameTaken { .. }
            | Self::NoName { .. }
            | Self::Unknown { .. }
            | Self::BadName { .. }
            | Self::Panicked { .. }
            | Self::NoOutDir => None,
        }
    }
}
