//! Socket files that somebody else has left behind.

use std::path::Path;

/// Removes a socket file that a peer, now dead, has left behind; anything but a socket stays, and
/// any socket that may be in use. Never blocks on whoever listens: the peer chose the path.
pub(crate) fn remove_stale_socket(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        let is_socket =
            std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
        if is_socket && is_dead(path) {
            // Or removed by somebody else meanwhile.
            let _gone = std::fs::remove_file(path);
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Whether the socket file at `path` is one that no process holds any more. Other reasons not to be
/// able to connect (no permission) say nothing of the kind.
///
/// The question is asked with the wrong kind of socket: then a holder that does not listen, or not
/// yet, is told apart from none ("wrong type" from "refused"), and nobody gets a connection.
#[cfg(unix)]
pub(super) fn is_dead(path: &Path) -> bool {
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect};

    let Ok(address) = SocketAddrUnix::new(path) else {
        return false;
    };
    super::socket::new_socket(AddressFamily::UNIX, SocketType::DGRAM).is_ok_and(|socket| {
        rustix::io::ioctl_fionbio(&socket, true).is_ok()
            && connect(&socket, &address) == Err(Errno::CONNREFUSED)
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::time::{Duration, Instant};

    #[test]
    fn only_a_socket_that_nobody_holds_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let live = UnixListener::bind(at("live")).expect("binds");
        let datagrams = UnixDatagram::bind(at("datagrams")).expect("binds");
        drop(UnixListener::bind(at("dead")).expect("binds"));
        let address = SocketAddrUnix::new(at("early")).expect("short");
        let early = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None);
        let early = early.expect("a socket");
        rustix::net::bind(&early, &address).expect("binds, and does not listen yet");
        std::fs::write(at("file"), "text").expect("written");
        std::os::unix::fs::symlink(at("dead"), at("link")).expect("linked");
        let is_there = |name| std::fs::symlink_metadata(at(name)).is_ok();
        for name in ["live", "early", "datagrams", "file", "link"] {
            remove_stale_socket(&at(name));
            assert!(is_there(name), "{name}");
        }
        // A process that another test starts right now may still hold it.
        let began = Instant::now();
        while is_there("dead") {
            assert!(began.elapsed() < Duration::from_secs(20));
            remove_stale_socket(&at("dead"));
        }
        drop((live, early, datagrams));
    }

    #[test]
    fn a_listener_that_accepts_nobody_does_not_hold_up_the_host() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("busy");
        let _busy = UnixListener::bind(&path).expect("binds");
        let (connected, one) = std::sync::mpsc::channel();
        let filling = path.clone();
        // Until the backlog is full; then the thread blocks and ends with the test.
        std::thread::spawn(move || {
            let mut connections = Vec::new();
            while let Ok(connection) = UnixStream::connect(&filling) {
                connections.push(connection);
                if connected.send(()).is_err() {
                    return;
                }
            }
        });
        while one.recv_timeout(Duration::from_millis(500)).is_ok() {}
        let (done, returned) = std::sync::mpsc::channel();
        let looking = path.clone();
        std::thread::spawn(move || {
            remove_stale_socket(&looking);
            let _over = done.send(());
        });
        let limit = Duration::from_secs(20);
        returned.recv_timeout(limit).expect("it does not wait");
        assert!(path.exists());
    }
}
