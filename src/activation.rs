//! Sockets that whoever has started this program gives it to listen on: systemd's socket activation,
//! which other supervisors speak, too.
//!
//! A plugin that is started so serves on that socket in place of one of its own. Its handshake line
//! names the address, and a host [attaches](crate::Host::attach) to it by a record that somebody has
//! written, or is the one that has started it. The unit of such a service sets the magic cookie as a
//! host would:
//!
//! ```text
//! # greeter.socket                      # greeter.service
//! [Socket]                              [Service]
//! ListenStream=/run/greeter.sock        ExecStart=/usr/bin/greeter
//! SocketMode=0600                       Environment=BASIC_PLUGIN=hello
//! ```
//!
//! ```no_run
//! # async fn example(service: std::sync::Arc<dyn outboard::Service>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use outboard::{Handshake, Plugin, Tokio, activation};
//!
//! const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
//!
//! // First thing, before anything else opens or closes descriptors.
//! let given = activation::take()?;
//! let mut plugin = Plugin::new(HANDSHAKE).provide("greeter", service);
//! if let Some(socket) = given.into_iter().next() {
//!     plugin = plugin.listener(socket);
//! }
//! plugin.serve_or_exit(Tokio::current()).await;
//! # Ok(())
//! # }
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub use outboard_core::activation::ActivationError;

/// A socket that this process was started with. Dropping it closes it.
#[derive(Debug)]
pub struct ActivatedSocket {
    name: Option<String>,
    fd: OwnedFd,
}

impl ActivatedSocket {
    /// What whoever has started the program calls it (`LISTEN_FDNAMES`), if that says so.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl AsFd for ActivatedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<ActivatedSocket> for OwnedFd {
    fn from(socket: ActivatedSocket) -> Self {
        socket.fd
    }
}

/// The sockets that this process was started with, in their order: the descriptors from 3 on of which
/// `LISTEN_FDS` tells how many, if `LISTEN_PID` is this process's number. None if it was started
/// otherwise, and none from the second call on: they are the caller's from then on, and close-on-exec.
///
/// Call it before the program opens or closes any descriptor of these numbers by itself.
///
/// # Errors
/// [`ActivationError`] if the variables contradict themselves, or name what is not open. Nothing is taken
/// then.
pub fn take() -> Result<Vec<ActivatedSocket>, ActivationError> {
    let all = crate::sys::activated::take()?;
    let given = all.into_iter();
    Ok(given
        .map(|(name, fd)| ActivatedSocket { name, fd })
        .collect())
}
