//! Values whose type is known when they come: those behind interfaces, and any that are read as such.

mod convert;
mod decode;
mod encode;
mod parts;

pub use self::parts::{List, Map, Marshaled, Named, Record};

use crate::describe::Describe;
use crate::encode::{Encode, Encoder};
use crate::error::Error;
use crate::impls::{ByteString, Complex};
use crate::shape::{Kind, Shape};
use crate::stream::Decoder;

/// A value of any type. As a field or element it is Go's `any`, and any other interface.
///
/// Behind an interface, Go sends the name of the type, which tells `int32` from `int64` where the bytes
/// are the same. What has the name that Go gives to the type itself stands here as it is; what has another
/// is [`Named`](Value::Named). The functions that begin with `as_` see through the name.
///
/// | Here | Go's name |
/// | --- | --- |
/// | `Bool`, `Int`, `Uint`, `Float`, `Complex` | `bool`, `int`, `uint`, `float64`, `complex128` |
/// | `String`, `ByteString`, `Bytes` | `string`, `string`, `[]uint8` |
/// | `List`, `Map` of such | as Go spells the type: `[]string`, `map[string]interface {}` |
/// | others | `Named` |
///
/// Structs have to be named, since Go's name of one begins with its package: [`Value::named`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A nil interface.
    #[default]
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`, or a signed integer of a name.
    Int(i64),
    /// `uint`, or an unsigned integer of a name.
    Uint(u64),
    /// `float64`, or `float32` by its name.
    Float(f64),
    /// `complex128`, or `complex64` by its name.
    Complex(Complex<f64>),
    /// `string`.
    String(String),
    /// `string`, one that is no UTF-8.
    ByteString(ByteString),
    /// `[]byte`.
    Bytes(Vec<u8>),
    /// A slice or array.
    List(List),
    /// A map.
    Map(Map),
    /// A struct.
    Struct(Record),
    /// What a type that writes itself has written.
    Marshal(Marshaled),
    /// Any of these by a name.
    Named(Box<Named>),
}

impl Value {
    /// A value of a Rust type, by the name that Go has for such types if it has one.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn of<T: Encode + ?Sized>(value: &T) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        Encoder::new().encode(value, &mut bytes)?;
        let (read, shape) = Self::read(&bytes)?;
        if shape.kind() == Kind::Interface || shape.unnamed().is_none() {
            return Ok(read);
        }
        Ok(read.by(&T::go_name()))
    }

    /// A value of a Rust type by the name that Go has registered for it: `gob.RegisterName`, or by
    /// default `import/path.Type`.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn named<T: Encode + ?Sized>(name: &str, value: &T) -> Result<Self, Error> {
        Ok(Self::of(value)?.into_unnamed().by(name))
    }

    /// The value as one of a Rust type, as if it had been received: types meet by their shape.
    ///
    /// # Errors
    /// If it is of another shape, or does not fit.
    pub fn to<T: crate::Decode>(&self) -> Result<T, Error> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new();
        if T::key() == Self::key() {
            encoder.encode(self, &mut bytes)?;
        } else {
            encoder.encode_concrete(self.unnamed(), &mut bytes)?;
        }
        let mut decoder = Decoder::new();
        match decoder.next(&mut &*bytes)? {
            Some(mut received) => received.decode(),
            None => Err(Error::new(crate::ErrorKind::Truncated)),
        }
    }

    fn read(bytes: &[u8]) -> Result<(Self, Shape), Error> {
        let mut decoder = Decoder::new();
        match decoder.next(&mut &*bytes)? {
            Some(received) => Ok((received.to_value()?, received.shape())),
            None => Err(Error::new(crate::ErrorKind::Truncated)),
        }
    }

    /// The same by a name, unless that is its own.
    pub(crate) fn by(self, name: &str) -> Self {
        if self.has_name(name) {
            return self;
        }
        let name = Box::from(name);
        Self::Named(Box::new(Named { name, value: self }))
    }

    /// What is behind a name, or the value itself.
    #[must_use]
    pub fn unnamed(&self) -> &Self {
        match self {
            Self::Named(named) => &named.value,
            value => value,
        }
    }

    /// The same.
    #[must_use]
    pub fn into_unnamed(self) -> Self {
        match self {
            Self::Named(named) => named.value,
            value => value,
        }
    }

    /// The name by which Go knows the type. None for nil, and for structs that have none.
    #[must_use]
    pub fn name(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Named(named) => Some((&*named.name).into()),
            value => value.own_name(),
        }
    }
}
