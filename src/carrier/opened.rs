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
    /// Has `runtime` take over the socket that `bind` makes, to which those may connect who may anyway and
    /// who are `allowed`. None is made where the runtime has addresses of its own.
    ///
    /// # Errors
    /// Those of `bind`, or [`ListenError::Register`].
    pub(crate) fn new(
        runtime: &SharedRuntime,
        bind: impl FnOnce() -> Result<Bound, ListenError>,
        allowed: &Allowed,
    ) -> Result<Self, ListenError> {
        if let Some(own) = runtime.own_addresses() {
            return own
                .listen()
                .map(Self::private)
                .map_err(ListenError::Register);
        }
        let Bound {
            socket,
            endpoint,
            file,
            group,
        } = bind()?;
        let admission = admission(&endpoint, group, allowed);
        let listener = runtime.listener(socket, endpoint);
        Ok(Self {
            listener: listener.map_err(ListenError::Register)?,
            _file: file,
            admission,
        })
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.listener.local()
    }

    /// A listener of what nobody else can get at.
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
