//! Streams of bytes and futures, owned.

use std::future::Future;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncWrite};

/// An owned future, as the traits of this crate return them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A two-way stream of bytes: a socket, a stream inside a multiplexer, TLS around either.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// An owned [`ByteStream`].
pub type BoxByteStream = Box<dyn ByteStream>;
/// An owned source of bytes.
pub type BoxReader = Box<dyn AsyncRead + Send + Unpin>;
/// An owned sink for bytes.
pub type BoxWriter = Box<dyn AsyncWrite + Send + Unpin>;
