//! How much a peer may make this side read, keep and allocate.

/// Bounds on what is taken from a peer, and on what is sent.
///
/// Whatever they are, nothing is allocated because a count was announced: a count is believed as far as
/// there are bytes for what it counts.
///
/// The defaults are for plugins that trust each other as far as a crash: generous for values, and strict
/// about what only a mistake or an attack does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a message, and of a value over all of its messages. 64 MiB; Go allows 8 GiB.
    pub message: usize,
    /// Bytes that a decoded value may take in memory, as far as they depend on what was sent: elements of
    /// lists and maps, strings, bytes, boxes. 256 MiB.
    pub memory: usize,
    /// Values within values, counting structs, lists, arrays, maps and interfaces. 256.
    ///
    /// Go's linked lists nest as deep as they are long. Whoever allows more needs the stack for it: of a
    /// struct of some forty fields, 256 take up to a MiB in a debug build.
    pub depth: usize,
    /// Elements of one list, array or map. 2^24, of bytes as many as a message holds.
    pub elements: usize,
    /// Fields of a struct, as the peer defines it. 4,096.
    pub fields: usize,
    /// Bytes of a name of a type or field. 1,024, as in Go.
    pub name: usize,
    /// Types that one stream may define. 1,024.
    pub types: usize,
    /// Bytes of all definitions of one stream. 1 MiB.
    pub definitions: usize,
    /// Bytes of memory that a decoder keeps between messages, so as not to allocate for each. 64 KiB.
    pub kept: usize,
}

impl Limits {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            message: 64 << 20,
            memory: 256 << 20,
            depth: 256,
            elements: 1 << 24,
            fields: 4096,
            name: 1024,
            types: 1024,
            definitions: 1 << 20,
            kept: 64 << 10,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// Which of the [`Limits`] was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::message`].
    Message,
    /// [`Limits::memory`].
    Memory,
    /// [`Limits::depth`].
    Depth,
    /// [`Limits::elements`].
    Elements,
    /// [`Limits::fields`].
    Fields,
    /// [`Limits::name`].
    Name,
    /// [`Limits::types`].
    Types,
    /// [`Limits::definitions`].
    Definitions,
}

impl Limit {
    /// What is counted, in words.
    pub(crate) fn of_what(self) -> &'static str {
        match self {
            Self::Message => "bytes of a value",
            Self::Memory => "bytes of memory for a value",
            Self::Depth => "values within values",
            Self::Elements => "elements of a list or map",
            Self::Fields => "fields of a struct",
            Self::Name => "bytes of a name",
            Self::Types => "types of a stream",
            Self::Definitions => "bytes of a stream's definitions",
        }
    }

    /// The field of [`Limits`].
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Memory => "memory",
            Self::Depth => "depth",
            Self::Elements => "elements",
            Self::Fields => "fields",
            Self::Name => "name",
            Self::Types => "types",
            Self::Definitions => "definitions",
        }
    }
}
