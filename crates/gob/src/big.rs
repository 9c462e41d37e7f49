//! Go's `big.Int`.

use std::fmt;

use crate::def::MarshalKind;
use crate::marshal::Marshal;

/// The version that Go writes, above the bit of the sign.
const VERSION: u8 = 1;

/// An integer of any size, as Go's `big.Int`. It can be carried, compared and converted; for arithmetic
/// there are crates that take its bytes.
///
/// Go's fields are mostly pointers to one: `Option<BigInt>`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct BigInt {
    is_negative: bool,
    /// The most significant byte first, which is not zero.
    magnitude: Vec<u8>,
}

impl BigInt {
    /// By its sign and its bytes, the most significant first.
    #[must_use]
    pub fn from_bytes(is_negative: bool, magnitude: &[u8]) -> Self {
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        let magnitude = magnitude[zeros..].to_vec();
        Self {
            is_negative: is_negative && !magnitude.is_empty(),
            magnitude,
        }
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.is_negative
    }

    /// How far it is from zero: the most significant byte first, none for zero.
    #[must_use]
    pub fn magnitude(&self) -> &[u8] {
        &self.magnitude
    }
}

impl fmt::Debug for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_negative { "-0x" } else { "0x" })?;
        if self.magnitude.is_empty() {
            f.write_str("0")?;
        }
        self.magnitude
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

macro_rules! from {
    ($($type:ty),*) => {
        $(
            impl From<$type> for BigInt {
                fn from(value: $type) -> Self {
                    #[allow(unused_comparisons, reason = "there are unsigned ones among them")]
                    let is_negative = value < 0;
                    let value = i128::from(value);
                    Self::from_bytes(is_negative, &value.unsigned_abs().to_be_bytes())
                }
            }
        )*
    };
}

from!(i8, i16, i32, i64, i128, u8, u16, u32, u64);

impl From<u128> for BigInt {
    fn from(value: u128) -> Self {
        Self::from_bytes(false, &value.to_be_bytes())
    }
}

/// Fails for one that does not fit.
impl TryFrom<&BigInt> for i128 {
    type Error = std::num::TryFromIntError;

    fn try_from(value: &BigInt) -> Result<Self, Self::Error> {
        // One byte more than fits does not fit, whatever the others are.
        let bytes = value.magnitude.get(..17).unwrap_or(&value.magnitude);
        let too_many = bytes.len() > 16;
        let magnitude = bytes
            .iter()
            .fold(0, |all: u128, byte| all << 8 | u128::from(*byte));
        let magnitude = if too_many { u128::MAX } else { magnitude };
        if value.is_negative && magnitude == Self::MIN.unsigned_abs() {
            return Ok(Self::MIN);
        }
        let magnitude = Self::try_from(magnitude)?;
        Ok(if value.is_negative {
            -magnitude
        } else {
            magnitude
        })
    }
}

impl Marshal for BigInt {
    const KIND: MarshalKind = MarshalKind::Gob;
    const NAME: &'static str = "Int";

    fn zero() -> Self {
        Self::default()
    }

    /// Go sends them always, but for pointers that are nil.
    fn is_left_out(&self) -> bool {
        false
    }

    fn marshal(&self, out: &mut Vec<u8>) -> Result<(), String> {
        out.push(VERSION << 1 | u8::from(self.is_negative));
        out.extend_from_slice(&self.magnitude);
        Ok(())
    }

    fn unmarshal(&mut self, bytes: &[u8]) -> Result<(), String> {
        *self = match bytes {
            // Go writes a nil pointer so.
            [] => Self::default(),
            [first, magnitude @ ..] if first >> 1 == VERSION => {
                Self::from_bytes(first & 1 == 1, magnitude)
            }
            [first, ..] => return Err(format!("bytes of version {}", first >> 1)),
        };
        Ok(())
    }
}

marshal!(BigInt);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_cross() {
        for value in [0, 1, -1, 255, 256, i128::MAX, i128::MIN, i128::MIN + 1] {
            let big = BigInt::from(value);
            let mut bytes = Vec::new();
            big.marshal(&mut bytes).expect("valid");
            let mut read = BigInt::from(7);
            read.unmarshal(&bytes).expect("valid");
            assert_eq!(read, big);
            assert_eq!(i128::try_from(&read), Ok(value));
        }
        for big in [BigInt::from(u128::MAX), BigInt::from_bytes(true, &[1; 17])] {
            assert!(i128::try_from(&big).is_err());
        }
        assert_eq!(format!("{:?}", BigInt::from(-4096)), "-0x1000");
    }

    #[test]
    fn other_versions_are_refused() {
        assert!(BigInt::default().unmarshal(&[4]).is_err());
        let mut read = BigInt::from(7);
        read.unmarshal(&[]).expect("valid");
        assert_eq!(read, BigInt::default());
    }
}
