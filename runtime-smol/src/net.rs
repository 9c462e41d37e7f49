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
use outboard_core::rt::{BoxByteStream, Listener};

use crate::io::Stream;

pub(crate) async fn connect(to: Endpoint) -> Result<BoxByteStream> {
    match &to {
        Endpoint::Tcp(address) => {
            let mut last = None;
            for address in resolve(address).await? {
                match Async::<TcpStream>::connect(address).await {
                    Ok(stream) => return Ok(tcp(stream)),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or_else(|| {
                Error::new(ErrorKind::InvalidInput, "the name resolves to no address")
            }))
        }
        Endpoint::Unix(path) => {
            let stream = connect_unix(path, to.is_abstract()).await?;
            Ok(Box::new(Stream(stream)))
        }
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
async fn connect_unix(path: &Path, is_abstract: bool) -> Result<Async<UnixStream>> {
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
    Async::new_nonblocking(socket.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
async fn connect_unix(path: &Path, _: bool) -> Result<Async<UnixStream>> {
    Async::<UnixStream>::connect(path).await
}

pub(crate) fn listener(socket: OwnedFd, local: Endpoint) -> Result<Box<dyn Listener>> {
    let socket = match &local {
        Endpoint::Tcp(_) => Socket::Tcp(Async::new(TcpListener::from(socket))?),
        Endpoint::Unix(_) => Socket::Unix(Async::new(UnixListener::from(socket))?),
    };
    Ok(Box::new(SmolListener { socket, local }))
}

struct SmolListener {
    socket: Socket,
    local: Endpoint,
}

enum Socket {
    Tcp(Async<TcpListener>),
    Unix(Async<UnixListener>),
}

impl Listener for SmolListener {
    fn local(&self) -> &Endpoint {
        &self.local
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<BoxByteStream>> {
        Poll::Ready(Ok(match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, _) = ready!(poll(socket, TcpListener::accept, cx))?;
                tcp(Async::new(stream)?)
            }
            Socket::Unix(socket) => {
                let (stream, _) = ready!(poll(socket, UnixListener::accept, cx))?;
                Box::new(Stream(Async::new(stream)?))
            }
        }))
    }
}

/// Tries `accept` until it gives something or there is nothing to accept.
fn poll<T, A>(
    socket: &Async<T>,
    accept: impl Fn(&T) -> Result<A>,
    cx: &mut Context<'_>,
) -> Poll<Result<A>> {
    loop {
        match accept(socket.get_ref()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ready!(socket.poll_readable(cx))?;
            }
            result => return Poll::Ready(result),
        }
    }
}

fn tcp(stream: Async<TcpStream>) -> BoxByteStream {
    // Calls are small and answered at once: waiting to fill a segment only adds latency. Where the
    // option cannot be set the connection is already gone, which reading will tell.
    let _ = stream.get_ref().set_nodelay(true);
    Box::new(Stream(stream))
}
