//! Texts of statuses and metadata up to the limits arrive whole; what is over them concerns one call.

mod support;

use outboard_core::rpc::{CallHead, Code, Connection, ConnectionConfig, Metadata, Status};
use support::pipe::End;
use support::raw::{self, Frame};
use support::service::out;
use support::{PairBuilder, run};

const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;
/// What grpc-go puts into a frame, whatever it may.
const GO_FRAME: usize = 16_384;

async fn fail_with(connection: &dyn Connection, text: &str) -> Status {
    let call = connection.unary(CallHead::new("/test.Echo/FailWith"), out(text));
    call.await.expect_err("it fails")
}

async fn works(connection: &dyn Connection) {
    let call = connection.unary(CallHead::new("/test.Echo/Echo"), out("next"));
    assert_eq!(call.await.expect("an answer").message, "next");
}

fn entries(count: usize, size: usize) -> Metadata {
    let mut metadata = Metadata::new();
    for n in 0..count {
        let value = vec![255; size];
        metadata
            .insert_bin(format!("x-{n:04}-bin"), value)
            .expect("valid");
    }
    metadata
}

#[test]
fn a_lower_limit_of_this_side_fails_the_call_alone_in_both_directions() {
    run(async {
        let pair = PairBuilder {
            h2: outboard_transport_h2::H2::new().max_header_list_size(10_000),
            ..PairBuilder::default()
        }
        .build();
        let mut head = CallHead::new("/test.Echo/Metadata");
        head.metadata = entries(1, 20_000);
        let refused = pair.connection.unary(head, out("x")).await;
        let refused = refused.expect_err("too much for the server");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(refused.message().contains("10000 bytes"), "{refused}");
        works(&*pair.connection).await;

        let refused = fail_with(&*pair.connection, &"a".repeat(20_000)).await;
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(refused.message().contains("10000 bytes"), "{refused}");
        works(&*pair.connection).await;
    });
}

/// A literal of any length (RFC 7541, sections 5.1 and 6.2.2).
fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        let mut rest = text.len();
        if rest < 127 {
            block.push(rest as u8);
        } else {
            block.push(127);
            rest -= 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
        block.extend(text.as_bytes());
    }
}

/// Answers a call by one header block in frames as small as grpc-go's.
async fn answer(end: &mut End, stream: u32, message: &str) {
    let mut block = Vec::new();
    literal(&mut block, ":status", "200");
    literal(&mut block, "content-type", "application/grpc");
    literal(&mut block, "grpc-status", "10");
    literal(&mut block, "grpc-message", message);
    let pieces = block.chunks(GO_FRAME);
    let last = pieces.len() - 1;
    for (index, piece) in pieces.enumerate() {
        let (kind, first) = if index == 0 {
            (raw::HEADERS, END_STREAM)
        } else {
            (CONTINUATION, 0)
        };
        let flags = first | if index == last { END_HEADERS } else { 0 };
        raw::send(end, &Frame::new(kind, flags, stream, piece).encode()).await;
    }
}

#[test]
fn long_headers_in_small_frames_leave_the_connection_alone() {
    run(async {
        let (connection, mut end) = raw::client_and_end(ConnectionConfig::default());
        let call = |text: &'static str| connection.unary(CallHead::new("/a.B/C"), out(text));
        let encoded = "%F0%9F%98%88".repeat(250_000);
        let server = async {
            let mut preface = [0; raw::PREFACE.len()];
            futures_util::io::AsyncReadExt::read_exact(&mut end, &mut preface)
                .await
                .expect("a preface");
            let settings = Frame::read(&mut end).await.expect("settings");
            assert_eq!(settings.kind, raw::SETTINGS);
            // What a server that keeps the limit of its client does not exceed.
            let announced = settings
                .payload
                .chunks(6)
                .find_map(|entry| entry.strip_prefix(&[0, 6]))
                .expect("a limit on header lists");
            assert_eq!(announced, (5u32 << 20).to_be_bytes());
            raw::send(&mut end, &Frame::new(raw::SETTINGS, 0, 0, []).encode()).await;
            raw::send(&mut end, &Frame::new(raw::SETTINGS, 1, 0, []).encode()).await;
            let almost_all = "a".repeat((5 << 20) - 200);
            let over = "a".repeat((5 << 20) + 1000);
            for (stream, message) in [(1, &*encoded), (3, &almost_all), (5, &over), (7, "done")] {
                Frame::find(&mut end, &[raw::HEADERS], stream)
                    .await
                    .expect("a call");
                answer(&mut end, stream, message).await;
            }
            end
        };
        let client = async {
            let status = call("1").await.expect_err("a status");
            assert_eq!(status.code(), Code::Aborted);
            assert!(status.message() == "\u{1f608}".repeat(250_000));
            let status = call("2").await.expect_err("a status");
            assert_eq!(status.code(), Code::Aborted, "{:.200}", status.message());
            let status = call("3").await.expect_err("over the limit");
            assert_eq!(status.code(), Code::ResourceExhausted);
            let status = call("4").await.expect_err("a status");
            assert_eq!((status.code(), status.message()), (Code::Aborted, "done"));
        };
        futures_util::future::join(server, client).await;
    });
}
