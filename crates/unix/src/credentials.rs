//! Who is at the other end of a unix socket, as the system tells both who connects and who accepts.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::Path;

use outboard_core::admission::Credentials;

/// Who has connected to a unix socket, as of that moment; `None` on systems of which it is not known
/// here how they tell.
///
/// Linux and Android tell user, groups and process (`SO_PEERCRED`, and `SO_PEERGROUPS` from 4.13 on),
/// macOS and the BSDs user and group (`getpeereid`).
///
/// # Errors
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) if the system, asked for it, does not tell:
/// who has connected is gone already.
pub fn peer(socket: impl AsFd) -> io::Result<Option<Credentials>> {
    told(socket).map_err(|error| {
        let text = format!("the system does not tell who has connected: {error}");
        io::Error::new(io::ErrorKind::ConnectionAborted, text)
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn told(socket: impl AsFd) -> io::Result<Option<Credentials>> {
    let socket = socket.as_fd();
    let told = peer_credentials(&socket)?;
    let mut credentials = Credentials::new(told.uid, told.gid);
    credentials.pid = u32::try_from(told.pid).ok().filter(|pid| *pid != 0);
    credentials.groups = peer_groups(&socket);
    Ok(Some(credentials))
}

#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
))]
fn told(socket: impl AsFd) -> io::Result<Option<Credentials>> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: the descriptor is borrowed for the call, and both pointers are to locals that live
    // through it.
    let told =
        unsafe { libc::getpeereid(socket.as_fd().as_raw_fd(), &raw mut user, &raw mut group) };
    match told {
        0 => Ok(Some(Credentials::new(user, group))),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
fn told(_: impl AsFd) -> io::Result<Option<Credentials>> {
    Ok(None)
}

/// The groups of a peer beside its first; `None` if the kernel does not know the question.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer_groups(socket: &impl AsFd) -> Option<Vec<u32>> {
    #[cfg(target_os = "linux")]
    use libc::SO_PEERGROUPS;
    /// As on all processors that Android has (asm-generic/socket.h); libc does not name it there.
    #[cfg(target_os = "android")]
    const SO_PEERGROUPS: libc::c_int = 59;

    /// As many as a process can have.
    const MOST: usize = 65_536;
    let mut groups = vec![0_u32; 32];
    loop {
        let mut length = libc::socklen_t::try_from(size_of_val(&*groups)).ok()?;
        // SAFETY: the descriptor is borrowed for the call, the list and its length are locals that
        // live through it, `length` is the list's size in bytes, and every bit pattern is a number.
        let told = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = usize::try_from(length).ok()? / size_of::<u32>();
        if told == 0 {
            groups.truncate(count);
            return Some(groups);
        }
        // It says how many there are.
        let is_short = io::Error::last_os_error().raw_os_error() == Some(libc::ERANGE);
        if !is_short || count <= groups.len() || count > MOST {
            return None;
        }
        groups.resize(count, 0);
    }
}

/// The process that listens at a unix socket, by a connection that is closed at once; `None` if nobody
/// does, the system does not tell, or the process is in no view of this one. Never blocks.
#[must_use]
pub fn listener_pid(path: &Path) -> Option<u32> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

        let address = SocketAddrUnix::new(path).ok()?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
        rustix::net::connect(&socket, &address).ok()?;
        let told = peer_credentials(&socket).ok()?;
        u32::try_from(told.pid).ok().filter(|pid| *pid != 0)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _not_told = path;
        None
    }
}

/// Read as plain numbers: that of the process is 0 for one that is not in this one's view.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer_credentials(socket: &impl AsFd) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: both pointers are to locals that live through the call, and `length` is the size of the
    // first, all of whose bit patterns are values.
    let told = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    match told {
        0 => Ok(credentials),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn who_has_connected_is_told() {
        let (near, _far) = UnixStream::pair().expect("a pair");
        let peer = peer(&near).expect("told").expect("Linux tells");
        assert_eq!(peer.user, rustix::process::geteuid().as_raw());
        assert_eq!(peer.group, rustix::process::getegid().as_raw());
        assert_eq!(peer.pid, Some(std::process::id()));
        let mut own: Vec<u32> = rustix::process::getgroups()
            .expect("told")
            .into_iter()
            .map(rustix::process::Gid::as_raw)
            .collect();
        own.sort_unstable();
        let mut groups = peer.groups.expect("this kernel tells");
        groups.sort_unstable();
        assert_eq!(groups, own);
    }

    #[test]
    fn what_is_no_unix_socket_tells_nothing() {
        let (near, _far) = io::pipe().expect("a pipe");
        let error = peer(&near).expect_err("a pipe has no peer");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[test]
    fn the_process_behind_a_socket_is_told() {
        let path =
            std::env::temp_dir().join(format!("outboard-credentials-{}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("binds");
        assert_eq!(listener_pid(&path), Some(std::process::id()));
        drop(listener);
        // A child that another test starts right now may still hold it, but no name leads there.
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(listener_pid(&path), None);
    }
}
