//! Which trace a call belongs to: W3C Trace Context, as it travels in metadata.
//!
//! A trace is what follows from one event, in however many programs: spans, each of which knows its
//! parent. What a call says of it are two entries of its metadata: [`TRACEPARENT`], the trace and the
//! span that calls, and [`TRACESTATE`], what tracing systems add for themselves. Here they are read,
//! whatever bytes they are, and written. Source: W3C Trace Context, level 2.
//!
//! ```
//! use outboard_core::rpc::Metadata;
//! use outboard_core::trace::{SpanId, TRACEPARENT, TraceContext};
//!
//! let mut metadata = Metadata::new();
//! metadata.insert(TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
//! let caller = TraceContext::of(&metadata).expect("it is valid");
//! assert_eq!(caller.span_id().to_string(), "00f067aa0ba902b7");
//! assert!(caller.is_sampled());
//!
//! // The same trace, from a span of one's own.
//! let own = caller.child(SpanId::new([7; 8]).expect("not zero"));
//! own.put_into(&mut metadata);
//! let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01";
//! assert_eq!(metadata.get(TRACEPARENT), Some(sent));
//! # Ok::<(), outboard_core::rpc::MetadataError>(())
//! ```

mod id;
mod state;

use std::fmt;

use crate::rpc::{Metadata, MetadataValue};

pub use self::id::{SpanId, TraceId};
pub use self::state::{MAX_STATE_MEMBERS, TraceState, TraceStateError};

/// The metadata that names a call's trace and the span that makes the call.
pub const TRACEPARENT: &str = "traceparent";
/// The metadata that tracing systems add to it for themselves.
pub const TRACESTATE: &str = "tracestate";

/// The length of version 00, and the least of later ones.
const LENGTH: usize = 55;

/// The caller records its spans, or may.
const SAMPLED: u8 = 1;
/// At least the last seven bytes of the trace's id are random.
const RANDOM: u8 = 2;

/// Where in a trace something happens: the trace, the span in it, and what goes along with both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
    /// [`SAMPLED`] and [`RANDOM`]; others are not defined, and so not passed on.
    flags: u8,
    state: TraceState,
}

/// Why a text is no `traceparent`. Whoever gets one begins a trace of its own.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceParentError {
    /// It does not begin with a version and a dash.
    #[error(
        "a traceparent begins with its version: expected two lower-case hexadecimal digits other than \
         \"ff\", and a dash, as in \"00-\"; it is ignored"
    )]
    Version,
    /// It is too short, or too long for its version.
    #[error(
        "a traceparent of version 00 has 55 characters, and one of a later version more after a dash: \
         found {found}; it is ignored"
    )]
    Length {
        /// How many bytes there are.
        found: usize,
    },
    /// Its second part is not the id of a trace.
    #[error(
        "the second part of a traceparent is the trace's id: expected 32 lower-case hexadecimal digits, not \
         all of them zero, and a dash; it is ignored"
    )]
    TraceId,
    /// Its third part is not the id of a span.
    #[error(
        "the third part of a traceparent is the caller's span: expected 16 lower-case hexadecimal digits, not \
         all of them zero, and a dash; it is ignored"
    )]
    SpanId,
    /// Its fourth part are not the flags.
    #[error(
        "the fourth part of a traceparent are its flags: expected two lower-case hexadecimal digits; it is \
         ignored"
    )]
    Flags,
}

crate::debug_as_text!(TraceParentError);

impl TraceContext {
    /// A span of a trace, without a state.
    #[must_use]
    pub const fn new(trace: TraceId, span: SpanId, sampled: bool) -> Self {
        Self {
            trace,
            span,
            flags: if sampled { SAMPLED } else { 0 },
            state: TraceState::new(),
        }
    }

    /// Reads the value of a `traceparent`, any bytes. One of a later version is read as far as that is
    /// defined: what it says beyond is not kept.
    ///
    /// # Errors
    /// [`TraceParentError`]
    pub fn parse(traceparent: &[u8]) -> Result<Self, TraceParentError> {
        let version = match traceparent {
            [a, b, b'-', ..] => id::byte([*a, *b]).filter(|version| *version != 0xff),
            _ => None,
        };
        let version = version.ok_or(TraceParentError::Version)?;
        let length = TraceParentError::Length {
            found: traceparent.len(),
        };
        let (known, rest) = traceparent.split_at_checked(LENGTH).ok_or(length)?;
        match rest {
            [] => {}
            [b'-', ..] if version > 0 => {}
            _ => return Err(length),
        }
        let ends = |at: usize| known[at] == b'-';
        let trace = TraceId::parse(&known[3..35]).filter(|_| ends(35));
        let trace = trace.ok_or(TraceParentError::TraceId)?;
        let span = SpanId::parse(&known[36..52]).filter(|_| ends(52));
        let span = span.ok_or(TraceParentError::SpanId)?;
        let flags = id::byte([known[53], known[54]]).ok_or(TraceParentError::Flags)?;
        // Of a later version no more is known than this one.
        let defined = if version == 0 {
            SAMPLED | RANDOM
        } else {
            SAMPLED
        };
        Ok(Self {
            trace,
            span,
            flags: flags & defined,
            state: TraceState::new(),
        })
    }

    /// What the caller's metadata says. `None` if there is no `traceparent`, more than one, or none that can
    /// be read. A `tracestate` that cannot be read is left out, as the standard has it.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let mut parents = texts(metadata, TRACEPARENT);
        let (Some(parent), None) = (parents.next(), parents.next()) else {
            return None;
        };
        let context = Self::parse(parent.as_bytes()).ok()?;
        let state = TraceState::parse(texts(metadata, TRACESTATE)).unwrap_or_default();
        Some(context.with_state(state))
    }

    /// Puts it into the metadata of a call, in place of what is there of this.
    pub fn put_into(&self, metadata: &mut Metadata) {
        metadata.remove(TRACEPARENT);
        metadata.remove(TRACESTATE);
        // Neither has anything that metadata does not take.
        let _taken = metadata.insert(TRACEPARENT, &self.to_string());
        if !self.state.is_empty() {
            let _taken = metadata.insert(TRACESTATE, self.state.as_str());
        }
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace
    }

    /// The span: of the caller, in what a handler gets.
    #[must_use]
    pub const fn span_id(&self) -> SpanId {
        self.span
    }

    /// Whether the caller records its spans, or may.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether the caller says that the last seven bytes of the trace's id are random (level 2 of the standard).
    #[must_use]
    pub const fn is_random(&self) -> bool {
        self.flags & RANDOM != 0
    }

    /// What tracing systems have added.
    #[must_use]
    pub const fn state(&self) -> &TraceState {
        &self.state
    }

    /// The same with this state.
    #[must_use]
    pub fn with_state(mut self, state: TraceState) -> Self {
        self.state = state;
        self
    }

    /// The same, said to be recorded or not.
    #[must_use]
    pub const fn sampled(mut self, sampled: bool) -> Self {
        self.flags = self.flags & !SAMPLED | if sampled { SAMPLED } else { 0 };
        self
    }

    /// The same, said to have a random id or not.
    #[must_use]
    pub const fn random(mut self, random: bool) -> Self {
        self.flags = self.flags & !RANDOM | if random { RANDOM } else { 0 };
        self
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(&self, span: SpanId) -> Self {
        Self {
            span,
            ..self.clone()
        }
    }
}

/// The value of its `traceparent`, in version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// How many bytes of a `traceparent` are passed on at most. Its version 00 has 55; later ones may have more.
const MAX_PARENT: usize = 512;

/// How many bytes of `tracestate` are passed on at most, all entries together. The standard wants 512 at least, and lets
/// more be left out.
const MAX_STATE: usize = 8 << 10;

/// Has what a handler does go on in its caller's trace, where nobody has a span of its own there: the entries
/// that `caller` has go along with the call as they are, unless the call says something of it itself.
///
/// What the caller sends is bounded before it is sent to others: several `traceparent`s, or one of more than 512 bytes,
/// are no trace, and more than 8 KiB of `tracestate` are left out.
pub fn pass_on(caller: &Metadata, call: &mut Metadata) {
    let mut parents = texts(caller, TRACEPARENT);
    // Whatever their version, and however little this side knows of it.
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return;
    };
    if parent.len() > MAX_PARENT || call.get(TRACEPARENT).is_some() {
        return;
    }
    call.remove(TRACESTATE);
    let state = texts(caller, TRACESTATE).map(|text| text.len() + 1);
    if state.sum::<usize>() <= MAX_STATE {
        call.extend_named(caller, &[TRACEPARENT, TRACESTATE]);
    } else {
        call.extend_named(caller, &[TRACEPARENT]);
    }
}

fn texts<'a>(metadata: &'a Metadata, name: &'static str) -> impl Iterator<Item = &'a str> {
    metadata.iter().filter_map(move |(n, value)| match value {
        MetadataValue::Text(text) if n == name => Some(text),
        MetadataValue::Text(_) | MetadataValue::Binary(_) => None,
    })
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
