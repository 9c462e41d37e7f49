//! Each of the limits: up to it all is well, and behind it an error names it.

mod support;

use std::collections::{BTreeMap, HashMap};

use outboard_gob::{Decoder, Encoder, Error, ErrorKind, Gob, Limit, Limits, Time, Value};

/// Half of what Rust's threads have unless they are told otherwise.
const STACK: usize = 1 << 20;

use support::{encode, hex};

fn limits(change: impl Fn(&mut Limits)) -> Limits {
    let mut limits = Limits::new();
    change(&mut limits);
    limits
}

/// Reads the first value of a stream, as a dynamic one, under limits.
fn read(mut bytes: &[u8], limits: Limits) -> Result<Value, Error> {
    let mut decoder = Decoder::with_limits(limits);
    let received = decoder.next(&mut bytes)?.expect("a whole value");
    received.to_value()
}

fn passes(error: &Error, limit: Limit) -> bool {
    matches!(error.kind(), ErrorKind::TooMuch { limit: passed, .. } if *passed == limit)
}

/// A stream is read if a limit is `enough`, and not if it is less by one.
fn holds(
    bytes: &[u8],
    limit: Limit,
    enough: usize,
    set: impl Fn(&mut Limits, usize),
    is_fatal: bool,
) {
    read(bytes, limits(|limits| set(limits, enough))).expect("it is enough");
    let error = read(bytes, limits(|limits| set(limits, enough - 1))).expect_err("it fails");
    assert!(passes(&error, limit), "{error}");
    assert_eq!(error.is_fatal(), is_fatal, "{error}");
}

#[test]
fn each_of_them_holds() {
    let text = encode("greeter");
    holds(
        &text,
        Limit::Message,
        10,
        |limits, value| limits.message = value,
        true,
    );
    holds(
        &text,
        Limit::Memory,
        7,
        |limits, value| limits.memory = value,
        false,
    );
    let nested = encode(&vec![vec![vec![1]]]);
    holds(
        &nested,
        Limit::Depth,
        3,
        |limits, value| limits.depth = value,
        false,
    );
    holds(
        &nested,
        Limit::Types,
        3,
        |limits, value| limits.types = value,
        true,
    );
    // Slices of slices of `[]int`; of the latter `02 01 02 ff 80 00 01 04 00 00`.
    holds(
        &nested,
        Limit::Definitions,
        32,
        |limits, value| limits.definitions = value,
        true,
    );
    let list = encode(&vec![1_i32; 9]);
    holds(
        &list,
        Limit::Elements,
        9,
        |limits, value| limits.elements = value,
        false,
    );
    let named = encode(&Value::named("a.Name", &1_i64).expect("a value"));
    holds(
        &named,
        Limit::Name,
        6,
        |limits, value| limits.name = value,
        false,
    );

    #[derive(Gob)]
    struct Three {
        first: u8,
        second: u8,
        third: u8,
    }
    let fields = encode(&Three {
        first: 1,
        second: 2,
        third: 3,
    });
    holds(
        &fields,
        Limit::Fields,
        3,
        |limits, value| limits.fields = value,
        true,
    );
    holds(
        &fields,
        Limit::Name,
        6,
        |limits, value| limits.name = value,
        true,
    );
}

/// A value of several messages may have as many bytes as one of one.
#[test]
fn a_value_of_many_messages_is_one_value() {
    let part = |at: u64| Value::of(&vec![[at; 40]; 3]).expect("a value");
    let list: Vec<Value> = (0..5).map(part).collect();
    let other = Value::named("m", &BTreeMap::from([(1_i64, "a")])).expect("a value");
    let bytes = encode(&[list, vec![other]].concat());
    read(&bytes, Limits::new()).expect("it is small");
    let error = read(&bytes, limits(|limits| limits.message = 600)).expect_err("it fails");
    assert!(
        passes(&error, Limit::Message) && error.is_fatal(),
        "{error}"
    );
}

#[test]
fn the_sender_has_limits_too() {
    let mut encoder = Encoder::with_limits(limits(|limits| {
        limits.message = 100;
        limits.depth = 2;
    }));
    let mut out = Vec::new();
    let error = encoder
        .encode(&[1_u8; 100][..], &mut out)
        .expect_err("it fails");
    assert!(passes(&error, Limit::Message), "{error}");
    let error = encoder
        .encode(&vec![vec![vec![1]]], &mut out)
        .expect_err("it fails");
    assert!(passes(&error, Limit::Depth), "{error}");
    assert!(out.is_empty());
    encoder
        .encode(&vec![vec![1]], &mut out)
        .expect("that is allowed");
}

/// After an error of a stream it stays the same one, and nothing more is read.
#[test]
fn a_stream_that_is_over_is_over() {
    for text in [
        // A length of more than eight bytes.
        "f7 00 00 00 00 00 00 00 00 00",
        // The number of one of gob's own types.
        "07 03 02 02 04 00 01 0c 00 00",
        // A type of no kind.
        "02 7f 00",
        // A definition with something behind it.
        "0c 7f 02 01 02 ff 80 00 01 0c 00 00 00",
    ] {
        let mut decoder = Decoder::new();
        let bytes = hex(text);
        let mut input = &bytes[..];
        let error = decoder.next(&mut input).expect_err(text);
        assert!(error.is_fatal(), "{text}: {error}");
        let mut input = &[3, 4, 0, 2][..];
        assert_eq!(decoder.next(&mut input).expect_err("it is over"), error);
    }
    // The same type for a second time.
    let mut decoder = Decoder::new();
    let bytes = [encode(&()), encode(&())].concat();
    let mut input = &bytes[..];
    assert!(decoder.next(&mut input).expect("a value").is_some());
    let error = decoder.next(&mut input).expect_err("defined twice");
    assert_eq!(error.kind(), &ErrorKind::DefinedTwice { id: 64 });
}

/// After an error of a value comes what is behind it.
#[test]
fn a_value_that_is_malformed_is_one_message() {
    for text in [
        // Nothing in it.
        "00",
        // No zero; bytes behind the value; not all of it.
        "03 04 01 02",
        "04 10 00 00 00",
        "02 10 00",
        // A type that there is not, and one that is none.
        "04 ff 80 00 00",
        "03 12 00 00",
        "03 00 00 00",
        // An interface that holds one, and one that holds a type that there is not.
        "08 10 00 01 61 10 02 00 00",
        "09 10 00 01 61 ff 90 02 00 00",
    ] {
        let bytes = [hex(text), hex("03 04 00 02")].concat();
        let mut decoder = Decoder::new();
        let mut input = &bytes[..];
        match decoder.next(&mut input) {
            Ok(Some(received)) => {
                received.to_value().expect_err(text);
            }
            Ok(None) => panic!("{text}: nothing"),
            Err(error) => assert!(!error.is_fatal(), "{text}: {error}"),
        }
        let mut received = decoder.next(&mut input).expect(text).expect(text);
        assert_eq!(received.decode::<i64>().expect(text), 1, "{text}");
    }
}

/// Values within values take of the stack what any thread has, in the slowest of builds as well.
#[test]
fn the_deepest_value_fits_on_a_stack() {
    #[derive(Gob, Default)]
    struct Wide {
        within: Option<Box<Self>>,
        list: Vec<Self>,
        f0: i64,
        f1: String,
        f2: Vec<u8>,
        f3: HashMap<String, i64>,
        f4: Option<Time>,
        f5: Value,
        f6: f32,
        f7: [u16; 4],
        f8: i64,
        f9: String,
        f10: Vec<u8>,
        f11: HashMap<String, i64>,
        f12: Option<Time>,
        f13: Value,
        f14: f32,
        f15: [u16; 4],
        f16: i64,
        f17: String,
        f18: Vec<u8>,
        f19: HashMap<String, i64>,
        f20: Option<Time>,
        f21: Value,
        f22: f32,
        f23: [u16; 4],
        f24: i64,
        f25: String,
        f26: Vec<u8>,
        f27: HashMap<String, i64>,
        f28: Option<Time>,
        f29: Value,
        f30: f32,
        f31: [u16; 4],
        f32: i64,
        f33: String,
        f34: Vec<u8>,
        f35: HashMap<String, i64>,
        f36: Option<Time>,
        f37: Value,
        f38: f32,
        f39: [u16; 4],
    }
    let run = || {
        for is_list in [false, true] {
            let mut wide = Wide::default();
            // The innermost has an array.
            let deepest = Limits::new().depth - 2;
            for _ in 0..if is_list { deepest / 2 } else { deepest } {
                let (within, list) = match is_list {
                    true => (None, vec![wide]),
                    false => (Some(Box::new(wide)), Vec::new()),
                };
                wide = Wide {
                    within,
                    list,
                    ..Wide::default()
                };
            }
            let bytes = encode(&wide);
            support::decode::<Wide>(&bytes)
                .map(drop)
                .expect("it is not too deep");
            let value = read(&bytes, Limits::new()).expect("it is not too deep");
            let mut out = Vec::new();
            Encoder::new()
                .encode_concrete(&value, &mut out)
                .expect("it is not too deep");
            assert_eq!(format!("{value:?}"), format!("{:?}", value.clone()));
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK);
    let done = thread.spawn(run).expect("a thread").join();
    done.expect("it fits");
}

#[test]
fn several_values_are_sent_or_none() {
    #[derive(Gob, Default, PartialEq, Debug)]
    struct Pair {
        left: i64,
        right: String,
    }
    let pair = Pair {
        left: 1,
        right: "r".to_owned(),
    };
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let failed = encoder.together(&mut out, |encoder, out| {
        encoder.encode(&pair, out)?;
        encoder.encode(&None::<u8>, out)
    });
    assert!(failed.is_err() && out.is_empty());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        encoder.together(&mut out, |encoder, out| -> Result<(), Error> {
            encoder.encode(&pair, out)?;
            panic!("in the middle of it");
        })
    }));
    assert!(panicked.is_err() && out.is_empty());
    // The type is defined again: nobody has seen the first time.
    encoder.encode(&pair, &mut out).expect("encodes");
    let mut chunk = &out[..];
    let mut decoder = Decoder::new();
    let mut received = decoder.next(&mut chunk).expect("gob").expect("whole");
    assert_eq!(received.decode::<Pair>().expect("a pair"), pair);
}
