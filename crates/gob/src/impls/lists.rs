//! Slices and arrays. Those of bytes are bytes if their length is no part of the type.

use std::any::TypeId;
use std::borrow::Cow;

use crate::decode::{Decode, Input};
use crate::def::WireId;
use crate::describe::{Describe, Types};
use crate::encode::{Encode, Output};
use crate::error::Error;
use crate::plan::{Plan, Planner};

impl<T: Describe + 'static> Describe for [T] {
    fn key() -> TypeId {
        TypeId::of::<Vec<T>>()
    }

    fn describe(types: &mut Types) -> WireId {
        T::describe_list(types)
    }

    fn go_name() -> Cow<'static, str> {
        Cow::Owned(format!("[]{}", T::go_name()))
    }
}

impl<T: Encode + 'static> Encode for [T] {
    #[inline]
    fn is_left_out(&self) -> bool {
        self.is_empty()
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
        T::encode_list(self, out)
    }

    #[inline]
    fn size_hint(&self) -> usize {
        self.len()
    }
}

impl<T: Describe + 'static> Describe for Vec<T> {
    fn key() -> TypeId {
        TypeId::of::<Self>()
    }

    fn describe(types: &mut Types) -> WireId {
        T::describe_list(types)
    }

    fn go_name() -> Cow<'static, str> {
        <[T]>::go_name()
    }
}

impl<T: Encode + 'static> Encode for Vec<T> {
    #[inline]
    fn is_left_out(&self) -> bool {
        self.is_empty()
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
        T::encode_list(self, out)
    }

    #[inline]
    fn size_hint(&self) -> usize {
        self.len()
    }
}

impl<T: Decode> Decode for Vec<T> {
    #[inline]
    fn zero() -> Self {
        Self::new()
    }

    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        T::plan_list(wire, planner)
    }

    #[inline]
    fn decode(&mut self, plan: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        T::decode_list(self, plan, input)
    }
}

impl<T: Describe + 'static, const N: usize> Describe for [T; N] {
    fn key() -> TypeId {
        TypeId::of::<Self>()
    }

    fn describe(types: &mut Types) -> WireId {
        let elem = T::describe(types);
        types.array(elem, N)
    }

    fn go_name() -> Cow<'static, str> {
        Cow::Owned(format!("[{N}]{}", T::go_name()))
    }
}

impl<T: Encode + 'static, const N: usize> Encode for [T; N] {
    /// Go sends them always.
    #[inline]
    fn is_left_out(&self) -> bool {
        false
    }

    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
        out.begin()?;
        out.uint(N as u64);
        for (index, item) in self.iter().enumerate() {
            item.encode(out).map_err(|error| error.at_index(index))?;
        }
        out.end();
        Ok(())
    }
}

impl<T: Decode, const N: usize> Decode for [T; N] {
    const HEAP: usize = N * T::HEAP;

    fn zero() -> Self {
        std::array::from_fn(|_| T::zero())
    }

    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        match planner.array(wire, N) {
            Some(elem) => T::plan(elem, planner).map_err(|error| error.in_elements()),
            None => Err(planner.mismatch(Self::go_name(), wire)),
        }
    }

    fn decode(&mut self, plan: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        input.begin()?;
        let at = input.reader.at();
        if input.uint()? != N as u64 {
            return Err(Error::malformed("an array of another length", at));
        }
        for (index, item) in self.iter_mut().enumerate() {
            let result = item.decode(plan, input);
            result.map_err(|error| error.at_index(index))?;
        }
        input.end();
        Ok(())
    }
}
