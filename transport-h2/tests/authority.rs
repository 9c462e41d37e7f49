//! Which values of `:authority` a server takes, sent byte for byte. See the crate's documentation.

mod support;

use outboard_core::rpc::ServerConfig;
use support::raw::{self, framed, server_and_end};
use support::run;

/// Whether a call with this authority is answered; if not, the code of its RST_STREAM.
async fn answer(authority: Option<&str>) -> Result<(), u32> {
    let (_serving, _echo, mut end) = server_and_end(ServerConfig::default());
    let block = raw::request_block(authority, "/test.Echo/Echo");
    let mut bytes = raw::PREFACE.to_vec();
    bytes.extend(raw::Frame::new(raw::SETTINGS, 0, 0, []).encode());
    bytes.extend(raw::Frame::new(raw::HEADERS, 4, 1, block).encode());
    bytes.extend(raw::Frame::new(raw::DATA, 1, 1, &framed(b"x")[..]).encode());
    raw::send(&mut end, &bytes).await;
    let frame = raw::Frame::find(&mut end, &[raw::DATA, raw::RST_STREAM], 1).await;
    let frame = frame.expect("an answer");
    if frame.kind == raw::DATA {
        assert_eq!(frame.payload, framed(b"x"));
        return Ok(());
    }
    let code = frame.payload.try_into().expect("four bytes");
    Err(u32::from_be_bytes(code))
}

#[test]
fn what_hosts_send_today_is_taken() {
    run(async {
        for authority in [
            // grpc-go, plain and with AutoMTLS.
            "unused",
            "localhost",
            // Dialled by address.
            "127.0.0.1:1234",
            "[::1]:1234",
            "localhost:1234",
            "example.com",
            // Names that are no DNS names.
            "under_score",
            "user@host",
        ] {
            assert_eq!(answer(Some(authority)).await, Ok(()), "{authority}");
        }
        assert_eq!(answer(None).await, Ok(()), "no authority");
    });
}

#[test]
fn what_h2_refuses_before_anybody_sees_it() {
    const PROTOCOL_ERROR: u32 = 1;
    run(async {
        for authority in [
            "",
            "/tmp/plugin1234",
            "%2Ftmp%2Fplugin1234",
            "unix:/tmp/plugin1234",
            "unix:///tmp/plugin1234",
        ] {
            let answer = answer(Some(authority)).await;
            assert_eq!(answer, Err(PROTOCOL_ERROR), "{authority:?}");
        }
    });
}
