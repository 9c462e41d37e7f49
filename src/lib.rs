//! Placeholder

#[cfg(feature = "tokio")]
pub use outboard_runtime_tokio::Tokio;
