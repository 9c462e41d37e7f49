//! The shape of a type, on its own: for messages, and for what a dynamic value carries with it.

use std::fmt;
use std::sync::Arc;

use crate::def::{Def, WireId};
use crate::error::brief;
use crate::table::Defs;

/// How many fields of a struct are shown, and how deep.
const FIELDS: usize = 12;
const DEPTH: usize = 3;

/// What kind of value gob carries, with all that it is made of. `Display` writes it in Go's words.
///
/// Two shapes are equal if their types are the same in all but their numbers on the wire.
#[derive(Clone)]
pub struct Shape {
    pub(crate) defs: Arc<Defs>,
    pub(crate) id: WireId,
}

/// What a [`Shape`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `bool`.
    Bool,
    /// A signed integer.
    Int,
    /// An unsigned integer.
    Uint,
    /// A float.
    Float,
    /// A complex number.
    Complex,
    /// `[]byte`.
    Bytes,
    /// `string`.
    String,
    /// An interface.
    Interface,
    /// A slice.
    Slice,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A struct.
    Struct,
    /// A type that writes itself as bytes.
    Marshal,
    /// A type that was not defined.
    Undefined,
}

impl Shape {
    pub(crate) fn new(defs: &Arc<Defs>, id: WireId) -> Self {
        let defs = Arc::clone(defs);
        Self { defs, id }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.id {
            WireId::BOOL => Kind::Bool,
            WireId::INT => Kind::Int,
            WireId::UINT => Kind::Uint,
            WireId::FLOAT => Kind::Float,
            WireId::COMPLEX => Kind::Complex,
            WireId::BYTES => Kind::Bytes,
            WireId::STRING => Kind::String,
            WireId::INTERFACE => Kind::Interface,
            _ => match self.def() {
                Some(Def::Slice { .. }) => Kind::Slice,
                Some(Def::Array { .. }) => Kind::Array,
                Some(Def::Map { .. }) => Kind::Map,
                Some(Def::Struct { .. }) => Kind::Struct,
                Some(Def::Marshal { .. }) => Kind::Marshal,
                None => Kind::Undefined,
            },
        }
    }

    /// The name of a struct or of a type that writes itself, as the peer defined it. Empty for others.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.def() {
            Some(Def::Struct { name, .. } | Def::Marshal { name, .. }) => name,
            _ => "",
        }
    }

    /// The names of a struct's fields, with their shapes.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Self)> {
        let fields = match self.def() {
            Some(Def::Struct { fields, .. }) => &**fields,
            _ => &[],
        };
        fields
            .iter()
            .map(|field| (&*field.name, Self::new(&self.defs, field.id)))
    }

    /// The shape of a list's elements, or of a map's values.
    #[must_use]
    pub fn element(&self) -> Option<Self> {
        match self.def()? {
            Def::Array { elem, .. } | Def::Slice { elem } | Def::Map { elem, .. } => {
                Some(Self::new(&self.defs, *elem))
            }
            _ => None,
        }
    }

    /// The shape of a map's keys.
    #[must_use]
    pub fn key(&self) -> Option<Self> {
        match self.def()? {
            Def::Map { key, .. } => Some(Self::new(&self.defs, *key)),
            _ => None,
        }
    }

    /// What a message says of it, which a peer's names cannot make longer.
    pub(crate) fn brief(&self) -> String {
        brief(self, 500)
    }

    pub(crate) fn def(&self) -> Option<&Def> {
        self.defs.get(self.id).map(|def| &**def)
    }

    /// The name by which Go registers the type by itself or by `gob.Register`, if it is made of unnamed
    /// types alone.
    pub(crate) fn unnamed(&self) -> Option<String> {
        let mut out = String::new();
        self.put_unnamed(self.id, 0, &mut out)?;
        Some(out)
    }

    fn put_unnamed(&self, id: WireId, depth: usize, out: &mut String) -> Option<()> {
        if let Some(name) = basic(id) {
            out.push_str(match id {
                WireId::FLOAT => "float64",
                WireId::COMPLEX => "complex128",
                WireId::BYTES => "[]uint8",
                WireId::INTERFACE => "interface {}",
                _ => name,
            });
            return Some(());
        }
        if depth > 16 {
            return None;
        }
        match &**self.defs.get(id)? {
            Def::Slice { elem } => {
                out.push_str("[]");
                self.put_unnamed(*elem, depth + 1, out)
            }
            Def::Array { elem, len } => {
                out.push_str(&format!("[{len}]"));
                self.put_unnamed(*elem, depth + 1, out)
            }
            Def::Map { key, elem } => {
                out.push_str("map[");
                self.put_unnamed(*key, depth + 1, out)?;
                out.push(']');
                self.put_unnamed(*elem, depth + 1, out)
            }
            Def::Struct { .. } | Def::Marshal { .. } => None,
        }
    }

    fn put(&self, f: &mut fmt::Formatter<'_>, id: WireId, depth: usize) -> fmt::Result {
        if let Some(name) = basic(id) {
            return f.write_str(name);
        }
        let Some(def) = self.defs.get(id) else {
            return f.write_str("an undefined type");
        };
        if depth > DEPTH {
            return f.write_str("...");
        }
        match &**def {
            Def::Slice { elem } => {
                f.write_str("[]")?;
                self.put(f, *elem, depth + 1)
            }
            Def::Array { elem, len } => {
                write!(f, "[{len}]")?;
                self.put(f, *elem, depth + 1)
            }
            Def::Map { key, elem } => {
                f.write_str("map[")?;
                self.put(f, *key, depth + 1)?;
                f.write_str("]")?;
                self.put(f, *elem, depth + 1)
            }
            Def::Marshal { name, .. } if name.is_empty() => f.write_str("bytes of its own making"),
            Def::Marshal { name, .. } => f.write_str(name),
            Def::Struct { name, .. } if depth > 0 && !name.is_empty() => f.write_str(name),
            Def::Struct { name, fields } => {
                if !name.is_empty() {
                    write!(f, "{name} = ")?;
                }
                f.write_str("struct {")?;
                for (at, field) in fields.iter().take(FIELDS).enumerate() {
                    f.write_str(if at == 0 { " " } else { "; " })?;
                    write!(f, "{} ", field.name)?;
                    self.put(f, field.id, depth + 1)?;
                }
                if fields.len() > FIELDS {
                    write!(f, "; and {} more", fields.len() - FIELDS)?;
                }
                f.write_str(if fields.is_empty() { "}" } else { " }" })
            }
        }
    }
}

/// What a basic type is called in messages.
fn basic(id: WireId) -> Option<&'static str> {
    Some(match id {
        WireId::BOOL => "bool",
        WireId::INT => "int",
        WireId::UINT => "uint",
        WireId::FLOAT => "float",
        WireId::COMPLEX => "complex",
        WireId::BYTES => "[]byte",
        WireId::STRING => "string",
        WireId::INTERFACE => "interface",
        _ => return None,
    })
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.put(f, self.id, 0)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shape({self})")
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.defs, &other.defs) && self.id == other.id {
            return true;
        }
        // Taken for equal while they are compared, so that types that hold themselves end.
        let mut next = vec![(self.id, other.id)];
        let mut seen = std::collections::HashSet::new();
        while let Some((a, b)) = next.pop() {
            if a.is_basic() || b.is_basic() {
                if a != b {
                    return false;
                }
                continue;
            }
            if !seen.insert((a, b)) {
                continue;
            }
            let (Some(a), Some(b)) = (self.defs.get(a), other.defs.get(b)) else {
                return false;
            };
            let alike = match (&**a, &**b) {
                (Def::Slice { .. }, Def::Slice { .. }) | (Def::Map { .. }, Def::Map { .. }) => true,
                (Def::Array { len: a, .. }, Def::Array { len: b, .. }) => a == b,
                (
                    Def::Struct {
                        name: a,
                        fields: of_a,
                    },
                    Def::Struct {
                        name: b,
                        fields: of_b,
                    },
                ) => {
                    let names = |fields: &[crate::def::Field]| -> Vec<Arc<str>> {
                        fields.iter().map(|field| Arc::clone(&field.name)).collect()
                    };
                    a == b && names(of_a) == names(of_b)
                }
                (a @ Def::Marshal { .. }, b) => a == b,
                _ => false,
            };
            if !alike {
                return false;
            }
            let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
            a.parts(|part| of_a.push(part));
            b.parts(|part| of_b.push(part));
            next.extend(of_a.into_iter().zip(of_b));
        }
        true
    }
}

impl Eq for Shape {}
