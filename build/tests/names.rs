//! Names that Rust cannot tell apart or cannot take: the error has both, and the setting that it
//! offers makes the file compile. That the code then compiles is shown by the member
//! `testing/generator`.

use std::fs;
use std::path::Path;

use outboard_build::{Builder, Error, configure};
use tempfile::TempDir;

fn compile(builder: Builder, proto: &Path) -> Result<(), Error> {
    let out = TempDir::new().expect("a directory");
    let builder = builder.out_dir(out.path()).rerun_lines(false);
    let includes = [proto.parent().expect("a directory")];
    builder.compile(&[proto], &includes)
}

fn hard(name: &str) -> std::path::PathBuf {
    let hard = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/generator/proto/hard");
    hard.join(format!("{name}.proto"))
}

/// Refused with all of `words`, and taken with `settled`.
#[track_caller]
fn check(proto: &Path, words: &[&str], settled: Builder) {
    let error = compile(configure(), proto).expect_err("two of one name");
    let text = error.to_string();
    assert!(
        matches!(error, Error::NameTaken { .. } | Error::NoName { .. }),
        "{text}"
    );
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    compile(settled, proto).expect("the way out is one");
}

/// The same for the body of a file of `package p`.
#[track_caller]
fn check_text(text: &str, words: &[&str], settled: Builder) {
    let directory = TempDir::new().expect("a directory");
    let proto = directory.path().join("p.proto");
    let syntax = if text.contains("optional") {
        "proto2"
    } else {
        "proto3"
    };
    let text = format!("syntax = \"{syntax}\"; package p; {text}");
    fs::write(&proto, text).expect("writable");
    check(&proto, words, settled);
}

#[test]
fn methods_that_differ_in_what_snake_case_loses() {
    let settled = configure()
        .rename_method("methods_of_one_name.Book.turnOver", "turn_twice")
        .rename_method("methods_of_one_name.Book.turn_over", "turn_thrice");
    check(
        &hard("methods_of_one_name"),
        &[
            "the trait of service methods_of_one_name.Book",
            "called turn_over: method methods_of_one_name.Book.TurnOver and \
             method methods_of_one_name.Book.turnOver",
            "configure().rename_method(\"methods_of_one_name.Book.turnOver\"",
        ],
        settled.rename_method("methods_of_one_name.Shelf.fetch_", "fetch_again"),
    );
    // Both would get the underscore of names that every client has.
    check_text(
        "message M {} service S { rpc Clone(M) returns (M); rpc clone_(M) returns (M); }",
        &["clone_", "method p.S.Clone and method p.S.clone_"],
        configure().rename_method("p.S.clone_", "copy"),
    );
    check_text(
        "message M {} service S { rpc _(M) returns (M); }",
        &["method p.S._", "rename_method(\"p.S._\""],
        configure().rename_method("p.S._", "underscore"),
    );
}

#[test]
fn values_of_an_enum() {
    check(
        &hard("values_of_one_name"),
        &[
            "enum values_of_one_name.Whose would have two things called Self_",
            "value values_of_one_name.Whose.Self and value values_of_one_name.Whose.WHOSE_SELF",
            "rename_item(\"values_of_one_name.Whose.WHOSE_SELF\"",
        ],
        configure().rename_item("values_of_one_name.Whose.WHOSE_SELF", "Own"),
    );
    check_text(
        "enum E { A_B = 0; aB = 1; }",
        &["called AB: value p.E.A_B and value p.E.aB"],
        configure().rename_item("p.E.aB", "Ab"),
    );
}

#[test]
fn a_package_beside_a_message() {
    check(
        &hard("package_beside_message"),
        &[
            "module store::stock would have two things called crate_of_fruit",
            "package store.stock.crate_of_fruit and message store.stock.CrateOfFruit",
            "rename_item(\"store.stock.CrateOfFruit\"",
        ],
        configure().rename_item("store.stock.CrateOfFruit", "FruitCrate"),
    );
}

#[test]
fn oneofs() {
    check(
        &hard("oneof_beside_type"),
        &[
            "module oneof_beside_type::arrival would have two things called PlaceOneOf",
            "message oneof_beside_type.Arrival.PlaceOneOf and oneof oneof_beside_type.Arrival.place",
            "rename_item(\"oneof_beside_type.Arrival.place\"",
        ],
        configure().rename_item("oneof_beside_type.Arrival.place", "whereabouts"),
    );
    check(
        &hard("oneofs_of_one_name"),
        &[
            "called paid_by",
            "oneof oneofs_of_one_name.Payment.paid_by and oneof oneofs_of_one_name.Payment.paidBy",
            "rename_item(\"oneofs_of_one_name.Payment.paidBy\"",
        ],
        configure().rename_item("oneofs_of_one_name.Payment.paidBy", "instead"),
    );
    check_text(
        "message M { oneof o { int32 AB = 1; int32 ab = 2; } optional int32 c = 3; }",
        &["the enum of oneof p.M.o", "field p.M.AB and field p.M.ab"],
        configure().rename_item("p.M.ab", "other"),
    );
    check_text(
        "message M { int32 a_b = 1; oneof aB { int32 b = 2; } }",
        &["field p.M.a_b and oneof p.M.aB"],
        configure().rename_item("p.M.a_b", "other"),
    );
}

#[test]
fn messages_and_enums() {
    check_text(
        "message HTTPGet {} message HttpGet {}",
        &[
            "module p",
            "called HttpGet: message p.HTTPGet and message p.HttpGet",
        ],
        configure().rename_item("p.HTTPGet", "HTTPGet"),
    );
    check_text(
        "message M { message A {} enum a { A_ZERO = 0; } }",
        &["module p::m", "message p.M.A and enum p.M.a"],
        configure().rename_item("p.M.a", "Kind"),
    );
    check_text(
        "message __ { int32 a = 1; }",
        &["message p.__", "rename_item(\"p.__\""],
        configure().rename_item("p.__", "Blank"),
    );
    // Two modules, of messages whose own names differ.
    check_text(
        "message A1b { message X {} } message A1B { message X {} }",
        &["A1b"],
        configure().rename_item("p.A1B", "Other"),
    );
}

#[test]
fn fields_and_the_accessors_that_prost_derives() {
    check_text(
        "message M { optional int32 ab = 1; optional int32 AB = 2; }",
        &[
            "the struct of message p.M",
            "called ab: field p.M.ab and field p.M.AB",
        ],
        configure().rename_item("p.M.AB", "other"),
    );
    check_text(
        "enum E { ZERO = 0; } message M { optional E a = 1; optional int32 set_a = 2; }",
        &["called set_a: an accessor of field p.M.a and an accessor of field p.M.set_a"],
        configure().rename_item("p.M.set_a", "a_is_set"),
    );
    check_text(
        "enum E { ZERO = 0; } message M { map<string, E> type = 1; }",
        &["field p.M.type", "map of enums", "rename_item(\"p.M.type\""],
        configure().rename_item("p.M.type", "kind"),
    );
}

#[test]
fn services() {
    check_text(
        "message kv {} service Kv { rpc Get(kv) returns (kv); }",
        &[
            "module p",
            "message p.kv and the trait of service p.Kv",
            "rename_service(\"p.Kv\"",
        ],
        configure().rename_service("p.Kv", "Store"),
    );
}

#[test]
fn settings_that_fit_nothing_or_are_no_names() {
    let proto = hard("oneofs_of_one_name");
    let error = |builder| compile(builder, &proto).expect_err("wrong").to_string();
    let text = error(configure().rename_item("oneofs_of_one_name.Payment.paidby", "other"));
    assert!(
        text.starts_with("rename_item: there is no item oneofs_of_one_name.Payment.paidby "),
        "{text}"
    );
    let text = error(configure().rename_method("oneofs_of_one_name.Till.Pa", "other"));
    assert!(
        text.starts_with("rename_method: there is no method oneofs_of_one_name.Till.Pa "),
        "{text}"
    );
    let text = error(configure().rename_item("oneofs_of_one_name.Payment.paidBy", "type"));
    assert!(
        text.starts_with("rename_item: \"type\" is no name"),
        "{text}"
    );
    let text = error(configure().rename_service("oneofs_of_one_name.Till", "a::B"));
    assert!(
        text.starts_with("rename_service: \"a::B\" is no name"),
        "{text}"
    );
    let clones = configure()
        .rename_item("oneofs_of_one_name.Payment.paidBy", "other")
        .rename_method("oneofs_of_one_name.Till.Pay", "clone");
    let text = error(clones);
    assert!(text.contains("every client has a method clone"), "{text}");
}

#[test]
fn other_settings_name_a_renamed_item_as_the_proto_does() {
    let directory = TempDir::new().expect("a directory");
    let proto = directory.path().join("p.proto");
    let text = "syntax = \"proto3\"; package p;
        message Old { bytes raw = 1; Kind kind = 2; }
        enum Kind { KIND_A = 0; KIND_B = 1; }";
    fs::write(&proto, text).expect("writable");
    let built = configure()
        .rename_item("p.Old", "New")
        .rename_item("p.Old.raw", "bytes")
        .rename_item("p.Kind", "Sort")
        .type_attribute(".p.Old", "#[cfg(all())]")
        .field_attribute("Kind.KIND_B", "#[doc = \"b\"]")
        .bytes(["Old.raw"]);
    let built = built.out_dir(directory.path()).rerun_lines(false);
    built
        .compile(&[&proto], &[directory.path()])
        .expect("valid");
    let code = fs::read_to_string(directory.path().join("p.rs")).expect("written");
    for expected in [
        "#[cfg(all())]",
        "pub struct New {",
        "pub bytes: ::outboard::codegen::prost::bytes::Bytes,",
        "pub enum Sort {",
        "#[doc = \"b\"]\n    B = 1,",
        "Self::B => \"KIND_B\",",
        "\"KIND_A\" => Some(Self::A),",
    ] {
        assert!(code.contains(expected), "no {expected} in {code}");
    }
    assert!(!code.to_lowercase().contains("standin"), "{code}");
}
