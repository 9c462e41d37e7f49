//! What every unix runtime adapter of outboard shares: starting, watching and reaping children,
//! and writing without a SIGPIPE.
//!
//! It needs nothing of a runtime beyond the [`Runtime`](outboard_core::rt::Runtime) trait itself,
//! so an adapter of your own can use it too: call [`launch`] from `Runtime::launch`.
//!
//! No signal handler is installed and only children started here are waited for, so other code in
//! the process may start and reap children as it likes. On Linux the end of a child is an event of
//! its pidfd, and by that it is killed and reaped: its number may be somebody else's once another
//! has reaped it. Elsewhere, and on kernels or sandboxes without pidfds, one thread per child waits.
#![cfg(unix)]

mod child;
#[cfg(target_os = "linux")]
mod descendants;
mod forked;
mod handle;
mod launch;
mod launcher;
mod sigpipe;
#[cfg(any(target_os = "linux", test))]
mod tree;
mod wait;

pub use launch::launch;
pub use sigpipe::{is_broken, send, send_vectored, without_sigpipe};
