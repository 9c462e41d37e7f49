//! Any bytes as the value of a gRPC header, and any value printed as one.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use outboard_core::grpc::{
    decode_binary, decode_message, encode_binary, encode_message, format_timeout,
    is_grpc_content_type, parse_status_code, parse_timeout,
};

fuzz_target!(|input: (Vec<u8>, String, Duration)| {
    let (bytes, text, timeout) = input;
    let _ = decode_message(&bytes);
    let _ = parse_status_code(&bytes);
    let _ = is_grpc_content_type(&bytes);
    let _ = decode_binary(&bytes);
    if let Err(error) = parse_timeout(&bytes) {
        assert!(error.to_string().len() < 500);
    }

    assert_eq!(decode_message(encode_message(&text).as_bytes()), text);
    assert_eq!(decode_binary(encode_binary(&bytes).as_bytes()), Ok(bytes));
    // Rounded up, unless it is more than the header can say.
    let said = parse_timeout(format_timeout(timeout).as_bytes()).expect("our own");
    assert!(said >= timeout.min(Duration::from_secs(99_999_999 * 3600)));
});
