//! What values of several parts hold, beside their shape.

use crate::error::Error;
use crate::shape::{Kind, Shape};
use crate::value::Value;

/// A slice or an array.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub(crate) shape: Shape,
    pub(crate) items: Box<[Value]>,
}

impl List {
    /// Its type.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its elements.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        &self.items
    }

    /// Its elements.
    #[must_use]
    pub fn into_items(self) -> Vec<Value> {
        self.items.into_vec()
    }
}

/// A map. Two are equal if they have the same entries in any order, as Go sends them in any.
#[derive(Clone, Debug)]
pub struct Map {
    pub(crate) shape: Shape,
    pub(crate) entries: Box<[(Value, Value)]>,
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
            && self.entries.len() == other.entries.len()
            && self
                .entries
                .iter()
                .zip(&other.entries)
                .all(|(ours, theirs)| {
                    ours == theirs
                        || (self.entries.contains(theirs) && other.entries.contains(ours))
                })
    }
}

impl Map {
    /// Its type.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Its entries, in the order in which they came.
    #[must_use]
    pub fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    /// Its entries, in the order in which they came.
    #[must_use]
    pub fn into_entries(self) -> Vec<(Value, Value)> {
        self.entries.into_vec()
    }

    /// The value of a key that is a string. It is looked for one by one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = |(of, _): &&(Value, Value)| of.as_str() == Some(key);
        self.entries.iter().find(found).map(|(_, value)| value)
    }
}

/// A struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub(crate) shape: Shape,
    /// Those that were sent, by the number of the field.
    pub(crate) fields: Box<[(u32, Value)]>,
}

impl Record {
    /// Its type.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The fields that were sent, by name. Others are zero.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields
            .iter()
            .filter_map(|(at, value)| Some((self.name(*at)?, value)))
    }

    /// A field that was sent. None if it is zero, or if there is none of the name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = |(at, _): &&(u32, Value)| self.name(*at) == Some(name);
        self.fields.iter().find(found).map(|(_, value)| value)
    }

    fn name(&self, at: u32) -> Option<&str> {
        match self.shape.def()? {
            crate::def::Def::Struct { fields, .. } => Some(&fields.get(at as usize)?.name),
            _ => None,
        }
    }
}

/// What a type that writes itself has written: Go's `GobEncoder` and its like.
#[derive(Clone, Debug, PartialEq)]
pub struct Marshaled {
    pub(crate) shape: Shape,
    pub(crate) bytes: Box<[u8]>,
}

impl Marshaled {
    /// Its type.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What was written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A value by the name that Go has registered for its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub(crate) name: Box<str>,
    pub(crate) value: Value,
}

impl Named {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value. It is neither nil nor named.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value as one of a Rust type.
    ///
    /// # Errors
    /// As [`Value::to`].
    pub fn to<T: crate::Decode>(&self) -> Result<T, Error> {
        self.value.to()
    }
}

impl Value {
    /// Whether it is a nil interface.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// A boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.unnamed() {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An integer, of either kind, that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self.unnamed() {
            Self::Int(value) => Some(*value),
            Self::Uint(value) => i64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// An integer, of either kind, that fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self.unnamed() {
            Self::Uint(value) => Some(*value),
            Self::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// A float.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self.unnamed() {
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self.unnamed() {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// Bytes: of a slice of bytes, of a string, or of a type that writes itself.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self.unnamed() {
            Self::Bytes(value) => Some(value),
            Self::String(value) => Some(value.as_bytes()),
            Self::ByteString(value) => Some(&value.0),
            Self::Marshal(value) => Some(&value.bytes),
            _ => None,
        }
    }

    /// The elements of a slice or array.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self.unnamed() {
            Self::List(list) => Some(&list.items),
            _ => None,
        }
    }

    /// A map.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match self.unnamed() {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// A struct.
    #[must_use]
    pub fn as_struct(&self) -> Option<&Record> {
        match self.unnamed() {
            Self::Struct(record) => Some(record),
            _ => None,
        }
    }

    /// What is under a key, or in a field, of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self.unnamed() {
            Self::Map(map) => map.get(name),
            Self::Struct(record) => record.get(name),
            _ => None,
        }
    }

    /// What kind of value it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.unnamed() {
            Self::Nil | Self::Named(_) => Kind::Interface,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Uint(_) => Kind::Uint,
            Self::Float(_) => Kind::Float,
            Self::Complex(_) => Kind::Complex,
            Self::String(_) | Self::ByteString(_) => Kind::String,
            Self::Bytes(_) => Kind::Bytes,
            Self::List(list) => list.shape.kind(),
            Self::Map(_) => Kind::Map,
            Self::Struct(_) => Kind::Struct,
            Self::Marshal(_) => Kind::Marshal,
        }
    }
}
