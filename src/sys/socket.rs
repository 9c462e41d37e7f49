//! Listening sockets: unix sockets only their owner can connect to, TCP ports within a range.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use outboard_core::endpoint::{Endpoint, EndpointError};
use outboard_core::env::Ports;
#[cfg(unix)]
use outboard_core::rt::OsSocket;

#[cfg(unix)]
use super::files::SocketFile;
use super::given::UnfitListener;

pub(crate) use super::bound::Bound;

/// Why no socket could be made.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The path is too long, or cannot be one.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The unix socket could not be made.
    #[error(
        "cannot listen on a unix socket in {}: does the directory exist, and may this user write \
         there? Choose another with TMPDIR or PLUGIN_UNIX_SOCKET_DIR",
        dir.display()
    )]
    Unix {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The group of `PLUGIN_UNIX_SOCKET_GROUP` could not be given the socket.
    #[error(
        "cannot give the socket to group {group:?}: the group must exist and this user be a member"
    )]
    Group {
        /// The group, as given.
        group: String,
        /// What the system said.
        source: io::Error,
    },
    /// The socket that the plugin was given does not do.
    #[error("the plugin cannot use the listener that it was given: {0}")]
    Given(UnfitListener),
    /// The runtime could not take the socket over.
    #[error("the async runtime cannot take over the listening socket: {0}")]
    Register(io::Error),
    /// No port of the range was free.
    #[error(
        "none of the TCP ports allowed ({ports:?}) can be bound on 127.0.0.1: all are taken or \
         reserved; widen PLUGIN_MIN_PORT and PLUGIN_MAX_PORT"
    )]
    NoPort {
        /// The ports tried.
        ports: Ports,
        /// What the system said of the last one.
        source: io::Error,
    },
}

outboard_core::debug_as_text!(ListenError);

/// Names tried before a directory counts as unusable: names are random, so one retry is rare.
const NAMES: usize = 16;

/// Listens on a fresh unix socket named `plugin` and a number, as go-plugin names them.
///
/// Only the owner can connect (mode 0600); with a group, its members too (mode 0660).
///
/// # Errors
/// See [`ListenError`].
#[cfg(unix)]
pub(crate) fn listen_unix(dir: &Path, group: Option<&str>) -> Result<Bound, ListenError> {
    let failed = |source| ListenError::Unix {
        dir: dir.to_owned(),
        source,
    };
    // Whoever is told of it may have another working directory, and takes a name that begins with
    // '@' for an abstract one.
    let dir = &std::path::absolute(dir).map_err(failed)?;
    let mut attempt = 1;
    loop {
        let path = dir.join(format!("plugin{}", super::random::number()));
        let endpoint = Endpoint::unix(&path)?;
        match bind_unix(&path, |socket| rustix::net::listen(socket, BACKLOG)) {
            Ok((socket, file)) => {
                let group = group.map(|group| give_to_group(&path, group));
                let group = group.transpose()?;
                return Ok(Bound {
                    socket,
                    endpoint,
                    file: Some(file),
                    group,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < NAMES => {
                attempt += 1;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(not(unix))]
pub(crate) fn listen_unix(dir: &Path, _group: Option<&str>) -> Result<Bound, ListenError> {
    Err(ListenError::Unix {
        dir: dir.to_owned(),
        source: io::ErrorKind::Unsupported.into(),
    })
}

/// Whatever fails, no file stays.
#[cfg(unix)]
fn bind_unix(
    path: &Path,
    listen: impl FnOnce(&OsSocket) -> rustix::io::Result<()>,
) -> io::Result<(OsSocket, SocketFile)> {
    use rustix::fs::{Mode, chmod, fchmod};
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind};

    let private = Mode::RUSR | Mode::WUSR;
    let address = SocketAddrUnix::new(path)?;
    let socket = new_socket(AddressFamily::UNIX, SocketType::STREAM)?;
    // Linux gives the file the mode of the unbound socket, so that at no moment anybody else
    // could connect. Other systems refuse or ignore this; there the mode follows the bind.
    let early = cfg!(target_os = "linux") && fchmod(&socket, private).is_ok();
    bind(&socket, &address)?;
    let file = SocketFile::new(path.to_owned());
    if !early {
        chmod(path, private)?;
    }
    listen(&socket)?;
    Ok((socket, file))
}

/// Connections the kernel holds until they are accepted, as in the standard library.
#[cfg(unix)]
const BACKLOG: i32 = 128;

#[cfg(unix)]
pub(super) fn new_socket(
    family: rustix::net::AddressFamily,
    kind: rustix::net::SocketType,
) -> io::Result<OsSocket> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::net::SocketFlags;
        Ok(rustix::net::socket_with(
            family,
            kind,
            SocketFlags::CLOEXEC,
            None,
        )?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        use rustix::io::{FdFlags, fcntl_setfd};
        let socket = rustix::net::socket(family, kind, None)?;
        fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        Ok(socket)
    }
}

/// The number of the group.
#[cfg(unix)]
fn give_to_group(path: &Path, group: &str) -> Result<u32, ListenError> {
    use rustix::fs::{Gid, Mode, chmod, chown};

    let give = || -> io::Result<u32> {
        let number = super::group::resolve(group)?;
        chown(path, None, Some(Gid::from_raw(number)))?;
        chmod(path, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP)?;
        Ok(number)
    };
    give().map_err(|source| ListenError::Group {
        group: group.to_owned(),
        source,
    })
}

/// Listens on the first port of the range that can be bound on 127.0.0.1; the system chooses
/// if any will do.
///
/// # Errors
/// [`ListenError::NoPort`].
pub(crate) fn listen_tcp(ports: Ports) -> Result<Bound, ListenError> {
    let mut last = io::Error::from(io::ErrorKind::InvalidInput);
    for port in ports.iter() {
        match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Ok(listener) => {
                let address = listener.local_addr();
                let address = address.map_err(|source| ListenError::NoPort { ports, source })?;
                let endpoint = Endpoint::Tcp(address.to_string());
                return Ok(Bound {
                    socket: listener.into(),
                    endpoint,
                    file: None,
                    group: None,
                });
            }
            Err(error) => last = error,
        }
    }
    Err(ListenError::NoPort {
        ports,
        source: last,
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

    #[test]
    fn unix_sockets_are_private_and_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let bound = listen_unix(dir.path(), None).expect("listens");
        let path = bound.endpoint.socket_file().expect("a file").to_owned();
        let meta = std::fs::metadata(&path).expect("exists");
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.mode() & 0o777, 0o600);
        assert!(
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .starts_with("plugin")
        );
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn no_file_stays_where_listening_fails() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let failed = bind_unix(&path, |_| {
            assert!(path.exists());
            Err(rustix::io::Errno::NOBUFS)
        });
        let error = failed.expect_err("it cannot listen");
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::NOBUFS.raw_os_error())
        );
        assert!(!path.exists());
    }

    #[test]
    fn a_relative_directory_is_announced_by_its_whole_path() {
        let here = std::env::current_dir().expect("a directory");
        let mut dir = tempfile::Builder::new();
        let dir = dir.prefix("@").disable_cleanup(false).tempdir_in(&here);
        let dir = dir.expect("a directory");
        let name = Path::new(dir.path().file_name().expect("a name"));
        let bound = listen_unix(name, None).expect("listens");
        let file = bound.endpoint.socket_file().expect("a file");
        assert_eq!(file.parent(), Some(dir.path()));
        let address = bound.endpoint.address();
        let found = Endpoint::parse("unix", &address).expect("an address");
        assert_eq!(found, bound.endpoint);
    }

    #[test]
    fn a_group_gets_the_socket() {
        let dir = tempfile::tempdir().expect("a directory");
        let own = rustix::process::getgid().as_raw().to_string();
        let bound = listen_unix(dir.path(), Some(&own)).expect("listens");
        let meta = std::fs::metadata(bound.endpoint.socket_file().expect("a file")).expect("is");
        assert_eq!((meta.mode() & 0o777, meta.gid().to_string()), (0o660, own));
        let error = listen_unix(dir.path(), Some("no-such-group-here")).expect_err("unknown");
        assert!(matches!(error, ListenError::Group { .. }), "{error}");
        drop(bound);
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
    }

    #[test]
    fn bad_directories_are_named() {
        let error = listen_unix(Path::new("/no/such/place"), None).expect_err("missing");
        assert!(error.to_string().contains("/no/such/place"), "{error}");
        let long = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
        let error = listen_unix(&long, None).expect_err("too long");
        assert!(matches!(
            error,
            ListenError::Endpoint(EndpointError::UnixPathTooLong { .. })
        ));
    }

    #[test]
    fn tcp_takes_the_first_free_port_of_the_range() {
        let first = listen_tcp(Ports::Any).expect("any port");
        let Endpoint::Tcp(address) = &first.endpoint else {
            panic!("tcp")
        };
        let port: u16 = address
            .rsplit(':')
            .next()
            .and_then(|p| p.parse().ok())
            .expect("a port");
        let error = listen_tcp(Ports::Range {
            min: port,
            max: port,
        })
        .expect_err("taken");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }
}
