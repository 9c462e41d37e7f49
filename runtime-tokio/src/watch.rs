//! Watching a descriptor that nobody reads from.

use std::io::Result;
use std::os::fd::OwnedFd;

use outboard_core::rt::BoxFuture;
use tokio::io::Interest;

use crate::registration::register;

pub(crate) fn watch(fd: OwnedFd) -> Result<BoxFuture<'static, Result<()>>> {
    // A pipe's writing end reports a dead reader as an error, not as a hang-up.
    let interest = Interest::READABLE | Interest::ERROR;
    let fd = register(fd, interest)?;
    Ok(Box::pin(async move { fd.ready(interest).await.map(drop) }))
}
