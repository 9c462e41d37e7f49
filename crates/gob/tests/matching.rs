//! Types that meet: by shape, as in Go. What does not go together is told with its place, and the stream
//! goes on behind it.

mod support;

use std::collections::{BTreeMap, HashMap};

use outboard_gob::{Decode, Decoder, Encode, Encoder, ErrorKind, Gob, GobBytes, TextBytes, Value};
use support::{decode, encode, hex};

/// What comes of a value of one type as another.
fn through<T: Encode, U: Decode>(value: &T) -> Result<U, String> {
    decode(&encode(value)).map_err(|error| {
        assert!(!error.is_fatal());
        error.to_string()
    })
}

#[derive(Gob, Clone, Debug, Default, PartialEq)]
struct Address {
    street: String,
    number: u16,
}

#[derive(Gob, Clone, Debug, Default, PartialEq)]
struct Person {
    name: String,
    #[gob(rename = "ID")]
    id: u64,
    addresses: Vec<Address>,
    home: Option<Address>,
    notes: HashMap<String, i64>,
    photo: Vec<u8>,
    likes: Vec<Self>,
    best_friend: Option<Box<Self>>,
    extra: Value,
}

fn ada() -> Person {
    let address = |street: &str, number| Address {
        street: street.to_owned(),
        number,
    };
    let bob = Person {
        name: "Bob".to_owned(),
        extra: Value::of(&vec![1_i32, 2]).expect("a value"),
        ..Person::default()
    };
    Person {
        name: "Ada".to_owned(),
        id: 1 << 40,
        addresses: vec![address("A", 1), address("", 0), address("B", 70)],
        home: Some(Address::default()),
        notes: HashMap::from([("a".to_owned(), -5), ("b".to_owned(), 0)]),
        photo: vec![0, 1, 255],
        likes: vec![bob.clone(), Person::default()],
        best_friend: Some(Box::new(bob)),
        extra: Value::named("x.Address", &address("C", 3)).expect("a value"),
    }
}

#[test]
fn a_struct_of_everything_crosses() {
    assert_eq!(through(&ada()), Ok(ada()));
    assert_eq!(through(&Person::default()), Ok(Person::default()));
}

#[test]
fn zeros_are_left_out_and_others_are_not() {
    #[derive(Gob, Default)]
    struct Zeros {
        a: i8,
        b: f64,
        c: String,
        d: Vec<u8>,
        e: Vec<String>,
        f: HashMap<String, u8>,
        g: Value,
        h: Option<i64>,
        i: bool,
    }
    let definitions = encode(&Zeros::default()).len();
    let grows_by = |change: &dyn Fn(&mut Zeros)| {
        let mut zeros = Zeros::default();
        change(&mut zeros);
        encode(&zeros).len() - definitions
    };
    assert_eq!(grows_by(&|zeros| zeros.h = Some(0)), 0);
    assert_eq!(grows_by(&|zeros| zeros.b = -0.0), 0);
    assert_eq!(grows_by(&|zeros| zeros.h = Some(1)), 2);
    assert_eq!(grows_by(&|zeros| zeros.a = 1), 2);

    /// What Go sends always.
    #[derive(Gob, Default)]
    struct Always {
        a: Address,
        b: [u8; 2],
        c: Option<Address>,
        d: Option<BTreeMap<String, u8>>,
        e: (),
    }
    let mut always = Always::default();
    let least = encode(&always);
    assert!(
        least.ends_with(&[7, 0xff, 0x80, 1, 0, 1, 2, 0, 0, 3, 0, 0][1..]),
        "{least:02x?}"
    );
    always.c = Some(Address::default());
    always.d = Some(BTreeMap::new());
    assert_eq!(encode(&always).len(), least.len() + 4);
    let bytes = encode(&always);
    let read = decode::<Always>(&bytes).expect("it is read");
    assert_eq!(
        (read.c, read.d),
        (Some(Address::default()), Some(BTreeMap::new()))
    );
}

#[test]
fn fields_meet_by_name() {
    #[derive(Gob, Debug, PartialEq)]
    struct Other {
        number: i8,
        id: u8,
        missing: String,
        best_friend: Option<Box<Self>>,
        addresses: Vec<Street>,
    }
    #[derive(Gob, Debug, PartialEq)]
    struct Street {
        street: String,
    }
    let street = |street: &str| Street {
        street: street.to_owned(),
    };
    let friend = Other {
        number: 0,
        id: 0,
        missing: String::new(),
        best_friend: None,
        addresses: Vec::new(),
    };
    let read: Other = through(&ada()).expect("it is read");
    assert_eq!(
        read,
        Other {
            best_friend: Some(Box::new(friend)),
            addresses: vec![street("A"), street(""), street("B")],
            number: 0,
            id: 0,
            missing: String::new(),
        }
    );
}

/// Fields that do not come keep what they have, and nothing is taken away from maps.
#[test]
fn a_value_goes_into_what_is_there() {
    let mut ada = ada();
    let sent = Person {
        id: 3,
        notes: HashMap::from([("b".to_owned(), 1)]),
        ..Person::default()
    };
    let bytes = encode(&sent);
    let mut decoder = Decoder::new();
    let mut received = decoder.next(&mut &*bytes).expect("read").expect("a value");
    received.decode_into(&mut ada).expect("it is read");
    assert_eq!((ada.name.as_str(), ada.id), ("Ada", 3));
    assert_eq!(
        ada.notes,
        HashMap::from([("a".to_owned(), -5), ("b".to_owned(), 1)])
    );
    assert_eq!(ada.addresses.len(), 3);
}

#[test]
fn any_width_that_holds_the_number_is_fine() {
    assert_eq!(through::<_, i64>(&-128_i8), Ok(-128));
    assert_eq!(through::<_, i8>(&-128_i64), Ok(-128));
    assert_eq!(through::<_, u8>(&255_u64), Ok(255));
    assert_eq!(through::<_, f32>(&0.5_f64), Ok(0.5));
    assert_eq!(through::<_, f32>(&f64::INFINITY), Ok(f32::INFINITY));
    assert_eq!(through::<_, f32>(&1e-60_f64), Ok(0.0));
    for (error, text) in [
        (
            through::<_, i8>(&128_i64).expect_err("it fails"),
            "gob: int8: 128 does not fit into int8",
        ),
        (
            through::<_, u16>(&65_536_u32).expect_err("it fails"),
            "gob: uint16: 65536 does not fit into uint16",
        ),
        (
            through::<_, Vec<u8>>(&"").expect_err("it fails"),
            "gob: []uint8: expected []uint8, sent string",
        ),
        (
            through::<_, u8>(&1_i8).expect_err("it fails"),
            "gob: uint8: expected uint8, sent int",
        ),
        (
            through::<_, f64>(&1_i8).expect_err("it fails"),
            "gob: float64: expected float64, sent int",
        ),
        (
            through::<_, bool>(&1_u8).expect_err("it fails"),
            "gob: bool: expected bool, sent uint",
        ),
        (
            through::<_, Value>(&1_u8).expect_err("it fails"),
            "gob: interface {}: expected interface {}, sent uint",
        ),
        (
            through::<_, [u8; 2]>(&[1_u8, 2, 3]).expect_err("it fails"),
            "gob: [2]uint8: expected [2]uint8, sent [3]uint",
        ),
        (
            through::<_, Vec<i64>>(&vec!["a"]).expect_err("it fails"),
            "gob: []int64[]: expected int64, sent string",
        ),
        (
            through::<_, HashMap<String, bool>>(&HashMap::from([(1, true)])).expect_err("it fails"),
            "gob: map[string]bool[]: expected string, sent int",
        ),
        (
            through::<_, String>(&Address::default()).expect_err("it fails"),
            "gob: string: expected string, sent Address = struct { Street string; Number uint }",
        ),
        (
            through::<_, Address>(&"").expect_err("it fails"),
            "gob: Address: expected Address, sent string",
        ),
    ] {
        assert_eq!(error, text);
    }
    let large = through::<_, f32>(&1e39_f64).expect_err("it fails");
    assert!(large.ends_with("does not fit into float32"), "{large}");
}

#[test]
fn errors_say_where() {
    #[derive(Gob, Debug)]
    #[gob(name = "Person")]
    struct Narrow {
        addresses: Vec<NarrowAddress>,
        notes: BTreeMap<String, i8>,
    }
    #[derive(Gob, Debug)]
    struct NarrowAddress {
        number: u8,
    }
    let mut ada = ada();
    ada.addresses[2].number = 256;
    assert_eq!(
        through::<_, Narrow>(&ada).expect_err("it fails"),
        "gob: Person.Addresses[2].Number: 256 does not fit into uint8"
    );
    ada.addresses.clear();
    ada.notes.insert("b".to_owned(), 1000);
    assert_eq!(
        through::<_, Narrow>(&ada).expect_err("it fails"),
        r#"gob: Person.Notes["b"]: 1000 does not fit into int8"#
    );
    #[derive(Gob, Debug)]
    #[gob(name = "Person")]
    struct Wrong {
        addresses: Vec<WrongAddress>,
    }
    #[derive(Gob, Debug)]
    struct WrongAddress {
        street: f64,
    }
    assert_eq!(
        through::<_, Wrong>(&ada).expect_err("it fails"),
        "gob: Person.Addresses[].Street: expected float64, sent string"
    );
    let error = decode::<String>(&hex("05 0c 00 02 ff fe")).expect_err("it fails");
    assert_eq!(error.kind(), &ErrorKind::NotUtf8);
    let bytes = decode::<outboard_gob::ByteString>(&hex("05 0c 00 02 ff fe"));
    assert_eq!(bytes.expect("any bytes").0, [0xff, 0xfe]);
}

#[test]
fn structs_have_to_have_something_in_common() {
    #[derive(Gob, Debug, PartialEq)]
    struct Stranger {
        stranger: u8,
    }
    #[derive(Gob, Debug, PartialEq)]
    struct Nothing;
    let error = through::<_, Stranger>(&Address::default()).expect_err("it fails");
    assert!(error.contains("no field of what is expected"), "{error}");
    assert!(
        error.contains("Stranger = struct { Stranger uint }"),
        "{error}"
    );
    assert!(
        error.contains("Address = struct { Street string; Number uint }"),
        "{error}"
    );
    // With nothing on either side there is nothing to have in common.
    assert_eq!(through(&ada()), Ok(Nothing));
    assert_eq!(through(&ada()), Ok(()));
    assert_eq!(through(&()), Ok(Stranger { stranger: 0 }));
    // And within others it is no error, as in Go.
    #[derive(Gob, Debug, PartialEq)]
    struct Holds<T> {
        of: T,
        and: u8,
    }
    let sent = Holds {
        of: Address::default(),
        and: 7,
    };
    let read = Holds {
        of: Stranger { stranger: 0 },
        and: 7,
    };
    assert_eq!(through(&sent), Ok(read));
}

/// The stream stands behind each value, whatever became of it, and so do the definitions in it.
#[test]
fn the_stream_goes_on_behind_errors_and_what_is_skipped() {
    let mut encoder = Encoder::new();
    let mut bytes = Vec::new();
    let inside = Value::named("x.Person", &ada()).expect("a value");
    encoder.encode(&inside, &mut bytes).expect("sent");
    encoder.encode(&ada(), &mut bytes).expect("sent");
    encoder.encode(&Value::Nil, &mut bytes).expect("sent");
    encoder
        .encode(&BTreeMap::from([("a".to_owned(), Value::Nil)]), &mut bytes)
        .expect("sent");
    encoder.encode(&inside, &mut bytes).expect("sent");
    encoder.encode(&7_i64, &mut bytes).expect("sent");
    for fails in [true, false] {
        for piece in [1, 7, bytes.len()] {
            let mut decoder = Decoder::new();
            let mut values = Vec::new();
            for mut chunk in bytes.chunks(piece) {
                while let Some(mut received) = decoder.next(&mut chunk).expect("understood") {
                    if fails {
                        received
                            .decode::<Vec<bool>>()
                            .expect_err("it is none of that");
                    }
                    values.push(received.shape().to_string());
                    if values.len() == 5 {
                        assert_eq!(received.decode::<Value>().expect("read"), inside);
                    }
                }
            }
            assert!(decoder.is_between_values());
            assert_eq!(values.len(), 6, "{values:?}");
            assert_eq!(values[5], "int");
        }
    }
}

/// Fields that are not known here are skipped with all that is in them.
#[test]
fn unknown_fields_are_skipped_whatever_they_hold() {
    #[derive(Gob)]
    struct Sent {
        nil: Value,
        first: Vec<Value>,
        inside: HashMap<String, Value>,
        people: Vec<Person>,
        complex: outboard_gob::Complex<f64>,
        array: [bool; 3],
        opaque: GobBytes,
        last: i64,
    }
    #[derive(Gob, Debug, PartialEq)]
    struct Read {
        last: i64,
    }
    let person = Value::named("x.Person", &ada()).expect("a value");
    let sent = Sent {
        nil: Value::Nil,
        first: vec![
            Value::Nil,
            person.clone(),
            Value::from("a"),
            person.clone(),
            Value::Nil,
        ],
        inside: HashMap::from([("a".to_owned(), person)]),
        people: vec![ada(), Person::default()],
        complex: outboard_gob::Complex { re: 1.0, im: -1.0 },
        array: [true, false, true],
        opaque: GobBytes(vec![1, 2, 3]),
        last: -9,
    };
    assert_eq!(through(&sent), Ok(Read { last: -9 }));
}

#[test]
fn what_writes_itself_meets_its_like_alone() {
    let bytes = GobBytes(vec![1, 2]);
    assert_eq!(through(&bytes), Ok(bytes.clone()));
    let error = through::<_, TextBytes>(&bytes).expect_err("it fails");
    assert!(error.contains("expected"), "{error}");
    through::<_, Vec<u8>>(&bytes).expect_err("Go does not take that either");
    through::<_, GobBytes>(&vec![1_u8]).expect_err("Go does not take that either");
    let error = through::<_, outboard_gob::Time>(&bytes).expect_err("it fails");
    assert_eq!(error, "gob: Time: no Time: 1 bytes behind the version");
}

#[test]
fn what_gob_has_no_word_for_is_not_sent() {
    let mut encoder = Encoder::new();
    let mut out = b"before".to_vec();
    let holes = vec![Some(1), None];
    let error = encoder.encode(&holes, &mut out).expect_err("it fails");
    assert_eq!(
        (error.kind(), error.path().as_str()),
        (&ErrorKind::Nil, "[]int32[1]")
    );
    encoder
        .encode(&None::<i64>, &mut out)
        .expect_err("it fails");
    let record = Value::of(&Address::default()).expect("a value");
    let error = encoder
        .encode(&vec![record], &mut out)
        .expect_err("it fails");
    assert!(matches!(error.kind(), ErrorKind::Unnamed { .. }), "{error}");
    // Nothing was sent, not even definitions: those come with what is sent next.
    assert_eq!(out, b"before");
    out.clear();
    encoder
        .encode(&vec![Some(1), Some(0)], &mut out)
        .expect("sent");
    assert_eq!(decode::<Vec<i32>>(&out).expect("read"), [1, 0]);
}

/// A peer's names do not make errors longer than one can read.
#[test]
fn what_was_sent_is_told_briefly() {
    let mut definition = hex("7f 03 01 01 fe 03 e8");
    definition.extend([b'N'; 1000]);
    definition.extend(hex("01 ff 80 00 00 00"));
    let mut bytes = vec![0xfe];
    bytes.extend((definition.len() as u16).to_be_bytes());
    bytes.extend(definition);
    bytes.extend(hex("03 ff 80 00"));
    let error = decode::<String>(&bytes)
        .expect_err("it is a struct")
        .to_string();
    assert!(error.len() < 600 && error.ends_with("NN..."), "{error}");
}
