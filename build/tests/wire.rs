//! `core/src/wire/generated` is what `core/proto` generates.
//!
//! After a change of a `.proto` there, write the files anew with
//! `OUTBOARD_REGENERATE=1 cargo test -p outboard-build --test wire`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_build::Module;
use prost_types::FileDescriptorSet;

#[test]
fn the_wire_messages_in_the_tree_match_their_protos() {
    let tree = core().join("src/wire/generated");
    for (name, text) in generate() {
        let path = tree.join(name);
        if std::env::var_os("OUTBOARD_REGENERATE").is_some() {
            std::fs::write(&path, &text).expect("the tree is writable");
        }
        let present = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            present == text,
            "{} is out of date; see the top of this test",
            path.display()
        );
    }
}

fn core() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core")
}

/// The name and the text of each generated file.
fn generate() -> BTreeMap<&'static str, String> {
    let plugin = compile(&[
        "plugin/grpc_broker.proto",
        "plugin/grpc_controller.proto",
        "plugin/grpc_stdio.proto",
    ]);
    let health = compile(&["grpc/health/v1/health.proto"]);
    let v1 = compile(&["grpc/reflection/v1/reflection.proto"]);
    let v1alpha = compile(&["grpc/reflection/v1alpha/reflection.proto"]);
    let log = compile(&["outboard/log_level.proto"]);

    let descriptors = [
        ("PLUGIN", "package `plugin`", &plugin),
        ("HEALTH", "package `grpc.health.v1`", &health),
        ("REFLECTION_V1", "package `grpc.reflection.v1`", &v1),
        (
            "REFLECTION_V1ALPHA",
            "package `grpc.reflection.v1alpha`",
            &v1alpha,
        ),
        ("LOG_LEVEL", "package `outboard.log`", &log),
    ];
    let mut text = HEADER.to_owned();
    for (name, doc, set) in descriptors {
        write_descriptor(&mut text, name, doc, set);
    }
    BTreeMap::from([
        ("descriptors.rs", text),
        ("plugin.rs", messages("plugin", plugin)),
        ("health.rs", messages("grpc.health.v1", health)),
        ("reflection.rs", messages("grpc.reflection.v1", v1)),
        ("log_level.rs", messages("outboard.log", log)),
    ])
}

const HEADER: &str = "// Generated from core/proto by build/tests/wire.rs; do not edit.\n";

fn compile(files: &[&str]) -> FileDescriptorSet {
    let proto = core().join("proto");
    let mut compiler = protox::Compiler::new([&proto]).expect("the directory is there");
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(files.iter().map(|file| proto.join(file)))
        .expect("the protos are valid");
    compiler.file_descriptor_set()
}

fn messages(package: &str, set: FileDescriptorSet) -> String {
    let requests = set
        .file
        .into_iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let mut modules = prost_build::Config::new()
        .btree_map(["."])
        .bytes(["."])
        .generate(requests)
        .expect("the messages can be generated");
    let text = modules
        .remove(&Module::from_protobuf_package_name(package))
        .expect("the package has messages");
    format!("{HEADER}{text}")
}

fn write_descriptor(text: &mut String, name: &str, doc: &str, set: &FileDescriptorSet) {
    let mut set = set.clone();
    for file in &mut set.file {
        file.source_code_info = None;
    }
    let bytes = set.encode_to_vec();
    writeln!(
        text,
        "\n/// The encoded `FileDescriptorSet` of {doc}, with its imports."
    )
    .expect("a String takes any text");
    writeln!(text, "pub(crate) const {name}: &[u8] = b\"\\").expect("a String takes any text");
    for line in bytes.chunks(60) {
        // A line break in a literal after `\` is skipped with the white space after it, hence
        // the escaped space.
        let line = line.escape_ascii().to_string().replace(' ', "\\x20");
        writeln!(text, "{line}\\").expect("a String takes any text");
    }
    writeln!(text, "\";").expect("a String takes any text");
}
