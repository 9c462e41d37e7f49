//! Metadata and statuses as HTTP/2 headers and back.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http::{Version, header, uri};
use outboard_core::grpc::{
    self, BadBinaryHeader, code_from_http_status, decode_binary, decode_message, encode_binary,
    encode_message, is_grpc_content_type, is_reserved_header, parse_status_code,
};
use outboard_core::rpc::limits::{METADATA_ENTRY_OVERHEAD, bounded_status, check_metadata};
use outboard_core::rpc::{CallHead, Code, Metadata, MetadataValue, Status};

const APPLICATION_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("outboard/", env!("CARGO_PKG_VERSION")));
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const ZERO: HeaderValue = HeaderValue::from_static("0");

pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(crate) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The parts of a request that are the same for all calls of a connection.
#[derive(Debug)]
pub(crate) struct RequestTemplate {
    scheme: uri::Scheme,
    authority: uri::Authority,
    headers: HeaderMap,
}

impl RequestTemplate {
    pub(crate) fn new(secure: bool, authority: &str) -> Result<Self, Status> {
        let authority = authority.parse().map_err(|_| {
            Status::internal(format!(
                "cannot use {authority:?} as HTTP/2 authority: expected a host name or an \
                 address, with or without a port"
            ))
        })?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, APPLICATION_GRPC);
        headers.insert(header::TE, TRAILERS);
        headers.insert(header::USER_AGENT, USER_AGENT);
        Ok(Self {
            scheme: if secure {
                uri::Scheme::HTTPS
            } else {
                uri::Scheme::HTTP
            },
            authority,
            headers,
        })
    }

    pub(crate) fn request(
        &self,
        head: &CallHead,
        timeout: Option<Duration>,
    ) -> Result<Request<()>, Status> {
        let path = &head.path;
        let parsed = match path {
            Cow::Borrowed(path) => {
                uri::PathAndQuery::from_maybe_shared(bytes::Bytes::from_static(path.as_bytes()))
            }
            Cow::Owned(path) => path.parse(),
        };
        let malformed = || {
            Status::unimplemented(format!(
                "malformed method name {path:?}: expected /SERVICE/METHOD"
            ))
        };
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(parsed.map_err(|_| malformed())?);
        let uri = Uri::from_parts(parts).map_err(|_| malformed())?;
        let mut headers = self.headers.clone();
        if let Some(timeout) = timeout {
            headers.insert(GRPC_TIMEOUT, value(grpc::format_timeout(timeout))?);
        }
        append(&mut headers, &head.metadata)?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The headers before the messages of a response.
pub(crate) fn response(metadata: &Metadata) -> Result<Response<()>, Status> {
    let mut response = Response::new(());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, APPLICATION_GRPC);
    append(response.headers_mut(), metadata)?;
    Ok(response)
}

/// The trailers of a call that ended well.
pub(crate) fn ok_trailers(metadata: &Metadata) -> Result<HeaderMap, Status> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, ZERO);
    append(&mut trailers, metadata)?;
    Ok(trailers)
}

/// The trailers of a call that failed.
pub(crate) fn error_trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(4);
    add_status(&mut trailers, status);
    trailers
}

/// A whole response in one HEADERS frame. `http` is 200 unless the request was no gRPC call.
pub(crate) fn trailers_only(http: StatusCode, status: &Status) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = http;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, APPLICATION_GRPC);
    add_status(headers, status);
    if status.code() == Code::Unimplemented {
        // Tells a peer that compressed its messages what would have been understood.
        headers.insert(GRPC_ACCEPT_ENCODING, IDENTITY);
    }
    response
}

/// A status, and its metadata as far as it can be sent: an error must not get lost because
/// something that goes with it is malformed.
fn add_status(headers: &mut HeaderMap, status: &Status) {
    let status = &*bounded_status(status);
    headers.insert(GRPC_STATUS, HeaderValue::from(status.code().number()));
    if !status.message().is_empty() {
        let text = encode_message(status.message()).into_owned();
        if let Ok(text) = value(text) {
            headers.insert(GRPC_MESSAGE, text);
        }
    }
    if !status.details().is_empty()
        && let Ok(details) = value(encode_binary(status.details()))
    {
        headers.insert(GRPC_DETAILS, details);
    }
    if let Err(error) = append(headers, status.metadata()) {
        tracing::warn!(%error, "the metadata of a status cannot be sent");
    }
}

/// Adds metadata to headers. Names that belong to the protocol are left out, as in grpc-go.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` for more than [the limits](outboard_core::rpc::limits), `INTERNAL` for what
/// is no header.
fn append(headers: &mut HeaderMap, metadata: &Metadata) -> Result<(), Status> {
    check_metadata(metadata)?;
    for (name, content) in metadata.iter() {
        if is_reserved_header(name) {
            continue;
        }
        let content = match content {
            MetadataValue::Text(text) => text.to_owned(),
            MetadataValue::Binary(bytes) => encode_binary(bytes),
        };
        let unusable = || Status::internal(format!("metadata {name:?} is no HTTP/2 header"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
        headers.try_append(name, value(content)?).map_err(|_| {
            Status::resource_exhausted("more metadata than HTTP/2 headers can hold")
        })?;
    }
    Ok(())
}

fn value(text: String) -> Result<HeaderValue, Status> {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        .map_err(|_| Status::internal("a metadata value is no HTTP/2 header value"))
}

/// Checks the size of a header list that has arrived. `h2` keeps a higher limit; see
/// [`crate::announce`].
///
/// # Errors
/// `RESOURCE_EXHAUSTED`
pub(crate) fn check_size(headers: &HeaderMap, limit: u32) -> Result<(), Status> {
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + METADATA_ENTRY_OVERHEAD)
        .sum();
    if u32::try_from(size).is_ok_and(|size| size <= limit) {
        return Ok(());
    }
    Err(Status::resource_exhausted(format!(
        "headers of {size} bytes came, over this side's limit of {limit} bytes a call \
         (H2::max_header_list_size)"
    )))
}

/// The metadata among these headers. Text values that are not printable ASCII are left out: they
/// are not allowed and cannot be represented.
pub(crate) fn metadata(headers: &HeaderMap) -> Result<Metadata, BadBinaryHeader> {
    let mut metadata = Metadata::new();
    for (name, value) in headers {
        let name = name.as_str();
        if is_reserved_header(name) {
            continue;
        }
        if name.ends_with("-bin") {
            for part in value.as_bytes().split(|byte| *byte == b',') {
                let bytes = decode_binary(part)?;
                if metadata.insert_bin(name.to_owned(), bytes).is_err() {
                    tracing::trace!(name, "left out a header that cannot be metadata");
                }
            }
        } else {
            let added = value
                .to_str()
                .is_ok_and(|text| metadata.insert(name.to_owned(), text).is_ok());
            if !added {
                tracing::trace!(name, "left out a header that cannot be metadata");
            }
        }
    }
    Ok(metadata)
}

/// The outcome in the trailers of a response.
///
/// # Errors
/// The call's status, if it is not OK.
pub(crate) fn outcome(trailers: &HeaderMap) -> Result<Metadata, Status> {
    let Some(code) = trailers.get(GRPC_STATUS) else {
        return Err(Status::unknown(
            "the response ended without grpc-status: the peer is no gRPC server, or its answer \
             was cut",
        ));
    };
    let code = parse_status_code(code.as_bytes());
    let metadata = metadata(trailers).map_err(bad_binary);
    if code == Code::Ok {
        return metadata;
    }
    let message = trailers
        .get(GRPC_MESSAGE)
        .map(|text| decode_message(text.as_bytes()))
        .unwrap_or_default();
    let mut status = Status::new(code, message);
    if let Some(details) = trailers.get(GRPC_DETAILS) {
        // The status is worth more than its details: broken ones are left out.
        if let Ok(details) = decode_binary(details.as_bytes()) {
            status = status.with_details(details);
        }
    }
    // Likewise its metadata.
    Err(status.with_metadata(metadata.unwrap_or_default()))
}

/// Checks the head of a response. `Ok(None)`: messages follow.
///
/// # Errors
/// The status of a peer that does not answer as a gRPC server.
pub(crate) fn check_response(
    head: &http::response::Parts,
    ended: bool,
) -> Result<Option<Metadata>, Status> {
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|value| is_grpc_content_type(value.as_bytes()));
    if is_grpc && ended && head.headers.contains_key(GRPC_STATUS) {
        return outcome(&head.headers).map(Some);
    }
    if head.status != StatusCode::OK {
        return Err(Status::new(
            code_from_http_status(head.status.as_u16()),
            format!(
                "expected a gRPC response, got HTTP status {} ({})",
                head.status,
                describe(content_type)
            ),
        ));
    }
    if !is_grpc {
        return Err(Status::unknown(format!(
            "expected content-type application/grpc, got {}",
            describe(content_type)
        )));
    }
    if ended {
        return outcome(&head.headers).map(Some);
    }
    Ok(None)
}

/// What a response whose messages are compressed fails with. Its headers may name a compression that
/// no message uses: each says by its flag whether it does.
pub(crate) fn compressed(headers: &HeaderMap) -> Option<Status> {
    let encoding = headers.get(GRPC_ENCODING).filter(|v| **v != IDENTITY)?;
    Some(Status::internal(format!(
        "the peer sent a message compressed with {} although no compression was agreed on",
        shorten(encoding.as_bytes())
    )))
}

/// Checks the head of a request.
///
/// # Errors
/// The HTTP status and gRPC status to refuse it with.
pub(crate) fn check_request(head: &http::request::Parts) -> Result<(), (StatusCode, Status)> {
    if head.method != Method::POST {
        let text = format!(
            "expected method POST, got {}",
            shorten(head.method.as_str().as_bytes())
        );
        return Err((StatusCode::METHOD_NOT_ALLOWED, Status::internal(text)));
    }
    let content_type = head.headers.get(header::CONTENT_TYPE);
    if !content_type.is_some_and(|value| is_grpc_content_type(value.as_bytes())) {
        return Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Status::invalid_argument(format!(
                "expected content-type application/grpc, got {}",
                describe(content_type)
            )),
        ));
    }
    if let Some(encoding) = head.headers.get(GRPC_ENCODING).filter(|v| **v != IDENTITY) {
        return Err((
            StatusCode::OK,
            Status::unimplemented(format!(
                "compression {} is not supported; send without",
                shorten(encoding.as_bytes())
            )),
        ));
    }
    Ok(())
}

pub(crate) fn bad_binary(error: BadBinaryHeader) -> Status {
    Status::internal(error.to_string())
}

fn describe(content_type: Option<&HeaderValue>) -> String {
    content_type.map_or_else(|| "none".to_owned(), |value| shorten(value.as_bytes()))
}

/// What a peer sent, short enough for a message.
fn shorten(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..64).unwrap_or(bytes)).into_owned()
}
