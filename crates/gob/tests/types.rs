//! Types of some kinds: those that hold themselves, those of one field, and what a thread may hold.

mod support;

use std::collections::HashMap;
use std::fmt::Debug;

use outboard_gob::{Decode, Decoder, Encode, Encoder, ErrorKind, Gob, Shape, Value};
use support::{decode, encode};

/// It arrives as it was sent.
fn crosses<T: Encode + Decode + PartialEq + Debug>(value: &T) {
    assert_eq!(decode::<T>(&encode(value)).expect("read"), *value);
}

#[test]
fn types_may_hold_themselves() {
    #[derive(Gob, Debug, Default, PartialEq)]
    struct Tree {
        value: i64,
        children: HashMap<String, Self>,
        left: Option<Box<Self>>,
        rows: Vec<Vec<Self>>,
    }
    let leaf = || Tree {
        value: 1,
        ..Tree::default()
    };
    let tree = Tree {
        value: 0,
        children: HashMap::from([("a".to_owned(), leaf())]),
        left: Some(Box::new(Tree {
            left: Some(Box::new(leaf())),
            ..Tree::default()
        })),
        rows: vec![vec![], vec![leaf(), leaf()]],
    };
    let bytes = encode(&tree);
    assert_eq!(decode::<Tree>(&bytes).expect("read"), tree);
    let value = support::dynamic(&bytes).expect("read");
    assert_eq!(value.to::<Tree>().expect("the same"), tree);
    assert_eq!(
        Shape::of::<Tree>(),
        value.as_struct().expect("a struct").shape().clone()
    );
    let long = (0..200).fold(leaf(), |tree, _| Tree {
        left: Some(Box::new(tree)),
        ..Tree::default()
    });
    crosses(&long);
    let longer = (0..300).fold(leaf(), |tree, _| Tree {
        left: Some(Box::new(tree)),
        ..Tree::default()
    });
    let error = Encoder::new()
        .encode(&longer, &mut Vec::new())
        .expect_err("it fails");
    assert!(matches!(error.kind(), ErrorKind::TooMuch { .. }), "{error}");
}

#[test]
fn newtypes_are_what_is_in_them() {
    #[derive(Gob, Debug, PartialEq)]
    struct Celsius(f64);
    #[derive(Gob, Debug, PartialEq)]
    struct Names(Vec<String>);
    #[derive(Gob, Debug, PartialEq)]
    struct Generic<T> {
        of: Vec<T>,
        r#type: Celsius,
    }
    let value = Generic {
        of: vec![Names(vec!["a".to_owned()])],
        r#type: Celsius(1.5),
    };
    crosses(&value);
    assert_eq!(decode::<f64>(&encode(&Celsius(2.0))).expect("read"), 2.0);
    assert_eq!(
        Shape::of::<Generic<Celsius>>().to_string(),
        "Generic = struct { Of []float; Type float }"
    );
}

#[test]
fn streams_may_move_between_threads() {
    fn may<T: Send + Sync>() {}
    may::<Encoder>();
    may::<Decoder>();
    may::<Value>();
    may::<outboard_gob::Error>();
    may::<outboard_gob::Received<'_>>();
    may::<outboard_gob::Registry>();
}
