//! Placeholder

mod plugin;
mod sys;

#[cfg(feature = "tokio")]
pub use outboard_runtime_tokio::Tokio;
