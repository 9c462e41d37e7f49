//! The spans of two processes are one tree, over each transport.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::process::Command;

/// A span, as the example prints it.
#[derive(Clone, Debug)]
struct Span {
    side: String,
    name: String,
    kind: String,
    trace: String,
    id: String,
    parent: String,
}

const NONE: &str = "0000000000000000";

fn read(line: &str) -> Option<Span> {
    let line = line.strip_prefix("span of the ")?;
    let (side, rest) = line.split_once(": ")?;
    let (name, rest) = rest.split_once(" (")?;
    let (kind, rest) = rest.split_once(") trace ")?;
    let (trace, rest) = rest.split_once(" id ")?;
    let (id, parent) = rest.split_once(" parent ")?;
    let [side, name, kind, trace, id, parent] =
        [side, name, kind, trace, id, parent].map(str::to_owned);
    Some(Span {
        side,
        name,
        kind,
        trace,
        id,
        parent,
    })
}

fn spans(args: &[&str]) -> Vec<Span> {
    let output = Command::new(env!("CARGO_BIN_EXE_traced"))
        .args(args)
        .output()
        .expect("it starts");
    let stdout = String::from_utf8(output.stdout).expect("text");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("the plugin says: NOT_FOUND"), "{stdout}");
    assert!(stdout.contains("the plugin logs: added up"), "{stdout}");
    stdout.lines().filter_map(read).collect()
}

/// The spans from the root to this one, each with its side and kind.
fn way(all: &BTreeMap<String, Span>, span: &Span) -> Vec<String> {
    let mut way = Vec::new();
    let mut next = Some(span);
    while let Some(span) = next {
        way.push(format!("{} {} ({})", span.side, span.name, span.kind));
        next = all.get(&span.parent);
        assert!(
            next.is_some() || span.parent == NONE,
            "its parent is nowhere: {span:?}"
        );
        assert!(way.len() < 20, "in a circle: {way:?}");
    }
    way.reverse();
    way
}

fn all_is_one_tree(args: &[&str]) {
    let spans = spans(args);
    let trace = &spans.first().expect("there are some").trace;
    assert!(spans.iter().all(|span| span.trace == *trace), "{spans:#?}");
    let all: BTreeMap<String, Span> = spans
        .iter()
        .map(|span| (span.id.clone(), span.clone()))
        .collect();
    assert_eq!(all.len(), spans.len(), "no id is there twice");
    let mut ways: Vec<Vec<String>> = spans.iter().map(|span| way(&all, span)).collect();
    ways.sort();
    let down = [
        "host work (internal, well)",
        "host proto.Counter/Put (client, well)",
        "plugin proto.Counter/Put (server, well)",
        "plugin add up (internal, well)",
        "plugin proto.AddHelper/Sum (client, well)",
        "host proto.AddHelper/Sum (server, well)",
        "host sum (internal, well)",
    ];
    let refused = [
        "host work (internal, well)",
        "host proto.Counter/Get (client, error)",
        // That something is not there is no fault of the server.
        "plugin proto.Counter/Get (server, well)",
    ];
    let prefixes = |way: &[&str]| -> Vec<Vec<String>> {
        let owned: Vec<String> = way.iter().map(|&span| span.to_owned()).collect();
        (1..=owned.len())
            .map(|length| owned[..length].to_vec())
            .collect()
    };
    let mut expected = prefixes(&down);
    expected.extend(prefixes(&refused).into_iter().skip(1));
    expected.sort();
    assert_eq!(ways, expected);
}

#[test]
fn over_grpc() {
    all_is_one_tree(&[]);
}

#[test]
fn over_stdio() {
    all_is_one_tree(&["--stdio"]);
}
