//! Writing values: the trait for it, where they are written to, and the encoder of a stream.

use std::any::TypeId;

use crate::def::{Def, WireId};
use crate::describe::{Describe, Types};
use crate::error::{Error, ErrorKind};
use crate::limits::{Limit, Limits};
use crate::marshal::Marshal;
use crate::recent::Recent;
use crate::value::Value;
use crate::wire::{put_bytes, put_float, put_int, put_length, put_uint, width};

/// A value that can be sent. Derived with `#[derive(Gob)]`.
pub trait Encode: Describe {
    /// Whether a struct leaves a field of this value out, as Go does with zeros.
    fn is_left_out(&self) -> bool;

    /// The same where a pointer (`Option`) leads to it: Go leaves zeros out there as well, but for maps.
    fn is_left_out_behind_pointer(&self) -> bool {
        self.is_left_out()
    }

    /// Writes the value.
    ///
    /// # Errors
    /// If it, or something in it, is nothing where gob has no way to say so, or nests too deep.
    fn encode(&self, out: &mut Output<'_>) -> Result<(), Error>;

    /// Bytes that it takes at least, as far as that is quickly told.
    #[doc(hidden)]
    #[inline]
    fn size_hint(&self) -> usize {
        0
    }

    /// Writes a list of such values.
    #[doc(hidden)]
    fn encode_list(list: &[Self], out: &mut Output<'_>) -> Result<(), Error>
    where
        Self: Sized,
    {
        out.begin()?;
        out.uint(list.len() as u64);
        for (index, item) in list.iter().enumerate() {
            item.encode(out).map_err(|error| error.at_index(index))?;
        }
        out.end();
        Ok(())
    }
}

/// Where a value is written to.
///
/// The bytes come in segments: messages, and what is behind interfaces. Each has its length in front.
/// Where an interface holds a type that the stream does not know, its definition ends the segment, as
/// in Go, and the value goes on in the next.
#[derive(Debug)]
pub struct Output<'a> {
    buf: &'a mut Vec<u8>,
    /// Where the segment begins, with the bytes that are left for its length.
    segment: usize,
    /// How many those are.
    left: usize,
    stream: &'a mut Stream,
    depth: usize,
}

#[derive(Debug, Default)]
struct Stream {
    limits: Limits,
    types: Types,
    /// Which of them were sent.
    sent: Vec<bool>,
    recent: Recent<TypeId, WireId>,
}

impl Output<'_> {
    /// Writes an unsigned integer.
    #[inline]
    pub fn uint(&mut self, value: u64) {
        put_uint(self.buf, value);
    }

    /// Writes a signed integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        put_int(self.buf, value);
    }

    /// Writes a float.
    #[inline]
    pub fn float(&mut self, value: f64) {
        put_float(self.buf, value);
    }

    /// Writes bytes or a string, with their count.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        put_bytes(self.buf, bytes);
    }

    /// Writes a value that writes itself, with the count of its bytes.
    ///
    /// # Errors
    /// If it cannot.
    pub fn marshal<T: Marshal>(&mut self, value: &T) -> Result<(), Error> {
        let begins = self.buf.len();
        self.buf.push(0);
        value.marshal(self.buf).map_err(|reason| {
            let name = T::NAME.into();
            Error::new(ErrorKind::Marshal { name, reason })
        })?;
        put_length(self.buf, begins, 1);
        Ok(())
    }

    /// Writes the number of a field (from 1) as its distance from the `last` one.
    #[inline]
    pub fn field(&mut self, last: &mut u32, number: u32) {
        put_uint(self.buf, u64::from(number - *last));
        *last = number;
    }

    /// Begins a struct, list, map or interface.
    ///
    /// # Errors
    /// If it is one within too many others. Lists that are linked are as deep as they are long.
    #[inline]
    pub fn begin(&mut self) -> Result<(), Error> {
        self.depth += 1;
        let allowed = self.stream.limits.depth;
        if self.depth > allowed {
            return Err(Error::too_much(Limit::Depth, allowed, self.depth as u64));
        }
        Ok(())
    }

    /// Ends what was begun last.
    #[inline]
    pub fn end(&mut self) {
        self.depth -= 1;
    }

    /// Writes what is behind an interface: the name, the type and the value.
    pub(crate) fn interface(
        &mut self,
        name: &str,
        describe: impl FnOnce(&mut Types) -> WireId,
        encode: impl FnOnce(&mut Output<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.begin()?;
        self.bytes(name.as_bytes());
        let id = describe(&mut self.stream.types);
        self.define(id);
        self.int(i64::from(id.0));
        let around = self.open(1);
        self.single(id);
        encode(self)?;
        self.close();
        (self.segment, self.left) = around;
        self.end();
        Ok(())
    }

    /// Writes the zero in front of what is no struct.
    fn single(&mut self, id: WireId) {
        let def = self.stream.types.get(id);
        if !matches!(def.map(|def| &**def), Some(Def::Struct { .. })) {
            self.uint(0);
        }
    }

    /// Begins a segment, of whose length so many bytes are left. Gives what `segment` and `left` were.
    fn open(&mut self, left: usize) -> (usize, usize) {
        let at = self.buf.len();
        self.buf.resize(at + left, 0);
        let segment = std::mem::replace(&mut self.segment, at);
        (segment, std::mem::replace(&mut self.left, left))
    }

    fn close(&mut self) {
        put_length(self.buf, self.segment, self.left);
    }

    /// Sends the definitions of a type and its parts, as far as they were not sent. Each ends a segment.
    fn define(&mut self, id: WireId) {
        let index = |id: WireId| (id.0 - WireId::FIRST) as usize;
        if id.is_basic() || self.stream.sent.get(index(id)) == Some(&true) {
            return;
        }
        self.stream.sent.resize(self.stream.types.len(), false);
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            if std::mem::replace(&mut self.stream.sent[index(id)], true) {
                continue;
            }
            let Some(def) = self.stream.types.get(id) else {
                continue;
            };
            put_int(self.buf, -i64::from(id.0));
            def.put(id, self.buf);
            let first = next.len();
            def.parts(|part| {
                if !part.is_basic() {
                    next.push(part);
                }
            });
            next[first..].reverse();
            self.close();
            self.open(1);
        }
    }
}

/// From how many bytes on it is of use to know how many there will be.
const SHORT: usize = 1024;
/// What a long message has beside what is hinted at, more or less.
const HEAD: usize = 16;

/// Writes one stream: a type is defined when a value of it is sent for the first time.
///
/// ```
/// use outboard_gob::Encoder;
///
/// let mut encoder = Encoder::new();
/// let mut out = Vec::new();
/// encoder.encode("greeter", &mut out)?;
/// assert_eq!(out, b"\x0a\x0c\0\x07greeter");
/// # Ok::<(), outboard_gob::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Encoder {
    stream: Stream,
}

impl Encoder {
    /// An encoder for a new stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with other [`Limits`], of which `message` and `depth` count here.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        let mut encoder = Self::default();
        encoder.stream.limits = limits;
        encoder
    }

    /// Appends to `out` the messages that carry the value.
    ///
    /// # Errors
    /// If the value cannot be sent: it nests too deep, it is too large, something in it is nothing
    /// (`None`) where gob has no way to say so, or a struct behind an interface has no name. The stream
    /// and `out` are then as they were.
    pub fn encode<T: Encode + ?Sized>(
        &mut self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let known = self.stream.recent.get(T::key());
        let describe = |types: &mut Types| match known {
            Some(id) => id,
            None => T::describe(types),
        };
        let result = self.write(out, value.size_hint(), describe, |out| value.encode(out));
        let id = result.map_err(|error| error.of(T::go_name()))?;
        if known.is_none() {
            self.stream.recent.put(T::key(), id);
        }
        Ok(())
    }

    /// The same of a dynamic value, sent as what it is and not as what an interface holds.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and if it is nil.
    pub fn encode_concrete(&mut self, value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
        if value.is_nil() {
            return Err(nil());
        }
        let describe = |types: &mut Types| value.describe_concrete(types);
        self.write(out, value.size_hint(), describe, |out| value.put(out))?;
        Ok(())
    }

    /// Appends several values or none: those that `values` writes are taken back if it fails.
    ///
    /// ```
    /// use outboard_gob::Encoder;
    ///
    /// let mut encoder = Encoder::new();
    /// let mut out = Vec::new();
    /// let failed = encoder.together(&mut out, |encoder, out| {
    ///     encoder.encode(&1_u8, out)?;
    ///     encoder.encode(&None::<u8>, out)
    /// });
    /// assert!(failed.is_err() && out.is_empty());
    /// ```
    ///
    /// # Errors
    /// What `values` returns. The stream and `out` are then as they were, and so they are if it panics.
    pub fn together<R, E>(
        &mut self,
        out: &mut Vec<u8>,
        values: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut attempt = Attempt {
            begins: out.len(),
            known: self.stream.types.len(),
            sent: self.stream.sent.len(),
            encoder: self,
            out,
            is_kept: false,
        };
        let result = values(attempt.encoder, attempt.out);
        attempt.is_kept = result.is_ok();
        result
    }

    fn write(
        &mut self,
        buf: &mut Vec<u8>,
        hint: usize,
        describe: impl FnOnce(&mut Types) -> WireId,
        encode: impl FnOnce(&mut Output<'_>) -> Result<(), Error>,
    ) -> Result<WireId, Error> {
        let begins = buf.len();
        let (known, sent) = (self.stream.types.len(), self.stream.sent.len());
        let allowed = self.stream.limits.message;
        let id = describe(&mut self.stream.types);
        let mut out = Output {
            buf,
            segment: 0,
            left: 0,
            stream: &mut self.stream,
            depth: 0,
        };
        out.open(1);
        out.define(id);
        let hint = hint.min(allowed);
        if hint >= SHORT {
            // What is long is not moved when its length is known, and not while the buffer grows.
            out.buf.truncate(out.segment);
            out.buf.reserve(hint + HEAD);
            out.open(width(hint + HEAD));
        }
        out.int(i64::from(id.0));
        out.single(id);
        let result = encode(&mut out).and_then(|()| {
            out.close();
            let len = out.buf.len() - begins;
            if len > allowed {
                return Err(Error::too_much(Limit::Message, allowed, len as u64));
            }
            Ok(id)
        });
        if result.is_err() {
            buf.truncate(begins);
            self.stream.types.truncate(known);
            self.stream.sent.truncate(sent);
            self.stream.recent.clear();
        }
        result
    }
}

/// Values that are taken back unless they are kept.
struct Attempt<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
    begins: usize,
    known: usize,
    sent: usize,
    is_kept: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.out.truncate(self.begins);
            let stream = &mut self.encoder.stream;
            stream.types.truncate(self.known);
            stream.sent.truncate(self.sent);
            stream.recent.clear();
        }
    }
}

/// The error for nothing where there must be something.
#[cold]
pub(crate) fn nil() -> Error {
    Error::new(ErrorKind::Nil)
}
