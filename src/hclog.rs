//! Records of a plugin's log, in the format of go-plugin's plugins: what
//! [`Host::on_log`](crate::Host::on_log) is told.

pub use outboard_core::hclog::{Kind, Level, Record, Timestamp, UnixTime};
