//! Which Rust types stand for the names of Go's types behind interfaces.

use std::any::{Any, TypeId};

use crate::decode::Decode;
use crate::encode::Encode;
use crate::error::{Error, ErrorKind};
use crate::value::Value;

/// Rust types by the names that Go has registered for theirs, as `gob.Register` does it in Go.
///
/// A [`Decoder`](crate::Decoder) needs none: what is behind an interface says what it is made of, and the
/// [`Value`] keeps its name. The registry is for those who want the Rust type by the name, as Go's type
/// switches do, and for not writing the name wherever such a value is sent.
///
/// ```
/// use outboard_gob::{Gob, Registry};
///
/// #[derive(Gob, Debug, PartialEq)]
/// struct Circle {
///     radius: f64,
/// }
///
/// let mut registry = Registry::new();
/// registry.register::<Circle>("example.com/shapes.Circle")?;
///
/// let value = registry.value(&Circle { radius: 2.0 })?;
/// assert_eq!(value.name().as_deref(), Some("example.com/shapes.Circle"));
///
/// let any = registry.to_any(&value)?;
/// assert_eq!(any.downcast_ref(), Some(&Circle { radius: 2.0 }));
/// # Ok::<(), outboard_gob::Error>(())
/// ```
#[derive(Debug)]
pub struct Registry {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    key: TypeId,
    decode: fn(&Value) -> Result<Box<dyn Any + Send>, Error>,
}

macro_rules! basics {
    ($registry:ident, $($type:ty),*) => {
        $(
            $registry.add::<$type>(&<$type as crate::Describe>::go_name());
            $registry.add::<Vec<$type>>(&<Vec<$type> as crate::Describe>::go_name());
        )*
    };
}

impl Registry {
    /// With what Go has registered by itself: its basic types, and slices of them. `int` is `isize` and
    /// `uint` is `usize`, so that no two stand for one Rust type.
    #[must_use]
    pub fn new() -> Self {
        use crate::Complex;
        let mut registry = Self {
            entries: Vec::new(),
        };
        basics!(
            registry,
            bool,
            i8,
            i16,
            i32,
            i64,
            isize,
            u8,
            u16,
            u32,
            u64,
            usize,
            f32,
            f64,
            String,
            Complex<f32>,
            Complex<f64>
        );
        registry
    }

    /// Adds a type by the name that Go has for its own: that of `gob.RegisterName`, or by default
    /// `import/path.Type`.
    ///
    /// # Errors
    /// If the name or the type is registered already.
    pub fn register<T: Encode + Decode + Send>(&mut self, name: &str) -> Result<(), Error> {
        let key = TypeId::of::<T>();
        let is_there = |entry: &Entry| &*entry.name == name || entry.key == key;
        if name.is_empty() || self.entries.iter().any(is_there) {
            let name = name.to_owned();
            return Err(Error::new(ErrorKind::RegisteredTwice { name }));
        }
        self.add::<T>(name);
        Ok(())
    }

    fn add<T: Decode + Send>(&mut self, name: &str) {
        self.entries.push(Entry {
            name: Box::from(name),
            key: TypeId::of::<T>(),
            decode: |value| Ok(Box::new(value.to::<T>()?)),
        });
    }

    /// The name of a type.
    #[must_use]
    pub fn name_of<T: 'static>(&self) -> Option<&str> {
        let key = TypeId::of::<T>();
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(&entry.name)
    }

    /// Whether there is a type of the name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| &*entry.name == name)
    }

    /// A value for an interface, by the name of its type.
    ///
    /// # Errors
    /// If the type has none here, or the value cannot be encoded.
    pub fn value<T: Encode + 'static>(&self, value: &T) -> Result<Value, Error> {
        let name = self.name_of::<T>().ok_or_else(|| {
            let name = T::go_name().into_owned();
            Error::new(ErrorKind::Unregistered { name })
        })?;
        Value::named(name, value)
    }

    /// What is behind an interface as the type that its name stands for. Nil is `()`.
    ///
    /// # Errors
    /// If the name stands for none, or if the value is of another shape.
    pub fn to_any(&self, value: &Value) -> Result<Box<dyn Any + Send>, Error> {
        if value.is_nil() {
            return Ok(Box::new(()));
        }
        let name = value.name().unwrap_or_default();
        let entry = self.entries.iter().find(|entry| *entry.name == *name);
        let entry = entry.ok_or_else(|| {
            let name = name.to_string();
            Error::new(ErrorKind::Unregistered { name })
        })?;
        (entry.decode)(value)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}
