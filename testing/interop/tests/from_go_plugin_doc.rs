//! Keeps `docs/from-go-plugin.md` true: what it names of ours is public, and nothing of the Go types is left
//! out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outboard_interop::{go, run_to_end};

/// Reached only by a failure.
const LIMIT: Duration = Duration::from_secs(60);

const DOCUMENT: &str = include_str!("../../../docs/from-go-plugin.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The sections with the cells of their tables.
fn sections() -> Vec<(&'static str, Vec<Vec<&'static str>>)> {
    let sections = DOCUMENT.split("\n## ").skip(1);
    let parsed = sections.map(|section| {
        let (title, rest) = section.split_once('\n').expect("a title");
        let rows = rest.lines().filter_map(|line| {
            let cells = line.strip_prefix("| ")?.strip_suffix('|')?;
            Some(cells.split(" |").map(str::trim).collect::<Vec<_>>())
        });
        // Without the head and the line below it.
        (title, rows.skip(2).collect())
    });
    parsed.collect()
}

/// All sources of what is published.
fn sources() -> Vec<String> {
    fn collect(dir: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(dir).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(fs::read_to_string(path).expect("text"));
            }
        }
    }
    let mut sources = Vec::new();
    for dir in [
        "src",
        "core/src",
        "transport-h2/src",
        "transport-netrpc/src",
    ] {
        collect(&root().join(dir), &mut sources);
    }
    sources
}

/// The blocks of a source that begin with a line of which this holds, as rustfmt lays them out.
fn blocks(source: &str, begins: impl Fn(&str) -> bool) -> Vec<&str> {
    let lines = source.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0)
        .chain(lines)
        .filter(|at| begins(source[*at..].lines().next().unwrap_or_default()))
        .map(|at| {
            let end = source[at..].find("\n}\n");
            end.map_or(&source[at..], |end| &source[at..at + end])
        })
        .collect()
}

/// Whether the facade, by its root or by one of its modules, has a type or trait of this name.
fn is_exported(owner: &str) -> bool {
    let at_root = fs::read_dir(root().join("src")).expect("a directory");
    let files = at_root.flatten().map(|entry| entry.path()).map(|path| {
        if path.is_dir() {
            path.join("mod.rs")
        } else {
            path
        }
    });
    let mut texts = files.filter_map(|file| fs::read_to_string(file).ok());
    texts.any(|text| {
        let uses = text.split("\npub use ").skip(1);
        let mut passed_on = uses.filter_map(|rest| rest.split(';').next());
        let has_word = |text: &str| {
            let mut words = text.split(|c: char| !c.is_alphanumeric());
            words.any(|word| word == owner)
        };
        let own = ["struct", "enum", "trait"].map(|kind| format!("\npub {kind} {owner} "));
        passed_on.any(has_word) || own.iter().any(|own| text.contains(own))
    })
}

/// Whether there is a public function of this name: a method of a type or trait, or one of a module.
fn is_public(sources: &[String], name: &str) -> bool {
    let function = |text: &str, name: &str| {
        let generic = [format!("fn {name}("), format!("fn {name}<")];
        let lines = text.lines().map(str::trim_start);
        lines
            .filter(|line| generic.iter().any(|part| line.contains(part)))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let Some((owner, name)) = name.split_once("::") else {
        let functions = sources.iter().flat_map(|source| function(source, name));
        return functions.into_iter().any(|line| line.starts_with("pub "));
    };
    if owner.starts_with(char::is_lowercase) {
        let path = root().join("src").join(format!("{owner}.rs"));
        let module = fs::read_to_string(path).expect("a module of the facade");
        return function(&module, name)
            .iter()
            .any(|line| line.starts_with("pub "));
    }
    if !is_exported(owner) {
        return false;
    }
    let of_type = [format!("impl {owner} {{"), format!("impl {owner} {{}}")];
    let is_type = |line: &str| of_type.iter().any(|begin| line.starts_with(begin));
    let of_trait = format!("pub trait {owner}");
    let is_trait = |line: &str| {
        let rest = line.strip_prefix(&of_trait);
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    sources.iter().any(|source| {
        let methods = blocks(source, is_type)
            .into_iter()
            .flat_map(|block| function(block, name));
        let mut public = methods.filter(|line| line.starts_with("pub "));
        let mut required = blocks(source, is_trait)
            .into_iter()
            .flat_map(|block| function(block, name));
        public.next().is_some() || required.next().is_some()
    })
}

#[test]
fn what_it_names_of_ours_is_public() {
    let sources = sources();
    let mut count = 0;
    for (title, rows) in sections() {
        assert!(!rows.is_empty(), "{title}");
        for row in rows {
            let [_, ours, differs] = &row[..] else {
                panic!("{title}: three cells, not {row:?}")
            };
            let named = quoted(ours).chain(quoted(differs).filter(|name| name.contains("::")));
            for name in named {
                count += 1;
                assert!(is_public(&sources, name), "{title}: there is no {name}");
            }
            let is_open = ours.is_empty() && differs.is_empty();
            assert!(!is_open, "{title}: {row:?} says nothing");
        }
    }
    assert!(count > 80, "{count} names");
    for wrong in [
        "Attempt::poll",
        "Host::no_such_method",
        "no_such_function",
        "memory::nothing",
        "Broker::is_exited",
    ] {
        assert!(!is_public(&sources, wrong), "{wrong} is found");
    }
}

/// The exported fields and methods of a Go type, as `go doc -all` prints them.
fn members(documentation: &str, name: &str) -> BTreeSet<String> {
    let mut members = BTreeSet::new();
    for begin in [
        format!("type {name} struct {{\n"),
        format!("type {name} interface {{\n"),
    ] {
        let Some((_, body)) = documentation.split_once(&begin) else {
            continue;
        };
        let (body, _) = body.split_once("\n}\n").expect("its end");
        for line in body.lines().filter_map(|line| line.strip_prefix('\t')) {
            if !line.starts_with(|c: char| c.is_ascii_uppercase()) {
                continue;
            }
            // Fields of one type stand together; one that is embedded is called as its type is.
            let end = line.find(['(', ' ']).unwrap_or(line.len());
            let names = if line[..end].ends_with(',') {
                line.rsplit_once(' ').expect("a type").0
            } else {
                &line[..end]
            };
            members.extend(names.split(", ").map(str::to_owned));
        }
    }
    for receiver in [format!(" *{name}) "), format!(" {name}) ")] {
        for line in documentation
            .lines()
            .filter(|line| line.starts_with("func ("))
        {
            if let Some((_, rest)) = line.split_once(&receiver) {
                let (method, _) = rest.split_once('(').expect("arguments");
                members.insert(method.to_owned());
            }
        }
    }
    members
}

#[test]
fn nothing_of_the_go_types_is_left_out() {
    let Some(peers) = go() else { return };
    let [plugin, runner] = ["", "/runner"].map(|package| {
        let package = format!("github.com/hashicorp/go-plugin{package}");
        let mut command = peers.command(".");
        let printed = run_to_end(command.args(["doc", "-all", &package]), LIMIT);
        let told = String::from_utf8_lossy(&printed.stderr);
        assert!(printed.status.success(), "{told}");
        String::from_utf8(printed.stdout).expect("text")
    });
    let sections = sections();
    for (name, documentation, least) in [
        ("ClientConfig", &plugin, 20),
        ("Client", &plugin, 8),
        ("ServeConfig", &plugin, 7),
        ("GRPCBroker", &plugin, 6),
        ("MuxBroker", &plugin, 6),
        ("ReattachConfig", &plugin, 6),
        ("SecureConfig", &plugin, 3),
        ("Runner", &runner, 5),
        ("AttachedRunner", &runner, 3),
        ("AddrTranslator", &runner, 2),
    ] {
        let members = members(documentation, name);
        assert!(members.len() >= least, "{name} has {members:?}");
        let title = match name {
            "AttachedRunner" | "AddrTranslator" => "Runner",
            name => name,
        };
        let title = format!("`{title}`");
        let section = sections.iter().find(|(found, _)| found.ends_with(&title));
        let (_, rows) = section.unwrap_or_else(|| panic!("no section of {title}"));
        let told: BTreeSet<_> = rows.iter().flat_map(|row| quoted(row[0])).collect();
        for member in members {
            // Another type of the list.
            let is_embedded = ["AttachedRunner", "AddrTranslator"].contains(&&*member);
            assert!(
                is_embedded || told.contains(&*member),
                "{name}: nothing is said of {member}"
            );
        }
    }
}
