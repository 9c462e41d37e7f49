//! Values of Rust types as those whose type is known when they come, and back: by way of their bytes.

use super::Value;
use crate::decode::Decode;
use crate::describe::Describe;
use crate::encode::{Encode, Encoder};
use crate::error::{Error, ErrorKind};
use crate::shape::{Kind, Shape};
use crate::stream::Decoder;

impl Value {
    /// A value of a Rust type, by the name that Go has for such types if it has one.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn of<T: Encode + ?Sized>(value: &T) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        Encoder::new().encode(value, &mut bytes)?;
        let (read, shape) = Self::read(&bytes)?;
        if shape.kind() == Kind::Interface || shape.unnamed().is_none() {
            return Ok(read);
        }
        Ok(read.by(&T::go_name()))
    }

    /// A value of a Rust type by the name that Go has registered for it: `gob.RegisterName`, or by
    /// default `import/path.Type`.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn named<T: Encode + ?Sized>(name: &str, value: &T) -> Result<Self, Error> {
        Ok(Self::of(value)?.into_unnamed().by(name))
    }

    /// The value as one of a Rust type, as if it had been received: types meet by their shape.
    ///
    /// # Errors
    /// If it is of another shape, or does not fit.
    pub fn to<T: Decode>(&self) -> Result<T, Error> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new();
        if T::key() == Self::key() {
            encoder.encode(self, &mut bytes)?;
        } else {
            encoder.encode_concrete(self.unnamed(), &mut bytes)?;
        }
        let mut decoder = Decoder::new();
        match decoder.next(&mut &*bytes)? {
            Some(mut received) => received.decode(),
            None => Err(Error::new(ErrorKind::Truncated)),
        }
    }

    fn read(bytes: &[u8]) -> Result<(Self, Shape), Error> {
        let mut decoder = Decoder::new();
        match decoder.next(&mut &*bytes)? {
            Some(received) => Ok((received.to_value()?, received.shape())),
            None => Err(Error::new(ErrorKind::Truncated)),
        }
    }
}
