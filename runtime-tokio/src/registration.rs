//! Descriptors in tokio's reactor. The one place where tokio asks for `unsafe`.
#![allow(unsafe_code)]

use std::io::Result;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tokio::io::{Interest, unix::AsyncFd};

/// A type of the standard library that owns a descriptor: open, and the same one, until it is
/// dropped.
pub(crate) trait Owner: AsRawFd {}
impl Owner for OwnedFd {}
impl Owner for TcpStream {}
impl Owner for UnixStream {}

/// Must be called inside the runtime.
pub(crate) fn register<T: Owner>(fd: T, interest: Interest) -> Result<AsyncFd<T>> {
    // SAFETY: every `Owner` keeps its descriptor open until it is dropped, the `AsyncFd` owns it,
    // and nobody replaces it through `AsyncFd::get_mut`.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}
