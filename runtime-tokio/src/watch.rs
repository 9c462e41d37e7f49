//! Watching a descriptor that nobody reads from. The one place where tokio asks for `unsafe`.
#![allow(unsafe_code)]

use std::io::Result;
use std::os::fd::OwnedFd;

use outboard_core::rt::BoxFuture;
use tokio::io::{Interest, unix::AsyncFd};

pub(crate) fn watch(fd: OwnedFd) -> Result<BoxFuture<'static, Result<()>>> {
    // A pipe's writing end reports a dead reader as an error, not as a hang-up.
    let interest = Interest::READABLE | Interest::ERROR;
    // SAFETY: an `OwnedFd` is open and the same descriptor until it is dropped, and the `AsyncFd`
    // owns it and hands it to nobody.
    let fd = unsafe { AsyncFd::register_with_interest(fd, interest) }?;
    Ok(Box::pin(async move { fd.ready(interest).await.map(drop) }))
}
