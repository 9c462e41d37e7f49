//! What is written for a `.proto`, and what is said about wrong ones. That the code compiles and
//! works is shown by the member `testing/generator`.

use std::fs;
use std::path::Path;

use outboard_build::{Builder, Error, configure};
use tempfile::TempDir;

/// Two services, one of which needs a message of another package.
const MAIN: &str = r#"
    syntax = "proto3";
    package acme.main;
    import "common.proto";

    // Keeps values.
    service Store {
      // Gives a value back.
      rpc Get(acme.common.Key) returns (Value);
      rpc Watch(stream acme.common.Key) returns (stream Value);
    }
    message Value { bytes value = 1; }
"#;

const COMMON: &str = r#"
    syntax = "proto3";
    package acme.common;
    message Key { string key = 1; }
    service Helper { rpc Help(Key) returns (Key); }
"#;

/// A directory with `.proto` files, which takes the code too.
struct Project(TempDir);

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(TempDir::new().expect("a directory"));
        for (name, text) in files {
            fs::write(project.path().join(name), text).expect("writable");
        }
        project
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn compile(&self, builder: Builder, file: &str) -> Result<(), Error> {
        let builder = builder.out_dir(self.path()).rerun_lines(false);
        builder.compile(&[self.path().join(file)], &[self.path()])
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("it was written")
    }
}

fn project() -> Project {
    Project::new(&[("main.proto", MAIN), ("common.proto", COMMON)])
}

/// The code of `acme.main` with these settings.
fn code(builder: Builder) -> String {
    let project = project();
    project.compile(builder, "main.proto").expect("valid");
    project.read("acme.main.rs")
}

/// What is wrong with one file, as cargo shows it.
fn error(builder: Builder, proto: &str) -> String {
    let project = Project::new(&[("wrong.proto", proto)]);
    let error = project.compile(builder, "wrong.proto").expect_err("wrong");
    assert_eq!(error.to_string(), format!("{error:?}"));
    error.to_string()
}

#[test]
fn comments_become_documentation_and_gaps_are_filled() {
    let code = code(configure());
    let lines = |lines: &[&str]| lines.join("\n");
    assert!(code.contains(&lines(&[
        "/// Keeps values.",
        "///",
        "/// Implemented by [`StoreClient`], served by [`StoreServer`].",
    ])));
    assert!(code.contains("    /// Gives a value back.\n    fn get(&self, request: "));
    assert!(code.contains("    /// Method `Watch`.\n    fn watch(&self, requests: "));
    assert!(code.contains("/// Message `acme.main.Value`.\n"));
    assert!(code.contains("    /// Field `value` = 1.\n"));
}

#[test]
fn the_code_names_outboard_and_nothing_else() {
    let code = code(configure());
    for line in code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        for (at, _) in line.match_indices("::") {
            let before = line[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || matches!(before, '_' | '>') {
                continue;
            }
            let root: String = line[at + 2..]
                .chars()
                .take_while(|c| c.is_alphanumeric())
                .collect();
            assert!(
                ["outboard", "core", "std"].contains(&&*root),
                "{root} in {line}"
            );
        }
    }
}

#[test]
fn the_path_of_the_crate_can_be_chosen() {
    let code = code(configure().crate_path("crate::rpc::outboard"));
    assert!(code.contains("crate::rpc::outboard::Streaming<Value>"));
    assert!(code.contains(r#"prost_path = "crate::rpc::outboard::codegen::prost""#));
    assert!(!code.contains(" ::outboard"), "{code}");
    assert!(!code.contains("<::outboard"), "{code}");
}

#[test]
fn blocking_interfaces_are_made_on_request() {
    let names = ["trait", "struct"].map(|kind| format!("pub {kind} StoreBlocking"));
    let plain = code(configure());
    assert!(!plain.contains("Blocking"), "{plain}");
    let both = code(configure().blocking(true));
    assert!(both.contains("pub trait Store:"), "{both}");
    assert!(names.iter().all(|name| both.contains(name)), "{both}");
    let clients = code(configure().blocking(true).servers(false));
    assert!(clients.contains("StoreBlockingClient") && !clients.contains("StoreBlockingServer"));
    let servers = code(configure().blocking(true).clients(false));
    assert!(servers.contains("StoreBlockingServer") && !servers.contains("StoreBlockingClient"));
    // Made by one macro of names: what is renamed is renamed in both.
    let renamed = code(
        configure()
            .blocking(true)
            .rename_service("acme.main.Store", "Shop"),
    );
    assert!(renamed.contains("pub trait ShopBlocking:"), "{renamed}");
}

#[test]
fn blocking_names_that_are_taken_are_told() {
    const TAKEN: &str = r#"
        syntax = "proto3";
        package acme.taken;
        service Store { rpc Get(StoreBlocking) returns (StoreBlocking); }
        message StoreBlocking {}
    "#;
    let project = Project::new(&[("taken.proto", TAKEN)]);
    project
        .compile(configure(), "taken.proto")
        .expect("no name is taken");
    let error = project.compile(configure().blocking(true), "taken.proto");
    let error = error.expect_err("the trait's is").to_string();
    assert!(
        error.contains("the blocking trait of service acme.taken.Store"),
        "{error}"
    );
}

#[test]
fn clients_and_servers_can_be_left_out() {
    let clients = code(configure().servers(false));
    assert!(clients.contains("pub struct StoreClient") && !clients.contains("StoreServer"));
    let servers = code(configure().clients(false));
    assert!(servers.contains("pub struct StoreServer") && !servers.contains("StoreClient"));
    assert!(servers.contains("include_bytes!(\"acme.main.descriptors.bin\")"));
    let neither = code(configure().clients(false).servers(false));
    assert!(neither.contains("pub trait Store:") && !neither.contains("pub struct Store"));
}

#[test]
fn a_renamed_service_keeps_its_name_on_the_wire() {
    let code = code(configure().rename_service("acme.main.Store", "Shop"));
    assert!(code.contains("pub trait Shop:") && code.contains("pub struct ShopClient"));
    assert!(code.contains("\"/acme.main.Store/Get\""));
}

#[test]
fn methods_are_required_unless_a_service_says_otherwise() {
    let required = code(configure());
    assert!(required.contains("::Status>> + ::core::marker::Send;"));
    assert!(!required.contains("unimplemented"));
    let optional = code(configure().optional_methods("acme.main.Store"));
    assert!(optional.contains("::outboard::codegen::unimplemented(\"/acme.main.Store/Watch\")"));
    assert!(optional.contains("/// Methods that are left out answer `UNIMPLEMENTED`."));
    let text = error(configure().optional_methods("Kv"), "syntax = \"proto3\";");
    assert!(
        text.starts_with("optional_methods: there is no service Kv"),
        "{text}"
    );
}

#[test]
fn code_that_is_elsewhere_is_not_generated() {
    let project = project();
    let builder = configure().extern_path(".acme.common", "::acme_common");
    project.compile(builder, "main.proto").expect("valid");
    assert!(
        project
            .read("acme.main.rs")
            .contains("request: ::acme_common::Key")
    );
    assert!(!project.path().join("acme.common.rs").exists());
    // Its name only begins the same.
    let builder = configure().extern_path(".acme.comm", "::other");
    project.compile(builder, "main.proto").expect("valid");
    assert!(project.read("acme.common.rs").contains("pub trait Helper"));
}

#[test]
fn the_include_file_nests_packages() {
    let project = project();
    let builder = configure().include_file("all.rs");
    project.compile(builder, "main.proto").expect("valid");
    let code = project.read("all.rs");
    let code: String = code
        .split_inclusive('\n')
        .filter(|line| !line.trim_start().starts_with("#[allow("))
        .collect();
    let expected = "\
// Generated by outboard-build; do not edit.
/// Package `acme`.
pub mod acme {
    /// Package `acme.common`.
    pub mod common {
        include!(\"acme.common.rs\");
    }
    /// Package `acme.main`.
    pub mod main {
        include!(\"acme.main.rs\");
    }
}
";
    assert_eq!(code, expected);
}

#[test]
fn files_that_stay_the_same_are_not_written_again() {
    let project = project();
    project.compile(configure(), "main.proto").expect("valid");
    // A file that cannot be written would make it fail.
    for name in ["acme.main.rs", "acme.main.descriptors.bin"] {
        let path = project.path().join(name);
        let before = fs::metadata(&path)
            .and_then(|m| m.modified())
            .expect("a time");
        project.compile(configure(), "main.proto").expect("valid");
        let after = fs::metadata(&path)
            .and_then(|m| m.modified())
            .expect("a time");
        assert_eq!(before, after);
    }
}

#[test]
fn a_wrong_file_is_reported_with_its_place() {
    let text = error(
        configure(),
        "syntax = \"proto3\";\nmessage M { strin x = 1; }\n",
    );
    assert!(text.contains("wrong.proto:2:13"), "{text}");
    let text = error(configure(), "syntax = \"proto3\";\nimport \"no.proto\";\n");
    assert!(text.contains("no.proto"), "{text}");
    let missing = Project::new(&[]).compile(configure(), "missing.proto");
    assert!(matches!(missing, Err(Error::Proto { .. })), "{missing:?}");
}

#[test]
fn a_name_used_twice_is_an_error_that_says_what_to_do() {
    let proto = "syntax = \"proto3\"; package p;
        message KvClient {}
        service Kv { rpc Get(KvClient) returns (KvClient); }";
    let text = error(configure(), proto);
    assert!(
        text.contains("KvClient") && text.contains("rename_service(\"p.Kv\""),
        "{text}"
    );
    let project = Project::new(&[("wrong.proto", proto)]);
    let renamed = configure().rename_service("p.Kv", "Store");
    assert!(project.compile(renamed, "wrong.proto").is_ok());
    assert!(
        project
            .compile(configure().clients(false), "wrong.proto")
            .is_ok()
    );
}

#[test]
fn settings_that_fit_nothing_are_errors() {
    let proto = "syntax = \"proto3\"; package p; service Kv {}";
    let text = error(configure().rename_service("Kv", "Store"), proto);
    assert!(text.contains("no service Kv"), "{text}");
    let text = error(configure().extern_path("p", "::p"), proto);
    assert!(text.contains("must be fully qualified"), "{text}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let project = project();
    let gone = project.path().join("gone");
    let builder = configure().out_dir(&gone).rerun_lines(false);
    let error = builder.compile(&[project.path().join("main.proto")], &[project.path()]);
    let Err(Error::Write { path, .. }) = error else {
        panic!("expected a write error, got {error:?}");
    };
    assert!(path.starts_with(gone));
}

#[test]
fn cargo_is_told_to_watch_all_files_imports_included() {
    // The lines go to stdout, so this test runs itself in a process whose stdout it can read.
    const DIRECTORY: &str = "OUTBOARD_TEST_PROJECT";
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let directory = Path::new(&directory);
        let builder = configure().out_dir(directory);
        let compiled = builder.compile(&[directory.join("main.proto")], &[directory]);
        compiled.expect("valid");
        return;
    }
    let project = project();
    let output = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "--nocapture"])
        .arg("cargo_is_told_to_watch_all_files_imports_included")
        .env(DIRECTORY, project.path())
        .output()
        .expect("starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    for name in ["main.proto", "common.proto"] {
        let path = project.path().join(name);
        let line = format!("cargo:rerun-if-changed={}", path.display());
        assert!(text.contains(&line), "no {line:?} in {text}");
    }
}

#[test]
fn well_known_files_are_those_brought_along() {
    // Newer than the parser can read, and older than prost's types.
    let newer = "edition = \"2099\"; package google.protobuf; message FileOptions {}";
    let project = Project::new(&[(
        "own.proto",
        "syntax = \"proto3\"; package own;
         import \"google/protobuf/descriptor.proto\";
         import \"google/protobuf/timestamp.proto\";
         extend google.protobuf.MessageOptions { int32 mark = 50001; }
         message At { option (mark) = 1; google.protobuf.Timestamp at = 1; }
         service S { rpc Call(At) returns (At); }",
    )]);
    let directory = project.path().join("google/protobuf");
    fs::create_dir_all(&directory).expect("writable");
    for name in ["descriptor.proto", "timestamp.proto"] {
        fs::write(directory.join(name), newer).expect("writable");
    }
    project.compile(configure(), "own.proto").expect("valid");
    let code = project.read("own.rs");
    assert!(
        code.contains("::outboard::codegen::prost_types::Timestamp"),
        "{code}"
    );
    // Also when they are named, as by a build script that takes all files of a directory.
    let all = configure().out_dir(project.path()).rerun_lines(false);
    let all = all.compile(
        &[
            directory.join("descriptor.proto"),
            project.path().join("own.proto"),
        ],
        &[project.path()],
    );
    all.expect("valid");
}

#[test]
fn another_encoding_is_named_with_its_place() {
    let project = Project::new(&[]);
    let compile = |bytes: &[u8]| {
        fs::write(project.path().join("a.proto"), bytes).expect("writable");
        project.compile(configure(), "a.proto")
    };
    let text = "syntax = \"proto3\";\nmessage M {} // caf\u{E9}\n";
    compile(format!("\u{FEFF}{text}").as_bytes()).expect("UTF-8 with a mark");
    let latin: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(c).expect("Latin 1"))
        .collect();
    let error = compile(&latin).expect_err("not UTF-8").to_string();
    let path = project.path().join("a.proto");
    let expected = format!("{}:2: byte 38 is the byte 0xE9", path.display());
    assert!(error.starts_with(&expected), "{error}");
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = compile(&[&[0xFF, 0xFE], &utf16[..]].concat()).expect_err("UTF-16");
    assert!(
        matches!(
            error,
            Error::Encoding {
                line: 1,
                byte: 0,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("save the file as UTF-8"),
        "{error}"
    );
}

#[test]
fn an_edition_is_an_error_that_names_the_way() {
    let text = error(configure(), "// a\nedition = \"2023\";\nmessage M {}\n");
    assert!(text.contains("wrong.proto:2: edition \"2023\""), "{text}");
    assert!(text.contains("compile_descriptor_set"), "{text}");
}
