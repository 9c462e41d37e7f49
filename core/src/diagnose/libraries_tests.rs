use proptest::prelude::*;

use super::*;

/// A program with two libraries, as small as can be.
fn program(wide: bool, little: bool) -> Vec<u8> {
    let word = if wide { 8 } else { 4 };
    let mut file = vec![0; 1024];
    file[..6].copy_from_slice(&[
        0x7f,
        b'E',
        b'L',
        b'F',
        1 + u8::from(wide),
        2 - u8::from(little),
    ]);
    let mut put = |at: usize, value: u16, len: usize| {
        let bytes = u64::from(value).to_be_bytes();
        let field = &mut file[at..at + len];
        field.copy_from_slice(&bytes[8 - len..]);
        if little {
            field.reverse();
        }
    };
    let (header, places) = if wide {
        ([32, 54, 56], [8, 16, 32])
    } else {
        ([28, 42, 44], [4, 8, 16])
    };
    let (table, size) = (64, 64);
    put(header[0], table, word);
    put(header[1], size, 2);
    put(header[2], 3, 2);
    // Kind, offset, address, length.
    for (index, fields) in [[6, 64, 64, 192], [1, 256, 4096, 512], [2, 300, 4140, 256]]
        .iter()
        .enumerate()
    {
        let entry = usize::from(table) + index * usize::from(size);
        put(entry, fields[0], 4);
        for (at, value) in places.iter().zip(&fields[1..]) {
            put(entry + at, *value, word);
        }
    }
    for (index, (tag, value)) in [(1, 1), (14, 9), (1, 11), (5, 4096 + 344), (0, 0), (1, 1)]
        .iter()
        .enumerate()
    {
        put(300 + index * 2 * word, *tag, word);
        put(300 + index * 2 * word + word, *value, word);
    }
    file[600..600 + 21].copy_from_slice(b"\0libone.so\0libtwo.so\0");
    file
}

fn needed(file: &[u8]) -> Option<Vec<String>> {
    needed_libraries(|offset, len| {
        let from = usize::try_from(offset).ok()?;
        let rest = file.get(from..)?;
        Some(rest[..rest.len().min(len)].to_vec())
    })
}

#[test]
fn the_libraries_of_a_program_are_read() {
    for (wide, little) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut file = program(wide, little);
        let names = needed(&file).expect("it is one");
        assert_eq!(names, ["libone.so", "libtwo.so"], "{wide} {little}");
        file.truncate(400);
        assert_eq!(needed(&file), None, "its strings are cut off");
        file.truncate(200);
        assert_ne!(needed(&file), Some(names), "{wide} {little}");
    }
    assert_eq!(needed(b"#!/bin/sh\n"), None);
    assert_eq!(needed(b"\x7fELF\x02\x01"), None);
    // Linked statically: no segment of that kind.
    let mut file = program(true, true);
    file[64 + 2 * 64] = 4;
    assert_eq!(needed(&file), Some(Vec::new()));
}

#[test]
fn complaints_of_loaders_are_understood() {
    let missing = |library: &str| {
        Some(LoaderComplaint::NoLibrary {
            library: library.to_owned(),
        })
    };
    for (line, complaint) in [
        (
            "./p: error while loading shared libraries: libz.so.1: cannot open shared object file: No \
             such file or directory",
            missing("libz.so.1"),
        ),
        (
            "Error loading shared library libz.so.1: No such file or directory (needed by ./p)",
            missing("libz.so.1"),
        ),
        (
            "ld-elf.so.1: Shared object \"libz.so.6\" not found, required by \"p\"",
            missing("libz.so.6"),
        ),
        (
            "WARNING: linker: CANNOT LINK EXECUTABLE \"./p\": library \"libz.so\" not found",
            missing("libz.so"),
        ),
        (
            "dyld[811]: Library not loaded: @rpath/libz.dylib",
            missing("@rpath/libz.dylib"),
        ),
        (
            "./p: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.99' not found (required by ./p)",
            Some(LoaderComplaint::NoVersion {
                library: "/lib/x86_64-linux-gnu/libc.so.6".to_owned(),
                version: "GLIBC_2.99".to_owned(),
            }),
        ),
        ("Shared object \"libz.so.6\" not found", None),
        ("library \"x\" not found", None),
        ("version `2' is old", None),
        ("", None),
    ] {
        assert_eq!(LoaderComplaint::detect(line), complaint, "{line}");
    }
}

proptest! {
    #[test]
    fn any_change_of_a_program_is_read(
        wide: bool, little: bool,
        changes in proptest::collection::vec((0_usize..700, any::<u8>()), 0..12),
        len in 0_usize..=1024,
    ) {
        let mut file = program(wide, little);
        for (at, value) in changes {
            file[at] = value;
        }
        file.truncate(len);
        if let Some(names) = needed(&file) {
            prop_assert!(names.len() <= MOST_LIBRARIES);
            prop_assert!(names.iter().all(|name| name.len() <= 3 * LONGEST_NAME));
        }
    }

    #[test]
    fn no_more_is_asked_for_than_is_allowed(header in proptest::collection::vec(any::<u8>(), 58)) {
        let begin = [&b"\x7fELF\x02\x01"[..], &header].concat();
        let mut asked = 0;
        let _ = needed_libraries(|offset, len| {
            asked += 1;
            assert!(len as u64 <= MOST_OF_TABLE);
            if offset == 0 { Some(begin.clone()) } else { Some(vec![1; len]) }
        });
        prop_assert!(asked < 4 + MOST_LIBRARIES);
    }

    #[test]
    fn any_line_is_read(
        before in ".{0,20}",
        middle in proptest::sample::select(vec![
            "error while loading shared libraries: ", "Error loading shared library ", "ld-elf",
            "CANNOT LINK EXECUTABLE ", "dyld", ": version `", "",
        ]),
        after in ".{0,40}",
    ) {
        let _ = LoaderComplaint::detect(&format!("{before}{middle}{after}"));
    }
}
