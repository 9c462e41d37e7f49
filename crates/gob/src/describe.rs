//! What Rust types are in gob's words: the trait for it, and the builder that numbers what they define.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::def::{Def, Field, MarshalKind, WireId};
use crate::shape::Shape;
use crate::table::Defs;

/// A type that gob can describe. What [`Encode`](crate::Encode) and [`Decode`](crate::Decode) have in
/// common; derived with them.
pub trait Describe {
    /// What tells the type from others, and is the same for types that are the same to gob, as `T` and
    /// `Box<T>`.
    fn key() -> TypeId;

    /// Defines the type and whatever it is made of.
    fn describe(types: &mut Types) -> WireId;

    /// What Go calls the type, as far as that is known here: a struct's name lacks its package.
    fn go_name() -> Cow<'static, str>;

    /// The same of lists of it; as [`describe`](Self::describe), which it is derived from.
    #[doc(hidden)]
    fn describe_list(types: &mut Types) -> WireId {
        let elem = Self::describe(types);
        types.unnamed(Def::Slice { elem })
    }
}

/// Types that are described, by the numbers that they get.
#[derive(Debug, Default)]
pub struct Types {
    /// Those of `FIRST + index`. `None` while one is being described.
    defs: Vec<Option<Arc<Def>>>,
    named: HashMap<TypeId, WireId>,
    unnamed: HashMap<Def, WireId>,
    /// Of dynamic values: what they are, by the first number that was given to one.
    shapes: Vec<(Shape, WireId)>,
}

/// What describes a field: [`Describe::describe`] of its type.
pub type DescribeField = fn(&mut Types) -> WireId;

impl Types {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn reserve(&mut self) -> WireId {
        let id = WireId(WireId::FIRST + self.defs.len() as i32);
        self.defs.push(None);
        id
    }

    fn fill(&mut self, id: WireId, def: Def) {
        self.defs[(id.0 - WireId::FIRST) as usize] = Some(Arc::new(def));
    }

    pub(crate) fn get(&self, id: WireId) -> Option<&Arc<Def>> {
        let index = usize::try_from(id.0 - WireId::FIRST).ok()?;
        self.defs.get(index)?.as_ref()
    }

    pub(crate) fn len(&self) -> usize {
        self.defs.len()
    }

    /// Forgets all but the first so many.
    pub(crate) fn truncate(&mut self, len: usize) {
        let end = WireId(WireId::FIRST + len as i32);
        self.defs.truncate(len);
        self.named.retain(|_, id| *id < end);
        self.unnamed.retain(|_, id| *id < end);
        self.shapes.retain(|(_, id)| *id < end);
    }

    /// A type that has no name: the same as any other of the same parts.
    pub(crate) fn unnamed(&mut self, def: Def) -> WireId {
        if let Some(id) = self.unnamed.get(&def) {
            return *id;
        }
        let id = self.reserve();
        self.fill(id, def.clone());
        self.unnamed.insert(def, id);
        id
    }

    /// An array of so many elements of a type.
    pub fn array(&mut self, elem: WireId, len: usize) -> WireId {
        let len = len as u64;
        self.unnamed(Def::Array { elem, len })
    }

    /// A slice of elements of a type, which is not that of bytes.
    pub fn slice(&mut self, elem: WireId) -> WireId {
        self.unnamed(Def::Slice { elem })
    }

    /// A map.
    pub fn map(&mut self, key: WireId, elem: WireId) -> WireId {
        self.unnamed(Def::Map { key, elem })
    }

    /// A struct. It may hold itself.
    pub fn structure(
        &mut self,
        key: TypeId,
        name: &str,
        fields: &[(&'static str, DescribeField)],
    ) -> WireId {
        if let Some(id) = self.named.get(&key) {
            return *id;
        }
        let id = self.reserve();
        self.named.insert(key, id);
        let fields = fields
            .iter()
            .map(|(name, describe)| Field {
                name: Arc::from(*name),
                id: describe(self),
            })
            .collect();
        let name = Arc::from(name);
        self.fill(id, Def::Struct { name, fields });
        id
    }

    /// A type that writes itself as bytes.
    pub fn marshal(&mut self, key: TypeId, kind: MarshalKind, name: &str) -> WireId {
        if let Some(id) = self.named.get(&key) {
            return *id;
        }
        let id = self.reserve();
        self.named.insert(key, id);
        let name = Arc::from(name);
        self.fill(id, Def::Marshal { kind, name });
        id
    }

    /// The type of a dynamic value, with all that it is made of. An undefined part is an undefined part.
    pub(crate) fn shape(&mut self, shape: &Shape) -> WireId {
        if shape.id.is_basic() {
            return shape.id;
        }
        if let Some((_, id)) = self.shapes.iter().find(|(known, _)| known == shape) {
            return *id;
        }
        // All numbers first, as types may hold each other.
        let mut order = vec![shape.id];
        let mut ids = HashMap::from([(shape.id, self.reserve())]);
        let mut at = 0;
        while let Some(id) = order.get(at) {
            at += 1;
            let Some(def) = shape.defs.get(*id) else {
                continue;
            };
            def.parts(|part| {
                if !part.is_basic() && !ids.contains_key(&part) {
                    ids.insert(part, self.reserve());
                    order.push(part);
                }
            });
        }
        let new = |id: &WireId| ids.get(id).copied().unwrap_or(*id);
        for id in &order {
            let Some(def) = shape.defs.get(*id) else {
                continue;
            };
            let def = match &**def {
                Def::Array { elem, len } => Def::Array {
                    elem: new(elem),
                    len: *len,
                },
                Def::Slice { elem } => Def::Slice { elem: new(elem) },
                Def::Map { key, elem } => Def::Map {
                    key: new(key),
                    elem: new(elem),
                },
                Def::Struct { name, fields } => Def::Struct {
                    name: Arc::clone(name),
                    fields: fields
                        .iter()
                        .map(|field| Field {
                            name: Arc::clone(&field.name),
                            id: new(&field.id),
                        })
                        .collect(),
                },
                def @ Def::Marshal { .. } => def.clone(),
            };
            self.fill(new(id), def);
        }
        let id = new(&shape.id);
        self.shapes.push((shape.clone(), id));
        id
    }

    /// All of them.
    pub(crate) fn into_defs(self) -> Arc<Defs> {
        let mut defs = Defs::default();
        for (index, def) in self.defs.into_iter().enumerate() {
            if let Some(def) = def {
                defs.insert(WireId(WireId::FIRST + index as i32), def);
            }
        }
        Arc::new(defs)
    }
}

impl Shape {
    /// The shape of a Rust type.
    #[must_use]
    pub fn of<T: Describe + ?Sized>() -> Self {
        let mut types = Types::new();
        let id = T::describe(&mut types);
        Self::new(&types.into_defs(), id)
    }
}
