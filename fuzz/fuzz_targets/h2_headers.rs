//! The mapping of HTTP/2's headers: any header block of a peer becomes a status, metadata or a
//! deadline that can be sent on, and what was made of it is the same on the other side.
#![no_main]

use arbitrary::Arbitrary;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use libfuzzer_sys::fuzz_target;
use outboard_core::grpc::{format_timeout, is_reserved_header, parse_timeout};
use outboard_core::rpc::{CallHead, Code};

#[allow(dead_code, unreachable_pub)]
#[path = "../../transport-h2/src/headers.rs"]
mod headers;

#[derive(Arbitrary, Debug)]
enum Name {
    ContentType,
    Timeout,
    Encoding,
    Status,
    Message,
    Details,
    Text,
    Binary,
    Any(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
struct Input {
    http: u16,
    post: bool,
    ended: bool,
    limit: u16,
    headers: Vec<(Name, Vec<u8>)>,
}

impl Input {
    /// As h2 hands them on: valid names and values, in any number and order.
    fn headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: &[u8] = match name {
                Name::ContentType => b"content-type",
                Name::Timeout => b"grpc-timeout",
                Name::Encoding => b"grpc-encoding",
                Name::Status => b"grpc-status",
                Name::Message => b"grpc-message",
                Name::Details => b"grpc-status-details-bin",
                Name::Text => b"k",
                Name::Binary => b"k-bin",
                Name::Any(name) => name,
            };
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            {
                map.append(name, value);
            }
        }
        map
    }
}

/// What outboard says of what a peer sent is bounded, whatever the peer sent.
fn is_short(text: &str) {
    assert!(text.len() < 1_000, "{text}");
}

fuzz_target!(|input: Input| {
    let map = input.headers();
    if let Err(status) = headers::check_size(&map, input.limit.into()) {
        assert_eq!(status.code(), Code::ResourceExhausted);
    }

    match headers::metadata(&map) {
        Err(error) => is_short(&headers::bad_binary(error).to_string()),
        Ok(metadata) => {
            assert!(metadata.iter().all(|(name, _)| !is_reserved_header(name)));
            // Metadata that was taken can be sent: in each of the three places where it goes.
            let trailers = headers::ok_trailers(&metadata).expect("within the limits");
            assert_eq!(headers::outcome(&trailers), Ok(metadata.clone()));
            let response = headers::response(&metadata).expect("within the limits");
            assert_eq!(headers::metadata(response.headers()), Ok(metadata.clone()));
            let template = headers::RequestTemplate::new(false, "localhost").expect("a name");
            let timeout = map.get(headers::GRPC_TIMEOUT);
            let timeout = timeout.and_then(|value| parse_timeout(value.as_bytes()).ok());
            let mut head = CallHead::new("/package.Service/Method");
            head.metadata = metadata.clone();
            let request = template.request(&head, timeout).expect("valid");
            assert_eq!(headers::metadata(request.headers()), Ok(metadata));
            let sent = request.headers().get(headers::GRPC_TIMEOUT);
            let sent = sent.map(|value| parse_timeout(value.as_bytes()).expect("our own"));
            assert_eq!(sent.is_some(), timeout.is_some());
            assert!(sent >= timeout, "a deadline is not brought forward");
            if let Some(sent) = sent {
                assert_eq!(parse_timeout(format_timeout(sent).as_bytes()), Ok(sent));
            }
            let (head, ()) = request.into_parts();
            headers::check_request(&head).expect("our own");
        }
    }

    if let Err(status) = headers::outcome(&map) {
        assert_ne!(status.code(), Code::Ok);
        // Bounded on its way out once, then the same for ever.
        let sent = headers::outcome(&headers::error_trailers(&status)).expect_err("a failure");
        assert_eq!(sent.code(), status.code());
        assert!(status.message().starts_with(sent.message()) || sent.message().len() > 3_000);
        let again = headers::outcome(&headers::error_trailers(&sent));
        assert_eq!(again, Err(sent.clone()));
        let (head, ()) = headers::trailers_only(StatusCode::OK, &sent).into_parts();
        assert_eq!(headers::check_response(&head, true), Err(sent));
    }

    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(input.http).unwrap_or(StatusCode::OK);
    *response.headers_mut() = map.clone();
    let (head, ()) = response.into_parts();
    match headers::check_response(&head, input.ended) {
        Ok(metadata) => assert_eq!(metadata.is_some(), input.ended),
        Err(status) => assert_ne!(status.code(), Code::Ok),
    }
    if let Some(status) = headers::compressed(&map) {
        is_short(status.message());
    }

    let mut request = Request::new(());
    *request.method_mut() = if input.post {
        Method::POST
    } else {
        Method::GET
    };
    *request.headers_mut() = map;
    let (head, ()) = request.into_parts();
    match headers::check_request(&head) {
        Ok(()) => assert!(input.post),
        Err((_, status)) => is_short(status.message()),
    }
});
