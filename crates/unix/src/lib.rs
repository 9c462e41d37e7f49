//! The unix parts of outboard: [`ForkExec`] starts, watches and reaps children, for every runtime that
//! takes over [descriptors](outboard_core::rt::Descriptors); and what every adapter needs to write
//! without a SIGPIPE.
//!
//! No signal handler is installed and only children started here are waited for, so other code in
//! the process may start and reap children as it likes. On Linux the end of a child is an event of
//! its pidfd, and by that it is killed and reaped: its number may be somebody else's once another
//! has reaped it. Elsewhere, and on kernels or sandboxes without pidfds, one thread per child waits.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg(unix)]

mod attached;
#[cfg(target_os = "linux")]
mod caretaker;
mod child;
#[cfg(target_os = "linux")]
mod confine;
mod credentials;
#[cfg(target_os = "linux")]
mod descendants;
mod forked;
#[cfg(target_os = "linux")]
mod guard;
#[cfg(all(test, target_os = "linux"))]
mod guarded;
mod handle;
#[cfg(all(test, target_os = "linux"))]
mod inherited;
mod launch;
mod launcher;
mod signals;
mod sigpipe;
#[cfg(any(target_os = "linux", test))]
mod tree;
mod wait;

pub use attached::{Attached, Missing, started};
#[cfg(target_os = "linux")]
pub use caretaker::Caretaker;
pub use credentials::{listener_pid, peer};
pub use launch::ForkExec;
pub use sigpipe::{is_broken, send, send_vectored, without_sigpipe};
