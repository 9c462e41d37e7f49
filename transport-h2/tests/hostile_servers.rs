//! Servers that answer wrongly, or not in HTTP/2 at all: each gives a clear error, none a hang.

mod support;

use bytes::Bytes;
use futures_util::stream;
use h2::Reason;
use http::Response;
use outboard_core::rpc::{CallHead, Code, Connection, ConnectionConfig, Status};
use support::raw::{self, client_of, client_with, framed, response, trailers};
use support::service::{next, out};
use support::{TestRuntime, run};

async fn unary(connection: &dyn Connection) -> Result<Bytes, Status> {
    let call = connection.unary(CallHead::new("/a.B/C"), out("x"));
    call.await.map(|reply| reply.message)
}

/// The error of a unary call and of a streaming call, which must agree.
async fn error(connection: &dyn Connection) -> Status {
    let unary = unary(connection).await.expect_err("an error");
    let requests = stream::iter([Ok(out("x"))]);
    let mut call = connection.open(CallHead::new("/a.B/C"), Box::pin(requests));
    let streaming = loop {
        match next(&mut call).await.expect("no end without an error") {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(unary.code(), streaming.code(), "{unary} / {streaming}");
    unary
}

/// A server that sends a head, this body and these trailers.
fn server(
    body: &'static [u8],
    ends: Option<&'static [(&'static str, &'static str)]>,
) -> std::sync::Arc<dyn Connection> {
    client_of(move |_request, mut respond| {
        let mut stream = respond.send_response(response(), false).expect("open");
        let end = ends.is_none();
        if end || !body.is_empty() {
            stream
                .send_data(Bytes::from_static(body), end)
                .expect("open");
        }
        if let Some(entries) = ends {
            stream.send_trailers(trailers(entries)).expect("open");
        }
    })
}

const OK: Option<&[(&str, &str)]> = Some(&[("grpc-status", "0")]);

#[test]
fn http_errors_map_to_codes() {
    run(async {
        for (http, code) in [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (429, Code::Unavailable),
            (500, Code::Unknown),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
        ] {
            let connection = client_of(move |_request, mut respond| {
                let head = Response::builder()
                    .status(http)
                    .header("content-type", "text/html")
                    .body(())
                    .expect("valid");
                let mut stream = respond.send_response(head, false).expect("open");
                let _ = stream.send_data(Bytes::from_static(b"<html>"), true);
            });
            let error = error(&*connection).await;
            assert_eq!(error.code(), code, "{http}");
            assert!(error.message().contains(&http.to_string()), "{error}");
            assert!(error.message().contains("text/html"), "{error}");
        }
    });
}

#[test]
fn a_wrong_content_type_is_named() {
    run(async {
        for content_type in [Some("application/json"), None] {
            let connection = client_of(move |_request, mut respond| {
                let mut head = Response::builder();
                if let Some(content_type) = content_type {
                    head = head.header("content-type", content_type);
                }
                let head = head.body(()).expect("valid");
                let mut stream = respond.send_response(head, false).expect("open");
                let _ = stream.send_data(Bytes::from_static(b"{}"), true);
            });
            let error = error(&*connection).await;
            assert_eq!(error.code(), Code::Unknown);
            let named = content_type.unwrap_or("got none");
            assert!(error.message().contains(named), "{error}");
        }
    });
}

#[test]
fn endings_without_a_status_are_errors() {
    run(async {
        let error_of =
            |connection: std::sync::Arc<dyn Connection>| async move { error(&*connection).await };
        // Trailers without grpc-status.
        let error = error_of(server(b"", Some(&[]))).await;
        assert_eq!(error.code(), Code::Unknown);
        assert!(error.message().contains("grpc-status"), "{error}");
        // Unparsable.
        let error = error_of(server(b"", Some(&[("grpc-status", "fine")]))).await;
        assert_eq!(error.code(), Code::Unknown);
        // The end on a DATA frame.
        let error = error_of(server(b"\0\0\0\0\x01x", None)).await;
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().contains("without trailers"), "{error}");
        // The end on the first HEADERS frame, without a status.
        let connection = client_of(|_request, mut respond| {
            respond.send_response(response(), true).expect("open");
        });
        let error = error_of(connection).await;
        assert_eq!(error.code(), Code::Unknown);
        assert!(error.message().contains("grpc-status"), "{error}");
    });
}

#[test]
fn trailers_only_answers_are_understood() {
    run(async {
        let connection = client_of(|_request, mut respond| {
            let mut head = response();
            *head.headers_mut() = trailers(&[
                ("content-type", "application/grpc+proto"),
                ("grpc-status", "5"),
                ("grpc-message", "no %C3%A4%"),
                ("grpc-status-details-bin", "CAU="),
                ("extra", "value"),
            ]);
            respond.send_response(head, true).expect("open");
        });
        let error = error(&*connection).await;
        assert_eq!((error.code(), error.message()), (Code::NotFound, "no ä%"));
        assert_eq!(error.details(), [8, 5]);
        assert_eq!(error.metadata().get("extra"), Some("value"));

        // Well ended, but a unary call needs its message.
        let connection = client_of(|_request, mut respond| {
            let mut head = response();
            head.headers_mut().insert("grpc-status", 0.into());
            respond.send_response(head, true).expect("open");
        });
        let error = unary(&*connection).await.expect_err("no message");
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().contains("cardinality"), "{error}");
        let mut call = connection.open(CallHead::new("/a.B/C"), Box::pin(stream::empty()));
        assert_eq!(next(&mut call).await, None);
    });
}

#[test]
fn a_compression_that_no_message_uses_is_no_error() {
    run(async {
        for (body, expected) in [
            (&b"\0\0\0\0\x01x"[..], Ok("x")),
            (&b"\x01\0\0\0\x01x"[..], Err(Code::Internal)),
        ] {
            let connection = client_of(move |_request, mut respond| {
                let mut head = response();
                let gzip = http::HeaderValue::from_static("gzip");
                head.headers_mut().insert("grpc-encoding", gzip);
                let mut stream = respond.send_response(head, false).expect("open");
                let body = Bytes::from_static(body);
                stream.send_data(body, false).expect("open");
                let ok = trailers(&[("grpc-status", "0")]);
                stream.send_trailers(ok).expect("open");
            });
            match (unary(&*connection).await, expected) {
                (Ok(message), Ok(expected)) => assert_eq!(message, expected),
                (Err(status), Err(code)) => {
                    assert_eq!(status.code(), code);
                    assert!(status.message().contains("gzip"), "{status}");
                }
                (other, expected) => panic!("{other:?} instead of {expected:?}"),
            }
        }
    });
}

#[test]
fn a_unary_answer_has_exactly_one_message() {
    run(async {
        let error = unary(&*server(b"", OK)).await.expect_err("none");
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().contains("cardinality"), "{error}");
        let error = unary(&*server(&[0; 10], OK)).await.expect_err("two");
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().contains("cardinality"), "{error}");
        let one = unary(&*server(b"\0\0\0\0\x01x", OK)).await;
        assert_eq!(one.expect("one message"), "x");
        // An error counts more than the message that came before it.
        let error = unary(&*server(b"\0\0\0\0\x01x", Some(&[("grpc-status", "9")]))).await;
        assert_eq!(error.expect_err("failed").code(), Code::FailedPrecondition);
    });
}

#[test]
fn malformed_messages_are_errors() {
    run(async {
        let cases: [(&[u8], Code, &str); 4] = [
            (b"\x01\0\0\0\0", Code::Internal, "compressed"),
            (b"<html>", Code::Internal, "flag"),
            (b"\0\xff\xff\xff\xff", Code::ResourceExhausted, "limit"),
            (b"\0\0\0\0\x05abc", Code::Internal, "inside a gRPC message"),
        ];
        for (body, code, text) in cases {
            let connection = server(body, OK);
            let error = error(&*connection).await;
            assert_eq!(error.code(), code, "{error}");
            assert!(error.message().contains(text), "{error}");
        }
    });
}

#[test]
fn reset_codes_map_to_statuses() {
    run(async {
        for (reason, code) in [
            (Reason::NO_ERROR, Code::Internal),
            (Reason::PROTOCOL_ERROR, Code::Internal),
            (Reason::INTERNAL_ERROR, Code::Internal),
            (Reason::FLOW_CONTROL_ERROR, Code::ResourceExhausted),
            (Reason::REFUSED_STREAM, Code::Unavailable),
            (Reason::CANCEL, Code::Cancelled),
            (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
            (Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
            (Reason::HTTP_1_1_REQUIRED, Code::Internal),
            (Reason::from(99), Code::Unknown),
        ] {
            // Before and after the headers.
            for headers in [false, true] {
                let connection = client_of(move |_request, mut respond| {
                    if headers {
                        let mut stream = respond.send_response(response(), false).expect("open");
                        stream.send_data(framed(b"part"), false).expect("open");
                        // A reset takes back what is not yet sent.
                        stream.send_reset(reason);
                    }
                    respond.send_reset(reason);
                });
                let error = error(&*connection).await;
                assert_eq!(error.code(), code, "{reason:?}: {error}");
                assert!(!error.is_connection_lost());
            }
        }
    });
}

#[test]
fn metadata_that_is_no_base64_is_an_error() {
    run(async {
        let connection = server(b"", Some(&[("grpc-status", "0"), ("x-bin", "!")]));
        let error_of_ok = error(&*connection).await;
        assert_eq!(error_of_ok.code(), Code::Internal);
        assert!(error_of_ok.message().contains("base64"), "{error_of_ok}");
        // An error of the peer is not hidden by it.
        let connection = server(b"", Some(&[("grpc-status", "5"), ("x-bin", "!")]));
        assert_eq!(error(&*connection).await.code(), Code::NotFound);
    });
}

#[test]
fn a_header_list_over_the_limit_is_an_error() {
    run(async {
        let (connection, mut end) = {
            let runtime = TestRuntime::shared();
            let (near, far) = support::pipe(64 * 1024);
            let h2 = outboard_transport_h2::H2::new().max_header_list_size(2000);
            use outboard_core::rpc::Transport as _;
            let io = Box::new(near);
            (h2.connect(&runtime, io, ConnectionConfig::default()), far)
        };
        let mut call = connection.unary(CallHead::new("/a.B/C"), out("x"));
        let answer = async {
            raw::send(&mut end, &raw::Frame::new(raw::SETTINGS, 0, 0, []).encode()).await;
            let mut preface = [0; 24];
            futures_util::io::AsyncReadExt::read_exact(&mut end, &mut preface)
                .await
                .expect("a preface");
            raw::Frame::find(&mut end, &[raw::DATA], 1)
                .await
                .expect("a call");
            let mut block = vec![0x88];
            let long = "v".repeat(100);
            for _ in 0..50 {
                block.extend(raw::header_block(&[("name", long.as_str())]));
            }
            raw::send(
                &mut end,
                &raw::Frame::new(raw::HEADERS, 4, 1, block).encode(),
            )
            .await;
            end
        };
        let (error, _end) = futures_util::future::join(&mut call, answer).await;
        let error = error.expect_err("too much");
        assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    });
}

#[test]
fn what_is_no_http2_ends_the_connection_with_a_reason() {
    run(async {
        let cases: [&[u8]; 4] = [
            // Another protocol.
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            // Noise.
            &[0xff; 64],
            // A frame cut short by the end of the stream.
            b"\0\0\x06\x04\0\0\0\0\0\0\x01",
            // Nothing at all.
            b"",
        ];
        for bytes in cases {
            let (connection, mut end) = raw::client_and_end(ConnectionConfig::default());
            let call = connection.unary(CallHead::new("/a.B/C"), out("x"));
            raw::send(&mut end, bytes).await;
            let mut end = Some(end);
            if bytes.len() < 64 {
                end = None;
            }
            let error = call.await.expect_err("no HTTP/2");
            assert!(error.is_connection_lost(), "{error}");
            assert_eq!(error.code(), Code::Unavailable);
            assert_eq!(connection.closed().await, error);
            drop(end);
        }
    });
}

#[test]
fn protocol_errors_end_the_connection_with_a_reason() {
    run(async {
        let settings = raw::Frame::new(raw::SETTINGS, 0, 0, []).encode();
        let frames = [
            // DATA on a stream that nobody opened.
            raw::Frame::new(raw::DATA, 0, 7, b"data".to_vec()),
            // Compressed headers that cannot be decompressed.
            raw::Frame::new(raw::HEADERS, 4, 1, vec![0xff; 10]),
            // Settings of a wrong length.
            raw::Frame::new(raw::SETTINGS, 0, 0, vec![1, 2, 3]),
            // A window beyond 2^31 - 1.
            raw::Frame::new(8, 0, 0, vec![0x7f, 0xff, 0xff, 0xff]),
        ];
        for frame in frames {
            let (connection, mut end) = raw::client_and_end(ConnectionConfig::default());
            let call = connection.unary(CallHead::new("/a.B/C"), out("x"));
            raw::send(&mut end, &settings).await;
            raw::send(&mut end, &frame.encode()).await;
            let error = call.await.expect_err("broken");
            assert!(error.is_connection_lost(), "{frame:?}: {error}");
            assert_eq!(connection.closed().await, error);
        }
    });
}

#[test]
fn a_goaway_with_an_error_is_told() {
    run(async {
        let (connection, mut end) = raw::client_and_end(ConnectionConfig::default());
        let mut call = connection.unary(CallHead::new("/a.B/C"), out("x"));
        let peer = async {
            raw::send(&mut end, &raw::Frame::new(raw::SETTINGS, 0, 0, []).encode()).await;
            let mut payload = vec![0, 0, 0, 0, 0, 0, 0, 11];
            payload.extend(b"too_many_pings");
            raw::send(
                &mut end,
                &raw::Frame::new(raw::GOAWAY, 0, 0, payload).encode(),
            )
            .await;
            end
        };
        let (error, end) = futures_util::future::join(&mut call, peer).await;
        let error = error.expect_err("not taken");
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.is_connection_lost(), "{error}");
        let closed = connection.closed().await;
        assert!(closed.message().contains("too_many_pings"), "{closed}");
        drop(end);
    });
}

#[test]
fn requests_look_as_grpc_wants_them() {
    run(async {
        let mut config = ConnectionConfig::default();
        config.authority = "example:80".to_owned();
        config.secure = true;
        let connection = client_with(config, |request, mut respond| {
            let headers = request.headers();
            let text = format!(
                "{} {} {} {} {} {}",
                request.method(),
                request.uri(),
                headers["content-type"].to_str().expect("text"),
                headers["te"].to_str().expect("text"),
                headers["user-agent"].to_str().expect("text"),
                headers.len(),
            );
            let mut stream = respond.send_response(response(), false).expect("open");
            stream
                .send_data(framed(text.as_bytes()), false)
                .expect("open");
            stream
                .send_trailers(trailers(&[("grpc-status", "0")]))
                .expect("open");
        });
        let text = unary(&*connection).await.expect("an answer");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text,
            format!("POST https://example:80/a.B/C application/grpc trailers outboard/{version} 3")
        );
    });
}
