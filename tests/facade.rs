//! What the crate passes on of others it names one by one: a module of the core that came along
//! whole would bring what no user needs, and everything that the core adds to it later.

use std::path::Path;

/// Crates that generated code needs or whose types users make, functions, attributes, and the modules of this
/// crate's own.
const NO_TYPES: [&str; 15] = [
    "bytes",
    "prost",
    "prost_types",
    "outboard_gob",
    "outboard_netrpc_macros::interface",
    "outboard_tls::rustls",
    "outboard_core::memory::pair",
    "outboard_core::memory::pair_with_capacity",
    "self::serve::codegen",
    "self::serve::context",
    "self::enumerate::enumerate",
    "self::launched::start",
    "self::level::wanted_level",
    "self::propagator::set_propagator",
    "self::trust::trusted",
];

/// The paths of the `pub use` items in a file, without braces.
fn passed_on(source: &str) -> Vec<String> {
    let code: Vec<&str> = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join(" ");
    let items = code.split("pub use ").skip(1);
    let items = items.filter_map(|rest| rest.split(';').next());
    items.flat_map(|tree| leaves("", tree)).collect()
}

/// The paths that a tree of `use` stands for, after those before it.
fn leaves(before: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((path, rest)) = tree.split_once('{') else {
        let path = tree.strip_suffix("::self").unwrap_or(tree);
        return vec![match path {
            "self" => before.trim_end_matches("::").to_owned(),
            _ => format!("{before}{path}"),
        }];
    };
    let inside = rest.strip_suffix('}').expect("a tree ends with its brace");
    let before = format!("{before}{}", path.trim());
    let mut depth = 0;
    let branches = inside.split(|character| {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    });
    let branches = branches.filter(|branch| !branch.trim().is_empty());
    branches
        .flat_map(|branch| leaves(&before, branch))
        .collect()
}

/// Whether the path names a type, a trait or a constant.
fn is_named(path: &str) -> bool {
    let path = path.split(" as ").next().unwrap_or_default();
    let name = path.rsplit("::").next().unwrap_or_default();
    name.starts_with(char::is_uppercase) || NO_TYPES.contains(&path)
}

#[test]
fn the_facade_names_types() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |name: &str| {
        let file = src.join(name);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    let root = read("lib.rs");
    let modules = root
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "));
    let modules = modules.map(|name| read(&name.replace(';', ".rs")));
    let mut sources: Vec<String> = modules.collect();
    assert!(sources.len() > 3, "the root lists its modules one a line");
    sources.extend([read("serve/codegen.rs"), read("serve/context.rs"), root]);
    let all: Vec<String> = sources
        .iter()
        .flat_map(|source| passed_on(source))
        .collect();
    for known in ["outboard_core::rt::Runtime", "self::host::Host", "prost"] {
        assert!(all.iter().any(|path| path == known), "{known} of {all:?}");
    }
    let whole: Vec<&String> = all.iter().filter(|path| !is_named(path)).collect();
    assert_eq!(whole, Vec::<&String>::new(), "name what is in them");
}

#[test]
fn whole_modules_are_found() {
    let source = "
        use core::rt; // pub use core::env;
        pub use core::{
            endpoint, exit::Exit, handshake::{self, Handshake as Shake},
            rt::*,
        };
        pub use core::hclog;";
    let (types, whole): (Vec<String>, Vec<String>) = passed_on(source)
        .into_iter()
        .partition(|path| is_named(path));
    assert_eq!(
        types,
        ["core::exit::Exit", "core::handshake::Handshake as Shake"]
    );
    assert_eq!(
        whole,
        [
            "core::endpoint",
            "core::handshake",
            "core::rt::*",
            "core::hclog"
        ]
    );
}

/// The settings of a builder: its methods that give itself back, by the sources in these places.
fn settings(of: &str, sources: &[String]) -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    for source in sources {
        let mut inside = false;
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            if line.starts_with("impl ") {
                inside = line == format!("impl {of} {{");
            }
            let Some((_, rest)) = line.split_once("    pub fn ").filter(|_| inside) else {
                continue;
            };
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            let mut head = rest.to_owned();
            while !head.contains('{') {
                head.push_str(lines.next().expect("a function has a body").trim());
            }
            let takes_itself = head.contains("(self") || head.contains("(mut self");
            if takes_itself && head.contains("-> Self") {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

#[test]
fn blocking_builders_have_every_setting() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (builder, module) in [("Host", "host"), ("Plugin", "plugin")] {
        let files = std::fs::read_dir(src.join(module)).expect("the module's files");
        let paths = files.map(|file| file.expect("readable").path());
        let sources: Vec<String> = paths
            .filter(|path| path.is_file())
            .map(|path| std::fs::read_to_string(path).expect("text"))
            .collect();
        let plain = settings(builder, &sources);
        assert!(plain.len() > 10, "{builder}: {plain:?}");
        let blocking = src.join("blocking").join(format!("{module}.rs"));
        let blocking = std::fs::read_to_string(blocking).expect("the builder's file");
        let has = |name: &&String| {
            let forwarded = blocking.contains(&format!("\n    {name}("));
            forwarded || blocking.contains(&format!("pub fn {name}"))
        };
        let missing: Vec<_> = plain.iter().filter(|name| !has(name)).collect();
        assert!(missing.is_empty(), "blocking::{builder} has no {missing:?}");
    }
}
