//! Reading values: the trait for it, and where they are read from.

use crate::def::WireId;
use crate::describe::Describe;
use crate::error::{Error, ErrorKind};
use crate::limits::{Limit, Limits};
use crate::marshal::Marshal;
use crate::plan::{Plan, Planner, Plans, SKIPPED, Step};
use crate::scan::{Scan, Stop};
use crate::table::Table;
use crate::wire::Reader;

/// For how many elements memory is taken before any came. Lists within lists could announce as many as
/// there are bytes, each.
pub(crate) const AT_ONCE: usize = 16;

/// A value that can be received. Derived with `#[derive(Gob)]`.
///
/// As in Go, what is received is put into a value that is there: fields that do not come keep what they
/// have. [`Received::decode`](crate::Received::decode) begins with [`zero`](Self::zero).
pub trait Decode: Describe + Sized + 'static {
    /// What a field is that does not come.
    fn zero() -> Self;

    /// Compares the type with the one on the wire. It is done once for a stream.
    ///
    /// # Errors
    /// If values of the one cannot become values of the other.
    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error>;

    /// Reads a value, with the plan for its type on the wire.
    ///
    /// # Errors
    /// If it is malformed, or does not fit, or passes a limit.
    fn decode(&mut self, plan: Plan, input: &mut Input<'_>) -> Result<(), Error>;

    /// How many fields a struct has that may come.
    #[doc(hidden)]
    const FIELDS: usize = 0;

    /// Bytes that [`zero`](Self::zero) allocates.
    #[doc(hidden)]
    const HEAP: usize = 0;

    /// Whether values take a byte on the wire for each eight of memory or more, and hold no others: then
    /// a count that the bytes allow is worth being believed.
    #[doc(hidden)]
    const IS_NUMBER: bool = false;

    #[doc(hidden)]
    fn plan_list(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        match planner.slice(wire) {
            Some(elem) => Self::plan(elem, planner).map_err(|error| error.in_elements()),
            None => Err(planner.mismatch(Vec::<Self>::go_name(), wire)),
        }
    }

    #[doc(hidden)]
    fn decode_list(list: &mut Vec<Self>, plan: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        input.begin()?;
        let count = input.elements()?;
        input.charge(count, size_of::<Self>() + Self::HEAP)?;
        list.clear();
        if Self::IS_NUMBER {
            list.reserve_exact(count);
        } else {
            list.reserve(count.min(AT_ONCE));
        }
        for index in 0..count {
            let mut item = Self::zero();
            let result = item.decode(plan, input);
            result.map_err(|error| error.at_index(index))?;
            list.push(item);
        }
        input.end();
        Ok(())
    }
}

/// What is known of a stream that is read.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) limits: Limits,
    pub(crate) table: Table,
    pub(crate) plans: Plans,
}

/// The fields of a struct that is being read.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    steps: &'a [Step],
    /// How many came or were left out.
    at: usize,
}

/// Where a value is read from: the bytes of it, where definitions among them were taken out.
#[derive(Debug)]
pub struct Input<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) known: &'a Known,
    depth: usize,
    /// What may still be allocated.
    memory: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8], known: &'a Known) -> Self {
        Self {
            reader: Reader::new(bytes, 0),
            known,
            depth: 0,
            memory: known.limits.memory,
        }
    }

    /// Reads an unsigned integer.
    ///
    /// # Errors
    /// If there is none. So in the other functions.
    #[inline]
    pub fn uint(&mut self) -> Result<u64, Error> {
        self.reader.uint()
    }

    /// Reads a signed integer.
    #[inline]
    pub fn int(&mut self) -> Result<i64, Error> {
        self.reader.int()
    }

    /// Reads a float.
    #[inline]
    pub fn float(&mut self) -> Result<f64, Error> {
        self.reader.float()
    }

    /// Reads bytes or a string.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        self.reader.bytes()
    }

    /// Reads the bytes of a value that writes itself.
    ///
    /// # Errors
    /// If they are none of such a value.
    pub fn unmarshal<T: Marshal>(&mut self, value: &mut T) -> Result<(), Error> {
        let bytes = self.kept_bytes()?;
        value.unmarshal(bytes).map_err(|reason| {
            let name = T::NAME.into();
            Error::new(ErrorKind::Marshal { name, reason })
        })
    }

    /// The same, for a copy that is kept.
    #[inline]
    pub(crate) fn kept_bytes(&mut self) -> Result<&'a [u8], Error> {
        let bytes = self.reader.bytes()?;
        self.charge(bytes.len(), 1)?;
        Ok(bytes)
    }

    /// The same, of text.
    #[inline]
    pub(crate) fn kept_str(&mut self) -> Result<&'a str, Error> {
        let bytes = self.kept_bytes()?;
        std::str::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::NotUtf8))
    }

    /// How many elements a list or map has, at least so many bytes being there.
    #[inline]
    pub(crate) fn elements(&mut self) -> Result<usize, Error> {
        let count = self.reader.count()?;
        let allowed = self.known.limits.elements;
        if count > allowed {
            return Err(Error::too_much(Limit::Elements, allowed, count as u64));
        }
        Ok(count)
    }

    /// Takes memory for so many things of a size from what may be had.
    #[inline]
    pub(crate) fn charge(&mut self, count: usize, size: usize) -> Result<(), Error> {
        match count
            .checked_mul(size)
            .and_then(|bytes| self.memory.checked_sub(bytes))
        {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => Err(self.out_of_memory(count, size)),
        }
    }

    #[cold]
    fn out_of_memory(&self, count: usize, size: usize) -> Error {
        let allowed = self.known.limits.memory;
        let taken = (allowed - self.memory) as u64;
        let found = (count as u64)
            .saturating_mul(size as u64)
            .saturating_add(taken);
        Error::too_much(Limit::Memory, allowed, found)
    }

    /// Begins a struct, list, map or interface.
    ///
    /// # Errors
    /// If it is one within too many others.
    #[inline]
    pub fn begin(&mut self) -> Result<(), Error> {
        self.depth += 1;
        let allowed = self.known.limits.depth;
        if self.depth > allowed {
            return Err(Error::too_much(Limit::Depth, allowed, self.depth as u64));
        }
        Ok(())
    }

    /// Ends what was begun last.
    #[inline]
    pub fn end(&mut self) {
        self.depth -= 1;
    }

    /// Begins a struct.
    ///
    /// # Errors
    /// If it is one within too many others.
    #[inline]
    pub fn structure(&mut self, plan: Plan) -> Result<Fields<'a>, Error> {
        self.begin()?;
        let steps = self.known.plans.steps(plan);
        Ok(Fields { steps, at: 0 })
    }

    /// The next field that the Rust type has, with the plan for it. Others are skipped. None at the end
    /// of the struct.
    ///
    /// # Errors
    /// If the bytes are malformed, in what is skipped as well.
    #[inline]
    pub fn field(&mut self, fields: &mut Fields<'a>) -> Result<Option<(u32, Plan)>, Error> {
        loop {
            let at = self.reader.at();
            let delta = self.reader.uint()?;
            if delta == 0 {
                self.end();
                return Ok(None);
            }
            let left = (fields.steps.len() - fields.at) as u64;
            if delta > left {
                return Err(Error::malformed(
                    "a field that the struct does not have",
                    at,
                ));
            }
            fields.at += delta as usize;
            let step = fields.steps[fields.at - 1];
            if step.local != SKIPPED {
                return Ok(Some((step.local, step.plan)));
            }
            self.skip(step.wire)?;
        }
    }

    /// Whether all was read.
    pub(crate) fn done(&self) -> Result<(), Error> {
        if self.reader.is_done() {
            return Ok(());
        }
        let at = self.reader.at();
        Err(Error::malformed("bytes behind the value", at))
    }

    /// Leaves a value out. Definitions are none among the bytes any more.
    pub(crate) fn skip(&mut self, id: WireId) -> Result<(), Error> {
        let (table, limits) = (&self.known.table, &self.known.limits);
        let mut scan = Scan::default();
        scan.begin(id, table, limits, &mut self.reader)?;
        match scan.run(table, limits, &mut self.reader)? {
            Stop::End => Ok(()),
            Stop::Definition(_, at) => Err(Error::malformed("a definition", at)),
        }
    }
}

/// The plan for a type, compiled unless it is known.
pub(crate) fn plan<T: Decode>(known: &mut Known, wire: WireId) -> Result<Plan, Error> {
    let key = T::key();
    if let Some(plan) = known.plans.recent.get((key, wire)) {
        return Ok(plan);
    }
    let plan = match known.plans.known(key, wire) {
        Some(plan) => plan,
        None => compile::<T>(known, wire)?,
    };
    known.plans.recent.put((key, wire), plan);
    Ok(plan)
}

fn compile<T: Decode>(known: &mut Known, wire: WireId) -> Result<Plan, Error> {
    let Known {
        limits,
        table,
        plans,
    } = known;
    let mark = plans.len();
    let mut planner = Planner {
        table,
        plans,
        limits,
        depth: 0,
    };
    let result = T::plan(wire, &mut planner);
    match &result {
        Ok(plan) => plans.remember(T::key(), wire, *plan),
        Err(_) => plans.truncate(mark),
    }
    result
}
