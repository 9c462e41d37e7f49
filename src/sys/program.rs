//! Facts about a program's file, for a start that failed.

use std::path::Path;

use outboard_core::diagnose::{Executable, HEADER_BYTES, Notes, go_arch};

/// What can be found out about `program`. Whatever cannot is left out.
pub(crate) fn notes(program: &Path) -> Notes {
    let mut notes = Notes::new(program, go_arch(std::env::consts::ARCH));
    notes.executable = header(program).and_then(|header| Executable::detect(&header));
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;

        use outboard_core::diagnose::{Id, Ids};
        use rustix::process::{getgid, getuid};

        // Names would take a look into the user database; numbers are what the kernel decides by.
        let id = |number| Id { number, name: None };
        if let Ok(meta) = std::fs::metadata(program) {
            notes.mode = Some(meta.mode());
            notes.user = Some(Ids {
                file: id(meta.uid()),
                current: id(getuid().as_raw()),
            });
            notes.group = Some(Ids {
                file: id(meta.gid()),
                current: id(getgid().as_raw()),
            });
        }
    }
    notes
}

fn header(program: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;

    let file = std::fs::File::open(program).ok()?;
    // A device or pipe could block; a program is a file.
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut header = Vec::new();
    file.take(HEADER_BYTES as u64)
        .read_to_end(&mut header)
        .ok()?;
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_of_this_very_program_is_found() {
        let test = std::env::current_exe().expect("a path");
        let text = notes(&test).to_string();
        assert!(text.contains(go_arch(std::env::consts::ARCH)), "{text}");
        assert!(text.contains(&*test.to_string_lossy()), "{text}");
        let missing = notes(Path::new("/no/such/program"));
        assert_eq!((missing.mode, missing.executable), (None, None));
    }
}
