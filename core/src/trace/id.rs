//! The ids of traces and spans.

use std::fmt;

/// The id of a trace: 16 bytes, not all of them zero. Whoever begins a trace makes it of random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span, one in its trace: 8 bytes, not all of them zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

/// What both are but for their length.
macro_rules! id {
    ($name:ident, $length:literal) => {
        impl $name {
            /// The id of these bytes; `None` if all of them are zero, which is none.
            #[must_use]
            pub fn new(bytes: [u8; $length]) -> Option<Self> {
                (bytes != [0; $length]).then_some(Self(bytes))
            }

            /// Its bytes.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $length] {
                self.0
            }

            /// Reads lower-case hexadecimal digits, as many as it has.
            pub(super) fn parse(digits: &[u8]) -> Option<Self> {
                let mut bytes = [0; $length];
                let (pairs, []) = digits.as_chunks::<2>() else {
                    return None;
                };
                if pairs.len() != bytes.len() {
                    return None;
                }
                for (byte, pair) in bytes.iter_mut().zip(pairs) {
                    *byte = self::byte(*pair)?;
                }
                Self::new(bytes)
            }
        }

        /// As lower-case hexadecimal digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

/// The byte of two lower-case hexadecimal digits.
pub(super) fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |digit| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}
