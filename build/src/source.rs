//! Reads `.proto` files for the parser: finds them, looks after their encoding, and takes away
//! what the parser would stumble over.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use prost_types::FileDescriptorProto;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

use crate::Error;
use crate::scan;

/// What went wrong in the resolver and what it read, where the parser's own errors and file list
/// cannot carry it.
#[derive(Default)]
struct Seen {
    error: Option<Error>,
    read: Vec<PathBuf>,
}

type Shared = Rc<RefCell<Seen>>;

/// The descriptors of `protos` and of everything that they import, imports first. With
/// `rerun_lines`, tells cargo about each file.
pub(crate) fn parse(
    protos: &[impl AsRef<Path>],
    includes: &[impl AsRef<Path>],
    rerun_lines: bool,
) -> Result<Vec<FileDescriptorProto>, Error> {
    if rerun_lines {
        // Also for files that turn out to be wrong: correcting them must have an effect.
        for proto in protos {
            println!("cargo:rerun-if-changed={}", proto.as_ref().display());
        }
    }
    let seen = Shared::default();
    let parsed = open(protos, includes, &seen);
    if rerun_lines {
        for path in &seen.borrow().read {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    parsed.map_err(|error| {
        let ours = seen.borrow_mut().error.take();
        // protox's Debug text has the position in the file.
        ours.unwrap_or_else(|| Error::Proto {
            reason: format!("{error:?}"),
        })
    })
}

fn open(
    protos: &[impl AsRef<Path>],
    includes: &[impl AsRef<Path>],
    seen: &Shared,
) -> Result<Vec<FileDescriptorProto>, protox::Error> {
    let mut chain = ChainFileResolver::new();
    // First, since copies of well-known files that lie about are newer than the parser or older
    // than the types of prost.
    chain.add(GoogleFileResolver::new());
    for include in includes {
        chain.add(Include {
            directory: include.as_ref().to_owned(),
            names: IncludeFileResolver::new(include.as_ref().to_owned()),
            seen: Rc::clone(seen),
        });
    }
    let mut compiler = protox::Compiler::with_file_resolver(chain);
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(protos)?;
    Ok(compiler.file_descriptor_set().file)
}

/// One directory of imports.
struct Include {
    directory: PathBuf,
    names: IncludeFileResolver,
    seen: Shared,
}

impl FileResolver for Include {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        self.names.resolve_path(path)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let path = self.directory.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(protox::Error::file_not_found(name));
            }
            // It says which file cannot be read, and why.
            Err(_) => return File::open(name, &path),
        };
        self.seen.borrow_mut().read.push(path.clone());
        match readable(&path, &bytes) {
            // Left to the parser, which then knows the file's path and compares it.
            Ok(text) if text.as_bytes() == bytes => File::open(name, &path),
            Ok(text) => File::from_source(name, &text),
            Err(error) => {
                let text = error.to_string();
                self.seen.borrow_mut().error = Some(error);
                Err(protox::Error::new(text))
            }
        }
    }
}

/// The text that the parser gets: without a byte order mark and without what it cannot read.
/// Lines and columns stay as they are.
fn readable(path: &Path, bytes: &[u8]) -> Result<String, Error> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let wrong = |at: usize, reason: String| Error::Encoding {
        path: path.to_owned(),
        line: 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count(),
        byte: at,
        reason,
    };
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(wrong(0, "a byte order mark of UTF-16".to_owned()));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(wrong(at, "a zero byte, as UTF-16 has them".to_owned()));
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        wrong(
            at,
            format!("the byte 0x{:02X}, which is not UTF-8", bytes[at]),
        )
    })?;
    let scanned = scan::scan(text);
    if let Some(line) = scanned.too_deep {
        let reason = format!(
            "{}:{line}: braces and brackets are nested deeper than {}, the limit for descriptors",
            path.display(),
            scan::DEPTH_LIMIT
        );
        return Err(Error::Proto { reason });
    }
    if let Some((line, edition)) = scanned.edition {
        return Err(Error::Edition {
            path: path.to_owned(),
            line,
            edition,
        });
    }
    Ok(scan::without(text, &scanned.unreadable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> String {
        let error = readable(Path::new("a.proto"), bytes).expect_err("wrong");
        error.to_string()
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        let text = readable(Path::new("a.proto"), b"\xEF\xBB\xBFmessage A {}\n");
        assert_eq!(text.expect("UTF-8"), "message A {}\n");
    }

    #[test]
    fn other_encodings_are_named_with_their_place() {
        let latin = error(b"// a\n// caf\xE9\n");
        assert!(
            latin.contains("a.proto:2: byte 11 is the byte 0xE9"),
            "{latin}"
        );
        let utf16 = error(b"\xFF\xFEs\0y\0");
        assert!(
            utf16.contains("a.proto:1") && utf16.contains("UTF-16"),
            "{utf16}"
        );
        let unmarked = error(b"s\0y\0n\0");
        assert!(unmarked.contains("a.proto:1: byte 1 "), "{unmarked}");
    }

    #[test]
    fn depth_has_a_limit() {
        let deep = "message A {".repeat(200);
        assert!(error(deep.as_bytes()).contains("a.proto:1: braces"));
    }
}
