//! The services that every plugin offers beside its own.

pub mod health;
pub mod reflection;
