//! Any bytes as a program's file: its kind, what runs it, the libraries that it names; and as what a
//! loader says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outboard_core::diagnose::{
    Contents, Executable, Foreign, LoaderComplaint, Mount, interpreter, needed_libraries,
};

fuzz_target!(|file: &[u8]| {
    if let Some(executable) = Executable::detect(file) {
        assert!(executable.to_string().len() < 1_000);
    }
    let contents = Contents::detect(file);
    assert!(contents.to_string().len() < 4_000);
    if let Some(path) = interpreter(file) {
        assert!(path.starts_with(b"/"));
    }
    let libraries = needed_libraries(|offset, len| {
        assert!(len <= 64 * 1024);
        let rest = file.get(usize::try_from(offset).ok()?..)?;
        Some(rest[..rest.len().min(len)].to_vec())
    });
    if let Some(libraries) = libraries {
        assert!(contents.executable().is_some() || libraries.is_empty());
        assert!(libraries.len() <= 256);
    }
    let line = String::from_utf8_lossy(file);
    let _ = (LoaderComplaint::detect(&line), Foreign::detect(&line));
    if let Some(mount) = Mount::of(b"/opt/plugin", file) {
        assert!(mount.point == b"/" || b"/opt/plugin".starts_with(&mount.point[..]));
    }
});
