//! Links in documents lead somewhere: to a file of this repository that is there, and to a heading in it.
//!
//! Looked at are all Markdown files, and what the documentation of the facade says of files of the repository.
//! What is elsewhere is not looked at.

use std::fs;
use std::path::{Path, PathBuf};

use outboard_guides::root;

/// Where readers of docs.rs find the files of the repository.
const PUBLISHED: &str = "https://github.com/outboard-rs/outboard/blob/main/";

/// All files with this extension, but for what is built or brought along.
fn files(dir: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                files(&path, extension, into);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            into.push(path);
        }
    }
}

/// What is written in a document outside of its blocks of code.
fn words(text: &str) -> String {
    let mut in_block = false;
    let kept = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// Where the links of a document lead.
fn links(text: &str) -> Vec<String> {
    let words = words(text);
    let ends = words.split("](").skip(1);
    ends.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// What GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// Why a link of a document leads nowhere, if it does.
fn fault(document: &Path, link: &str) -> Option<String> {
    let (link, from) = match link.strip_prefix(PUBLISHED) {
        Some(link) => (link, root()),
        None => (link, document.with_file_name("")),
    };
    if link.contains("://") {
        return None;
    }
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let file = if path.is_empty() {
        document.to_owned()
    } else {
        from.join(path)
    };
    if !file.exists() {
        return Some(format!("there is no {}", file.display()));
    }
    if heading.is_empty() {
        return None;
    }
    let text = fs::read_to_string(&file).expect("text");
    let words = words(&text);
    let mut headings = words.lines().filter(|line| line.starts_with('#'));
    let there = headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading);
    (!there).then(|| format!("there is no heading #{heading} in {}", file.display()))
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut documents = Vec::new();
    files(&root(), "md", &mut documents);
    let mut count = 0;
    let mut faults = Vec::new();
    for document in &documents {
        for link in links(&fs::read_to_string(document).expect("text")) {
            count += 1;
            if let Some(fault) = fault(document, &link) {
                faults.push(format!("{}: ({link}): {fault}", document.display()));
            }
        }
    }
    assert!(documents.len() > 10, "{documents:?}");
    assert!(count > 50, "{count} links");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_the_front_page_says_of_the_repository_is_there() {
    let file = root().join("src/lib.rs");
    let text = fs::read_to_string(&file).expect("text");
    let links: Vec<_> = text
        .split(PUBLISHED)
        .skip(1)
        .filter_map(|rest| rest.split([')', '>', '\n']).next())
        .map(|link| format!("{PUBLISHED}{link}"))
        .collect();
    assert!(links.len() > 5, "{links:?}");
    for link in links {
        assert_eq!(fault(&file, &link), None, "{link}");
    }
}

#[test]
fn what_leads_nowhere_is_found() {
    let document = root().join("docs/glossary.md");
    for link in [
        "architecture.md",
        "../README.md#crates",
        "#the-end",
        "../examples",
        "https://example.org/nothing",
        &format!("{PUBLISHED}docs/locks.md"),
    ] {
        assert_eq!(fault(&document, link), None, "{link}");
    }
    for link in [
        "nothing.md",
        "README.md",
        "#nothing",
        "../README.md#nothing",
        &format!("{PUBLISHED}docs/nothing.md"),
    ] {
        assert!(fault(&document, link).is_some(), "{link}");
    }
    let text = "A [link\nof two lines](a.md) and `code`.\n```\n[no](b.md)\n```\n[c](c.md#d)\n";
    assert_eq!(links(text), ["a.md", "c.md#d"]);
    assert_eq!(
        anchor("What is `ClientConfig`, now?"),
        "what-is-clientconfig-now"
    );
}
