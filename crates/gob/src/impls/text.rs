//! Strings.

use std::any::TypeId;
use std::borrow::Cow;
use std::fmt;

use crate::decode::{Decode, Input};
use crate::def::WireId;
use crate::describe::{Describe, Types};
use crate::encode::{Encode, Output};
use crate::error::Error;
use crate::plan::{Plan, Planner};

/// A string that may be no UTF-8, as Go's strings may.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteString(pub Vec<u8>);

impl fmt::Debug for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl From<&str> for ByteString {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

macro_rules! text {
    ($type:ty, $bytes:ident) => {
        impl Describe for $type {
            fn key() -> TypeId {
                TypeId::of::<String>()
            }

            fn describe(_: &mut Types) -> WireId {
                WireId::STRING
            }

            fn go_name() -> Cow<'static, str> {
                Cow::Borrowed("string")
            }
        }

        impl Encode for $type {
            #[inline]
            fn is_left_out(&self) -> bool {
                self.$bytes().is_empty()
            }

            #[inline]
            fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
                out.bytes(self.$bytes());
                Ok(())
            }

            #[inline]
            fn size_hint(&self) -> usize {
                self.$bytes().len()
            }
        }
    };
}

impl ByteString {
    fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

text!(str, as_bytes);
text!(String, as_bytes);
text!(ByteString, as_slice);

impl Decode for String {
    #[inline]
    fn zero() -> Self {
        Self::new()
    }

    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        planner.exactly(WireId::STRING, wire, Self::go_name)
    }

    #[inline]
    fn decode(&mut self, _: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        let text = input.kept_str()?;
        self.clear();
        self.push_str(text);
        Ok(())
    }
}

impl Decode for ByteString {
    fn zero() -> Self {
        Self::default()
    }

    fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
        planner.exactly(WireId::STRING, wire, Self::go_name)
    }

    fn decode(&mut self, _: Plan, input: &mut Input<'_>) -> Result<(), Error> {
        let bytes = input.kept_bytes()?;
        self.0.clear();
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
