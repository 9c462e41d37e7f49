//! Finding the end of a value without decoding it.
//!
//! A value ends with its message unless it holds interfaces: where one of those holds a type that the
//! stream has not defined, the definition comes right there, and the value goes on in a further message.
//! The scan holds where it is on a stack of its own, so that it goes on with the next message where it
//! stopped, and so that its depth is a number and no recursion.

use crate::def::{Def, WireId, name};
use crate::error::Error;
use crate::limits::{Limit, Limits};
use crate::table::Table;
use crate::wire::Reader;

#[derive(Debug)]
enum Open {
    /// A struct, and the field that came last.
    Fields(WireId, u64),
    /// A list and how many elements are to come.
    Items(WireId, u64),
    /// A map and how many pairs are to come; whether the next is a value.
    Pairs(WireId, WireId, u64, bool),
    /// An interface behind its name.
    Interface,
}

/// Why a scan stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The value is complete.
    End,
    /// The definition of a type is next: of this number, which began at this byte.
    Definition(i64, usize),
}

/// A value whose end is looked for.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    open: Vec<Open>,
}

impl Scan {
    /// Whether a value has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Forgets the value.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    /// Begins with a value of this type, up to its end if it is a short one.
    pub(crate) fn begin(
        &mut self,
        id: WireId,
        table: &Table,
        limits: &Limits,
        reader: &mut Reader<'_>,
    ) -> Result<(), Error> {
        let opened = match id {
            WireId::BOOL | WireId::INT | WireId::UINT | WireId::FLOAT => {
                reader.uint()?;
                return Ok(());
            }
            WireId::COMPLEX => {
                reader.uint()?;
                reader.uint()?;
                return Ok(());
            }
            WireId::BYTES | WireId::STRING => {
                reader.bytes()?;
                return Ok(());
            }
            WireId::INTERFACE => {
                if name(reader, limits)?.is_empty() {
                    return Ok(());
                }
                Open::Interface
            }
            _ => match &**table.def(id)? {
                Def::Marshal { .. } => {
                    reader.bytes()?;
                    return Ok(());
                }
                Def::Struct { .. } => Open::Fields(id, 0),
                Def::Slice { elem } => Open::Items(*elem, elements(reader, limits)?),
                Def::Array { elem, len } => {
                    let at = reader.at();
                    let count = elements(reader, limits)?;
                    if count != *len {
                        return Err(Error::malformed("an array of another length", at));
                    }
                    Open::Items(*elem, count)
                }
                Def::Map { key, elem } => {
                    Open::Pairs(*key, *elem, elements(reader, limits)?, false)
                }
            },
        };
        if self.open.len() >= limits.depth {
            let found = limits.depth as u64 + 1;
            return Err(Error::too_much(Limit::Depth, limits.depth, found));
        }
        self.open.push(opened);
        Ok(())
    }

    /// Goes on as far as it can.
    pub(crate) fn run(
        &mut self,
        table: &Table,
        limits: &Limits,
        reader: &mut Reader<'_>,
    ) -> Result<Stop, Error> {
        while let Some(open) = self.open.last_mut() {
            let next = match open {
                Open::Fields(id, last) => match field(table, *id, last, reader)? {
                    Some(next) => next,
                    None => {
                        self.open.pop();
                        continue;
                    }
                },
                Open::Items(_, 0) | Open::Pairs(_, _, 0, _) => {
                    self.open.pop();
                    continue;
                }
                Open::Items(elem, left) => {
                    *left -= 1;
                    *elem
                }
                Open::Pairs(_, elem, left, is_value @ true) => {
                    *left -= 1;
                    *is_value = false;
                    *elem
                }
                Open::Pairs(key, _, _, is_value) => {
                    *is_value = true;
                    *key
                }
                Open::Interface => {
                    let at = reader.at();
                    let id = reader.int()?;
                    if id < 0 {
                        return Ok(Stop::Definition(id.saturating_neg(), at));
                    }
                    self.open.pop();
                    concrete(id, table, reader)?
                }
            };
            self.begin(next, table, limits, reader)?;
        }
        Ok(Stop::End)
    }
}

/// The type of the field that comes next, or none at the end of the struct.
#[inline]
fn field(
    table: &Table,
    id: WireId,
    last: &mut u64,
    reader: &mut Reader<'_>,
) -> Result<Option<WireId>, Error> {
    let at = reader.at();
    let delta = reader.uint()?;
    if delta == 0 {
        return Ok(None);
    }
    *last = last.saturating_add(delta);
    let Def::Struct { fields, .. } = &**table.def(id)? else {
        return Err(id.undefined());
    };
    let index = usize::try_from(*last - 1).unwrap_or(usize::MAX);
    match fields.get(index) {
        Some(field) => Ok(Some(field.id)),
        None => Err(Error::malformed(
            "a field that the struct does not have",
            at,
        )),
    }
}

/// What is between the number of an interface's type and the value: how long it is, which says nothing
/// that the value does not, and nothing in particular (a zero) unless it is a struct.
pub(crate) fn concrete(id: i64, table: &Table, reader: &mut Reader<'_>) -> Result<WireId, Error> {
    let id = WireId::new(id)?;
    reader.uint()?;
    single(id, table, reader)?;
    Ok(id)
}

/// The zero in front of a value that is no struct, where a struct would have a field.
#[inline]
pub(crate) fn single(id: WireId, table: &Table, reader: &mut Reader<'_>) -> Result<(), Error> {
    let at = reader.at();
    if !table.is_struct(id) && reader.uint()? != 0 {
        return Err(Error::malformed(
            "no zero before a value that is no struct",
            at,
        ));
    }
    Ok(())
}

/// How many elements a list or map has. Each takes a byte, but for those that come in further messages.
fn elements(reader: &mut Reader<'_>, limits: &Limits) -> Result<u64, Error> {
    let count = reader.uint()?;
    if count > limits.elements as u64 {
        return Err(Error::too_much(Limit::Elements, limits.elements, count));
    }
    Ok(count)
}
