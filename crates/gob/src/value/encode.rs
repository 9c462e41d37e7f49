//! Writing dynamic values: as what an interface holds, or as what they are.

use std::any::TypeId;
use std::borrow::Cow;

use crate::def::{Def, WireId};
use crate::describe::{Describe, Types};
use crate::encode::{Encode, Output, nil};
use crate::error::{Error, ErrorKind};
use crate::shape::Shape;
use crate::value::Value;

impl Describe for Value {
    fn key() -> TypeId {
        TypeId::of::<Self>()
    }

    fn describe(_: &mut Types) -> WireId {
        WireId::INTERFACE
    }

    fn go_name() -> Cow<'static, str> {
        Cow::Borrowed("interface {}")
    }
}

/// As what an interface holds.
impl Encode for Value {
    #[inline]
    fn is_left_out(&self) -> bool {
        self.is_nil()
    }

    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
        if self.is_nil() {
            out.uint(0);
            return Ok(());
        }
        let name = self.name().ok_or_else(|| self.without_name())?;
        out.interface(
            &name,
            |types| self.describe_concrete(types),
            |out| self.put(out),
        )
    }

    #[inline]
    fn size_hint(&self) -> usize {
        self.as_bytes().map_or(0, <[u8]>::len)
    }
}

impl Value {
    #[cold]
    fn without_name(&self) -> Error {
        let shape = self.shape().map_or_else(String::new, Shape::brief);
        Error::new(ErrorKind::Unnamed { shape })
    }

    fn shape(&self) -> Option<&Shape> {
        match self.unnamed() {
            Self::List(list) => Some(&list.shape),
            Self::Map(map) => Some(&map.shape),
            Self::Struct(record) => Some(&record.shape),
            Self::Marshal(marshaled) => Some(&marshaled.shape),
            _ => None,
        }
    }

    /// The name that Go gives to the type itself.
    pub(crate) fn own_name(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::Nil | Self::Named(_) => return None,
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Float(_) => "float64",
            Self::Complex(_) => "complex128",
            Self::String(_) | Self::ByteString(_) => "string",
            Self::Bytes(_) => "[]uint8",
            value => return value.shape()?.unnamed().map(Cow::Owned),
        }))
    }

    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.own_name().is_some_and(|own| own == name)
    }

    /// The type of what it is.
    pub(crate) fn describe_concrete(&self, types: &mut Types) -> WireId {
        match self {
            Self::Nil => WireId::INTERFACE,
            Self::Bool(_) => WireId::BOOL,
            Self::Int(_) => WireId::INT,
            Self::Uint(_) => WireId::UINT,
            Self::Float(_) => WireId::FLOAT,
            Self::Complex(_) => WireId::COMPLEX,
            Self::String(_) | Self::ByteString(_) => WireId::STRING,
            Self::Bytes(_) => WireId::BYTES,
            Self::List(list) => types.shape(&list.shape),
            Self::Map(map) => types.shape(&map.shape),
            Self::Struct(record) => types.shape(&record.shape),
            Self::Marshal(marshaled) => types.shape(&marshaled.shape),
            Self::Named(named) => named.value.describe_concrete(types),
        }
    }

    /// Writes it as what it is.
    pub(crate) fn put(&self, out: &mut Output<'_>) -> Result<(), Error> {
        match self {
            Self::Nil => return Err(nil()),
            Self::Bool(value) => out.uint(u64::from(*value)),
            Self::Int(value) => out.int(*value),
            Self::Uint(value) => out.uint(*value),
            Self::Float(value) => out.float(*value),
            Self::Complex(value) => {
                out.float(value.re);
                out.float(value.im);
            }
            Self::String(value) => out.bytes(value.as_bytes()),
            Self::ByteString(value) => out.bytes(&value.0),
            Self::Bytes(value) => out.bytes(value),
            Self::Marshal(value) => out.bytes(&value.bytes),
            Self::Named(named) => return named.value.put(out),
            Self::List(list) => {
                let elem = match list.shape.def() {
                    Some(Def::Slice { elem } | Def::Array { elem, .. }) => *elem,
                    _ => return Err(list.shape.id.undefined()),
                };
                out.begin()?;
                out.uint(list.items.len() as u64);
                for (index, item) in list.items.iter().enumerate() {
                    let result = item.put_as(elem, out);
                    result.map_err(|error| error.at_index(index))?;
                }
                out.end();
            }
            Self::Map(map) => {
                let Some(Def::Map { key, elem }) = map.shape.def() else {
                    return Err(map.shape.id.undefined());
                };
                out.begin()?;
                out.uint(map.entries.len() as u64);
                for (of, value) in &map.entries {
                    of.put_as(*key, out).map_err(|error| error.at_key(of))?;
                    value.put_as(*elem, out).map_err(|error| error.at_key(of))?;
                }
                out.end();
            }
            Self::Struct(record) => {
                let Some(Def::Struct { fields, .. }) = record.shape.def() else {
                    return Err(record.shape.id.undefined());
                };
                out.begin()?;
                let mut last = 0;
                for (at, value) in &record.fields {
                    let Some(field) = fields.get(*at as usize) else {
                        continue;
                    };
                    out.field(&mut last, at + 1);
                    let result = value.put_as(field.id, out);
                    result.map_err(|error| error.in_field(field.name.to_string()))?;
                }
                out.uint(0);
                out.end();
            }
        }
        Ok(())
    }

    /// Writes it where a value of the type is due.
    fn put_as(&self, id: WireId, out: &mut Output<'_>) -> Result<(), Error> {
        if id == WireId::INTERFACE {
            self.encode(out)
        } else {
            self.put(out)
        }
    }
}
