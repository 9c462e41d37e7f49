//! Streams of gob: any bytes, cut in two anywhere, are read to the same values and errors; what is read as
//! a dynamic value is sent and read to the same; and a type that is asked for is compared with whatever
//! was sent.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use outboard_gob::{
    BigInt, BinaryBytes, Complex, Decoder, Encoder, Gob, Limits, Time, Value,
};

/// Of all that there is, by names that are quickly found.
#[derive(Gob, Debug)]
struct All {
    a: i8,
    b: Option<Box<All>>,
    c: Vec<All>,
    d: BTreeMap<String, Value>,
    e: Value,
    f: [u16; 2],
    g: Vec<u8>,
    h: f32,
    i: Complex<f64>,
    j: Option<Time>,
    k: BigInt,
    l: BinaryBytes,
    m: bool,
    n: BTreeMap<u8, Vec<()>>,
}

fn read(pieces: [&[u8]; 2]) -> Vec<String> {
    let mut limits = Limits::new();
    limits.depth = 60;
    let mut decoder = Decoder::with_limits(limits);
    let mut told = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(mut received)) => {
                    told.push(received.shape().to_string());
                    told.push(format!("{:?}", received.decode::<All>()));
                    told.push(format!("{:?}", received.decode::<Vec<Value>>()));
                    let value = received.to_value();
                    told.push(format!("{value:?}"));
                    if let Ok(value) = value {
                        sent_on(&value);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    told.push(error.to_string());
                    if error.is_fatal() {
                        return told;
                    }
                }
            }
        }
    }
    told
}

/// Whatever can be sent arrives as it is.
fn sent_on(value: &Value) {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let sent = match value {
        // By itself, a value has no name.
        Value::Nil | Value::Named(_) => encoder.encode(value, &mut out),
        _ => encoder.encode_concrete(value, &mut out),
    };
    if sent.is_err() {
        return;
    }
    let mut decoder = Decoder::new();
    let received = decoder.next(&mut &*out).expect("it was sent");
    let again = received.expect("a value").to_value().expect("it was sent");
    assert_eq!(format!("{again:?}"), format!("{value:?}"));
}

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let whole = read([bytes, &[]]);
    let cut = cut % (bytes.len() + 1);
    let (first, second) = bytes.split_at(cut);
    assert_eq!(read([first, second]), whole);
});
