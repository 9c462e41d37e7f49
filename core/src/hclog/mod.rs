//! Logs over stderr, in the format of Go's hclog.
//!
//! A host feeds a plugin's stderr to a [`LogReader`] and gets [`Record`]s, or the bare bytes, or
//! both. A plugin prints its records as [`Entry`]s, one line of JSON each, and its panics with
//! [`format_panic`].
//!
//! Whatever the bytes, reading never fails: what is not a log line is shown as text.

#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod assembler;
mod level;
mod panic;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod print;
mod rate;
mod reader;
mod record;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod timestamp;

pub use assembler::{DEFAULT_BUFFER, LineAssembler, MIN_BUFFER, Piece};
pub use level::Level;
pub use panic::format_panic;
pub use print::{Entry, MAX_LINE};
pub use rate::RateLimit;
pub use reader::{LogOptions, LogReader};
pub use record::{Kind, Record, parse};
pub use timestamp::{Timestamp, UnixTime};
