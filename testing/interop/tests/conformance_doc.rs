//! Keeps `docs/conformance.md` true: one row for each rule, and no test named that does not exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn document() -> String {
    fs::read_to_string(root().join("docs/conformance.md")).expect("the document")
}

/// The cells of each row of all tables, without heads.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let lines = document.lines().filter_map(|line| {
        let cells = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(cells.split('|').map(str::trim).collect::<Vec<_>>())
    });
    let is_head = |row: &[&str]| row[0] == "Id" || row[0] == "Short" || row[0].starts_with("--");
    lines.filter(|row| !is_head(row)).collect()
}

/// `C` or `Z` with a number.
fn id(cell: &str) -> Option<(char, u32)> {
    let (letter, number) = cell.split_at_checked(1)?;
    let letter = letter.chars().next().filter(|c| matches!(c, 'C' | 'Z'))?;
    Some((letter, number.parse().ok()?))
}

/// The files by their short names.
fn files(document: &str) -> BTreeMap<&str, PathBuf> {
    let rows = rows(document);
    let named = rows.iter().filter(|row| row.len() == 2);
    named
        .map(|row| (row[0], root().join(row[1].trim_matches('`'))))
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a test of this name is in the source: as a function, or in a list from which a macro makes
/// tests. In a list for one module the name is `module::test`.
fn has_test(source: &str, name: &str) -> bool {
    let (module, name) = match name.split_once("::") {
        Some((module, name)) => (Some(format!("group!({module}:")), name),
        None => (None, name),
    };
    let begin = module.as_deref().unwrap_or("scenarios! {\n");
    let end = if module.is_some() { ");" } else { "\n}" };
    let lists: Vec<_> = source
        .match_indices(begin)
        .map(|(at, _)| {
            let from = at + begin.len();
            let length = source[from..].find(end).expect("the end of the list");
            from..from + length
        })
        .collect();
    let is_word = |at: usize| {
        let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
        let (before, after) = (&source[..at], &source[at + name.len()..]);
        !before.ends_with(part_of_a_name) && !after.starts_with(part_of_a_name)
    };
    let is_test_function = |at: usize| {
        let before = &source[..at];
        let attributes = before.lines().rev().skip(1).map(str::trim);
        let mut attributes = attributes.take_while(|line| line.starts_with("#["));
        before.ends_with("fn ") && attributes.any(|line| line.contains("test"))
    };
    source
        .match_indices(name)
        .filter(|(at, _)| is_word(*at))
        .any(|(at, _)| {
            let listed = lists.iter().any(|list| list.contains(&at));
            listed || (module.is_none() && is_test_function(at))
        })
}

#[test]
fn each_rule_has_one_row() {
    let document = document();
    let found: Vec<_> = rows(&document)
        .iter()
        .filter(|row| row.len() != 2)
        .map(|row| {
            assert_eq!(row.len(), 3, "{row:?}");
            id(row[0]).unwrap_or_else(|| panic!("{:?} is no number of a rule", row[0]))
        })
        .collect();
    let all = (1..=99).map(|n| ('C', n)).chain((1..=17).map(|n| ('Z', n)));
    assert_eq!(found, all.collect::<Vec<_>>());
}

#[test]
fn each_row_has_a_rule_and_a_proof() {
    for row in rows(&document()).iter().filter(|row| row.len() == 3) {
        let (rule, proof) = (row[1], row[2]);
        assert!(rule.len() > 10, "{row:?}");
        assert!(!proof.contains("Later"), "{row:?}");
        assert!(quoted(proof).any(|name| name.contains("::")), "{row:?}");
    }
}

#[test]
fn each_test_named_exists() {
    let document = document();
    let files = files(&document);
    let mut sources = BTreeMap::new();
    for (short, path) in &files {
        let source = fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{short}, {}: {error}", path.display()));
        sources.insert(*short, source);
    }
    let mut used = BTreeMap::new();
    for row in rows(&document).iter().filter(|row| row.len() == 3) {
        for name in quoted(row[2]).filter(|name| name.contains("::")) {
            let (short, test) = name.split_once("::").expect("just seen");
            let source = sources
                .get(short)
                .unwrap_or_else(|| panic!("{}: no file is called {short:?}", row[0]));
            assert!(has_test(source, test), "{}: there is no {name}", row[0]);
            *used.entry(short).or_insert(0) += 1;
        }
    }
    let unused: Vec<_> = files
        .keys()
        .filter(|name| !used.contains_key(*name))
        .collect();
    assert!(
        unused.iter().all(|name| **name == "RR"),
        "files that no row uses: {unused:?}"
    );
}

/// The check can fail.
#[test]
fn what_is_no_test_is_not_found() {
    let source = "/// it_is_so\n#[test]\nfn it_is_so_too() {\n    it_is_so();\n}\nfn it_is_so() {}\n\
                  scenarios! {\n    calls: one two;\n}\nfn three() {}\n\
                  group!(calls:\n    four,\n);\ngroup!(logs: five);\n";
    for (name, found) in [
        ("it_is_so_too", true),
        ("it_is_so", false),
        ("one", true),
        ("two", true),
        ("three", false),
        ("tw", false),
        ("calls::four", true),
        ("logs::four", false),
        ("logs::five", true),
        ("five", false),
    ] {
        assert_eq!(has_test(source, name), found, "{name}");
    }
}
