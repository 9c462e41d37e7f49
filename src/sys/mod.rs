//! What the driver needs of the operating system beyond the runtime: listening sockets with a
//! private mode, the plugin's claim on its standard streams, the event of a host's death, and the
//! last clean-up of a process. Nothing in here is async and nothing knows a protocol.

// Where there are no unix sockets, what only they need is compiled all the same, for nobody.
#![cfg_attr(not(unix), allow(dead_code))]

pub(crate) mod access;
#[cfg(unix)]
pub(crate) mod activated;
#[cfg(unix)]
mod anew;
mod bound;
pub(crate) mod care;
pub(crate) mod cleanup;
pub(crate) mod direct;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod given;
#[cfg(unix)]
pub(crate) mod group;
#[cfg(unix)]
mod host_death;
pub(crate) mod image;
pub(crate) mod interrupt;
#[cfg(unix)]
pub(crate) mod last_words;
#[cfg(not(unix))]
#[path = "last_words_other.rs"]
pub(crate) mod last_words;
#[cfg(unix)]
mod log_pipe;
pub(crate) mod private;
pub(crate) mod program;
pub(crate) mod random;
pub(crate) mod reserve;
#[cfg(unix)]
mod signals;
#[cfg(not(unix))]
#[path = "signals_other.rs"]
mod signals;
pub(crate) mod sigpipe;
pub(crate) mod socket;
pub(crate) mod stale;
#[cfg(unix)]
#[path = "stdio_unix.rs"]
pub(crate) mod stdio;
#[cfg(not(unix))]
#[path = "stdio_other.rs"]
pub(crate) mod stdio;
#[cfg(unix)]
pub(crate) mod sweep;
#[cfg(unix)]
mod threaded;
#[cfg(unix)]
mod watcher;
