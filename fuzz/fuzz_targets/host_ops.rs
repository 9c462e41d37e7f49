//! Any operations on a host machine: it never panics, always ends, and ends in order.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../core/tests/support/ops/mod.rs"]
mod ops;

fuzz_target!(|input: (u8, Vec<ops::Op>)| ops::host(input.0, &input.1));
