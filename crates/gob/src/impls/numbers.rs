//! Booleans, integers, floats, complex numbers.

use std::any::TypeId;
use std::borrow::Cow;

use crate::decode::{Decode, Input};
use crate::def::WireId;
use crate::describe::{Describe, Types};
use crate::encode::{Encode, Output};
use crate::error::Error;
use crate::plan::{Plan, Planner};

/// A complex number: `Complex<f64>` is Go's `complex128`, `Complex<f32>` is `complex64`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Complex<T> {
    /// The real part.
    pub re: T,
    /// The imaginary part.
    pub im: T,
}

/// What all of them have alike: a basic type, and nothing to plan.
macro_rules! number {
    ($type:ty, $wire:ident, $name:literal, $zero:expr, $encode:expr, $decode:expr $(, $($more:tt)*)?) => {
        impl Describe for $type {
            fn key() -> TypeId {
                TypeId::of::<Self>()
            }

            fn describe(_: &mut Types) -> WireId {
                WireId::$wire
            }

            fn go_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            $($($more)*)?
        }

        impl Encode for $type {
            #[inline]
            fn is_left_out(&self) -> bool {
                *self == $zero
            }

            #[inline]
            fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
                let encode: fn(Self, &mut Output<'_>) = $encode;
                encode(*self, out);
                Ok(())
            }
        }

        impl Decode for $type {
            const IS_NUMBER: bool = true;

            #[inline]
            fn zero() -> Self {
                $zero
            }

            fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
                planner.exactly(WireId::$wire, wire, Self::go_name)
            }

            #[inline]
            fn decode(&mut self, _: Plan, input: &mut Input<'_>) -> Result<(), Error> {
                let decode: fn(&mut Input<'_>) -> Result<Self, Error> = $decode;
                *self = decode(input)?;
                Ok(())
            }
        }
    };
}

macro_rules! integers {
    ($($type:ty, $wire:ident, $name:literal, $as:ty, $method:ident;)*) => {
        $(number!(
            $type, $wire, $name, 0,
            |value, out| out.$method(value as $as),
            |input| {
                let value = input.$method()?;
                Self::try_from(value).map_err(|_| Error::overflow(value, $name))
            }
        );)*
    };
}

integers! {
    i8, INT, "int8", i64, int;
    i16, INT, "int16", i64, int;
    i32, INT, "int32", i64, int;
    i64, INT, "int64", i64, int;
    isize, INT, "int", i64, int;
    u16, UINT, "uint16", u64, uint;
    u32, UINT, "uint32", u64, uint;
    u64, UINT, "uint64", u64, uint;
    usize, UINT, "uint", u64, uint;
}

number!(
    bool,
    BOOL,
    "bool",
    false,
    |value, out| out.uint(u64::from(value)),
    |input| Ok(input.uint()? != 0)
);
number!(
    f64,
    FLOAT,
    "float64",
    0.0,
    |value, out| out.float(value),
    |input| input.float()
);
number!(
    f32,
    FLOAT,
    "float32",
    0.0,
    |value, out| out.float(f64::from(value)),
    narrow
);
number!(
    Complex<f64>,
    COMPLEX,
    "complex128",
    Complex { re: 0.0, im: 0.0 },
    |value, out| {
        out.float(value.re);
        out.float(value.im);
    },
    |input| Ok(Complex {
        re: input.float()?,
        im: input.float()?
    })
);
number!(
    Complex<f32>,
    COMPLEX,
    "complex64",
    Complex { re: 0.0, im: 0.0 },
    |value, out| {
        out.float(f64::from(value.re));
        out.float(f64::from(value.im));
    },
    |input| Ok(Complex {
        re: narrow(input)?,
        im: narrow(input)?
    })
);

/// A float that must not be too large for 32 bits. One that is too precise is rounded.
fn narrow(input: &mut Input<'_>) -> Result<f32, Error> {
    let value = input.float()?;
    if value.is_finite() && value.abs() > f64::from(f32::MAX) {
        return Err(Error::overflow(value, "float32"));
    }
    Ok(value as f32)
}

// Lists of them are bytes.

impl Describe for u8 {
    fn key() -> TypeId {
        TypeId::of::<Self>()
    }

    fn describe(_: &mut Types) -> WireId {
        WireId::UINT
    }

    fn go_name() -> Cow<'static, str> {
        Cow::Borrowed("uint8")
    }

    fn describe_list(_: &mut Types) -> WireId {
        WireId::BYTES
    }
}

impl Encode for u8 {
    #[inline]
    fn is_left_out(&self) -> bool {
        *self == 0
    }

    #[inline]
    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
        out.uint(u64::from(*self));
        Ok(())
    }

    #[inline]
    fn encode_list(list: &[Self], out: &mut Output<'_>) -> Result<(), Error> {
        out.bytes(list);
        Ok(())
    }
}

impl Decode for u8 {
    #[inline]
    fn zero() -> Self {
        0
    }

    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        planner.exactly(WireId::UINT, wire, Self::go_name)
    }

    #[inline]
    fn decode(&mut self, _: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        let value = input.uint()?;
        *self = Self::try_from(value).map_err(|_| Error::overflow(value, "uint8"))?;
        Ok(())
    }

    fn plan_list(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        planner.exactly(WireId::BYTES, wire, Vec::<Self>::go_name)
    }

    fn decode_list(list: &mut Vec<Self>, _: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        let bytes = input.kept_bytes()?;
        list.clear();
        list.reserve_exact(bytes.len());
        list.extend_from_slice(bytes);
        Ok(())
    }
}
