//! Sequences of operations on the machines, in any order, with the rules that must always hold.
//!
//! An operation is three bytes: which, and two numbers. So a property test can shrink a list of
//! them, and a fuzzer can change one without changing the others. The fuzz targets in `fuzz/`
//! share these files.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each user takes its part"
)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod broker;
mod host;
mod plugin;
mod steps;
mod supervisor;

pub use self::broker::broker;
pub use self::host::host;
pub use self::plugin::plugin;
pub use self::steps::Op;
pub use self::supervisor::supervisor;
