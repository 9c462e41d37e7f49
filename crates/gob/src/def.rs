//! Types as the wire defines them: their numbers, what a definition says, reading and writing one.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::limits::{Limit, Limits};
use crate::wire::{Reader, put_bytes, put_int, put_uint};

/// The number of a type on the wire. Those below 64 are gob's own; the others mean something in one
/// stream alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireId(pub(crate) i32);

impl WireId {
    /// `bool`.
    pub const BOOL: Self = Self(1);
    /// Signed integers of any width.
    pub const INT: Self = Self(2);
    /// Unsigned integers of any width.
    pub const UINT: Self = Self(3);
    /// `float32` and `float64`.
    pub const FLOAT: Self = Self(4);
    /// `[]byte`.
    pub const BYTES: Self = Self(5);
    /// `string`.
    pub const STRING: Self = Self(6);
    /// `complex64` and `complex128`.
    pub const COMPLEX: Self = Self(7);
    /// Interfaces, `any` among them.
    pub const INTERFACE: Self = Self(8);

    /// The first number that a stream may define.
    pub(crate) const FIRST: i32 = 64;

    pub(crate) fn new(id: i64) -> Result<Self, Error> {
        match i32::try_from(id) {
            Ok(id) if id > 0 => Ok(Self(id)),
            _ => Err(Error::new(ErrorKind::UndefinedType { id })),
        }
    }

    /// Whether it is one that needs no definition.
    pub(crate) fn is_basic(self) -> bool {
        (Self::BOOL.0..=Self::INTERFACE.0).contains(&self.0)
    }

    #[cold]
    pub(crate) fn undefined(self) -> Error {
        let id = i64::from(self.0);
        Error::new(ErrorKind::UndefinedType { id })
    }
}

/// Who makes the bytes of a type that writes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MarshalKind {
    /// Go's `GobEncoder`.
    Gob,
    /// Go's `encoding.BinaryMarshaler`.
    Binary,
    /// Go's `encoding.TextMarshaler`. Go itself has not sent such since 2013 or so, and reads it.
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) id: WireId,
}

/// What a definition says. The names of lists and maps say nothing and are not kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Def {
    Array {
        elem: WireId,
        len: u64,
    },
    Slice {
        elem: WireId,
    },
    Struct {
        name: Arc<str>,
        fields: Box<[Field]>,
    },
    Map {
        key: WireId,
        elem: WireId,
    },
    Marshal {
        kind: MarshalKind,
        name: Arc<str>,
    },
}

impl Def {
    /// The types that this one is made of.
    pub(crate) fn parts(&self, mut each: impl FnMut(WireId)) {
        match self {
            Self::Array { elem, .. } | Self::Slice { elem } => each(*elem),
            Self::Map { key, elem } => {
                each(*key);
                each(*elem);
            }
            Self::Struct { fields, .. } => fields.iter().for_each(|field| each(field.id)),
            Self::Marshal { .. } => {}
        }
    }

    /// Writes the definition as the wire type's struct.
    pub(crate) fn put(&self, id: WireId, out: &mut Vec<u8>) {
        let common = |out: &mut Vec<u8>, name: &str| {
            put_uint(out, 1);
            let delta = if name.is_empty() {
                2
            } else {
                put_uint(out, 1);
                put_bytes(out, name.as_bytes());
                1
            };
            put_uint(out, delta);
            put_int(out, i64::from(id.0));
            put_uint(out, 0);
        };
        let part = |out: &mut Vec<u8>, id: WireId| {
            put_uint(out, 1);
            put_int(out, i64::from(id.0));
        };
        match self {
            Self::Array { elem, len } => {
                put_uint(out, 1);
                common(out, "");
                part(out, *elem);
                if *len != 0 {
                    put_uint(out, 1);
                    put_int(out, i64::try_from(*len).unwrap_or(i64::MAX));
                }
            }
            Self::Slice { elem } => {
                put_uint(out, 2);
                common(out, "");
                part(out, *elem);
            }
            Self::Struct { name, fields } => {
                put_uint(out, 3);
                common(out, name);
                if !fields.is_empty() {
                    put_uint(out, 1);
                    put_uint(out, fields.len() as u64);
                    for field in fields {
                        put_uint(out, 1);
                        put_bytes(out, field.name.as_bytes());
                        part(out, field.id);
                        put_uint(out, 0);
                    }
                }
            }
            Self::Map { key, elem } => {
                put_uint(out, 4);
                common(out, "");
                part(out, *key);
                part(out, *elem);
            }
            Self::Marshal { kind, name } => {
                put_uint(out, 5 + *kind as u64);
                common(out, name);
            }
        }
        put_uint(out, 0);
        put_uint(out, 0);
    }

    /// Reads what [`put`](Self::put) writes.
    pub(crate) fn read(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, Error> {
        let mut at = 0;
        let (mut read, mut begins) = (None, reader.at());
        while let Some(kind) = next_field(reader, &mut at, 7)? {
            if read.is_some() {
                return Err(Error::malformed("a type of two kinds", begins));
            }
            read = Some(match kind {
                1 => Self::read_list(reader, limits, true)?,
                2 => Self::read_list(reader, limits, false)?,
                3 => Self::read_struct(reader, limits)?,
                4 => Self::read_map(reader, limits)?,
                5 => Self::read_marshal(reader, limits, MarshalKind::Gob)?,
                6 => Self::read_marshal(reader, limits, MarshalKind::Binary)?,
                _ => Self::read_marshal(reader, limits, MarshalKind::Text)?,
            });
            begins = reader.at();
        }
        read.ok_or_else(|| Error::malformed("a type of no kind", begins))
    }

    fn read_list(reader: &mut Reader<'_>, limits: &Limits, is_array: bool) -> Result<Self, Error> {
        let (mut at, mut elem, mut len) = (0, None, 0);
        let begins = reader.at();
        while let Some(field) = next_field(reader, &mut at, if is_array { 3 } else { 2 })? {
            match field {
                1 => drop(read_common(reader, limits)?),
                2 => elem = Some(WireId::new(reader.int()?)?),
                _ => len = reader.int()?,
            }
        }
        let elem = elem.ok_or_else(|| Error::malformed("a list of no type", begins))?;
        if !is_array {
            return Ok(Self::Slice { elem });
        }
        let len = u64::try_from(len)
            .map_err(|_| Error::malformed("an array of less than nothing", begins))?;
        Ok(Self::Array { elem, len })
    }

    fn read_map(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, Error> {
        let (mut at, mut key, mut elem) = (0, None, None);
        let begins = reader.at();
        while let Some(field) = next_field(reader, &mut at, 3)? {
            match field {
                1 => drop(read_common(reader, limits)?),
                2 => key = Some(WireId::new(reader.int()?)?),
                _ => elem = Some(WireId::new(reader.int()?)?),
            }
        }
        match (key, elem) {
            (Some(key), Some(elem)) => Ok(Self::Map { key, elem }),
            _ => Err(Error::malformed("a map of no type", begins)),
        }
    }

    fn read_struct(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, Error> {
        let (mut at, mut name) = (0, Arc::from(""));
        let mut fields = Vec::new();
        while let Some(field) = next_field(reader, &mut at, 2)? {
            if field == 1 {
                name = read_common(reader, limits)?;
                continue;
            }
            let count = reader.count()?;
            if count > limits.fields {
                let found = count as u64;
                return Err(Error::too_much(Limit::Fields, limits.fields, found));
            }
            for _ in 0..count {
                fields.push(read_field(reader, limits)?);
            }
        }
        let fields = fields.into_boxed_slice();
        Ok(Self::Struct { name, fields })
    }

    fn read_marshal(
        reader: &mut Reader<'_>,
        limits: &Limits,
        kind: MarshalKind,
    ) -> Result<Self, Error> {
        let (mut at, mut name) = (0, Arc::from(""));
        while next_field(reader, &mut at, 1)?.is_some() {
            name = read_common(reader, limits)?;
        }
        Ok(Self::Marshal { kind, name })
    }
}

/// The number, from 1, of the field that comes next in a struct of `fields`, or none at its end.
fn next_field(reader: &mut Reader<'_>, at: &mut u64, fields: u64) -> Result<Option<u64>, Error> {
    let begins = reader.at();
    let delta = reader.uint()?;
    if delta == 0 {
        return Ok(None);
    }
    *at = at.saturating_add(delta);
    if *at > fields {
        return Err(Error::malformed(
            "a field that definitions do not have",
            begins,
        ));
    }
    Ok(Some(*at))
}

fn read_common(reader: &mut Reader<'_>, limits: &Limits) -> Result<Arc<str>, Error> {
    let (mut at, mut name) = (0, Arc::from(""));
    while let Some(field) = next_field(reader, &mut at, 2)? {
        match field {
            1 => name = read_name(reader, limits)?,
            // The number is in front of the definition as well, which is the one that counts in Go.
            _ => drop(reader.int()?),
        }
    }
    Ok(name)
}

fn read_field(reader: &mut Reader<'_>, limits: &Limits) -> Result<Field, Error> {
    let (mut at, mut name, mut id) = (0, Arc::from(""), None);
    let begins = reader.at();
    while let Some(field) = next_field(reader, &mut at, 2)? {
        match field {
            1 => name = read_name(reader, limits)?,
            _ => id = Some(WireId::new(reader.int()?)?),
        }
    }
    match id {
        Some(id) if !name.is_empty() => Ok(Field { name, id }),
        _ => Err(Error::malformed("a field of no name or type", begins)),
    }
}

/// The name of a type or field. Go's are UTF-8, as its sources are.
pub(crate) fn read_name(reader: &mut Reader<'_>, limits: &Limits) -> Result<Arc<str>, Error> {
    Ok(Arc::from(name(reader, limits)?))
}

/// The same, as it lies there.
pub(crate) fn name<'a>(reader: &mut Reader<'a>, limits: &Limits) -> Result<&'a str, Error> {
    let begins = reader.at();
    let bytes = reader.bytes()?;
    if bytes.len() > limits.name {
        let found = bytes.len() as u64;
        return Err(Error::too_much(Limit::Name, limits.name, found));
    }
    std::str::from_utf8(bytes).map_err(|_| Error::malformed("a name that is no UTF-8", begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Def, Error> {
        let mut reader = Reader::new(bytes, 0);
        let def = Def::read(&mut reader, &Limits::new())?;
        assert!(reader.is_done());
        Ok(def)
    }

    #[test]
    fn definitions_are_read_as_they_are_written() {
        let field = |name: &str, id| Field {
            name: Arc::from(name),
            id,
        };
        let fields = Box::new([field("X", WireId::INT), field("Next", WireId(70))]);
        let name = Arc::from("P");
        let kind = MarshalKind::Text;
        for def in [
            Def::Array {
                elem: WireId::INT,
                len: 3,
            },
            Def::Array {
                elem: WireId(64),
                len: 0,
            },
            Def::Slice {
                elem: WireId::STRING,
            },
            Def::Struct {
                name: Arc::clone(&name),
                fields,
            },
            Def::Struct {
                name: Arc::from(""),
                fields: Box::new([]),
            },
            Def::Map {
                key: WireId::STRING,
                elem: WireId::INTERFACE,
            },
            Def::Marshal { kind, name },
        ] {
            let mut out = Vec::new();
            def.put(WireId(64), &mut out);
            assert_eq!(read(&out).expect("valid"), def, "{out:02x?}");
            for cut in 0..out.len() {
                assert!(read(&out[..cut]).is_err());
            }
        }
    }

    #[test]
    fn odd_definitions_are_refused() {
        // No kind; two kinds; a kind that there is not.
        for bytes in [&[0_u8][..], &[5, 0, 1, 0, 0], &[8, 0, 0]] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        // A slice without an element, an array of -1, a field without a name.
        for bytes in [
            &[2_u8, 0, 0][..],
            &[1, 2, 4, 1, 1, 0, 0],
            &[3, 2, 1, 2, 4, 0, 0, 0],
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
