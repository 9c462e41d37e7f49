//! Whatever a descriptor set says, the generator answers with code or an error and does not panic;
//! and its code is Rust in which no name stands for two things.

mod code;
mod descriptors;

use std::cell::Cell;
use std::fs;

use outboard_build::{Error, configure};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tempfile::TempDir;

use code::check_code;
use descriptors::set;

#[test]
fn no_descriptor_makes_the_generator_panic() {
    let generated = Cell::new(0);
    let refused = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let run = runner.run(&set(), |set| {
        let directory = TempDir::new().expect("a directory");
        let builder = configure().out_dir(directory.path()).rerun_lines(false);
        match builder.compile_descriptor_set_bytes(&set.encode_to_vec()) {
            Ok(()) => {
                check_code(directory.path());
                generated.set(generated.get() + 1);
            }
            Err(error) => {
                prop_assert!(!matches!(error, Error::Panicked { .. }), "{}", error);
                refused.set(refused.get() + 1);
            }
        }
        Ok(())
    });
    let (generated, refused) = (generated.get(), refused.get());
    if let Err(error) = run {
        panic!("{error}");
    }
    // Neither half of the property is idle.
    assert!(
        generated > 50 && refused > 50,
        "{generated} generated, {refused} refused"
    );
}

#[test]
fn no_bytes_make_the_generator_panic() {
    let directory = TempDir::new().expect("a directory");
    let compile = |bytes: &[u8]| {
        let builder = configure().out_dir(directory.path()).rerun_lines(false);
        builder.compile_descriptor_set_bytes(bytes)
    };
    let valid = FileDescriptorSet {
        file: vec![FileDescriptorProto {
            name: Some("a.proto".to_owned()),
            ..FileDescriptorProto::default()
        }],
    };
    let valid = valid.encode_to_vec();
    compile(&valid).expect("an empty file is valid");
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let damaged = (vec(any::<u8>(), 0..40), any::<bool>());
    let run = runner.run(&damaged, |(bytes, after)| {
        let bytes = if after {
            [valid.clone(), bytes].concat()
        } else {
            bytes
        };
        let result = compile(&bytes);
        prop_assert!(
            !matches!(result, Err(Error::Panicked { .. })),
            "{:?}",
            result
        );
        Ok(())
    });
    run.expect("no panic");
}

/// Nesting that no stack takes.
#[test]
fn depth_is_an_error() {
    let directory = TempDir::new().expect("a directory");
    let proto = directory.path().join("deep.proto");
    let text = format!("{}{}", "message A { ".repeat(100_000), "}".repeat(100_000));
    fs::write(&proto, format!("syntax = \"proto3\"; {text}")).expect("writable");
    let builder = configure().out_dir(directory.path()).rerun_lines(false);
    let error = builder
        .compile(&[&proto], &[directory.path()])
        .expect_err("too deep");
    assert!(
        error.to_string().contains("deep.proto:1: braces"),
        "{error}"
    );

    let message = DescriptorProto {
        name: Some("A".to_owned()),
        ..DescriptorProto::default()
    };
    let mut bytes = message.encode_to_vec();
    for _ in 0..10_000 {
        // Field 3, `nested_type`.
        let mut outer = vec![0x1A];
        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
        outer.append(&mut bytes);
        bytes = outer;
    }
    let mut set = vec![0x0A];
    let mut file = vec![0x22];
    prost::encoding::encode_varint(bytes.len() as u64, &mut file);
    file.append(&mut bytes);
    prost::encoding::encode_varint(file.len() as u64, &mut set);
    set.append(&mut file);
    let builder = configure().out_dir(directory.path()).rerun_lines(false);
    let error = builder
        .compile_descriptor_set_bytes(&set)
        .expect_err("too deep");
    assert!(error.to_string().contains("recursion limit"), "{error}");
}
