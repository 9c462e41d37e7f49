//! Who may connect to a unix socket: what the system tells of who has connected, and whether they are
//! let in.

use std::collections::BTreeSet;

/// Who is at the other end of a unix socket, as the system tells it, in the numbers of this process's
/// own user namespace. A user or group that has no number there comes as one that stands for all of
/// those (65534 on Linux).
///
/// They are those of the moment when the connection was made: whoever has handed the descriptor on
/// since, or has changed its user, is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The number of the effective user.
    pub user: u32,
    /// The number of the effective group.
    pub group: u32,
    /// The numbers of the other groups. `None` where the system does not tell.
    pub groups: Option<Vec<u32>>,
    /// The number of the process, where the system tells and this process has one for it.
    pub pid: Option<u32>,
}

impl Credentials {
    /// A user and a group, of which nothing more is known.
    #[must_use]
    pub fn new(user: u32, group: u32) -> Self {
        Self {
            user,
            group,
            groups: None,
            pid: None,
        }
    }

    /// Whether it is in this group; `None` if the system does not tell.
    fn is_in(&self, group: u32) -> Option<bool> {
        if self.group == group {
            return Some(true);
        }
        Some(self.groups.as_ref()?.contains(&group))
    }
}

/// Whom an application lets connect beside those who may anyway; nobody by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowed {
    /// The numbers of users.
    pub users: BTreeSet<u32>,
    /// Everybody whom the modes of the socket and of its directories let in.
    pub anyone: bool,
}

/// The rule of one socket.
///
/// Let in are, whatever is [allowed](Allowed) beside:
///
/// - the user of this process, and root;
/// - who owns the directory of the socket, and could put another one in its place: a plugin that runs
///   as another user finds its host so, which has made the directory;
/// - the members of the group that the socket was given to. Where the system does not tell of what
///   groups a peer is, the mode of the socket's file alone says so.
///
/// ```
/// use outboard_core::admission::{Admission, Allowed, Credentials};
///
/// let admission = Admission::new(Allowed::default());
/// assert!(admission.check(1000, &Credentials::new(1000, 1000)).is_ok());
/// let stranger = admission.check(1000, &Credentials::new(1001, 1000)).unwrap_err();
/// assert!(stranger.to_string().contains("user 1001"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    allowed: Allowed,
    owner: Option<u32>,
    group: Option<u32>,
}

/// The number of the user who may do everything.
const ROOT: u32 = 0;

impl Admission {
    /// That of a socket without a directory and a group.
    #[must_use]
    pub fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            owner: None,
            group: None,
        }
    }

    /// The same, in a directory of this user.
    #[must_use]
    pub fn in_directory_of(mut self, owner: Option<u32>) -> Self {
        self.owner = owner;
        self
    }

    /// The same, of a socket that was given to this group.
    #[must_use]
    pub fn given_to(mut self, group: Option<u32>) -> Self {
        self.group = group;
        self
    }

    /// Whether a peer is let in by a process whose effective user is `own`.
    ///
    /// # Errors
    /// [`Stranger`] if it is not.
    pub fn check(&self, own: u32, peer: &Credentials) -> Result<(), Stranger> {
        let user = peer.user;
        let is_known = user == own || user == ROOT || self.owner == Some(user);
        let is_allowed = self.allowed.anyone || self.allowed.users.contains(&user);
        let is_member = || {
            let member = |group| peer.is_in(group).unwrap_or(true);
            self.group.is_some_and(member)
        };
        if is_known || is_allowed || is_member() {
            return Ok(());
        }
        Err(Stranger {
            user,
            pid: peer.pid,
            own,
            owner: self.owner.filter(|owner| ![own, ROOT].contains(owner)),
            group: self.group,
        })
    }
}

/// Somebody has connected to a unix socket who may not, and was hung up on.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "user {user}{} may not connect to this socket, only {}; if that user is to be let in, allow it \
     (Plugin::allow_users, Host::allow_users)",
    process(*.pid), expected(*.own, *.owner, *.group)
)]
#[non_exhaustive]
pub struct Stranger {
    /// The number of the user.
    pub user: u32,
    /// The number of the process, if that is known.
    pub pid: Option<u32>,
    /// The user of this process.
    pub own: u32,
    /// The user of the socket's directory, if that is another one than this and root.
    pub owner: Option<u32>,
    /// The group that may connect.
    pub group: Option<u32>,
}

crate::debug_as_text!(Stranger);

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

fn expected(own: u32, owner: Option<u32>, group: Option<u32>) -> String {
    let users = BTreeSet::from([Some(ROOT), Some(own), owner]);
    let users = users
        .into_iter()
        .flatten()
        .map(|user| format!("user {user}"));
    let group = group.map(|group| format!("members of group {group}"));
    users.chain(group).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 1000;

    fn peer(user: u32) -> Credentials {
        Credentials::new(user, 100)
    }

    #[test]
    fn the_same_user_and_root_are_let_in_and_nobody_else() {
        let admission = Admission::new(Allowed::default());
        assert_eq!(admission.check(OWN, &peer(OWN)), Ok(()));
        assert_eq!(admission.check(OWN, &peer(0)), Ok(()));
        for user in [1, 1001, 65534, u32::MAX] {
            let stranger = admission.check(OWN, &peer(user)).expect_err("a stranger");
            assert_eq!((stranger.user, stranger.own), (user, OWN));
        }
        // Root's own sockets are root's.
        admission.check(0, &peer(OWN)).expect_err("a stranger");
    }

    #[test]
    fn who_could_replace_the_socket_is_let_in() {
        let admission = Admission::new(Allowed::default()).in_directory_of(Some(7));
        assert_eq!(admission.check(OWN, &peer(7)), Ok(()));
        admission.check(OWN, &peer(8)).expect_err("a stranger");
    }

    #[test]
    fn members_of_the_group_are_let_in() {
        let admission = Admission::new(Allowed::default()).given_to(Some(77));
        let mut member = peer(8);
        member.group = 77;
        assert_eq!(admission.check(OWN, &member), Ok(()));
        let mut member = peer(8);
        member.groups = Some(vec![3, 77]);
        assert_eq!(admission.check(OWN, &member), Ok(()));
        member.groups = Some(vec![3]);
        admission.check(OWN, &member).expect_err("no member");
        // The mode of the file has said so.
        member.groups = None;
        assert_eq!(admission.check(OWN, &member), Ok(()));
        // Groups count for nothing where the socket was given to none.
        let admission = Admission::new(Allowed::default());
        admission.check(OWN, &member).expect_err("a stranger");
    }

    #[test]
    fn who_is_allowed_is_let_in() {
        let mut allowed = Allowed::default();
        allowed.users.extend([8, 9]);
        let admission = Admission::new(allowed.clone());
        assert_eq!(admission.check(OWN, &peer(9)), Ok(()));
        admission.check(OWN, &peer(10)).expect_err("a stranger");
        allowed.anyone = true;
        assert_eq!(Admission::new(allowed).check(OWN, &peer(10)), Ok(()));
    }

    #[test]
    fn a_stranger_is_told_with_who_is_none() {
        let admission = Admission::new(Allowed::default())
            .in_directory_of(Some(7))
            .given_to(Some(77));
        let mut peer = peer(8);
        peer.pid = Some(4711);
        peer.groups = Some(Vec::new());
        let text = admission.check(OWN, &peer).expect_err("no").to_string();
        for part in [
            "user 8 (process 4711) may not",
            "only user 0, user 7, user 1000, members of group 77;",
            "Plugin::allow_users",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let admission = Admission::new(Allowed::default()).in_directory_of(Some(0));
        let stranger = admission.check(OWN, &peer).expect_err("no");
        assert_eq!(stranger.owner, None, "root is let in anyway");
    }
}
