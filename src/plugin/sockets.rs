//! Settings of a plugin's sockets.

use super::Plugin;

impl Plugin {
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
