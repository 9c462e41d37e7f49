//! Samples of the errors of looking for plugins.

use std::collections::BTreeMap;
use std::path::PathBuf;

use outboard::discover::{Distrust, Search, SkipReason};

use super::samples::{Sample, fault, put};

pub(super) fn samples(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let path = || PathBuf::from("/opt/plugins/it");
    let distrust = [
        Distrust::Owner {
            path: path(),
            owner: 7,
            own: 8,
        },
        Distrust::Writable {
            path: path(),
            mode: 0o777,
        },
        Distrust::Unreadable {
            path: path(),
            fault: fault(),
        },
    ];
    put(all, "Distrust", distrust);
    let skipped = [
        SkipReason::OtherName,
        SkipReason::NoFile,
        SkipReason::NotExecutable { mode: 0o644 },
        SkipReason::LinkToLink { target: path() },
        SkipReason::BrokenLink { target: path() },
        SkipReason::Same { other: path() },
        SkipReason::Untrusted(Distrust::Writable {
            path: path(),
            mode: 0o777,
        }),
        SkipReason::Unreadable(fault()),
    ];
    put(all, "SkipReason", skipped);
    let nowhere = Search::new("/nowhere/at/all").find();
    put(all, "SearchError", [nowhere.expect_err("there is none")]);
}
