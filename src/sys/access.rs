//! Who may connect to a socket, and why not: modes and owners on the way to it, and what the numbers mean
//! where users are mapped.

use std::path::Path;

use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;

/// The effective user of this process, where there are such numbers.
pub(crate) fn own_user() -> Option<u32> {
    #[cfg(unix)]
    return Some(rustix::process::geteuid().as_raw());
    #[cfg(not(unix))]
    None
}

/// To whom a directory belongs, if it is there.
pub(crate) fn owner(dir: &Path) -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(dir).ok().map(|meta| meta.uid())
    }
    #[cfg(not(unix))]
    {
        let _nobody_by_number = dir;
        None
    }
}

/// Adds to a connection that was refused for want of permission what the file system says of it.
pub(crate) fn explained(to: &Endpoint, fault: Fault) -> Fault {
    #[cfg(unix)]
    if let Some(file) = to.socket_file()
        && fault.kind == std::io::ErrorKind::PermissionDenied
    {
        let message = format!("{}; {}", fault.message, unix::facts(file));
        return Fault::new(fault.kind, message);
    }
    #[cfg(not(unix))]
    let _there_are_no_files = to;
    fault
}

#[cfg(unix)]
mod unix {
    use std::fmt::Write as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use outboard_core::diagnose::name_of;
    use rustix::process::{getegid, geteuid, getgroups};

    /// How many directories above the socket are looked at.
    const DIRECTORIES: usize = 2;

    /// What is known of the socket's file, the directories that it is in, and this process.
    pub(super) fn facts(file: &Path) -> String {
        let users = std::fs::read("/etc/passwd").unwrap_or_default();
        let groups = std::fs::read("/etc/group").unwrap_or_default();
        let subordinate = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        let mut text = String::new();
        for path in file.ancestors().take(1 + DIRECTORIES) {
            // Writing to a string does not fail.
            let _written = match std::fs::symlink_metadata(path) {
                Ok(data) => write!(
                    text,
                    "{} has mode {:04o}, user {}, group {}; ",
                    path.display(),
                    data.mode() & 0o7777,
                    named(data.uid(), &users),
                    named(data.gid(), &groups),
                ),
                Err(error) => write!(text, "{} cannot be looked at: {error}; ", path.display()),
            };
        }
        let _written = write!(
            text,
            "this process has user {}, group {}",
            named(user, &users),
            named(group, &groups)
        );
        let others = getgroups().unwrap_or_default();
        let others: Vec<String> = others.iter().map(|id| id.as_raw().to_string()).collect();
        if !others.is_empty() {
            let _written = write!(text, " and the groups {}", others.join(", "));
        }
        let own = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        if let Some(map) = mapped(&own) {
            let _written = write!(
                text,
                "; its users are mapped (inside, outside, count): {map}"
            );
        }
        let owner = std::fs::symlink_metadata(file).map(|data| data.uid());
        if let Ok(owner) = owner
            && owner != user
        {
            let name = name_of(&users, user);
            let _written = match inside(&subordinate, user, name.as_deref(), owner) {
                Some(inside) => write!(
                    text,
                    "; the socket's user is one of this user's own subordinate numbers (/etc/subuid), \
                     in a rootless container user {inside}: run the plugin as its root, or give both a \
                     group with Host::socket_group"
                ),
                None => write!(
                    text,
                    "; run the plugin as this process's user, or give both a group with \
                     Host::socket_group"
                ),
            };
        }
        text
    }

    fn named(id: u32, database: &[u8]) -> String {
        match name_of(database, id) {
            Some(name) => format!("{id} ({name})"),
            None => id.to_string(),
        }
    }

    /// The map, on one line, unless every number is its own.
    fn mapped(map: &str) -> Option<String> {
        let lines: Vec<String> = map
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let own = lines == ["0 0 4294967295"] || lines.is_empty();
        (!own).then(|| lines.join(", "))
    }

    /// Which user of a rootless container has this number outside, where the container is one of `user`
    /// whose subordinate numbers are these: number 0 there is the user itself, and they follow.
    fn inside(subordinate: &str, user: u32, name: Option<&str>, outside: u32) -> Option<u64> {
        let number = user.to_string();
        let mut before = 1;
        for line in subordinate.lines() {
            let mut fields = line.trim().split(':');
            let of = fields.next()?;
            let range = fields.next().and_then(|first| first.parse::<u64>().ok());
            let count = fields.next().and_then(|count| count.parse::<u64>().ok());
            let (Some(first), Some(count)) = (range, count) else {
                continue;
            };
            if of != number && Some(of) != name {
                continue;
            }
            let outside = u64::from(outside);
            if let Some(nth) = outside.checked_sub(first).filter(|nth| *nth < count) {
                return Some(before + nth);
            }
            before = before.saturating_add(count);
        }
        None
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_number_of_a_rootless_container_is_found_in_the_users_ranges() {
            let file =
                "someone:100000:65536\nme:165536:1000\n# a comment\nme:bad:1\n1000:300000:10\n";
            let of_me = |outside| inside(file, 1000, Some("me"), outside);
            assert_eq!(of_me(165_536), Some(1));
            assert_eq!(of_me(166_535), Some(1000));
            assert_eq!(of_me(300_000), Some(1001));
            assert_eq!(of_me(100_000), None, "another's");
            assert_eq!(of_me(0), None);
            assert_eq!(inside("", 1000, None, 5), None);
        }

        #[test]
        fn a_map_is_told_where_there_is_one() {
            assert_eq!(mapped("         0          0 4294967295\n"), None);
            assert_eq!(mapped(""), None);
            let rootless = "         0       1000          1\n         1     100000      65536\n";
            assert_eq!(
                mapped(rootless).as_deref(),
                Some("0 1000 1, 1 100000 65536")
            );
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_may_not_be_connected_to_is_told_with_mode_and_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("plugin1");
        std::fs::write(&path, "").expect("written");
        for (path, mode) in [(&*path, 0o640), (dir.path(), 0o700)] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, mode).expect("ours");
        }
        let to = Endpoint::Unix(path.clone());
        let fault = |kind| Fault::new(kind, "denied");
        let told = explained(&to, fault(ErrorKind::PermissionDenied)).message;
        let uid = rustix::process::geteuid().as_raw();
        let socket = format!("{} has mode 0640, user {uid}", path.display());
        assert!(
            told.starts_with("denied; ") && told.contains(&socket),
            "{told}"
        );
        let parent = format!("{} has mode 0700", dir.path().display());
        assert!(told.contains(&parent), "{told}");
        assert!(told.contains("this process has user"), "{told}");
        let other = fault(ErrorKind::ConnectionRefused);
        assert_eq!(explained(&to, other.clone()), other);
    }
}
