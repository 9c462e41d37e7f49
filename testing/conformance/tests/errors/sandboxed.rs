//! Samples of why a plugin is not launched in a sandbox.

use std::collections::BTreeMap;

use outboard::sandbox::{Lack, SandboxError};

use crate::samples::{Sample, put, text};

pub(super) fn samples(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let errors = [
        SandboxError::Lacking(vec![Lack::Files, Lack::Filter]),
        SandboxError::Path {
            path: "/x".into(),
            cause: text("x"),
        },
        SandboxError::Refused { cause: text("x") },
        SandboxError::Runner,
    ];
    put(all, "SandboxError", errors);
}
