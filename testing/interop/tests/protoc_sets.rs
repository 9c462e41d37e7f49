//! Descriptor sets that a real `protoc` writes, as input of the generator.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outboard_build::{Error, configure};
use outboard_interop::{PythonPeer, python, run_to_end};
use tempfile::TempDir;

fn protos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../generator/proto")
}

/// The set that protoc makes of `files` in `directory`.
fn protoc(peer: &PythonPeer, directory: &Path, files: &[&str], flags: &[&str]) -> Vec<u8> {
    let out = TempDir::new().expect("a directory");
    let set = out.path().join("set.binpb");
    let mut command = peer.protoc();
    command
        .arg("-I")
        .arg(directory)
        .arg(format!("--descriptor_set_out={}", set.display()))
        .args(flags)
        .args(files);
    let output = run_to_end(&mut command, Duration::from_secs(60));
    assert!(output.status.success(), "{output:?}");
    fs::read(set).expect("written")
}

const WHOLE: [&str; 2] = ["--include_imports", "--include_source_info"];

/// The code of the set, by file name.
fn code(set: &[u8]) -> Result<BTreeMap<String, String>, Error> {
    let out = TempDir::new().expect("a directory");
    let builder = configure().out_dir(out.path()).rerun_lines(false);
    builder.compile_descriptor_set_bytes(set)?;
    Ok(rust_files(out.path()))
}

fn rust_files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("readable");
    let files = entries.filter_map(|entry| {
        let path = entry.expect("readable").path();
        let name = path.file_name()?.to_str()?.to_owned();
        let is_code = name.ends_with(".rs");
        is_code.then(|| (name, fs::read_to_string(&path).expect("readable")))
    });
    files.collect()
}

/// The set in the tree, which the tests of the generated code are compiled from, is what protoc
/// makes of the file beside it.
#[test]
fn the_set_with_an_edition_is_up_to_date() {
    let Some(peer) = python() else { return };
    let directory = protos().join("editions");
    let made = protoc(peer, &directory, &["editions.proto"], &WHOLE);
    let present = fs::read(directory.join("editions.binpb")).expect("in the tree");
    assert!(
        made == present,
        "protoc makes another set of testing/generator/proto/editions/editions.proto; write it anew \
         with --include_imports --include_source_info"
    );
}

#[test]
fn a_set_leads_to_the_same_code_as_its_sources() {
    let Some(peer) = python() else { return };
    let odd = protos().join("odd");
    let hard = protos().join("hard");
    let cases: [(&Path, &[&str]); 3] = [
        (
            &protos(),
            &[
                "greeter.proto",
                "kv.proto",
                "counter.proto",
                "streamer.proto",
            ],
        ),
        (&odd, &["odd.proto", "none.proto", "extended.proto"]),
        (
            &hard,
            &[
                "accessors.proto",
                "declared_extensions.proto",
                "default_by_alias.proto",
                "marked_text.proto",
                "text_direction.proto",
            ],
        ),
    ];
    for (directory, files) in cases {
        let set = protoc(peer, directory, files, &WHOLE);
        let out = TempDir::new().expect("a directory");
        let of_odd = |builder: outboard_build::Builder| match directory.ends_with("odd") {
            true => builder.rename_service("odd.Clash", "ClashService"),
            false => builder,
        };
        let paths: Vec<_> = files.iter().map(|file| directory.join(file)).collect();
        let builder = of_odd(configure()).out_dir(out.path()).rerun_lines(false);
        builder.compile(&paths, &[directory]).expect("valid");
        let expected = rust_files(out.path());
        let again = TempDir::new().expect("a directory");
        let builder = of_odd(configure()).out_dir(again.path()).rerun_lines(false);
        builder.compile_descriptor_set_bytes(&set).expect("valid");
        let made = rust_files(again.path());
        assert!(!expected.is_empty());
        for (name, expected) in &expected {
            let made = made.get(name).unwrap_or_else(|| panic!("no {name}"));
            let differs = expected.lines().zip(made.lines()).find(|(a, b)| a != b);
            assert_eq!(differs, None, "in {name}");
            assert_eq!(expected.lines().count(), made.lines().count(), "in {name}");
        }
        assert_eq!(expected.len(), made.len());
    }
}

#[test]
fn editions_that_are_known_are_generated() {
    let Some(peer) = python() else { return };
    let directory = TempDir::new().expect("a directory");
    let write = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).expect("writable");
    };
    write(
        "old.proto",
        "edition = \"2023\"; package old;
         message Page { int32 number = 1; string text = 2 [features.field_presence = IMPLICIT]; }
         service Book { rpc Turn(Page) returns (Page); }",
    );
    write(
        "new.proto",
        "edition = \"2024\"; package new; import \"old.proto\"; import \"proto2.proto\";
         local message Hidden { repeated int32 a = 1; }
         export message M { Hidden h = 1; old.Page m = 2; proto2.M n = 3; }
         service S { rpc Call(M) returns (M); }",
    );
    write(
        "proto2.proto",
        "syntax = \"proto2\"; package proto2;
         message M { repeated int32 a = 1; optional group G = 2 { required int32 b = 1; } }",
    );
    let set = protoc(peer, directory.path(), &["new.proto"], &WHOLE);
    let code = code(&set).expect("known editions");
    for (name, expected) in [
        ("old.rs", "pub number: ::core::option::Option<i32>,"),
        (
            "old.rs",
            "pub text: ::outboard::codegen::prost::alloc::string::String,",
        ),
        ("new.rs", "#[prost(int32, repeated, tag = \"1\")]"),
        ("new.rs", "pub m: ::core::option::Option<super::old::Page>,"),
        (
            "proto2.rs",
            "#[prost(int32, repeated, packed = \"false\", tag = \"1\")]",
        ),
        ("proto2.rs", "#[prost(group, optional, tag = \"2\")]"),
    ] {
        assert!(
            code[name].contains(expected),
            "no {expected} in {}",
            code[name]
        );
    }
}

#[test]
fn a_set_without_its_imports_says_which_flag_is_missing() {
    let Some(peer) = python() else { return };
    let odd = protos().join("odd");
    let set = protoc(peer, &odd, &["odd.proto"], &[]);
    let error = code(&set).expect_err("imports are missing").to_string();
    assert!(error.contains("\"odd.proto\" imports"), "{error}");
    assert!(error.contains("--include_imports"), "{error}");
}
