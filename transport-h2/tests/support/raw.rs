//! Peers written by hand: on h2's own API, or byte by byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::io::AsyncWriteExt as _;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use outboard_core::rpc::{Connection, ConnectionConfig, ServerConfig, Serving, Transport};
use outboard_transport_h2::H2;
use tokio::io::ReadBuf;

use super::pipe::{End, pipe};
use super::service::{self, Echo};
use super::{TestRuntime, empty_router};

#[allow(unused_imports, reason = "not used by all")]
pub use outboard_kit::h2_frames::*;

/// A pipe's end for h2.
pub struct Adapter(pub End);

impl tokio::io::AsyncRead for Adapter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let target = buffer.initialize_unfilled();
        let read = std::task::ready!(Pin::new(&mut self.0).poll_read(cx, target))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Adapter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// A client of this crate whose server does with each request what `answer` says.
pub fn client_of(
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) + Send + 'static,
) -> Arc<dyn Connection> {
    client_with(ConnectionConfig::default(), answer)
}

pub fn client_with(
    config: ConnectionConfig,
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) + Send + 'static,
) -> Arc<dyn Connection> {
    let mut server = h2::server::Builder::new();
    server.initial_window_size(1 << 20);
    client_and_server(config, server, answer)
}

/// As [`client_of`], of a server with these settings.
pub fn client_and_server(
    config: ConnectionConfig,
    server: h2::server::Builder,
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) + Send + 'static,
) -> Arc<dyn Connection> {
    let runtime = TestRuntime::shared();
    let (near, far) = pipe(64 * 1024);
    runtime.spawn(Box::pin(async move {
        let mut server = server
            .handshake::<_, Bytes>(Adapter(far))
            .await
            .expect("a client");
        while let Some(Ok((request, respond))) = server.accept().await {
            answer(request, respond);
        }
    }));
    H2::new().connect(&runtime, Box::new(near), config)
}

/// A client of this crate and the other end of its pipe.
pub fn client_and_end(config: ConnectionConfig) -> (Arc<dyn Connection>, End) {
    let (near, far) = pipe(64 * 1024);
    let connection = H2::new().connect(&TestRuntime::shared(), Box::new(near), config);
    (connection, far)
}

/// A server of this crate and the other end of its pipe.
pub fn server_and_end(config: ServerConfig) -> (Arc<dyn Serving>, Arc<Echo>, End) {
    let (near, far) = pipe(64 * 1024);
    let (echo, router) = service::router();
    let serving = H2::new().serve(&TestRuntime::shared(), Box::new(near), router, config);
    (serving, echo, far)
}

/// A server without services and the other end of its pipe.
pub fn empty_server_and_end() -> (Arc<dyn Serving>, End) {
    let (near, far) = pipe(64 * 1024);
    let serving = H2::new().serve(
        &TestRuntime::shared(),
        Box::new(near),
        empty_router(),
        ServerConfig::default(),
    );
    (serving, far)
}

/// h2's own client on this end.
pub async fn raw_client(end: End) -> h2::client::SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(Adapter(end)).await.expect("a server");
    TestRuntime::shared().spawn(Box::pin(async move {
        // Tests that break the connection look at it from the other side.
        let _ = connection.await;
    }));
    sender
}

/// A well-formed request for a method of the test service.
pub fn request(method: &str) -> Request<()> {
    Request::builder()
        .method("POST")
        .uri(format!("http://localhost/test.Echo/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("valid")
}

/// A response head as gRPC servers send it.
pub fn response() -> Response<()> {
    Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .expect("valid")
}

pub fn trailers(entries: &[(&'static str, &str)]) -> HeaderMap {
    entries
        .iter()
        .map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                value.parse().expect("valid"),
            )
        })
        .collect()
}

/// What a call got: HTTP status, headers, body, trailers.
pub struct Answer {
    pub http: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The header or trailer of this name.
    pub fn field(&self, name: &str) -> &str {
        let found = self
            .trailers
            .as_ref()
            .and_then(|trailers| trailers.get(name))
            .or_else(|| self.headers.get(name));
        found.map_or("", |value| value.to_str().expect("text"))
    }
}

/// Makes a call with this body through h2's own client.
pub async fn call_raw(
    sender: &mut h2::client::SendRequest<Bytes>,
    request: Request<()>,
    body: &[Bytes],
) -> Result<Answer, h2::Error> {
    let (response, mut stream) = sender.send_request(request, body.is_empty())?;
    for (index, piece) in body.iter().enumerate() {
        // A server that has answered already takes no more.
        let _ = stream.send_data(piece.clone(), index + 1 == body.len());
    }
    read_answer(response).await
}

pub async fn read_answer(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok(Answer {
        http: head.status.as_u16(),
        headers: head.headers,
        body,
        trailers: stream.trailers().await?,
    })
}

pub async fn send(end: &mut End, bytes: &[u8]) {
    end.write_all(bytes).await.expect("the peer reads");
    end.flush().await.expect("the peer reads");
}
