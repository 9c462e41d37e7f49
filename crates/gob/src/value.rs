//! Values whose type is known when they come: those behind interfaces, and any that are read as such.

mod convert;
mod decode;
mod encode;
mod parts;
mod typed;

pub use self::parts::{List, Map, Marshaled, Named, Record};

use crate::impls::{ByteString, Complex};

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
