//! What a plugin answers when its host wants another log level.

use std::fmt;

/// What came of a log level that a host wants of its plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LevelAnswer {
    /// The plugin logs by it from now on.
    Followed,
    /// The plugin was told, and nothing in it heeds that: its program has a logger of its own.
    NotFollowed,
    /// The plugin cannot be told while it runs: one in Go, one without the feature `log`, one over Go's net/rpc.
    /// What it was [launched with](crate::Host::log_level) stays.
    Unsupported,
    /// No process of the plugin is up. The next one is launched with it.
    Later,
}

/// A phrase that completes "the plugin …".
impl fmt::Display for LevelAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Followed => "logs by the new level",
            Self::NotFollowed => "has a logger of its own, which does not heed the new level",
            Self::Unsupported => "cannot be told another level while it runs",
            Self::Later => "is launched with the new level next time",
        })
    }
}
