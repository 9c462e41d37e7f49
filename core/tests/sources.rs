//! Proof that the core does no IO, reads no clock and starts no thread: its sources name nothing of
//! what `core/clippy.toml` forbids. Clippy knows types and proves the same where it runs, see
//! `purity.rs`; this needs no more than `cargo test`, and looks into macros, too.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "reads the sources"
)]

use std::collections::BTreeMap;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The paths of `clippy.toml`, such as `std::time::Instant::now`.
fn rules() -> Vec<Vec<String>> {
    let rules = include_str!("../clippy.toml").lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix("{ path = \"")?;
        rest.split_once('"').map(|(path, _)| path)
    });
    rules
        .map(|path| path.split("::").map(str::to_owned).collect())
        .collect()
}

/// What a file names: paths from `std` on, where it says so or imports them, and methods that are
/// called on something.
#[derive(Default)]
struct Named {
    /// What the names that are imported stand for.
    imported: BTreeMap<String, Vec<String>>,
    paths: Vec<Vec<String>>,
    methods: Vec<String>,
}

impl Named {
    fn of(source: &str) -> Self {
        let mut named = Self::default();
        let tokens: TokenStream = source.parse().expect("Rust");
        let tokens = without_tests(tokens);
        // Imports stand behind what uses them as well.
        named.read(&tokens, true);
        named.read(&tokens, false);
        named
    }

    fn read(&mut self, tokens: &[TokenTree], imports: bool) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) => {
                    self.read(&without_tests(group.stream()), imports);
                    at += 1;
                }
                TokenTree::Ident(word) if word == "use" => {
                    let end = tokens[at..].iter().position(|token| is(token, ';'));
                    let end = end.map_or(tokens.len(), |end| at + end);
                    if imports {
                        self.import(&tokens[at + 1..end], &[]);
                    }
                    at = end;
                }
                TokenTree::Ident(_) => {
                    let (path, next) = path_at(tokens, at);
                    let method = at > 0 && is(&tokens[at - 1], '.');
                    at = next;
                    if imports {
                        continue;
                    }
                    if method {
                        self.methods.extend(path.into_iter().next_back());
                    } else {
                        let is_macro = tokens.get(at).is_some_and(|token| is(token, '!'));
                        self.paths.push(self.resolve(path, is_macro));
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// A tree of imports below `parent`.
    fn import(&mut self, tree: &[TokenTree], parent: &[String]) {
        for branch in tree.split(|token| is(token, ',')) {
            let mut path = parent.to_vec();
            let mut name = None;
            for (at, token) in branch.iter().enumerate() {
                match token {
                    TokenTree::Ident(word) if word == "as" => {
                        name = branch.get(at + 1).map(ToString::to_string);
                        break;
                    }
                    TokenTree::Ident(word) if word == "self" && at > 0 => {}
                    TokenTree::Ident(word) if word == "self" && !parent.is_empty() => {}
                    TokenTree::Ident(word) => path.push(word.to_string()),
                    TokenTree::Group(group) => {
                        let below: Vec<_> = group.stream().into_iter().collect();
                        self.import(&below, &path);
                        path.clear();
                    }
                    // All of a module may be anything of it.
                    TokenTree::Punct(punct) if punct.as_char() == '*' => path.push("*".to_owned()),
                    TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
            }
            if let Some(last) = path.last().cloned() {
                self.imported.insert(name.unwrap_or(last), path.clone());
                self.paths.push(path);
            }
        }
    }

    fn resolve(&self, path: Vec<String>, is_macro: bool) -> Vec<String> {
        let mut full = match path.first().and_then(|first| self.imported.get(first)) {
            Some(imported) => [imported, &path[1..]].concat(),
            // The macros of the prelude.
            None if is_macro && path.len() == 1 => [vec!["std".to_owned()], path].concat(),
            None => path,
        };
        if let Some(root) = full.first_mut()
            && (root == "core" || root == "alloc")
        {
            "std".clone_into(root);
        }
        full
    }

    /// The first thing that breaks a rule.
    fn forbidden(&self, rules: &[Vec<String>]) -> Option<String> {
        let has_paths = self
            .paths
            .iter()
            .any(|path| path.starts_with(&["std", "path"].map(str::to_owned)));
        for rule in rules {
            let (name, parent) = rule.split_last().expect("a name");
            for path in &self.paths {
                let glob = path.split_last().is_some_and(|(last, module)| {
                    last == "*" && module.first().is_some_and(|root| root == "std")
                });
                if path.starts_with(rule) || glob {
                    return Some(path.join("::"));
                }
            }
            // A method's rule names its type, which stands at no call. Paths' methods have names
            // that others have, too: they count where a file knows of paths.
            let owner = parent.last().map_or("", String::as_str);
            let counts = match owner {
                "Path" => has_paths,
                "Instant" | "SystemTime" | "ToSocketAddrs" => true,
                _ => false,
            };
            // `now` is none: it is called on the type, as a path.
            if counts && name != "now" && self.methods.contains(name) {
                return Some(format!(".{name}()"));
            }
        }
        None
    }
}

fn is(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// The path that begins here, and where it ends. Type arguments end it.
fn path_at(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(TokenTree::Ident(word)) = tokens.get(at) {
        path.push(word.to_string());
        at += 1;
        let colons = [tokens.get(at), tokens.get(at + 1)];
        if !colons
            .iter()
            .all(|token| token.is_some_and(|token| is(token, ':')))
        {
            break;
        }
        at += 2;
    }
    (path, at)
}

/// These tokens without what is compiled for tests alone, which may do as it likes.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let test = match (token, tokens.get(at + 1)) {
            (TokenTree::Punct(hash), Some(TokenTree::Group(group))) if hash.as_char() == '#' => {
                group.stream().to_string().replace(' ', "") == "cfg(test)"
            }
            _ => false,
        };
        if test {
            // The item is over with its block, or with a semicolon.
            let end = tokens[at + 2..].iter().position(|token| match token {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                other => is(other, ';'),
            });
            at += 3 + end.expect("an item");
            continue;
        }
        kept.push(token.clone());
        at += 1;
    }
    kept
}

fn forbidden(source: &str) -> Option<String> {
    Named::of(source).forbidden(&rules())
}

#[test]
fn the_core_names_nothing_that_is_forbidden() {
    let rules = rules();
    assert!(rules.len() > 80, "only {} rules", rules.len());
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Modules that are declared under `cfg(test)`.
            if name.ends_with("_tests.rs") || name == "tests.rs" {
                continue;
            }
            files += 1;
            let source = std::fs::read_to_string(&path).unwrap();
            let found = Named::of(&source).forbidden(&rules);
            assert_eq!(found, None, "in {}", path.display());
        }
    }
    assert!(files > 50, "{files} files: the sources are elsewhere");
}

/// Each rule bites, however what it forbids is written.
#[test]
fn every_rule_is_enforced() {
    for rule in rules() {
        let path = rule.join("::");
        let (name, parent) = rule.split_last().unwrap();
        let (module, parent) = (parent.last().unwrap(), parent.join("::"));
        let mut samples = vec![
            format!("fn f() {{ {path}(); }}"),
            format!("fn f() -> Option<::{path}> {{ None }}"),
            format!("use {path}; fn f() {{}}"),
            format!("use {path} as other; fn f() {{ other(1) }}"),
            format!("use {parent}::{{self as here, {name}}};"),
            format!("fn f() {{ assert_eq!(1, {path}()) }}"),
            format!("mod a {{ mod b {{ fn f() {{ let g = {path}; }} }} }}"),
        ];
        if module != "std" {
            samples.push(format!("use {parent}; fn f() {{ {module}::{name}(); }}"));
            samples.push(format!("use {parent} as x; fn f() {{ x::{name}::<T>() }}"));
            samples.push(format!("fn f() {{ x::{name}() }} use {parent} as x;"));
            samples.push(format!("use {parent}::*;"));
        } else {
            samples.push(format!("fn f() {{ {name}!(1) }}"));
        }
        for sample in samples {
            assert!(forbidden(&sample).is_some(), "{sample}");
        }
    }
    for sample in [
        "fn f(start: Instant) { start.elapsed(); }",
        "fn f(host: &str) { host.to_socket_addrs(); }",
        "use std::path::Path; fn f(path: &Path) { path.exists(); }",
        "use core::time::Duration; use std::{io, fs::{self, File}};",
        "fn f() { println!(\"{}\", 1); }",
        "macro_rules! m { () => { std::thread::sleep(t) } }",
    ] {
        assert!(forbidden(sample).is_some(), "{sample}");
    }
}

#[test]
fn what_is_allowed_is_let_through() {
    for sample in [
        "use std::time::{Duration, Instant}; fn f(now: Instant) -> Instant { now + D }",
        "fn f(call: &Call) { call.metadata().len(); exists(); }",
        "use std::io::{Error, ErrorKind}; use crate::process::Exit; fn exit() {}",
        "#[cfg(test)] mod tests { use super::*; fn f() { std::thread::sleep(t) } } struct S;",
        "#[cfg(test)] use std::fs; fn f() { log::print(1); }",
        "/// std::fs::read\nfn f() { \"std::process::exit\"; }",
    ] {
        assert_eq!(forbidden(sample), None, "{sample}");
    }
}
