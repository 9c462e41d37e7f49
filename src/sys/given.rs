//! Listening sockets that somebody else has made.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use outboard_core::endpoint::{Endpoint, EndpointError};
use outboard_core::rt::OsSocket;

use super::bound::Bound;
#[cfg(unix)]
use super::files::SocketFile;

/// Why a socket that a plugin was given does not do for its host to connect to.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum UnfitListener {
    /// Of another kind: datagrams, or no socket at all.
    #[error("it is no stream socket: expected a unix or a TCP socket that listens")]
    NotAStream,
    /// Nothing has called `listen` on it.
    #[error("it does not listen: call listen on it, or give a UnixListener or a TcpListener")]
    NotListening,
    /// It has an address by which nobody finds it.
    #[error(
        "it has no address that a host could be told: expected a path, a name in text, or a port"
    )]
    NoAddress,
    /// Its path is not one that hosts take.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The system does not tell about it.
    #[error("the system does not tell about it: {0}")]
    System(io::Error),
}

outboard_core::debug_as_text!(UnfitListener);

/// Takes over a socket that listens. Its file stays unless it is to be `removed`.
///
/// # Errors
/// See [`UnfitListener`].
pub(crate) fn take(socket: OsSocket, removed: bool) -> Result<Bound, UnfitListener> {
    #[cfg(unix)]
    unix::check(&socket)?;
    let (socket, endpoint) = address(socket)?;
    endpoint.check()?;
    #[cfg(unix)]
    let file = endpoint.socket_file().filter(|_| removed);
    #[cfg(not(unix))]
    let _no_files = removed;
    Ok(Bound {
        socket,
        #[cfg(unix)]
        file: file.map(|path| SocketFile::new(path.to_owned())),
        #[cfg(not(unix))]
        file: None,
        endpoint,
        group: None,
    })
}

fn address(socket: OsSocket) -> Result<(OsSocket, Endpoint), UnfitListener> {
    let listener = TcpListener::from(socket);
    match listener.local_addr() {
        Ok(address) => Ok((listener.into(), Endpoint::Tcp(reached(address).to_string()))),
        #[cfg(unix)]
        Err(_) => unix::address(listener.into()),
        #[cfg(not(unix))]
        Err(error) => Err(UnfitListener::System(error)),
    }
}

/// Where a host of this machine connects to what is bound to an address: to its own for all of them.
fn reached(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

#[cfg(unix)]
mod unix {
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::path::PathBuf;

    use rustix::io::Errno;
    use rustix::net::{SocketType, sockopt};

    use super::*;

    pub(super) fn check(socket: &OsSocket) -> Result<(), UnfitListener> {
        match sockopt::socket_type(socket) {
            Ok(SocketType::STREAM) => {}
            Ok(_) | Err(Errno::NOTSOCK) => return Err(UnfitListener::NotAStream),
            Err(error) => return Err(UnfitListener::System(error.into())),
        }
        // Apple's systems do not answer that.
        #[cfg(not(target_vendor = "apple"))]
        match sockopt::socket_acceptconn(socket) {
            Ok(true) => {}
            Ok(false) => return Err(UnfitListener::NotListening),
            Err(error) => return Err(UnfitListener::System(error.into())),
        }
        Ok(())
    }

    pub(super) fn address(socket: OsSocket) -> Result<(OsSocket, Endpoint), UnfitListener> {
        let listener = UnixListener::from(socket);
        // Of neither kind: a socket of another family.
        let address = listener
            .local_addr()
            .map_err(|_| UnfitListener::NotAStream)?;
        let path = path(&address).ok_or(UnfitListener::NoAddress)?;
        Ok((listener.into(), Endpoint::Unix(path)))
    }

    fn path(address: &SocketAddr) -> Option<PathBuf> {
        if let Some(path) = address.as_pathname() {
            // Whoever is told of it may have another working directory.
            return std::path::absolute(path).ok();
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            #[cfg(target_os = "android")]
            use std::os::android::net::SocketAddrExt as _;
            #[cfg(target_os = "linux")]
            use std::os::linux::net::SocketAddrExt as _;

            let name = str::from_utf8(address.as_abstract_name()?).ok()?;
            (!name.contains('\0')).then(|| format!("@{name}").into())
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        None
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;

    fn taken(socket: impl Into<OwnedFd>) -> Result<Endpoint, UnfitListener> {
        take(socket.into(), false).map(|bound| bound.endpoint)
    }

    #[test]
    fn a_listener_tells_where_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let bind = || UnixListener::bind(&path).expect("bound");
        assert_eq!(taken(bind()).expect("fit"), Endpoint::Unix(path.clone()));
        assert!(path.exists(), "it is another's");
        std::fs::remove_file(&path).expect("there");
        drop(take(bind().into(), true).expect("fit"));
        assert!(!path.exists(), "it was to be removed");
        for (bound, host) in [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")] {
            let tcp = TcpListener::bind((bound, 0)).expect("bound");
            let port = tcp.local_addr().expect("bound").port();
            let endpoint = Endpoint::Tcp(format!("{host}:{port}"));
            assert_eq!(taken(tcp).expect("fit"), endpoint);
        }
        let all = "[::]:7".parse().expect("an address");
        assert_eq!(reached(all).to_string(), "[::1]:7");
    }

    #[test]
    fn a_path_is_whole_although_it_was_bound_without() {
        let here = std::env::current_dir().expect("a directory");
        let dir = tempfile::TempDir::with_prefix_in("given", &here).expect("a directory");
        let name = dir.path().file_name().expect("a name");
        let path = std::path::Path::new(name).join("s");
        let listener = UnixListener::bind(&path).expect("bound");
        let whole = Endpoint::Unix(dir.path().join("s"));
        assert_eq!(taken(listener).expect("fit"), whole);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_without_a_file_is_told_as_in_go() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;

        let name = format!("outboard-given-{}", std::process::id());
        let bind = |name: &[u8]| {
            let address = SocketAddr::from_abstract_name(name).expect("short");
            UnixListener::bind_addr(&address).expect("free")
        };
        let endpoint = taken(bind(name.as_bytes())).expect("fit");
        assert_eq!(endpoint, Endpoint::Unix(format!("@{name}").into()));
        assert!(endpoint.is_abstract());
        let odd = [name.as_bytes(), b"\xff"].concat();
        let error = taken(bind(&odd)).expect_err("not text");
        assert!(matches!(error, UnfitListener::NoAddress), "{error}");
    }

    #[test]
    fn what_does_not_do_is_told() {
        let (pair, _other) = UnixStream::pair().expect("a pair");
        let error = taken(pair).expect_err("connected");
        assert!(matches!(error, UnfitListener::NotListening), "{error}");
        let datagrams = UnixDatagram::unbound().expect("a socket");
        let error = taken(datagrams).expect_err("of datagrams");
        assert!(matches!(error, UnfitListener::NotAStream), "{error}");
        let (pipe, _other) = io::pipe().expect("a pipe");
        let error = taken(pipe).expect_err("no socket");
        assert!(matches!(error, UnfitListener::NotAStream), "{error}");
        use rustix::net::{AddressFamily, SocketType, listen, socket};
        let unbound = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
        let _the_system_may_refuse = listen(&unbound, 1);
        taken(unbound).expect_err("nobody could find it");
    }
}
