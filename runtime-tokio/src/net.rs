//! Sockets: connecting and accepting.

use std::io::Result;
use std::task::{Context, Poll, ready};

use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{Accepted, BoxByteStream, Listener, OsSocket};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

pub(crate) async fn connect(handle: Handle, to: Endpoint) -> Result<BoxByteStream> {
    match to {
        Endpoint::Tcp(address) => {
            // An empty host means this machine, as in Go.
            let address = match address.strip_prefix(':') {
                Some(port) => format!("localhost:{port}"),
                None => address,
            };
            tcp(handle, TcpStream::connect(address).await?)
        }
        #[cfg(unix)]
        Endpoint::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(unix_name(path)).await?;
            crate::socket::stream(handle, stream.into_std()?)
        }
        #[cfg(windows)]
        Endpoint::Unix(_) => Err(no_unix_sockets()),
        other => Err(other.unsupported()),
    }
}

pub(crate) fn listener(
    handle: Handle,
    socket: OsSocket,
    local: Endpoint,
) -> Result<Box<dyn Listener>> {
    let socket = match &local {
        Endpoint::Tcp(_) => {
            let socket = std::net::TcpListener::from(socket);
            socket.set_nonblocking(true)?;
            Socket::Tcp(TcpListener::from_std(socket)?)
        }
        #[cfg(unix)]
        Endpoint::Unix(_) => {
            let socket = std::os::unix::net::UnixListener::from(socket);
            socket.set_nonblocking(true)?;
            Socket::Unix(tokio::net::UnixListener::from_std(socket)?)
        }
        #[cfg(windows)]
        Endpoint::Unix(_) => return Err(no_unix_sockets()),
        other => return Err(other.unsupported()),
    };
    Ok(Box::new(TokioListener {
        handle,
        socket,
        local,
    }))
}

struct TokioListener {
    handle: Handle,
    socket: Socket,
    local: Endpoint,
}

enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listener for TokioListener {
    fn local(&self) -> &Endpoint {
        &self.local
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted>> {
        let _context = self.handle.enter();
        let handle = self.handle.clone();
        Poll::Ready(match &self.socket {
            Socket::Tcp(socket) => {
                let stream = ready!(socket.poll_accept(cx))?.0;
                tcp(handle, stream).map(Accepted::new)
            }
            #[cfg(unix)]
            Socket::Unix(socket) => {
                let stream = ready!(socket.poll_accept(cx))?.0.into_std()?;
                let peer = outboard_unix::peer(&stream)?;
                crate::socket::stream(handle, stream).map(|io| Accepted::new(io).by(peer))
            }
        })
    }
}

fn tcp(handle: Handle, stream: TcpStream) -> Result<BoxByteStream> {
    // Calls are small and answered at once: waiting to fill a segment only adds latency. Where the
    // option cannot be set the connection is already gone, which reading will tell.
    let _ = stream.set_nodelay(true);
    #[cfg(unix)]
    return crate::socket::stream(handle, stream.into_std()?);
    #[cfg(windows)]
    {
        drop(handle);
        Ok(Box::new(crate::io::Compat(stream)))
    }
}

/// tokio names abstract sockets with a leading NUL, go-plugin with a leading `@`.
#[cfg(unix)]
fn unix_name(path: std::path::PathBuf) -> std::path::PathBuf {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let endpoint = Endpoint::Unix(path);
    let is_abstract = endpoint.is_abstract();
    let Endpoint::Unix(path) = endpoint else {
        unreachable!("made above");
    };
    if !is_abstract {
        return path;
    }
    let mut name = path.into_os_string().into_vec();
    name[0] = 0;
    OsString::from_vec(name).into()
}

#[cfg(windows)]
fn no_unix_sockets() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        "unix sockets are not available on Windows; use TCP",
    )
}
