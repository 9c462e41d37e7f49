//! The bytes that were measured of Go: written as they are, and read, whole and cut anywhere.

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;

use outboard_gob::{Decode, Decoder, Encode, Encoder, Gob, Value};
use support::hex;

/// One stream, both ways.
#[derive(Default)]
struct Stream {
    encoder: Encoder,
    decoder: Decoder,
}

impl Stream {
    fn row<T: Encode + Decode + PartialEq + Debug>(&mut self, value: T, text: &str) {
        let expected = hex(text);
        let mut out = Vec::new();
        self.encoder.encode(&value, &mut out).expect("it is sent");
        assert_eq!(out, expected, "{value:?}:\n{out:02x?}\n{expected:02x?}");
        self.read(&value, &expected);
    }

    /// Reads it byte by byte.
    fn read<T: Decode + PartialEq + Debug>(&mut self, value: &T, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate() {
            let mut chunk = std::slice::from_ref(byte);
            let received = self.decoder.next(&mut chunk).expect("it is understood");
            assert!(chunk.is_empty());
            match received {
                Some(mut received) => {
                    assert_eq!(at + 1, bytes.len());
                    assert_eq!(received.decode::<T>().expect("it is read"), *value);
                    received.to_value().expect("it is read");
                }
                None => assert!(at + 1 < bytes.len(), "no value at the end"),
            }
        }
        assert!(self.decoder.is_between_values());
        assert_eq!(self.decoder.buffered(), 0);
    }
}

fn row<T: Encode + Decode + PartialEq + Debug>(value: T, text: &str) {
    let bytes = hex(text);
    assert_eq!(support::decode::<T>(&bytes).expect("it is read"), value);
    Stream::default().row(value, text);
}

fn any(value: impl Into<Value>) -> Value {
    value.into()
}

/// Of the type that Go calls `int`.
fn int(value: isize) -> Value {
    Value::from(value)
}

#[test]
fn numbers() {
    row(true, "03 02 00 01");
    row(false, "03 02 00 00");
    row(0_i64, "03 04 00 00");
    row(1_i8, "03 04 00 02");
    row(-1_i16, "03 04 00 01");
    row(42_i32, "03 04 00 54");
    row(-42_isize, "03 04 00 53");
    row(63_i64, "03 04 00 7e");
    row(64_i64, "04 04 00 ff 80");
    row(-64_i64, "03 04 00 7f");
    row(-65_i64, "04 04 00 ff 81");
    row(256_i64, "05 04 00 fe 02 00");
    row(1_i64 << 40, "09 04 00 fa 02 00 00 00 00 00");
    row(i64::MIN, "0b 04 00 f8 ff ff ff ff ff ff ff ff");
    row(1_u8, "03 06 00 01");
    row(127_u16, "03 06 00 7f");
    row(128_u32, "04 06 00 ff 80");
    row(256_u64, "05 06 00 fe 01 00");
    row(4_294_967_295_usize, "07 06 00 fc ff ff ff ff");
    row(0.0_f64, "03 08 00 00");
    row(1.0_f32, "05 08 00 fe f0 3f");
    row(17.0_f64, "05 08 00 fe 31 40");
    row(0.1_f64, "0b 08 00 f8 9a 99 99 99 99 99 b9 3f");
}

#[test]
fn strings_and_bytes() {
    row(String::new(), "03 0c 00 00");
    row("greeter".to_owned(), "0a 0c 00 07 67 72 65 65 74 65 72");
    row(Vec::<u8>::new(), "03 0a 00 00");
    row(b"hello".to_vec(), "08 0a 00 05 68 65 6c 6c 6f");
}

#[test]
fn interfaces() {
    row(Value::Nil, "03 10 00 00");
    row(any("hi"), "0f 10 00 06 73 74 72 69 6e 67 0c 04 00 02 68 69");
    row(int(7), "0a 10 00 03 69 6e 74 04 02 00 0e");
    row(
        any(b"yo".to_vec()),
        "10 10 00 07 5b 5d 75 69 6e 74 38 0a 04 00 02 79 6f",
    );
}

#[test]
fn the_empty_struct() {
    let mut stream = Stream::default();
    stream.row((), "09 7f 03 01 02 ff 80 00 00 00 03 ff 80 00");
    stream.row((), "03 ff 80 00");
}

#[test]
fn lists() {
    row(
        vec!["a".to_owned(), "bc".to_owned()],
        "0b 7f 02 01 02 ff 80 00 01 0c 00 00 09 ff 80 00 02 01 61 02 62 63",
    );
    row(
        [1_i64, 0, 2],
        "0d 7f 01 01 02 ff 80 00 01 04 01 06 00 00 07 ff 80 00 03 02 00 04",
    );
}

#[test]
fn maps_of_anything() {
    let of = |key: &str, value: Value| BTreeMap::from([(key.to_owned(), value)]);
    let definition = "0d 7f 04 01 02 ff 80 00 01 0c 01 10 00 00";
    let row = |map: BTreeMap<String, Value>, text: &str| row(map, &format!("{definition} {text}"));
    row(
        of("key", any("hello")),
        "18 ff 80 00 01 03 6b 65 79 06 73 74 72 69 6e 67 0c 07 00 05 68 65 6c 6c 6f",
    );
    row(
        of("value", any(b"world".to_vec())),
        "1b ff 80 00 01 05 76 61 6c 75 65 07 5b 5d 75 69 6e 74 38 0a 07 00 05 77 6f 72 6c 64",
    );
    row(
        of("value", Value::Nil),
        "0b ff 80 00 01 05 76 61 6c 75 65 00",
    );
    // The definition of what is in the interface ends the message.
    row(
        of("value", Value::of(&vec!["a", "b"]).expect("a value")),
        "1f ff 80 00 01 05 76 61 6c 75 65 08 5b 5d 73 74 72 69 6e 67
         ff 81 02 01 02 ff 82 00 01 0c 00 00
         09 ff 82 06 00 02 01 61 01 62",
    );
}

#[test]
fn the_rest_of_a_value_may_be_in_the_message_of_its_definition() {
    let bytes = hex("0d 7f 04 01 02 ff 80 00 01 0c 01 10 00 00
         29 ff 80 00 01 05 76 61 6c 75 65 08 5b 5d 73 74 72 69 6e 67
         ff 81 02 01 02 ff 82 00 01 0c 00 00
         09 ff 82 06 00 02 01 61 01 62");
    let value = BTreeMap::from([(
        "value".to_owned(),
        Value::of(&vec!["a", "b"]).expect("a value"),
    )]);
    Stream::default().read(&value, &bytes);
    assert_eq!(
        support::decode::<BTreeMap<String, Value>>(&bytes).expect("it is read"),
        value
    );
}

#[derive(Gob, Debug, PartialEq)]
#[gob(name = "P")]
struct Point {
    x: i64,
    y: isize,
    name: String,
}

#[test]
fn structs_leave_zeros_out() {
    let point = |x, y, name: &str| Point {
        x,
        y,
        name: name.to_owned(),
    };
    let mut stream = Stream::default();
    stream.row(
        point(22, 33, "a"),
        "23 7f 03 01 01 01 50 01 ff 80 00 01 03 01 01 58 01 04 00 01 01 59 01 04 00
         01 04 4e 61 6d 65 01 0c 00 00 00
         0a ff 80 01 2c 01 42 01 01 61 00",
    );
    stream.row(point(0, 33, ""), "05 ff 80 02 42 00");
    stream.row(point(0, 0, ""), "03 ff 80 00");
}

#[derive(Gob, Debug, PartialEq)]
struct Request {
    service_method: String,
    seq: u64,
}

#[derive(Gob, Debug, PartialEq)]
struct Response {
    service_method: String,
    seq: u64,
    error: String,
}

fn request(method: &str, seq: u64) -> Request {
    let service_method = method.to_owned();
    Request {
        service_method,
        seq,
    }
}

fn response(method: &str, seq: u64, error: &str) -> Response {
    let (service_method, error) = (method.to_owned(), error.to_owned());
    Response {
        service_method,
        seq,
        error,
    }
}

const REQUEST: &str = r#"2e 7f 03 01 01 07 "Request" 01 ff 80 00 01 02 01 0d "ServiceMethod" 01 0c 00
    01 03 "Seq" 01 06 00 00 00"#;

#[test]
fn the_calls_of_the_basic_example() {
    let mut control = Stream::default();
    control.row(
        request("Dispenser.Dispense", 0),
        &format!(r#"{REQUEST} 17 ff 80 01 12 "Dispenser.Dispense" 00"#),
    );
    control.row("greeter".to_owned(), r#"0a 0c 00 07 "greeter""#);
    control.row(
        request("Control.Quit", 1),
        r#"13 ff 80 01 0c "Control.Quit" 01 01 00"#,
    );
    control.row(true, "03 02 00 01");

    let mut dispensed = Stream::default();
    dispensed.row(
        request("Plugin.Greet", 0),
        &format!(r#"{REQUEST} 11 ff 80 01 0c "Plugin.Greet" 00"#),
    );
    dispensed.row(Value::Nil, "03 10 00 00");
    dispensed.row(
        request("Plugin.Greet", 1),
        r#"13 ff 80 01 0c "Plugin.Greet" 01 01 00"#,
    );
    dispensed.row(Value::Nil, "03 10 00 00");
}

/// The plugin of the transcript was in one process with its host, so that its types begin at 65.
#[test]
fn the_answers_of_the_basic_example() {
    let defined = r#"3a ff 81 03 01 01 08 "Response" 01 ff 82 00 01 03 01 0d "ServiceMethod" 01 0c 00
        01 03 "Seq" 01 06 00 01 05 "Error" 01 0c 00 00 00"#;
    let mut control = Stream::default();
    let mut read = |value: &dyn Fn(&mut Stream, &[u8]), text: &str| value(&mut control, &hex(text));
    read(
        &|stream, bytes| stream.read(&response("Dispenser.Dispense", 0, ""), bytes),
        &format!(r#"{defined} 17 ff 82 01 12 "Dispenser.Dispense" 00"#),
    );
    read(&|stream, bytes| stream.read(&1_u32, bytes), "03 06 00 01");
    read(
        &|stream, bytes| stream.read(&response("Control.Quit", 1, ""), bytes),
        r#"13 ff 82 01 0c "Control.Quit" 01 01 00"#,
    );
    read(
        &|stream, bytes| stream.read(&(), bytes),
        "0a ff 83 03 01 02 ff 84 00 00 00 03 ff 84 00",
    );

    let mut dispensed = Stream::default();
    let text = format!(r#"{defined} 11 ff 82 01 0c "Plugin.Greet" 00"#);
    dispensed.read(&response("Plugin.Greet", 0, ""), &hex(&text));
    dispensed.read(&"Hello!".to_owned(), &hex(r#"09 0c 00 06 "Hello!""#));
    let text =
        r#"36 ff 82 01 0b "Plugin.Nope" 01 02 01 22 "rpc: can't find method Plugin.Nope" 00"#;
    let error = "rpc: can't find method Plugin.Nope";
    dispensed.read(&response("Plugin.Nope", 2, error), &hex(text));
    let placeholder = hex("0a ff 83 03 01 02 ff 84 00 00 00 03 ff 84 00");
    dispensed.read(&(), &placeholder);
    dispensed.read(&(), &hex("03 ff 84 00"));
}

/// The same as this side writes them, whose types begin at 64.
#[test]
fn answers_as_they_are_written_here() {
    let mut stream = Stream::default();
    stream.row(
        response("Plugin.Greet", 0, ""),
        r#"39 7f 03 01 01 08 "Response" 01 ff 80 00 01 03 01 0d "ServiceMethod" 01 0c 00
           01 03 "Seq" 01 06 00 01 05 "Error" 01 0c 00 00 00
           11 ff 80 01 0c "Plugin.Greet" 00"#,
    );
    stream.row("Hello!".to_owned(), r#"09 0c 00 06 "Hello!""#);
    stream.row(
        response("Plugin.Nope", 2, "no"),
        r#"16 ff 80 01 0b "Plugin.Nope" 01 02 01 02 "no" 00"#,
    );
    stream.row((), "0a ff 81 03 01 02 ff 82 00 00 00 03 ff 82 00");
    stream.row((), "03 ff 82 00");
}

/// Go 1.19 gives its first type the number 65.
#[test]
fn other_numbers_are_as_good() {
    let text = r#"2f ff 81 03 01 01 07 "Request" 01 ff 82 00 01 02 01 0d "ServiceMethod" 01 0c 00
        01 03 "Seq" 01 06 00 00 00 13 ff 82 01 0c "Control.Ping" 01 01 00"#;
    Stream::default().read(&request("Control.Ping", 1), &hex(text));
}

fn uint(value: usize) -> Vec<u8> {
    if value < 128 {
        return vec![value as u8];
    }
    let bytes = (value as u64).to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut out = vec![(zeros as u8).wrapping_sub(8)];
    out.extend(&bytes[zeros..]);
    out
}

/// However long a message is, and whatever was expected of it: its length is in front, as short as can be.
#[test]
fn lengths_of_long_messages() {
    #[derive(Gob, Debug, PartialEq)]
    struct Two {
        text: String,
        list: Vec<Vec<u8>>,
    }
    for len in [
        1000, 1023, 1024, 1025, 65_500, 65_530, 65_536, 65_600, 300_000,
    ] {
        let text = "x".repeat(len);
        let mut body = vec![0x0c, 0];
        body.extend(uint(len));
        body.extend(text.as_bytes());
        let expected = [uint(body.len()), body].concat();
        // Behind what is there already.
        let mut out = b"before".to_vec();
        Encoder::new().encode(&text, &mut out).expect("it is sent");
        assert!(out == [b"before", &expected[..]].concat(), "{len}");
        // Much shorter, and much longer, than is quickly told.
        let two = Two {
            text: text.clone(),
            list: vec![vec![7; len], vec![0; 3]],
        };
        let numbers = vec![i64::MIN; len / 8];
        let mut stream = Stream::default();
        let mut out = Vec::new();
        stream.encoder.encode(&two, &mut out).expect("it is sent");
        stream
            .encoder
            .encode(&numbers, &mut out)
            .expect("it is sent");
        stream
            .encoder
            .encode(&Value::from(text), &mut out)
            .expect("it is sent");
        let mut input = &out[..];
        let mut next = || {
            stream
                .decoder
                .next(&mut input)
                .expect("understood")
                .is_some()
        };
        assert!(next() && next() && next());
        assert!(input.is_empty());
        let mut decoder = Decoder::new();
        let mut received = decoder
            .next(&mut &*out)
            .expect("understood")
            .expect("a value");
        assert_eq!(received.decode::<Two>().expect("read"), two);
    }
}
