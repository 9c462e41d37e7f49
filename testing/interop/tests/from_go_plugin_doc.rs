//! Keeps `docs/from-go-plugin.md` true: what it names of ours is there for users, which the compiler says, and
//! nothing of the Go types is left out.

use std::collections::BTreeSet;
use std::time::Duration;

use outboard_interop::{go, run_to_end};

#[path = "from_go_plugin_doc/names.rs"]
mod names;

use names::NAMES;

/// Reached only by a failure.
const LIMIT: Duration = Duration::from_secs(60);

const DOCUMENT: &str = include_str!("../../../docs/from-go-plugin.md");

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

#[test]
fn what_it_names_of_ours_is_what_the_compiler_has_found() {
    // Without what tells a compiler the types that nothing else tells it.
    let compiled = NAMES.iter().map(|path| {
        let end = path.find("::<").unwrap_or(path.len());
        path[..end].replace(' ', "")
    });
    let compiled: BTreeSet<String> = compiled.collect();
    let mut named = BTreeSet::new();
    for (title, rows) in sections() {
        assert!(!rows.is_empty(), "{title}");
        for row in rows {
            let [_, ours, differs] = &row[..] else {
                panic!("{title}: three cells, not {row:?}")
            };
            let items = quoted(ours).chain(quoted(differs).filter(|name| name.contains("::")));
            named.extend(items.map(str::to_owned));
            let is_open = ours.is_empty() && differs.is_empty();
            assert!(!is_open, "{title}: {row:?} says nothing");
        }
    }
    assert!(named.len() > 80, "{} names", named.len());
    let unknown: Vec<_> = named.difference(&compiled).collect();
    assert!(unknown.is_empty(), "not in names.rs: {unknown:?}");
    let unused: Vec<_> = compiled.difference(&named).collect();
    assert!(unused.is_empty(), "not in the document: {unused:?}");
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
