//! A socket that listens, with all that goes with it.

use std::path::Path;

use outboard_core::admission::{Admission, Allowed};
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{Listener, SharedRuntime};

use crate::sys::files::SocketFile;
use crate::sys::socket::{Bound, ListenError};

/// A listener for an [`Acceptor`](super::Acceptor).
pub(crate) struct Opened {
    pub(super) listener: Box<dyn Listener>,
    pub(super) _file: Option<SocketFile>,
    /// Who is let in, where the system tells who has come.
    pub(super) admission: Option<Admission>,
}

impl Opened {
    /// Has `runtime` take over a socket, to which those may connect who may anyway and who are `allowed`.
    ///
    /// # Errors
    /// [`ListenError::Register`].
    pub(crate) fn new(
        runtime: &SharedRuntime,
        bound: Bound,
        allowed: &Allowed,
    ) -> Result<Self, ListenError> {
        let Bound {
            socket,
            endpoint,
            file,
            group,
        } = bound;
        let admission = admission(&endpoint, group, allowed);
        let listener = runtime.listener(socket, endpoint);
        Ok(Self {
            listener: listener.map_err(ListenError::Register)?,
            _file: file,
            admission,
        })
    }

    /// A listener of what nobody else can get at.
    #[cfg(any(test, feature = "multiplex"))]
    pub(crate) fn private(listener: Box<dyn Listener>) -> Self {
        Self {
            listener,
            _file: None,
            admission: None,
        }
    }
}

/// The rule of a socket. TCP has none: there the system tells nobody's user.
fn admission(endpoint: &Endpoint, group: Option<u32>, allowed: &Allowed) -> Option<Admission> {
    if !matches!(endpoint, Endpoint::Unix(_)) {
        return None;
    }
    let dir = endpoint.socket_file().and_then(Path::parent);
    let owner = dir.and_then(crate::sys::access::owner);
    let admission = Admission::new(allowed.clone());
    Some(admission.in_directory_of(owner).given_to(group))
}
