//! What is served: methods that take gob values and give gob values.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use outboard_core::rt::BoxFuture;
use outboard_gob::{Decode, Encode, Encoder, Error, Received};

/// A reply on its way to the encoder of its stream.
pub trait Reply: Send {
    /// Encodes it.
    ///
    /// # Errors
    /// If it cannot be; nothing of it is sent then.
    fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) -> Result<(), Error>;

    /// What the program calls its type.
    fn type_name(&self) -> &'static str;
}

impl<T: Encode + Send> Reply for T {
    fn encode(&self, encoder: &mut Encoder, out: &mut Vec<u8>) -> Result<(), Error> {
        encoder.encode(self, out)
    }

    fn type_name(&self) -> &'static str {
        std::any::type_name::<T>()
    }
}

/// What comes of beginning a call.
pub enum Begun {
    /// There is no such method.
    Unknown,
    /// The argument is none that it takes.
    Argument(Error),
    /// It runs: a reply, or the text of an error.
    Running(BoxFuture<'static, Result<Box<dyn Reply>, String>>),
}

/// The methods behind one name, such as `Plugin`.
///
/// Calls are begun in the order in which they came and run beside one another, as in Go.
pub trait Service: Send + Sync + 'static {
    /// Begins a call of `method`, which is what stands behind the last dot.
    fn begin(&self, method: &str, argument: &mut Received<'_>) -> Begun;
}

impl fmt::Debug for dyn Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

/// A service of closures.
///
/// ```
/// use outboard_transport_netrpc::Methods;
///
/// let service = Methods::new().with("Double", |number: i64| async move {
///     number.checked_mul(2).ok_or("it is too large")
/// });
/// ```
#[derive(Default)]
pub struct Methods(BTreeMap<String, Begin>);

type Begin = Box<dyn Fn(&mut Received<'_>) -> Begun + Send + Sync>;

impl Methods {
    /// One without methods.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a method. It takes the place of an earlier one of that name.
    #[must_use]
    pub fn with<A, R, E, F>(
        mut self,
        name: impl Into<String>,
        method: impl Fn(A) -> F + Send + Sync + 'static,
    ) -> Self
    where
        A: Decode,
        R: Encode + Send + 'static,
        E: fmt::Display,
        F: Future<Output = Result<R, E>> + Send + 'static,
    {
        let begin: Begin = Box::new(move |received| match received.decode::<A>() {
            Err(error) => Begun::Argument(error),
            Ok(argument) => {
                let running = method(argument);
                Begun::Running(Box::pin(async move {
                    match running.await {
                        Ok(reply) => Ok(Box::new(reply) as Box<dyn Reply>),
                        Err(error) => Err(error.to_string()),
                    }
                }))
            }
        });
        self.0.insert(name.into(), begin);
        self
    }
}

impl Service for Methods {
    fn begin(&self, method: &str, argument: &mut Received<'_>) -> Begun {
        match self.0.get(method) {
            Some(begin) => begin(argument),
            None => Begun::Unknown,
        }
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
