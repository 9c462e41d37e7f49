//! The text of generated code, with `{names}` to fill in.
//!
//! Paths are absolute throughout: a `.proto` may declare messages named `Result`, `Send` or `Arc`.
//! `T_` is a name that no message can have, for where both appear.

/// Keeps lints that people choose for their own code away from generated code. Parts of it may be
/// out of reach or unused where it is included.
pub(crate) const ALLOW: &str = "#[allow(clippy::all, clippy::nursery, clippy::pedantic, dead_code, \
                                unnameable_types, unreachable_pub, unused_qualifications)]";

pub(crate) const TRAIT_HEAD: &str = "\
{allow}
pub trait {Trait}: ::core::marker::Send + ::core::marker::Sync + 'static {
";

/// What an implementation has to know, as documentation of the trait.
pub(crate) const TRAIT_DOC: &str = "\
///
/// # Implementing it
/// A method is async code like any other: it may wait as long as it likes, and is dropped where it
/// waits when its caller gives up or the deadline passes. It must not block its thread, by waiting
/// for something outside of `.await`. It may compute: as long as its calls take less than a tenth of
/// a millisecond until they first wait, they begin in the task that serves the connection, and
/// otherwise each in a task of its own, so that other calls go on where the runtime has a thread
/// for them. Where it has one thread, or when a method that is quick as a rule is slow once, the
/// others wait meanwhile: what computes for more than a few milliseconds there belongs on a thread
/// of its own. A method that panics fails its own call with `INTERNAL` and nothing else, unless the
/// program is built with `panic = \"abort\"`. Methods are called at the same time, each call with
/// the same `self`.
";

/// The same for a trait whose methods block.
pub(crate) const BLOCKING_TRAIT_DOC: &str = "\
///
/// # Implementing it
/// A method is a plain function, and may block as long as it likes: it runs on a thread of its
/// service, of which there is one for each call up to a limit. No thread can be stopped: when its
/// caller gives up or the deadline passes, a method goes on. What it waits for through
/// `outboard::blocking` (its requests, room for its answers, calls of its own) ends with
/// `CANCELLED` then, and `outboard::blocking::is_cancelled` tells it. A method that panics fails its
/// own call with `INTERNAL` and nothing else, unless the program is built with `panic = \"abort\"`.
/// Methods are called at the same time, each call with the same `self`.
";

/// The same for a trait whose methods have bodies.
pub(crate) const OPTIONAL_DOC: &str = "\
///
/// Methods that are left out answer `UNIMPLEMENTED`.
";

/// The body of a method that may be left out.
pub(crate) const UNIMPLEMENTED: &str = "\
 {
        let _ = {argument};
        {codegen}::unimplemented({path})
    }
";

pub(crate) const ARC_HEAD: &str = "\
{allow}
impl<T_: {Trait}> {Trait} for ::std::sync::Arc<T_> {
";

pub(crate) const CLIENT_HEAD: &str = "\
/// Calls the service `{service}` through a channel.
#[derive(Clone, Debug)]
{allow}
pub struct {Client} {
    channel: {crate}::Channel,
}
{allow}
impl {Client} {
    /// A client that calls through `channel`.
    #[must_use]
    pub fn new(channel: {crate}::Channel) -> Self {
        Self { channel }
    }
    /// The same client with these options for its calls, added to the present ones: what they set
    /// wins, what they leave open stays.
    #[must_use]
    pub fn with_options(&self, options: {crate}::CallOptions) -> Self {
        Self::new(self.channel.with_options(options))
    }
    /// The same client with this timeout for each call; other options stay.
    #[must_use]
    pub fn with_timeout(&self, timeout: ::core::time::Duration) -> Self {
        Self::new(self.channel.with_timeout(timeout))
    }
    /// The same client with this metadata sent along with each call; other options stay. Names
    /// that were set before have the new values alone.
    #[must_use]
    pub fn with_metadata(&self, metadata: {crate}::Metadata) -> Self {
        Self::new(self.channel.with_metadata(metadata))
    }
    /// The channel it calls through.
    #[must_use]
    pub fn channel(&self) -> &{crate}::Channel {
        &self.channel
    }
}
";

pub(crate) const CLIENT_TAIL: &str = "    \
    fn from_channel(channel: {crate}::Channel) -> Self {
        Self::new(channel)
    }
}
";

pub(crate) const SERVER_HEAD: &str = "\
/// Answers calls of the service `{service}` with an implementation of [`{Trait}`].
{allow}
pub struct {Server}<T_> {
    inner: ::std::sync::Arc<T_>,
}
{allow}
impl<T_: {Trait}> {Server}<T_> {
    /// Serves `inner`.
    #[must_use]
    pub fn new(inner: T_) -> Self {
        Self::from_arc(::std::sync::Arc::new(inner))
    }
    /// Serves `inner`, which others may use as well.
    #[must_use]
    pub fn from_arc(inner: ::std::sync::Arc<T_>) -> Self {
        Self { inner }
    }
    /// What is served.
    #[must_use]
    pub fn inner(&self) -> &::std::sync::Arc<T_> {
        &self.inner
    }
}
impl<T_> ::core::clone::Clone for {Server}<T_> {
    fn clone(&self) -> Self {
        Self { inner: ::std::sync::Arc::clone(&self.inner) }
    }
}
impl<T_> ::core::fmt::Debug for {Server}<T_> {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.write_str(\"{Server}\")
    }
}
impl<T_> {Server}<T_> {
";

pub(crate) const BLOCKING_SERVER_HEAD: &str = "\
/// Answers calls of the service `{service}` with an implementation of [`{Trait}`], on threads of its
/// own. Clones share them.
{allow}
pub struct {Server}<T_> {
    inner: ::std::sync::Arc<T_>,
    pool: {crate}::blocking::codegen::Pool,
}
{allow}
impl<T_: {Trait}> {Server}<T_> {
    /// Serves `inner`.
    #[must_use]
    pub fn new(inner: T_) -> Self {
        Self::from_arc(::std::sync::Arc::new(inner))
    }
    /// Serves `inner`, which others may use as well.
    #[must_use]
    pub fn from_arc(inner: ::std::sync::Arc<T_>) -> Self {
        Self { inner, pool: {crate}::blocking::codegen::Pool::new() }
    }
    /// Answers at most so many calls at once, and at least one; 64 unless this is called. Further
    /// ones wait for one of those to be done.
    #[must_use]
    pub fn threads(self, limit: usize) -> Self {
        Self { inner: self.inner, pool: {crate}::blocking::codegen::Pool::with_limit(limit) }
    }
    /// What is served.
    #[must_use]
    pub fn inner(&self) -> &::std::sync::Arc<T_> {
        &self.inner
    }
}
impl<T_> ::core::clone::Clone for {Server}<T_> {
    fn clone(&self) -> Self {
        Self { inner: ::std::sync::Arc::clone(&self.inner), pool: ::core::clone::Clone::clone(&self.pool) }
    }
}
impl<T_> ::core::fmt::Debug for {Server}<T_> {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.write_str(\"{Server}\")
    }
}
impl<T_> {Server}<T_> {
";

pub(crate) const SERVICE_HEAD: &str = "\
{allow}
impl<T_: {Trait}> {crate}::codegen::Service for {Server}<T_> {
    fn descriptor(&self) -> &'static {crate}::codegen::ServiceDescriptor {
        Self::SERVICE
    }
    fn unary(&self, method: usize, context: {crate}::codegen::CallContext, message: {crate}::codegen::Bytes) -> {crate}::codegen::UnaryAnswer {
";

pub(crate) const SERVICE_MIDDLE: &str = "    }
    fn streaming(&self, method: usize, context: {crate}::codegen::CallContext, call: ::std::boxed::Box<dyn {crate}::codegen::Call>) -> {crate}::codegen::StreamAnswer {
";

pub(crate) const ARMS: &str = "        \
        let inner = ::std::sync::Arc::clone(&self.inner);
        match method {
{arms}            _ => {crate}::codegen::no_such_method(Self::SERVICE, method),
        }
";

pub(crate) const ARM: &str = "            \
            {index} => {crate}::codegen::serve_{kind}({crate}::codegen::Prost, context, {message}, move |request| async move { <T_ as {Trait}>::{method}(&*inner, request).await }),
";

pub(crate) const BLOCKING_ARM: &str = "            \
            {index} => {crate}::blocking::codegen::serve_{kind}({crate}::codegen::Prost, &self.pool, context, {message}, move |request| <T_ as {Trait}>::{method}(&*inner, request)),
";

pub(crate) const NO_ARMS: &str = "        \
        let _ = (context, {message});
        {crate}::codegen::no_such_method(Self::SERVICE, method)
";

pub(crate) const DESCRIPTOR: &str = "\
const SERVICE: &'static {crate}::codegen::ServiceDescriptor = &{crate}::codegen::ServiceDescriptor::new(
        {service},
        &[
{methods}        ],
        include_bytes!({file}),
    );
";

pub(crate) const SAME_DESCRIPTOR: &str = "\
const SERVICE: &'static {crate}::codegen::ServiceDescriptor = <{PlainClient} as {crate}::Client>::SERVICE;
";

/// Where there are no clients.
pub(crate) const SERVER_DESCRIPTOR: &str = "\
const SERVICE: &'static {crate}::codegen::ServiceDescriptor = <{PlainServer}<()>>::SERVICE;
";

pub(crate) const METHOD: &str = "            \
            {crate}::codegen::MethodDescriptor::new({method}, {path}, {crate}::codegen::MethodKind::{kind}),
";
