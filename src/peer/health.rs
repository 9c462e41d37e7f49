//! Whether a plugin takes calls, as it says itself.

use std::fmt;

/// What the plugin's health service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Health {
    /// It takes calls.
    Serving,
    /// It runs and takes no calls for now.
    NotServing,
    /// It does not know, or answers with a value this version of the health service has not.
    Unknown,
}

/// A phrase that completes "the plugin …".
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serving => "takes calls",
            Self::NotServing => "takes no calls for now",
            Self::Unknown => "does not know whether it takes calls",
        })
    }
}
