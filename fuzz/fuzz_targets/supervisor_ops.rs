//! Any operations on a supervisor: it never panics, always ends, and ends in order.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../core/tests/support/ops/mod.rs"]
mod ops;

fuzz_target!(|input: (u8, Vec<ops::Op>)| ops::supervisor(input.0, &input.1));
