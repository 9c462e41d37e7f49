//! What the benches over processes share.

use std::path::Path;
use std::time::Duration;

use outboard_benches::runner::programs::Programs;
use outboard_benches::runner::subject::Subject;

/// The measured programs.
pub(crate) fn programs() -> Programs {
    Programs::beside_program(Path::new(env!("CARGO_BIN_EXE_bench-host"))).expect("a directory")
}

/// outboard and the peers that the environment asks for.
pub(crate) fn subjects(programs: &Programs) -> Vec<Subject> {
    let mut all = Subject::outboard();
    all.extend(Subject::peers_from_environment().expect("peers that exist"));
    if all.iter().any(Subject::needs_go) {
        programs.build_go().expect("the Go peers");
    }
    all
}

/// A time in nanoseconds.
pub(crate) fn nanos(ns: f64) -> Duration {
    Duration::from_secs_f64(ns / 1e9)
}
