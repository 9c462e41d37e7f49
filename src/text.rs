//! Errors as text.

pub(crate) use outboard_core::report::chain;
