//! Values out of Rust's own, by the names of Go's types.

use crate::impls::{ByteString, Complex};
use crate::value::Value;

macro_rules! from {
    ($($type:ty, $name:literal, |$value:ident| $made:expr;)*) => {
        $(
            impl From<$type> for Value {
                #[doc = concat!("Go's `", $name, "`.")]
                fn from($value: $type) -> Self {
                    $made.by($name)
                }
            }
        )*
    };
}

from! {
    bool, "bool", |value| Self::Bool(value);
    i8, "int8", |value| Self::Int(value.into());
    i16, "int16", |value| Self::Int(value.into());
    i32, "int32", |value| Self::Int(value.into());
    i64, "int64", |value| Self::Int(value);
    isize, "int", |value| Self::Int(value as i64);
    u8, "uint8", |value| Self::Uint(value.into());
    u16, "uint16", |value| Self::Uint(value.into());
    u32, "uint32", |value| Self::Uint(value.into());
    u64, "uint64", |value| Self::Uint(value);
    usize, "uint", |value| Self::Uint(value as u64);
    f32, "float32", |value| Self::Float(value.into());
    f64, "float64", |value| Self::Float(value);
    Complex<f64>, "complex128", |value| Self::Complex(value);
    String, "string", |value| Self::String(value);
    &str, "string", |value| Self::String(value.to_owned());
    ByteString, "string", |value| Self::ByteString(value);
    Vec<u8>, "[]uint8", |value| Self::Bytes(value);
    &[u8], "[]uint8", |value| Self::Bytes(value.to_vec());
}

/// `None` is a nil interface.
impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}
