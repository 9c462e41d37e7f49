//! Which values of `:authority` a server takes, sent byte for byte, and what a client sends none of. See
//! the crate's documentation.

mod support;

use outboard_core::rpc::{CallHead, ServerConfig};
use support::pipe::End;
use support::raw::{self, framed, server_and_end};
use support::service::out;
use support::{PairBuilder, run};

/// A literal that need not be put into the table, with the name spelt out.
fn spelt_out(value: &[u8]) -> Vec<u8> {
    let mut field = b"\x00\x0a:authority".to_vec();
    field.push(u8::try_from(value.len()).expect("short"));
    field.extend(value);
    field
}

/// A literal for the table, with the name by its index: what most libraries send.
fn for_the_table(value: &[u8]) -> Vec<u8> {
    let mut field = vec![0x41, u8::try_from(value.len()).expect("short")];
    field.extend(value);
    field
}

/// HEADERS and DATA of a call of Echo whose header block contains this field.
fn request(stream: u32, authority: &[u8]) -> Vec<u8> {
    let mut block = raw::header_block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/test.Echo/Echo"),
    ]);
    block.extend(authority);
    block.extend(raw::header_block(&[
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]));
    let mut bytes = raw::Frame::new(raw::HEADERS, 4, stream, block).encode();
    bytes.extend(raw::Frame::new(raw::DATA, 1, stream, &framed(b"x")[..]).encode());
    bytes
}

/// Whether a call is answered; if not, the code of its RST_STREAM.
async fn outcome(end: &mut End, stream: u32) -> Result<(), u32> {
    let frame = raw::Frame::find(end, &[raw::DATA, raw::RST_STREAM], stream).await;
    told(frame.expect("an answer"))
}

/// What an answer or a RST_STREAM tells.
fn told(frame: raw::Frame) -> Result<(), u32> {
    if frame.kind == raw::DATA {
        assert_eq!(frame.payload, framed(b"x"));
        return Ok(());
    }
    let code = frame.payload.try_into().expect("four bytes");
    Err(u32::from_be_bytes(code))
}

fn start() -> Vec<u8> {
    let mut bytes = raw::PREFACE.to_vec();
    bytes.extend(raw::Frame::new(raw::SETTINGS, 0, 0, []).encode());
    bytes
}

/// The outcome of the one call of a connection.
async fn answer(authority: &[u8]) -> Result<(), u32> {
    let (_serving, _echo, mut end) = server_and_end(ServerConfig::default());
    let mut bytes = start();
    bytes.extend(request(1, authority));
    raw::send(&mut end, &bytes).await;
    outcome(&mut end, 1).await
}

/// What hosts send, by the way that they reach the plugin, and what `h2` alone refuses.
const AUTHORITIES: &[&[u8]] = &[
    // grpc-go, plain and with AutoMTLS.
    b"unused",
    b"localhost",
    // Dialled by address.
    b"127.0.0.1:1234",
    b"[::1]:1234",
    b"localhost:1234",
    b"example.com",
    // Names that are no DNS names.
    b"under_score",
    b"user@host",
    // gRPC's C core over a unix socket.
    b"%2Ftmp%2Fplugin1234",
    b"tmp%2Fplugin%20of%20mine",
    // Others.
    b"/tmp/plugin1234",
    b"unix:/tmp/plugin1234",
    b"unix:///tmp/plugin1234",
    b"unix-abstract:%00name",
    b"\xff\xfe",
    b"a b",
    b"%",
    b"host:port",
    b"[::1",
];

#[test]
fn any_authority_is_taken() {
    run(async {
        for authority in AUTHORITIES {
            let text = String::from_utf8_lossy(authority);
            assert_eq!(answer(&spelt_out(authority)).await, Ok(()), "{text}");
            assert_eq!(answer(&for_the_table(authority)).await, Ok(()), "{text}");
        }
        assert_eq!(answer(b"").await, Ok(()), "no authority");
        assert_eq!(answer(&spelt_out(b"")).await, Ok(()), "an empty one");
        assert_eq!(answer(b"\x81").await, Ok(()), "the static table's");
        assert_eq!(answer(b"\x01\x00").await, Ok(()), "with its name");
        assert_eq!(answer(b"\x11\x00").await, Ok(()), "never indexed");
    });
}

/// As the C core does: the first call puts the authority into the table, all later ones refer to
/// it, and other entries come and go meanwhile.
#[test]
fn an_authority_in_the_table_serves_later_calls() {
    run(async {
        let (_serving, _echo, mut end) = server_and_end(ServerConfig::default());
        let mut bytes = start();
        bytes.extend(request(1, &for_the_table(b"%2Ftmp%2Fplugin1234")));
        // The newest entry of the table.
        bytes.extend(request(3, b"\xbe"));
        // Another authority by the name of that entry, then both.
        let mut by_name = vec![0x7e, 12];
        by_name.extend(b"%2Ftmp%2Fabcd"[..12].iter());
        bytes.extend(request(5, &by_name));
        bytes.extend(request(7, b"\xbe"));
        bytes.extend(request(9, b"\xbf"));
        raw::send(&mut end, &bytes).await;
        // Handlers run beside each other.
        let mut missing = vec![1, 3, 5, 7, 9];
        while !missing.is_empty() {
            let frame = raw::Frame::read(&mut end).await.expect("more answers");
            if [raw::DATA, raw::RST_STREAM].contains(&frame.kind) {
                let stream = frame.stream;
                assert_eq!(told(frame), Ok(()), "{stream}");
                missing.retain(|other| *other != stream);
            }
        }
    });
}

/// The header block in three frames, cut in the middle of the authority, and each byte on its own.
#[test]
fn an_authority_in_pieces_is_taken() {
    run(async {
        let (_serving, _echo, mut end) = server_and_end(ServerConfig::default());
        let whole = request(1, &for_the_table(b"%2Ftmp%2Fplugin1234"));
        let length = usize::from(u16::from_be_bytes([whole[1], whole[2]]));
        let block = &whole[9..9 + length];
        let cut = block.windows(3).position(|bytes| bytes == b"tmp");
        let cut = cut.expect("the authority");
        let mut bytes = start();
        bytes.extend(raw::Frame::new(raw::HEADERS, 0, 1, &block[..cut]).encode());
        bytes.extend(raw::Frame::new(9, 0, 1, &block[cut..cut + 4]).encode());
        bytes.extend(raw::Frame::new(9, 4, 1, &block[cut + 4..]).encode());
        bytes.extend(&whole[9 + length..]);
        for byte in bytes {
            raw::send(&mut end, &[byte]).await;
        }
        assert_eq!(outcome(&mut end, 1).await, Ok(()));
    });
}

/// Nothing valid is as short, and without it the table would not be the peer's.
#[test]
fn an_empty_authority_that_is_to_be_kept_is_left_to_h2() {
    const PROTOCOL_ERROR: u32 = 1;
    run(async {
        assert_eq!(answer(&for_the_table(b"")).await, Err(PROTOCOL_ERROR));
    });
}

#[test]
fn an_authority_that_is_none_fails_the_calls_with_a_reason() {
    run(async {
        let mut builder = PairBuilder::default();
        builder.client.authority = "/tmp/plugin.sock".to_owned();
        let pair = builder.build();
        let call = pair
            .connection
            .unary(CallHead::new("/test.Echo/Echo"), out("x"));
        let error = call.await.expect_err("no authority");
        assert!(error.message().contains("/tmp/plugin.sock"), "{error}");
        assert_eq!(pair.connection.closed().await, error);
    });
}
