//! Clients that ask wrongly, or not in HTTP/2 at all.

mod support;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::io::AsyncReadExt as _;
use outboard_core::rpc::{Code, ServerConfig};
use support::raw::{self, call_raw, framed, raw_client, request, server_and_end};
use support::{Event, run};

async fn code(sender: &mut h2::client::SendRequest<Bytes>, method: &str, body: &[Bytes]) -> u32 {
    let answer = call_raw(sender, request(method), body).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.http, 200);
    answer.field("grpc-status").parse().expect("a number")
}

#[test]
fn wrong_requests_are_refused_as_grpc_go_does() {
    run(async {
        let (_serving, _echo, end) = server_and_end(ServerConfig::default());
        let mut sender = raw_client(end).await;
        let cases: [(&str, &str, &str, u16, Code); 8] = [
            (":method", "GET", "", 405, Code::Internal),
            ("content-type", "text/plain", "", 415, Code::InvalidArgument),
            ("content-type", "", "", 415, Code::InvalidArgument),
            ("grpc-timeout", "soon", "", 400, Code::Internal),
            ("x-bin", "!", "", 400, Code::Internal),
            ("grpc-encoding", "gzip", "", 200, Code::Unimplemented),
            (":path", "/test.Echo/Nope", "", 200, Code::Unimplemented),
            (":path", "/", "", 200, Code::Unimplemented),
        ];
        for (name, value, _, http, code) in cases {
            let mut request = request("Echo");
            match name {
                ":method" => *request.method_mut() = value.parse().expect("valid"),
                ":path" => {
                    *request.uri_mut() = format!("http://localhost{value}").parse().expect("valid");
                }
                name if value.is_empty() => {
                    request.headers_mut().remove(name);
                }
                name => {
                    let value = value.parse().expect("valid");
                    let name: http::HeaderName = name.parse().expect("valid");
                    request.headers_mut().insert(name, value);
                }
            }
            let answer = call_raw(&mut sender, request, &[framed(b"x")]).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.http, http, "{name} {value}");
            assert_eq!(
                answer.field("grpc-status"),
                code.number().to_string(),
                "{name} {value}"
            );
            assert!(!answer.field("grpc-message").is_empty(), "{name} {value}");
            assert_eq!(answer.field("content-type"), "application/grpc");
            assert!(answer.trailers.is_none() && answer.body.is_empty());
        }
        assert_eq!(code(&mut sender, "Echo", &[framed(b"x")]).await, 0);
    });
}

#[test]
fn a_unary_request_has_exactly_one_message() {
    run(async {
        let (_serving, _echo, end) = server_and_end(ServerConfig::default());
        let mut sender = raw_client(end).await;
        let internal = Code::Internal.number();
        assert_eq!(code(&mut sender, "Echo", &[]).await, internal);
        assert_eq!(code(&mut sender, "Echo", &[Bytes::new()]).await, internal);
        let two = [framed(b"x"), framed(b"y")];
        assert_eq!(code(&mut sender, "Echo", &two).await, internal);
        let together: Bytes = two.concat().into();
        let halves = |end: usize| [together.slice(..end)];
        for (body, text) in [
            (&two[..], "a second one followed"),
            (std::slice::from_ref(&together), "a second one followed"),
            (&halves(10), "inside a gRPC message"),
            (&halves(7), "inside a gRPC message"),
            (&halves(5), "inside a gRPC message"),
        ] {
            let answer = call_raw(&mut sender, request("Echo"), body).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.field("grpc-status"), internal.to_string());
            let said = answer.field("grpc-message");
            assert!(said.contains(text), "{said}");
        }
        let pieces: Vec<_> = framed(b"hello")
            .chunks(1)
            .map(Bytes::copy_from_slice)
            .collect();
        assert_eq!(code(&mut sender, "Echo", &pieces).await, 0);
    });
}

#[test]
fn a_server_streaming_request_has_exactly_one_message() {
    run(async {
        let (_serving, _echo, end) = server_and_end(ServerConfig::default());
        let mut sender = raw_client(end).await;
        let internal = Code::Internal.number();
        assert_eq!(code(&mut sender, "Count", &[]).await, internal);
        let two = [framed(b"1"), framed(b"2")];
        let together: Bytes = two.concat().into();
        let (second, truncated) = ("a second one followed", "inside a gRPC message");
        for (body, text) in [
            (&two[..], second),
            (std::slice::from_ref(&together), second),
            (&[framed(b"1"), framed(b"2").slice(..5)], truncated),
            (&[together.slice(..7)], truncated),
            (&[together.slice(..11)], truncated),
        ] {
            let answer = call_raw(&mut sender, request("Count"), body).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.field("grpc-status"), internal.to_string());
            let said = answer.field("grpc-message");
            assert!(said.contains(text), "{said}");
        }
        assert_eq!(code(&mut sender, "Count", &[framed(b"1")]).await, 0);
    });
}

#[test]
fn malformed_messages_fail_their_call_only() {
    run(async {
        let (_serving, _echo, end) = server_and_end(ServerConfig::new(100));
        let mut sender = raw_client(end).await;
        let internal = Code::Internal.number();
        let exhausted = Code::ResourceExhausted.number();
        for method in ["Echo", "Collect"] {
            let compressed = Bytes::from_static(b"\x01\0\0\0\0");
            assert_eq!(code(&mut sender, method, &[compressed]).await, internal);
            let noise = Bytes::from_static(b"GET / HTTP/1.1");
            assert_eq!(code(&mut sender, method, &[noise]).await, internal);
            let huge = Bytes::from_static(b"\0\xff\xff\xff\xff");
            assert_eq!(code(&mut sender, method, &[huge]).await, exhausted);
            assert_eq!(
                code(&mut sender, method, &[framed(&[1; 101])]).await,
                exhausted
            );
            let cut = framed(b"hello").slice(..3);
            assert_eq!(code(&mut sender, method, &[cut]).await, internal);
            assert_eq!(code(&mut sender, method, &[framed(&[1; 100])]).await, 0);
        }
    });
}

#[test]
fn what_is_no_http2_closes_the_connection() {
    run(async {
        let mut cut = raw::PREFACE.to_vec();
        cut.extend(b"\0\0\x06\x04\0\0\0\0\0\0\x01");
        let mut noise = raw::PREFACE.to_vec();
        noise.extend([0xff; 64]);
        let cases: [(&[u8], bool); 6] = [
            (b"", true),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", false),
            (&[0x16; 200], false),
            (&raw::PREFACE[..10], true),
            (&cut, true),
            (&noise, false),
        ];
        for (bytes, cut_off) in cases {
            let (serving, _echo, mut end) = server_and_end(ServerConfig::default());
            raw::send(&mut end, bytes).await;
            if cut_off {
                drop(end);
                serving.closed().await;
                continue;
            }
            // The server closes by itself; what it says before is up to it.
            let mut rest = Vec::new();
            end.read_to_end(&mut rest).await.expect("closed");
            serving.closed().await;
        }
    });
}

#[test]
fn a_header_list_over_the_limit_is_refused() {
    run(async {
        use outboard_core::rpc::Transport as _;
        let (near, mut end) = support::pipe(64 * 1024);
        let (_echo, router) = support::service::router();
        let _serving = outboard_transport_h2::H2::new()
            .max_header_list_size(1000)
            .serve(
                &support::TestRuntime::shared(),
                Box::new(near),
                router,
                ServerConfig::default(),
            );
        let mut block = raw::request_block(Some("localhost"), "/test.Echo/Echo");
        for _ in 0..10 {
            let long = "v".repeat(100);
            block.extend(raw::header_block(&[("name", long.as_str())]));
        }
        let mut bytes = raw::PREFACE.to_vec();
        bytes.extend(raw::Frame::new(raw::SETTINGS, 0, 0, []).encode());
        bytes.extend(raw::Frame::new(raw::HEADERS, 4, 1, block).encode());
        raw::send(&mut end, &bytes).await;
        let answer = raw::Frame::find(&mut end, &[raw::HEADERS, raw::RST_STREAM], 1).await;
        // HTTP status 431 in h2's encoding: a literal, since the static table has no such entry.
        let answer = answer.expect("an answer");
        assert_eq!(answer.kind, raw::HEADERS, "{answer:?}");
        let block = raw::request_block(Some("localhost"), "/test.Echo/Echo");
        let mut bytes = raw::Frame::new(raw::HEADERS, 4, 3, block).encode();
        bytes.extend(raw::Frame::new(raw::DATA, 1, 3, &framed(b"x")[..]).encode());
        raw::send(&mut end, &bytes).await;
        let data = raw::Frame::find(&mut end, &[raw::DATA], 3).await;
        assert_eq!(data.expect("an answer").payload, framed(b"x"));
    });
}

#[test]
fn a_call_that_was_reset_at_once_is_not_begun() {
    run(async {
        let (serving, echo, mut end) = server_and_end(ServerConfig::default());
        let events = echo.events();
        let mut bytes = raw::PREFACE.to_vec();
        bytes.extend(raw::Frame::new(raw::SETTINGS, 0, 0, []).encode());
        for stream in [1, 3] {
            let block = raw::request_block(Some("localhost"), "/test.Echo/Echo");
            bytes.extend(raw::Frame::new(raw::HEADERS, 4, stream, block).encode());
            bytes.extend(raw::Frame::new(raw::DATA, 1, stream, &framed(b"x")[..]).encode());
            if stream == 1 {
                bytes.extend(raw::Frame::new(raw::RST_STREAM, 0, 1, vec![0, 0, 0, 8]).encode());
            }
        }
        raw::send(&mut end, &bytes).await;
        raw::Frame::find(&mut end, &[raw::DATA], 3)
            .await
            .expect("an answer");
        drop(end);
        serving.closed().await;
        drop((serving, echo));
        let started = events
            .filter(|event| std::future::ready(*event == Event::Started("Echo")))
            .count();
        assert_eq!(started.await, 1);
    });
}

#[test]
fn settings_announce_what_is_meant() {
    run(async {
        let (_serving, mut end) = raw::empty_server_and_end();
        let settings = raw::Frame::read(&mut end).await.expect("the first frame");
        assert_eq!(settings.kind, raw::SETTINGS);
        let entries: Vec<(u16, u32)> = settings
            .payload
            .chunks_exact(6)
            .map(|e| {
                (
                    u16::from_be_bytes([e[0], e[1]]),
                    u32::from_be_bytes([e[2], e[3], e[4], e[5]]),
                )
            })
            .collect();
        // INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE; no MAX_CONCURRENT_STREAMS.
        assert_eq!(entries, [(4, 1 << 20), (5, 256 << 10), (6, 5 << 20)]);
    });
}
