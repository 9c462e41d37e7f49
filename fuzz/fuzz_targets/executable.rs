//! Any bytes as the beginning of a program's file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outboard_core::diagnose::Executable;

fuzz_target!(|header: &[u8]| {
    if let Some(executable) = Executable::detect(header) {
        assert!(executable.to_string().len() < 1_000);
    }
});
