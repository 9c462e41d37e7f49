//! Settings of a plugin's sockets.

use outboard_core::endpoint::Endpoint;
use outboard_core::plugin::SocketKind;
use outboard_core::rt::OsSocket;

use super::Plugin;
use crate::sys::given::{self, UnfitListener};
use crate::sys::socket::Bound;

/// A socket that the plugin was given, and whether its file goes with it.
#[derive(Default)]
pub(super) struct Given {
    socket: Option<OsSocket>,
    remove: bool,
}

impl Given {
    /// Takes it over.
    pub(super) fn take(self) -> Option<Result<Bound, UnfitListener>> {
        let socket = self.socket?;
        Some(given::take(socket, self.remove))
    }
}

/// The kind of sockets that a host can reach which reaches that one.
pub(super) fn of_the_same_kind(
    given: &Result<Bound, UnfitListener>,
    otherwise: SocketKind,
) -> SocketKind {
    match given.as_ref().map(|bound| &bound.endpoint) {
        Ok(Endpoint::Tcp(_)) => SocketKind::Tcp,
        Ok(Endpoint::Unix(_)) => SocketKind::Unix,
        _ => otherwise,
    }
}

impl Plugin {
    /// Listens on this socket in place of one of its own: a `UnixListener` or a `TcpListener` of the
    /// standard library, an owned descriptor of either kind, or what [`activation`](crate::activation)
    /// gives. It must listen already. The handshake line names its address; for a TCP socket on all addresses
    /// of the machine that is the loopback one.
    ///
    /// The host's port range, socket directory and group are not for it, nor is [`tcp`](Self::tcp); the
    /// sockets of the plugin's [broker](crate::Broker) are its own, of the same kind, by the usual rules.
    /// [Who connects](Self::allow_users) is checked as ever. Its file stays when the plugin ends, see
    /// [`remove_socket`](Self::remove_socket). It is set non-blocking, for whoever else has it, too.
    ///
    /// Calls go over it also where the host offers stdio. A plugin that has no transport with sockets, and a socket that does
    /// not do, are errors of serving ([`ListenError::Given`](crate::ListenError::Given)) that tell why.
    ///
    /// ```no_run
    /// # fn example() -> std::io::Result<()> {
    /// # use outboard::{Handshake, Plugin};
    /// # const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
    /// let listener = std::net::TcpListener::bind("127.0.0.1:7001")?;
    /// let plugin = Plugin::new(HANDSHAKE).listener(listener);
    /// # Ok(())
    /// # }
    /// ```
    pub fn listener(mut self, socket: impl Into<OsSocket>) -> Self {
        self.given.socket = Some(socket.into());
        self
    }

    /// Whether the file of the [`listener`](Self::listener) is removed when the plugin ends, whatever way
    /// it does so that can run code. It is not unless this is called: it belongs to whoever has made it. (A
    /// host of outboard removes it once no process has the socket any more.)
    pub fn remove_socket(mut self, remove: bool) -> Self {
        self.given.remove = remove;
        self
    }

    /// Lets users connect to its unix sockets, given by their numbers, beside those who may anyway: this
    /// process's own user, root, who owns the directory of the socket (the host, where that has made
    /// one), and the members of the group that the host names. Calls add up.
    ///
    /// Who connects is asked of the system, with each connection and before anything is read of it. A
    /// stranger is hung up on, which the log tells as a warning, with the user and the process; the
    /// plugin goes on. This holds for the socket that the line names and for those of its
    /// [broker](crate::Broker).
    ///
    /// Modes do not change by this: a socket that the plugin makes is its owner's and the group's alone,
    /// so that another user gets as far as that only over a socket that somebody else has made.
    ///
    /// In a container the numbers are those inside. A user who has none there comes as the one that
    /// stands for all of those (65534 on Linux); it is let in where the directory of the socket belongs
    /// to that one, too, as one does that a host outside has made.
    ///
    /// Checked on Linux, Android, macOS and the BSDs, with [`Tokio`](crate::Tokio) and
    /// [`Smol`](crate::Smol). macOS and the BSDs tell one group of a peer alone: of the others the mode
    /// of the socket's file decides. Over TCP no system tells who connects; see
    /// [`tls_provider`](Self::tls_provider), or have hosts ask for AutoMTLS.
    ///
    /// ```no_run
    /// # use outboard::{Handshake, Plugin};
    /// # const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
    /// let plugin = Plugin::new(HANDSHAKE).allow_users([1001]);
    /// ```
    pub fn allow_users(mut self, users: impl IntoIterator<Item = u32>) -> Self {
        self.allowed.users.extend(users);
        self
    }

    /// Whether everybody may connect to its unix sockets whom the modes of their files let in. They may
    /// not unless this is called; see [`allow_users`](Self::allow_users).
    pub fn allow_any_user(mut self, allow: bool) -> Self {
        self.allowed.anyone = allow;
        self
    }
}
