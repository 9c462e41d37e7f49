//! Any operations on a broker machine: it never panics, every dial ends, memory stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../core/tests/support/ops/mod.rs"]
mod ops;

fuzz_target!(|input: (u8, Vec<ops::Op>)| ops::broker(input.0, &input.1));
