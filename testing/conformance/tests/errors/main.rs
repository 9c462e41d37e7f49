//! All public errors read alike: the first line says what happened, what the sources add is not in
//! it, and the `Debug` form is the text.
#![cfg(unix)]

mod attaching;
mod checksums;
mod discovery;
mod samples;
mod sandboxed;
mod sockets;
mod supervised;
mod traces;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use outboard_core::report::chain;

use self::samples::samples;

#[test]
fn the_first_line_says_what_happened_and_sources_add_to_it() {
    for (name, errors) in samples() {
        for error in errors {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            assert!(line.contains(' ') || name == "Fault", "{name}: {text:?}");
            let debug = format!("{error:?}");
            assert_eq!(debug, chain(&*error), "{name}");
            // One of another library may say what one of ours says of its cause.
            let mut source = error.source();
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                assert_eq!(debug.matches(&cause_text).count(), 1, "{name}: {debug}");
                source = cause.source();
            }
        }
    }
}

#[test]
fn wrappers_say_in_their_line_what_they_wrap() {
    let wrapped = [
        ("StartFailure", "no luck today", 2),
        ("PluginError", "no luck today", 2),
        ("BrokerError", "no luck today", 2),
        ("BrokerError", "UNAVAILABLE: gone", 1),
        ("DispenseError", "NOT_FOUND: no such name", 1),
        ("DispenseError", "the plugin speaks gRPC", 1),
        ("RpcError", "no luck today", 1),
        ("RpcDispenseError", "no luck today", 2),
        ("PingError", "UNAVAILABLE: gone", 1),
        ("HostError", "plugin greeter: the plugin's process", 4),
        ("HostError", "/opt/plugin is a directory", 1),
        ("HostError", "after a panic: boom", 21),
        ("OpenError", "metadata of", 1),
        ("OpenError", "9 bytes", 1),
        ("BuildError", "no luck today", 2),
    ];
    let samples = samples();
    for (name, text, count) in wrapped {
        let lines = samples[name].iter().map(|error| error.to_string());
        let first = lines.map(|text| text.lines().next().unwrap_or_default().to_owned());
        let found: Vec<_> = first.filter(|line| line.contains(text)).collect();
        assert!(found.len() >= count, "{name}, {text:?}: {found:#?}");
    }
}

/// The public errors by the project's own source, with the number of their variants.
fn declared() -> BTreeMap<String, usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = BTreeMap::new();
    for package in [
        "core/src",
        "src",
        "transport-h2/src",
        "transport-stdio/src",
        "transport-netrpc/src",
        "build/src",
    ] {
        look_into(&root.join(package), &mut found);
    }
    found
}

fn look_into(dir: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            look_into(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("text");
            // Names that others have, too.
            let of = [
                ("core/src/broker/types.rs", "Core"),
                ("transport-stdio/src/wire/metadata.rs", "Stdio"),
                ("build/src/error.rs", "Build"),
                ("transport-netrpc/src/error.rs", "Rpc"),
                ("transport-netrpc/src/host.rs", "Rpc"),
            ];
            let of = of.iter().find(|(file, _)| path.ends_with(file));
            let named = |name: &str| format!("{}{name}", of.map_or("", |(_, prefix)| prefix));
            for declaration in source.split("thiserror::Error)]").skip(1) {
                let body = declaration.split("\n}").next().unwrap_or_default();
                let head = body.lines().find(|line| line.starts_with("pub "));
                let Some(head) = head else { continue };
                let name = head
                    .split(|c: char| !c.is_alphanumeric())
                    .nth(2)
                    .unwrap_or_default();
                found.insert(named(name), body.matches("#[error(").count());
            }
            for line in source.lines() {
                let by_hand = line.strip_prefix("impl Error for ");
                let by_hand = by_hand.or_else(|| line.strip_prefix("impl std::error::Error for "));
                if let Some(name) = by_hand.and_then(|rest| rest.split([' ', '{']).next()) {
                    found.entry(named(name)).or_insert(1);
                }
            }
        }
    }
}

#[test]
fn no_public_error_is_left_out() {
    let samples = samples();
    let declared = declared();
    assert!(declared.len() > 20, "they are found: {declared:?}");
    for (name, variants) in &declared {
        let errors = samples.get(name.as_str());
        let errors = errors.unwrap_or_else(|| panic!("no sample of {name}"));
        let texts: BTreeSet<String> = errors.iter().map(|error| error.to_string()).collect();
        assert!(
            texts.len() >= *variants,
            "{name}: {variants} variants, {texts:#?}"
        );
    }
}
