//! Samples of the errors of traces: texts that are none, and a propagator that comes too late.

use std::collections::BTreeMap;

use outboard::trace::{Ids, set_propagator};
use outboard_core::trace::{TraceContext, TraceState};

use super::samples::{Sample, put};

const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(super) fn samples(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let changed = |at: usize, to: &str| {
        let mut text = VALID.to_owned();
        text.replace_range(at..at + to.len(), to);
        text
    };
    let bad = [
        "no trace".to_owned(),
        changed(0, "zz"),
        VALID[..40].to_owned(),
        changed(5, "X"),
        changed(40, "X"),
        changed(53, "X"),
    ];
    let parents = bad.map(|text| TraceContext::parse(text.as_bytes()).expect_err("it is none"));
    put(all, "TraceParentError", parents);
    let many = vec!["a=1,b=2"; 17].join(",");
    let states = [many.as_str(), "A=1", "a=\t", "a"];
    let states = states.map(|text| TraceState::parse([text]).expect_err("it is none"));
    put(all, "TraceStateError", states);
    // Samples are made by several tests of this process.
    let late = loop {
        if let Err(late) = set_propagator(Ids) {
            break late;
        }
    };
    put(all, "AlreadySet", [late]);
}
