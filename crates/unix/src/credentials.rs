//! Whose a unix socket is, as the system tells whoever connects to it.
#![allow(unsafe_code)]

use std::path::Path;

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
        peer_pid(&socket)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _not_told = path;
        None
    }
}

/// Read as a plain number: it is 0 for a process that is not in this one's view.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer_pid(socket: &impl std::os::fd::AsRawFd) -> Option<u32> {
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
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    let pid = u32::try_from(credentials.pid).ok()?;
    (told == 0 && pid != 0).then_some(pid)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

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
