//! What leads to a value: gob sees through it. And the unit, which is an empty struct.

use std::any::TypeId;
use std::borrow::Cow;

use crate::decode::{Decode, Input};
use crate::def::WireId;
use crate::describe::{Describe, Types};
use crate::encode::{Encode, Output, nil};
use crate::error::Error;
use crate::plan::{Plan, Planner};

macro_rules! transparent {
    ($type:ty, $($generics:tt)*) => {
        impl<$($generics)*> Describe for $type {
            fn key() -> TypeId {
                T::key()
            }

            fn describe(types: &mut Types) -> WireId {
                T::describe(types)
            }

            fn go_name() -> Cow<'static, str> {
                T::go_name()
            }
        }
    };
}

transparent!(Box<T>, T: Describe + ?Sized);
transparent!(&T, T: Describe + ?Sized);
transparent!(Option<T>, T: Describe);

impl<T: Encode + ?Sized> Encode for &T {
    #[inline]
    fn is_left_out(&self) -> bool {
        (**self).is_left_out()
    }

    fn is_left_out_behind_pointer(&self) -> bool {
        (**self).is_left_out_behind_pointer()
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
        (**self).encode(out)
    }

    #[inline]
    fn size_hint(&self) -> usize {
        (**self).size_hint()
    }
}

/// Only a place to keep it, and no pointer: what is in it is left out as if it was there itself.
impl<T: Encode + ?Sized> Encode for Box<T> {
    #[inline]
    fn is_left_out(&self) -> bool {
        (**self).is_left_out()
    }

    fn is_left_out_behind_pointer(&self) -> bool {
        (**self).is_left_out_behind_pointer()
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
        (**self).encode(out)
    }

    #[inline]
    fn size_hint(&self) -> usize {
        (**self).size_hint()
    }
}

impl<T: Decode> Decode for Box<T> {
    const FIELDS: usize = T::FIELDS;
    const HEAP: usize = size_of::<T>() + T::HEAP;

    fn zero() -> Self {
        Self::new(T::zero())
    }

    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        T::plan(wire, planner)
    }

    fn decode(&mut self, plan: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        (**self).decode(plan, input)
    }
}

/// A pointer, which is nil or not.
impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn is_left_out(&self) -> bool {
        match self {
            Some(value) => value.is_left_out_behind_pointer(),
            None => true,
        }
    }

    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
        match self {
            Some(value) => value.encode(out),
            None => Err(nil()),
        }
    }

    #[inline]
    fn size_hint(&self) -> usize {
        self.as_ref().map_or(0, Encode::size_hint)
    }
}

impl<T: Decode> Decode for Option<T> {
    const FIELDS: usize = T::FIELDS;

    #[inline]
    fn zero() -> Self {
        None
    }

    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        T::plan(wire, planner)
    }

    fn decode(&mut self, plan: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        if self.is_none() {
            input.charge(1, T::HEAP)?;
        }
        self.get_or_insert_with(T::zero).decode(plan, input)
    }
}

/// Go's `struct{}`.
impl Describe for () {
    fn key() -> TypeId {
        TypeId::of::<Self>()
    }

    fn describe(types: &mut Types) -> WireId {
        types.structure(Self::key(), "", &[])
    }

    fn go_name() -> Cow<'static, str> {
        Cow::Borrowed("struct {}")
    }
}

impl Encode for () {
    fn is_left_out(&self) -> bool {
        false
    }

    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
        out.uint(0);
        Ok(())
    }
}

impl Decode for () {
    fn zero() -> Self {}

    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        planner.structure(Self::key(), Self::go_name, wire, &[])
    }

    fn decode(&mut self, plan: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        let mut fields = input.structure(plan)?;
        // None is known here, so that this skips them all.
        while input.field(&mut fields)?.is_some() {}
        Ok(())
    }
}
