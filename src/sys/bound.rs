//! A listening socket of the system, as it is handed to a runtime.

use outboard_core::endpoint::Endpoint;
use outboard_core::rt::OsSocket;

use super::files::SocketFile;

/// A socket that listens, and the charge of its file.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: OsSocket,
    pub(crate) endpoint: Endpoint,
    pub(crate) file: Option<SocketFile>,
    /// The group that the socket was given to.
    pub(crate) group: Option<u32>,
}
