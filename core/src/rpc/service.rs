//! Services, and what their handlers get and give.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Call, MessageStream, Metadata, OutMessage, Reply, Status};
use crate::rt::BoxFuture;
use crate::trace::TraceContext;

/// Which side sends how many messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "two by two")]
pub enum MethodKind {
    /// One request, one response.
    Unary,
    /// Many requests, one response.
    ClientStreaming,
    /// One request, many responses.
    ServerStreaming,
    /// Many of both, in any order.
    Bidirectional,
}

/// A method of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodDescriptor {
    /// `Method`.
    pub name: &'static str,
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Its kind.
    pub kind: MethodKind,
}

impl MethodDescriptor {
    /// A method by its name, its path (`/package.Service/Method`) and its kind.
    #[must_use]
    pub const fn new(name: &'static str, path: &'static str, kind: MethodKind) -> Self {
        Self { name, path, kind }
    }
}

/// What a service is, as generated from its `.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceDescriptor {
    /// `package.Service`.
    pub name: &'static str,
    /// Its methods; calls name them by their index here.
    pub methods: &'static [MethodDescriptor],
    /// An encoded `google.protobuf.FileDescriptorSet` with the file of the service and everything
    /// it imports, for server reflection. May be empty.
    pub file_descriptor_set: &'static [u8],
}

impl ServiceDescriptor {
    /// A service by its name (`package.Service`), its methods, and the encoded
    /// `google.protobuf.FileDescriptorSet` for reflection, which may be empty.
    #[must_use]
    pub const fn new(
        name: &'static str,
        methods: &'static [MethodDescriptor],
        file_descriptor_set: &'static [u8],
    ) -> Self {
        Self {
            name,
            methods,
            file_descriptor_set,
        }
    }
}

/// What a handler knows of the call it answers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallContext {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// The caller's metadata.
    pub metadata: Metadata,
    /// When the caller stops waiting, on the clock of the server's runtime.
    pub deadline: Option<Instant>,
    /// What the driver adds, such as the broker of the connection the call came on.
    pub extensions: Extensions,
    /// The handler's own place in its trace, where somebody has made it one. Without it, what the handler does
    /// belongs to the span that its caller's metadata names.
    pub trace: Option<Arc<TraceContext>>,
}

impl CallContext {
    /// A call of `path` without metadata, deadline or extensions.
    #[must_use]
    pub fn new(path: &'static str) -> Self {
        Self {
            path,
            metadata: Metadata::new(),
            deadline: None,
            extensions: Extensions::default(),
            trace: None,
        }
    }
}

/// The answer of a streaming handler: headers, then messages. A handler of a client-streaming
/// method yields exactly one message.
#[non_exhaustive]
pub struct StreamReply {
    /// The messages; an `Err` item ends the call with that status.
    pub messages: MessageStream,
    /// The metadata sent before the messages.
    pub headers: Metadata,
    /// The metadata sent after them, asked for when the stream ended well.
    pub trailers: Option<Box<dyn FnOnce() -> Metadata + Send>>,
}

impl StreamReply {
    /// A reply of these messages without metadata.
    #[must_use]
    pub fn new(messages: MessageStream) -> Self {
        Self {
            messages,
            headers: Metadata::new(),
            trailers: None,
        }
    }
}

impl fmt::Debug for StreamReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReply")
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// An implementation of a service, as a transport calls it. Generated code implements this; users
/// implement the generated trait.
///
/// A transport drops the returned future, and the streams it made, when the caller cancels or the
/// connection is lost.
pub trait Service: Send + Sync + 'static {
    /// What the service is.
    fn descriptor(&self) -> &'static ServiceDescriptor;

    /// Answers a call of a method whose kind is [`MethodKind::Unary`]. `method` is an index into
    /// the descriptor's methods.
    fn unary(
        &self,
        method: usize,
        context: CallContext,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Reply<OutMessage>, Status>>;

    /// Answers a call of any other method. `call` gives the request messages; dropping it before
    /// their end only stops reading, the answer goes on. A method of the kind
    /// [`MethodKind::ServerStreaming`] takes its one message with
    /// [`single_request`](super::single_request).
    fn streaming(
        &self,
        method: usize,
        context: CallContext,
        call: Box<dyn Call>,
    ) -> BoxFuture<'static, Result<StreamReply, Status>>;
}

impl<S: Service + ?Sized> Service for Arc<S> {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        (**self).descriptor()
    }

    fn unary(
        &self,
        method: usize,
        context: CallContext,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Reply<OutMessage>, Status>> {
        (**self).unary(method, context, message)
    }

    fn streaming(
        &self,
        method: usize,
        context: CallContext,
        call: Box<dyn Call>,
    ) -> BoxFuture<'static, Result<StreamReply, Status>> {
        (**self).streaming(method, context, call)
    }
}

/// Values by type, shared by all calls of a connection.
#[derive(Clone, Default)]
pub struct Extensions {
    entries: Option<Arc<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>>,
}

impl Extensions {
    /// No values.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: None }
    }

    /// Adds a value, replacing one of the same type.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        let entries = self.entries.get_or_insert_default();
        Arc::make_mut(entries).insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.entries
            .as_ref()?
            .get(&TypeId::of::<T>())?
            .downcast_ref()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.entries.as_ref().map_or(0, |entries| entries.len());
        write!(f, "Extensions({count})")
    }
}
