//! The part of the suite that needs a process to itself.
#![cfg(unix)]

mod support;

outboard_runtimes::conformance_alone!(support::one_thread, support::many_threads);
