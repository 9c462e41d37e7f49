//! Settings of the sockets that a host makes for its plugins.

use super::Host;

impl Host {
    /// Lets users connect to the unix sockets of the host's [broker](crate::Broker), given by their
    /// numbers, beside those who may anyway: this process's own user, root, and the members of the
    /// [`socket_group`](Self::socket_group). Calls add up.
    ///
    /// Who connects is asked of the system, with each connection and before anything is read of it. A
    /// stranger is hung up on, with a warning in the `tracing` events of this process that tells the
    /// user and the process. The sockets that a plugin makes are its own affair: see
    /// [`Plugin::allow_users`](crate::Plugin::allow_users), which also says where this is checked and
    /// where it is not.
    ///
    /// A plugin that runs as another user, by a command in front of it or in a container, needs no more
    /// than the `socket_group` that it could not connect without. The numbers are those that this
    /// process knows the users by: that of a container's user outside of it.
    ///
    /// ```no_run
    /// # use outboard::{Command, Handshake, Host};
    /// # const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
    /// let host = Host::new(HANDSHAKE).command(Command::new("./greeter")).allow_users([1001]);
    /// ```
    pub fn allow_users(mut self, users: impl IntoIterator<Item = u32>) -> Self {
        self.settings.listen.allowed.users.extend(users);
        self
    }

    /// Whether a launch removes what hosts and plugins that were killed (SIGKILL, a crash) have left where
    /// this one makes its own: directories of launches and sockets without a directory. It does unless
    /// this is called with `false`.
    ///
    /// What is removed is this user's, has one of the names that outboard and go-plugin give, was not
    /// changed for a minute, and is held by nobody: the kernel says of a socket whether any process has it,
    /// and of a directory whether its host lives, by a lock on it (`flock`). Numbers of processes
    /// play no part. A directory in which a plugin still has a socket stays, as one does that Go
    /// hosts have made. Where other machines may see the directory as well (NFS and the like), nothing
    /// is removed.
    ///
    /// A launch looks at 4096 entries at most and at 64 of them closely, and what is left then at
    /// another time. Where a process has found nothing that is called so, its launches do not look again for a minute. What it has removed is logged at debug.
    ///
    /// ```no_run
    /// # use outboard::{Command, Handshake, Host};
    /// # const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");
    /// let host = Host::new(HANDSHAKE).command(Command::new("./greeter")).sweep(false);
    /// ```
    pub fn sweep(mut self, sweep: bool) -> Self {
        self.sweep = sweep;
        self
    }

    /// Whether everybody may connect to the unix sockets of the host's broker whom the modes of their
    /// files let in. They may not unless this is called; see [`allow_users`](Self::allow_users).
    pub fn allow_any_user(mut self, allow: bool) -> Self {
        self.settings.listen.allowed.anyone = allow;
        self
    }
}
