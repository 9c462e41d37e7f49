//! What the tests share.
#![allow(dead_code, reason = "each of the tests uses some of it")]

use outboard_gob::{Decode, Decoder, Encode, Encoder, Error, Value};

/// Bytes as they stand in the tables; what is in quotes stands for itself.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, part) in text.split('"').enumerate() {
        if at % 2 == 1 {
            bytes.extend_from_slice(part.as_bytes());
            continue;
        }
        for byte in part.split_whitespace() {
            bytes.push(u8::from_str_radix(byte, 16).expect("a byte in hex"));
        }
    }
    bytes
}

/// Whatever is sent, with the definitions it needs, on a new stream.
pub(crate) fn encode<T: Encode + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new().encode(value, &mut out).expect("it is sent");
    out
}

/// The first value of a new stream, which there has to be.
pub(crate) fn decode<T: Decode>(mut bytes: &[u8]) -> Result<T, Error> {
    let mut decoder = Decoder::new();
    let mut received = decoder.next(&mut bytes)?.expect("a whole value");
    received.decode()
}

/// The same, as a dynamic value.
pub(crate) fn dynamic(mut bytes: &[u8]) -> Result<Value, Error> {
    let mut decoder = Decoder::new();
    let received = decoder.next(&mut bytes)?.expect("a whole value");
    received.to_value()
}
