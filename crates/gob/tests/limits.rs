//! Each of the limits: up to it all is well, and behind it an error names it.

mod support;

use std::collections::BTreeMap;

use outboard_gob::{Decoder, Encoder, Error, ErrorKind, Gob, Limit, Limits, Value};
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
