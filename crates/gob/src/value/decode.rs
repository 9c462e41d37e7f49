//! Reading dynamic values: what an interface holds, or anything by its type on the wire.

use crate::decode::{AT_ONCE, Decode, Input};
use crate::def::{Def, WireId, name};
use crate::describe::Describe;
use crate::error::Error;
use crate::impls::{ByteString, Complex};
use crate::plan::{Plan, Planner};
use crate::scan::concrete;
use crate::shape::Shape;
use crate::value::{List, Map, Marshaled, Named, Record, Value};

/// From an interface, as in Go. [`Received::to_value`](crate::Received::to_value) takes anything.
impl Decode for Value {
    #[inline]
    fn zero() -> Self {
        Self::Nil
    }

    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        planner.exactly(WireId::INTERFACE, wire, Self::go_name)
    }

    fn decode(&mut self, _: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        *self = input.interface()?;
        Ok(())
    }
}

impl Input<'_> {
    /// What an interface holds.
    fn interface(&mut self) -> Result<Value, Error> {
        let name = name(&mut self.reader, &self.known.limits)?;
        if name.is_empty() {
            return Ok(Value::Nil);
        }
        self.begin()?;
        let at = self.reader.at();
        let id = self.reader.int()?;
        let id = concrete(id, &self.known.table, &mut self.reader)?;
        if id == WireId::INTERFACE {
            return Err(Error::malformed("an interface that holds an interface", at));
        }
        let value = self.value(id)?;
        self.end();
        if value.has_name(name) {
            return Ok(value);
        }
        self.charge(1, size_of::<Named>() + name.len())?;
        Ok(value.by(name))
    }

    /// A value of the type.
    pub(crate) fn value(&mut self, id: WireId) -> Result<Value, Error> {
        Ok(match id {
            WireId::BOOL => Value::Bool(self.uint()? != 0),
            WireId::INT => Value::Int(self.int()?),
            WireId::UINT => Value::Uint(self.uint()?),
            WireId::FLOAT => Value::Float(self.float()?),
            WireId::COMPLEX => Value::Complex(Complex {
                re: self.float()?,
                im: self.float()?,
            }),
            WireId::BYTES => Value::Bytes(self.kept_bytes()?.to_vec()),
            WireId::STRING => {
                let bytes = self.kept_bytes()?;
                match std::str::from_utf8(bytes) {
                    Ok(text) => Value::String(text.to_owned()),
                    Err(_) => Value::ByteString(ByteString(bytes.to_vec())),
                }
            }
            WireId::INTERFACE => self.interface()?,
            _ => return self.composite(id),
        })
    }

    fn composite(&mut self, id: WireId) -> Result<Value, Error> {
        let table = &self.known.table;
        let def = table.def(id)?;
        let shape = Shape::new(table.defs(), id);
        if let Def::Marshal { .. } = &**def {
            let bytes = Box::from(self.kept_bytes()?);
            return Ok(Value::Marshal(Marshaled { shape, bytes }));
        }
        self.begin()?;
        let value = match &**def {
            Def::Array { elem, len } => {
                let at = self.reader.at();
                let items = self.items(*elem)?;
                if items.len() as u64 != *len {
                    return Err(Error::malformed("an array of another length", at));
                }
                Value::List(List { shape, items })
            }
            Def::Slice { elem } => {
                let items = self.items(*elem)?;
                Value::List(List { shape, items })
            }
            Def::Map { key, elem } => {
                let count = self.elements()?;
                self.charge(count, size_of::<(Value, Value)>())?;
                let mut entries = Vec::with_capacity(count.min(AT_ONCE));
                for _ in 0..count {
                    let of = self.value(*key).map_err(Error::in_elements)?;
                    let value = self.value(*elem);
                    let value = value.map_err(|error| error.at_key(&of))?;
                    entries.push((of, value));
                }
                let entries = entries.into_boxed_slice();
                Value::Map(Map { shape, entries })
            }
            Def::Struct { fields, .. } => {
                let mut values = Vec::new();
                let mut at = 0;
                loop {
                    let begins = self.reader.at();
                    let delta = self.uint()?;
                    if delta == 0 {
                        break;
                    }
                    if delta > (fields.len() - at) as u64 {
                        let what = "a field that the struct does not have";
                        return Err(Error::malformed(what, begins));
                    }
                    at += delta as usize;
                    let field = &fields[at - 1];
                    let value = self.value(field.id);
                    let value = value.map_err(|error| error.in_field(field.name.to_string()))?;
                    // Twice, as the vector grows by doubling.
                    self.charge(2, size_of::<(u32, Value)>())?;
                    values.push((at as u32 - 1, value));
                }
                let fields = values.into_boxed_slice();
                Value::Struct(Record { shape, fields })
            }
            Def::Marshal { .. } => return Err(id.undefined()),
        };
        self.end();
        Ok(value)
    }

    fn items(&mut self, elem: WireId) -> Result<Box<[Value]>, Error> {
        let count = self.elements()?;
        self.charge(count, size_of::<Value>())?;
        let mut items = Vec::with_capacity(count.min(AT_ONCE));
        for index in 0..count {
            let item = self.value(elem);
            items.push(item.map_err(|error| error.at_index(index))?);
        }
        Ok(items.into_boxed_slice())
    }
}
