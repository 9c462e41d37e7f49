//! Go's `encoding/gob` for Rust: what Go's `gob.Encoder` writes is read, and what is written Go's
//! `gob.Decoder` reads.
//!
//! ```
//! use outboard_gob::{Decoder, Encoder, Gob};
//!
//! #[derive(Gob, Debug, PartialEq)]
//! struct Person {
//!     first_name: String,                 // Go: FirstName string
//!     #[gob(rename = "ID")]
//!     id: u32,                            // Go: ID uint32
//!     friends: Vec<Person>,               // Go: Friends []Person
//!     photo: Vec<u8>,                     // Go: Photo []byte
//! }
//!
//! let ada = Person { first_name: "Ada".into(), id: 7, friends: Vec::new(), photo: vec![1, 2] };
//! let mut bytes = Vec::new();
//! Encoder::new().encode(&ada, &mut bytes)?;
//!
//! let mut decoder = Decoder::new();
//! let mut chunk = &bytes[..];
//! let mut received = decoder.next(&mut chunk)?.expect("a whole value");
//! assert_eq!(received.decode::<Person>()?, ada);
//! # Ok::<(), outboard_gob::Error>(())
//! ```
//!
//! There is no IO: bytes come in by [`Decoder::next`] in chunks of any size, and are appended to a vector
//! by [`Encoder::encode`]. One encoder writes one stream, one decoder reads one; a type is defined once in
//! a stream.
//!
//! # Types
//!
//! | Rust | Go |
//! | --- | --- |
//! | `bool`, `i8`…`i64`, `isize`, `u8`…`u64`, `usize`, `f32`, `f64`, [`Complex`] | the same; `isize` and `usize` are `int` and `uint` |
//! | `String`, `str` | `string`; [`ByteString`] takes one that is no UTF-8 |
//! | `Vec<u8>`, `[u8]` | `[]byte`. Every list is written by its element's type, and `u8` writes bytes |
//! | `Vec<T>`, `[T]`, `[T; N]` | `[]T`, `[N]T`; `[u8; N]` is an array of numbers in Go as well |
//! | `HashMap`, `BTreeMap` | maps. An empty one is taken for nil, but `Some` of one is not |
//! | `Option<T>` | a pointer. `Some(0)` in a field arrives as nil: Go leaves zeros out |
//! | `Box<T>`, `&T` | `T` |
//! | structs with `#[derive(Gob)]` | structs |
//! | tuple structs of one field with `#[derive(Gob)]` | types that have a name, as `type Celsius float64` |
//! | `()` | `struct{}` |
//! | [`Value`] | `any` and other interfaces |
//! | [`Time`], [`BigInt`], types with [`Marshal`], [`GobBytes`] and its like | types that write themselves |
//!
//! Types meet by shape, as in Go: fields by their names in any order, integers and floats of any width that
//! holds the value. Fields that the other side does not have are skipped, or left as they are. What does
//! not go together is an [`Error`] that says where: `gob: Person.Friends[3].ID: 4294967296 does not fit
//! into uint32`.
//!
//! Different from Go: a struct must end before its message does, bytes behind a value are an error, a
//! text that is no UTF-8 is one for `String`, and interfaces that are skipped are followed by their
//! structure, so that nil ones and those with definitions inside are skipped properly.
//!
//! # The derive
//!
//! [`derive@Gob`] calls a field as Go would, `first_name` is `FirstName`, unless it is renamed:
//!
//! ```
//! # use outboard_gob::Gob;
//! #[derive(Gob)]
//! #[gob(name = "User")]           // what Go calls the type in its messages
//! struct Row {
//!     #[gob(rename = "ID")]
//!     id: u64,
//!     display_name: Option<String>,
//!     #[gob(skip)]
//!     cached: bool,
//! }
//! ```
//!
//! # Peers that are not trusted
//!
//! Any bytes are taken without a panic, see [`Limits`]. A list takes memory for what came of it, never for
//! what was announced: for each byte on the wire at most twice the size of its element. A [`Value`] takes
//! at most two hundred bytes for each.
//!
//! # Why not `gobwire`
//!
//! There is one other crate for gob that is kept, `gobwire` 0.1 (MIT or Apache-2.0). It lacks of what is
//! needed here: limits that can be set (it has one of 8 GiB for a message and one of depth, and none for
//! types, fields, names or memory), errors that say where in the value, `big.Int`, names that are
//! registered, values that arrive in chunks smaller than a message, and work in proportion to the bytes (a
//! value of many messages is scanned from its beginning for each). The tests use it as a second opinion.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

// So that what the derive writes finds it here, too.
extern crate self as outboard_gob;

#[macro_use]
mod marshal;

mod big;
mod decode;
mod def;
mod describe;
mod encode;
mod error;
mod impls;
mod limits;
mod plan;
mod recent;
mod registry;
mod scan;
mod shape;
mod stream;
mod table;
mod time;
mod value;
mod wire;

pub use self::big::BigInt;
pub use self::decode::{Decode, Fields, Input};
pub use self::def::{MarshalKind, WireId};
pub use self::describe::{Describe, DescribeField, Types};
pub use self::encode::{Encode, Encoder, Output};
pub use self::error::{Error, ErrorKind};
pub use self::impls::{ByteString, Complex};
pub use self::limits::{Limit, Limits};
pub use self::marshal::{BinaryBytes, GobBytes, Marshal, TextBytes};
pub use self::plan::{Plan, PlanField, Planner};
pub use self::registry::Registry;
pub use self::shape::{Kind, Shape};
pub use self::stream::{Decoder, Received};
pub use self::time::Time;
pub use self::value::{List, Map, Marshaled, Named, Record, Value};

#[cfg(feature = "derive")]
pub use outboard_gob_derive::Gob;

/// A type that can be sent and received: all that `#[derive(Gob)]` derives.
pub trait Gob: Encode + Decode {}

impl<T: Encode + Decode> Gob for T {}
