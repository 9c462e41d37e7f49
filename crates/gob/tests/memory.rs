//! What decoding takes of memory: in proportion to what came, whatever was announced, and nothing for
//! each field where all is in order.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::collections::HashMap;

use counting::counted;
use outboard_gob::{Decoder, Encoder, ErrorKind, Gob, Value};
use support::{encode, hex};

/// For each byte that came: a value of 40 bytes, which are twice as many while a list of them grows, and
/// as many again when it is cut to size.
const FACTOR: usize = 200;
/// What there is whatever comes.
const BASE: usize = 16 << 10;

#[derive(Gob, Default)]
struct Wide {
    strings: [String; 8],
    nested: Vec<Self>,
    map: HashMap<String, Value>,
    bytes: Vec<u8>,
    any: Vec<Value>,
}

/// A stream as it is read by those that trust nobody. All its values are kept.
fn read(mut bytes: &[u8]) -> (Vec<Value>, Vec<Wide>) {
    let mut decoder = Decoder::new();
    let (mut values, mut wides) = (Vec::new(), Vec::new());
    // Those that are not fatal are as many as there are messages.
    loop {
        match decoder.next(&mut bytes) {
            Ok(Some(mut received)) => {
                values.extend(received.to_value());
                if let Ok(wide) = received.decode::<Wide>() {
                    wides.push(wide);
                }
                // An error's text is in proportion, too.
                drop(received.decode::<Vec<HashMap<String, String>>>());
            }
            Ok(None) => return (values, wides),
            Err(error) if error.is_fatal() => return (values, wides),
            Err(_) => {}
        }
    }
}

fn check(what: &str, bytes: &[u8]) {
    // What was sent and what is kept are the caller's.
    let (_, peak, _) = counted(|| read(bytes));
    let allowed = BASE + FACTOR * bytes.len();
    assert!(
        peak <= allowed,
        "{what}: {peak} bytes for {}: {bytes:02x?}",
        bytes.len()
    );
}

/// A message of these bytes.
fn message(text: &str) -> Vec<u8> {
    let body = hex(text);
    let mut bytes = vec![0xfe];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Numbers that look like chance and are the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

fn announced() {
    for (what, text) in [
        ("a message", "fc 03 ff ff ff 04"),
        ("a string", "08 0c 00 fc 03 ff ff ff"),
        ("bytes", "08 0a 00 fc 03 ff ff ff"),
        ("an interface's name", "09 10 00 fc 03 ff ff ff 61"),
        ("fields", "0e 7f 03 01 02 ff 80 00 01 fd 0f ff ff 01 00"),
    ] {
        check(what, &hex(text));
    }
    // A slice of slices of slices, each of as many as there are bytes.
    let mut nested = Vec::new();
    for level in 0..200_u16 {
        let signed = |value: u16| format!("fe {:02x} {:02x}", value >> 8, value & 0xff);
        let (id, elem) = (64 + level, if level == 199 { 2 } else { 65 + level });
        let (negative, id, elem) = (
            signed((id - 1) << 1 | 1),
            signed(id << 1),
            signed(elem << 1),
        );
        nested.extend(message(&format!(
            "{negative} 02 01 02 {id} 00 01 {elem} 00 00"
        )));
    }
    let mut body = "fe 00 80 00".to_owned();
    for _ in 0..200 {
        body.push_str(" fe 0f 00");
    }
    body.push_str(&" 00".repeat(5000));
    nested.extend(message(&body));
    let mut input = &nested[..];
    let mut decoder = Decoder::new();
    let received = decoder.next(&mut input).expect("it is understood");
    let error = received.expect("a value").to_value().expect_err("it fails");
    assert_eq!(error.kind(), &ErrorKind::Truncated);
    check("nested counts", &nested);
}

fn small_values() {
    // Values of which each takes a byte on the wire and as much memory as it can.
    for count in [10_usize, 1000, 60_000] {
        check("nils", &encode(&vec![Value::Nil; count]));
        check("empty structs", &encode(&vec![(); count]));
        let wide: Vec<HashMap<String, i64>> = vec![HashMap::new(); count];
        check("empty maps", &encode(&wide));
        check("strings", &encode(&vec![""; count]));
        let ints: HashMap<u64, bool> = (0..count as u64).map(|key| (key, true)).collect();
        check("a map", &encode(&ints));
        let named = Value::named("x", &1_i8).expect("a value");
        check("names", &encode(&vec![named; count]));
    }
    // The sizes of the elements are the receiver's own choice: here 2^8 bytes and more for one.
    let bytes = encode(&Wide {
        nested: (0..1000).map(|_| Wide::default()).collect(),
        ..Wide::default()
    });
    let (read, peak, _) = counted(|| read(&bytes));
    assert_eq!(read.1[0].nested.len(), 1000);
    assert!(peak < 3 * 1000 * size_of::<Wide>(), "{peak}");
}

fn bytes_by_chance() {
    let mut random = Random(7);
    let streams: Vec<Vec<u8>> = {
        let mut all = Vec::new();
        let any = || Value::named("w", &vec!["a", "b"]).expect("a value");
        for nested in 0..3 {
            let wide = || Wide {
                bytes: vec![1; 20],
                any: vec![Value::Nil, any(), 7_i32.into()],
                map: HashMap::from([("k".to_owned(), any()), ("n".to_owned(), Value::Nil)]),
                ..Wide::default()
            };
            let mut stream = Vec::new();
            let mut encoder = Encoder::new();
            for _ in 0..2 {
                let nested = (0..nested).map(|_| wide()).collect();
                let value = Wide { nested, ..wide() };
                encoder.encode(&value, &mut stream).expect("sent");
            }
            all.push(stream);
        }
        all
    };
    for round in 0..20_000 {
        let mut bytes = streams[round % streams.len()].clone();
        for _ in 0..=random.next(4) {
            let at = random.next(bytes.len());
            match random.next(4) {
                0 => bytes[at] = random.next(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, random.next(256) as u8),
                _ => bytes[at] = bytes[at].wrapping_add(1),
            }
        }
        // An element of the receiver's own list is as large as the receiver has made it.
        let (_, peak, _) = counted(|| read(&bytes));
        let allowed = BASE + (FACTOR + 2 * size_of::<Wide>()) * bytes.len();
        assert!(
            peak <= allowed,
            "{peak} bytes for {}: {bytes:02x?}",
            bytes.len()
        );
    }
}

#[derive(Gob, Default)]
struct Flat {
    a: i64,
    b: u32,
    c: f64,
    d: bool,
    e: [i16; 4],
    f: String,
    g: Option<u8>,
    h: Inner,
}

#[derive(Gob, Default)]
struct Inner {
    a: i64,
    b: i64,
}

/// Only the strings and lists of a value are allocated.
fn nothing_for_each_field() {
    let (mut encoder, mut out) = (Encoder::new(), Vec::with_capacity(4096));
    let value = || Flat {
        a: 1,
        b: 2,
        c: 3.0,
        d: true,
        e: [4; 4],
        f: String::new(),
        g: Some(5),
        h: Inner { a: 6, b: 7 },
    };
    encoder.encode(&value(), &mut out).expect("sent");
    let first = out.len();
    let ((), _, calls) = counted(|| encoder.encode(&value(), &mut out).expect("sent"));
    assert_eq!(calls, 0, "of the encoder");
    let (definitions, mut second) = out.split_at(first);
    let mut decoder = Decoder::new();
    let mut input = definitions;
    let mut received = decoder.next(&mut input).expect("read").expect("a value");
    received.decode::<Flat>().expect("read");
    let (read, _, calls) = counted(|| {
        let mut received = decoder.next(&mut second).expect("read").expect("a value");
        received.decode::<Flat>().expect("read")
    });
    assert_eq!((read.a, read.h.b), (1, 7));
    assert_eq!(calls, 0, "of the decoder");
}

/// The one test of this file, as it counts everything that the program allocates.
#[test]
fn memory_is_in_proportion_to_what_came() {
    announced();
    small_values();
    bytes_by_chance();
    nothing_for_each_field();
}
