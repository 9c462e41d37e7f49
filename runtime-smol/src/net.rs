//! Sockets: resolving, connecting and accepting.

use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::thread;

use async_io::Async;
use futures_channel::oneshot;
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{Accepted, BoxByteStream, Listener};

use crate::direction::Interest;
use crate::fd::{Fd, Home};
use crate::io::{Socket, Stream};

pub(crate) async fn connect(home: Home, to: Endpoint) -> Result<BoxByteStream> {
    match &to {
        Endpoint::Tcp(address) => {
            let mut last = None;
            for address in resolve(address).await? {
                match Async::<TcpStream>::connect(address).await {
                    Ok(socket) => return tcp(&home, socket.into_inner()?),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or_else(|| {
                Error::new(ErrorKind::InvalidInput, "the name resolves to no address")
            }))
        }
        Endpoint::Unix(path) => stream(&home, connect_unix(path, to.is_abstract()).await?),
        other => Err(other.unsupported()),
    }
}

/// The addresses of `host:port`. Asking the system for those of a name blocks, so a thread does it;
/// if nobody waits for it any more, its answer is thrown away.
async fn resolve(address: &str) -> Result<Vec<SocketAddr>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    // An empty host means this machine, as in Go.
    let name = match address.strip_prefix(':') {
        Some(port) => format!("localhost:{port}"),
        None => address.to_owned(),
    };
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("outboard-resolve".to_owned())
        .spawn(move || drop(sender.send(name.to_socket_addrs().map(Iterator::collect))))?;
    receiver
        .await
        .unwrap_or_else(|_| Err(Error::other("the thread that resolves a name has died")))
}

/// A unix socket connects at once or not at all: there is nothing to wait for. With a full backlog
/// the error is `WouldBlock`.
#[cfg(any(target_os = "linux", target_os = "android"))]
async fn connect_unix(path: &Path, is_abstract: bool) -> Result<UnixStream> {
    use rustix::net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    };

    let address = if is_abstract {
        // Without the `@`.
        SocketAddrUnix::new_abstract_name(&path.as_os_str().as_encoded_bytes()[1..])?
    } else {
        SocketAddrUnix::new(path)?
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &address)?;
    Ok(socket.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
async fn connect_unix(path: &Path, _: bool) -> Result<UnixStream> {
    Async::<UnixStream>::connect(path).await?.into_inner()
}

pub(crate) fn listener(home: &Home, socket: OwnedFd, local: Endpoint) -> Result<Box<dyn Listener>> {
    let home = home.clone();
    Ok(match &local {
        Endpoint::Tcp(_) => Box::new(TcpSocket {
            socket: home.adopt(TcpListener::from(socket), Interest::Read)?,
            home,
            local,
        }),
        Endpoint::Unix(_) => Box::new(UnixSocket {
            socket: home.adopt(UnixListener::from(socket), Interest::Read)?,
            home,
            local,
        }),
        other => return Err(other.unsupported()),
    })
}

struct TcpSocket {
    home: Home,
    socket: Fd<TcpListener>,
    local: Endpoint,
}

impl Listener for TcpSocket {
    fn local(&self) -> &Endpoint {
        &self.local
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted>> {
        let (socket, _) = ready!(self.socket.poll_take(cx, TcpListener::accept))?;
        Poll::Ready(tcp(&self.home, socket).map(Accepted::new))
    }
}

struct UnixSocket {
    home: Home,
    socket: Fd<UnixListener>,
    local: Endpoint,
}

impl Listener for UnixSocket {
    fn local(&self) -> &Endpoint {
        &self.local
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted>> {
        let (socket, _) = ready!(self.socket.poll_take(cx, UnixListener::accept))?;
        let peer = outboard_unix::peer(&socket)?;
        Poll::Ready(stream(&self.home, socket).map(|io| Accepted::new(io).by(peer)))
    }
}

fn tcp(home: &Home, socket: TcpStream) -> Result<BoxByteStream> {
    // Calls are small and answered at once: waiting to fill a segment only adds latency. Where the
    // option cannot be set the connection is already gone, which reading will tell.
    let _ = socket.set_nodelay(true);
    stream(home, socket)
}

fn stream<T: Socket + Send + Sync + 'static>(home: &Home, socket: T) -> Result<BoxByteStream> {
    Ok(Box::new(Stream(home.adopt(socket, Interest::Both)?)))
}
