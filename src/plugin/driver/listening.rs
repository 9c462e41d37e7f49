//! Where a plugin listens, and what is done with what connects there.

use std::io;

use outboard_core::handshake::Location;
use outboard_core::plugin::ListenSpec;

use super::Driver;
use crate::carrier::{Acceptor, Layers, Opened};
use crate::sys::files::SocketFile;
use crate::sys::given::UnfitListener;
use crate::sys::socket::{self, Bound, ListenError};
use crate::sys::stdio;

impl Driver {
    pub(super) fn listen(&mut self, spec: ListenSpec) -> Result<Location, ListenError> {
        if spec == ListenSpec::Stdio {
            if self.parts.around.pipes.is_none() {
                let pipes = match &self.parts.around.claim {
                    Some(claim) => stdio::take_pipes(claim, &self.parts.runtime),
                    None => Err(io::ErrorKind::NotConnected.into()),
                };
                self.parts.around.pipes = Some(pipes.map_err(ListenError::Register)?);
            }
            return Ok(Location::Stdio);
        }
        let leaves_signals = self.parts.around.leaves_signals();
        let given = self.parts.given.take();
        let bind = || {
            let mut bound = bind(spec, given)?;
            if leaves_signals {
                bound.file = bound.file.map(SocketFile::without_signals);
            }
            Ok(bound)
        };
        let opened = Opened::new(&self.parts.runtime, bind, &self.parts.allowed)?;
        let endpoint = opened.endpoint().clone();
        self.acceptor = Some(Acceptor::new(
            &self.parts.runtime,
            "this plugin",
            opened,
            self.parts.security.of_connections(self.layers()),
        ));
        Ok(Location::Endpoint(endpoint))
    }

    /// What is between the socket and the transport.
    pub(super) fn layers(&self) -> Layers {
        #[cfg(feature = "multiplex")]
        if self.machine.multiplexing() {
            return Layers::GRPC_MULTIPLEXED;
        }
        Layers::of(self.machine.protocol())
    }
}

/// The socket that is asked for.
fn bind(
    spec: ListenSpec,
    given: Option<Result<Bound, UnfitListener>>,
) -> Result<Bound, ListenError> {
    match spec {
        ListenSpec::Unix { dir, group } => {
            let dir = dir.unwrap_or_else(std::env::temp_dir);
            let group = group.map(|group| group.to_string());
            socket::listen_unix(&dir, group.as_deref())
        }
        ListenSpec::Tcp { ports } => socket::listen_tcp(ports),
        ListenSpec::Given => match given {
            Some(given) => given.map_err(ListenError::Given),
            None => Err(ListenError::Given(UnfitListener::NotListening)),
        },
        ListenSpec::Stdio => Err(ListenError::Register(io::ErrorKind::NotConnected.into())),
    }
}
