//! The decoder of a stream: messages out of chunks, definitions into the table, values to whoever asks.

use crate::decode::{Decode, Input, Known, plan};
use crate::def::WireId;
use crate::error::{Error, ErrorKind};
use crate::limits::{Limit, Limits};
use crate::scan::{Scan, Stop, single};
use crate::shape::Shape;
use crate::value::Value;
use crate::wire::{Reader, peek_uint};

/// Reads one stream, in chunks of any size.
///
/// It keeps no more than a value whose end has not come, see [`Limits::message`], and what the stream has
/// defined. Values that are whole in a chunk are decoded where they lie.
///
/// ```
/// use outboard_gob::{Decoder, Encoder};
///
/// let mut sent = Vec::new();
/// Encoder::new().encode(&vec!["a", "bc"], &mut sent)?;
///
/// let mut decoder = Decoder::new();
/// let (mut first, mut second) = sent.split_at(7);
/// assert!(decoder.next(&mut first)?.is_none());
/// let mut received = decoder.next(&mut second)?.expect("a value");
/// assert_eq!(received.shape().to_string(), "[]string");
/// assert_eq!(received.decode::<Vec<String>>()?, ["a", "bc"]);
/// # Ok::<(), outboard_gob::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    known: Known,
    /// The beginning of a message whose end has not come, or the message that was last handed out.
    partial: Vec<u8>,
    /// The bytes, without definitions, of a value that goes on in the next message, or that was last
    /// handed out.
    joined: Vec<u8>,
    /// Whether what the two hold was handed out.
    is_spent: bool,
    scan: Scan,
    /// The type of the value that is scanned.
    id: Option<WireId>,
    failed: Option<Error>,
}

/// Where the bytes of a message or value are.
#[derive(Clone, Copy, Debug)]
enum Place<'i> {
    Input(&'i [u8]),
    /// In `partial`, from there on.
    Partial(usize),
    Joined,
}

impl Decoder {
    /// A decoder for a new stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        let mut decoder = Self::default();
        decoder.known.limits = limits;
        decoder
    }

    /// The next value of the stream. Takes from `input` what it is made of; all of it, if the value goes
    /// on behind it, and then there is none yet.
    ///
    /// A value that is not decoded is skipped, whatever is in it.
    ///
    /// # Errors
    /// If a message is malformed or passes a limit. Unless the error [is fatal](Error::is_fatal), the
    /// stream stands behind that message. After a fatal one, which is one of lengths and definitions,
    /// nothing of the stream can be understood any more, and the same error comes again.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Received<'a>>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.value(input) {
            Ok(None) => Ok(None),
            Ok(Some((id, place))) => {
                self.is_spent = true;
                let bytes = match place {
                    Place::Input(bytes) => bytes,
                    Place::Partial(from) => &self.partial[from..],
                    Place::Joined => &self.joined,
                };
                let known = &mut self.known;
                Ok(Some(Received { id, bytes, known }))
            }
            Err(error) => {
                self.is_spent = true;
                self.scan.clear();
                self.id = None;
                if error.is_fatal() {
                    self.failed = Some(error.clone());
                }
                Err(error)
            }
        }
    }

    /// Whether the stream may end here: nothing has begun that has not ended.
    #[must_use]
    pub fn is_between_values(&self) -> bool {
        self.is_spent || (self.partial.is_empty() && !self.scan.is_open())
    }

    /// Bytes that are kept of a value whose end has not come.
    #[must_use]
    pub fn buffered(&self) -> usize {
        if self.is_spent {
            0
        } else {
            self.partial.len() + self.joined.len()
        }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.known.limits
    }

    fn value<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<(WireId, Place<'i>)>, Error> {
        if std::mem::take(&mut self.is_spent) {
            let kept = self.known.limits.kept;
            for buffer in [&mut self.partial, &mut self.joined] {
                buffer.clear();
                buffer.shrink_to(kept);
            }
        }
        while let Some(place) = self.message(input).map_err(Error::fatal)? {
            if let Some(done) = self.handle(place)? {
                return Ok(Some(done));
            }
            self.partial.clear();
        }
        Ok(None)
    }

    /// The next whole message, without its length.
    fn message<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Place<'i>>, Error> {
        if self.partial.is_empty() {
            if let Some((len, width)) = self.length(input)?
                && let Some(body) = input.get(width..width + len)
            {
                *input = &input[width + len..];
                return Ok(Some(Place::Input(body)));
            }
            self.partial.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        }
        loop {
            let known = self.length(&self.partial)?;
            let missing = match known {
                Some((len, width)) => width + len - self.partial.len(),
                // It is not even known how long the message is.
                None => 1,
            };
            if let (0, Some((_, width))) = (missing, known) {
                return Ok(Some(Place::Partial(width)));
            }
            if input.is_empty() {
                return Ok(None);
            }
            let (taken, left) = input.split_at(missing.min(input.len()));
            self.partial.extend_from_slice(taken);
            *input = left;
        }
    }

    /// The length of the message that begins here and of that number itself.
    fn length(&self, bytes: &[u8]) -> Result<Option<(usize, usize)>, Error> {
        let Some((len, width)) = peek_uint(bytes)? else {
            return Ok(None);
        };
        let allowed = self.known.limits.message;
        let found = len.saturating_add(self.joined.len() as u64);
        if found > allowed as u64 {
            return Err(Error::too_much(Limit::Message, allowed, found));
        }
        Ok(Some((len as usize, width)))
    }

    /// Takes a message in; gives the value that ends with it.
    fn handle<'i>(&mut self, place: Place<'i>) -> Result<Option<(WireId, Place<'i>)>, Error> {
        let Known { limits, table, .. } = &mut self.known;
        let bytes = match place {
            Place::Input(body) => body,
            Place::Partial(from) => &self.partial[from..],
            Place::Joined => &[],
        };
        let mut reader = Reader::new(bytes, 0);
        let mut from = 0;
        let id = match self.id {
            Some(id) => id,
            None => {
                let id = reader.int()?;
                if id < 0 {
                    let defined = table.define(id.saturating_neg(), &mut reader, limits);
                    defined.map_err(Error::fatal)?;
                    if !reader.is_done() {
                        let extra = Error::malformed("bytes behind a definition", reader.at());
                        return Err(extra.fatal());
                    }
                    return Ok(None);
                }
                let id = WireId::new(id)?;
                from = reader.at();
                if table.is_plain(id) {
                    return Ok(Some((id, place.behind(from))));
                }
                single(id, table, &mut reader)?;
                self.scan.begin(id, table, limits, &mut reader)?;
                self.id = Some(id);
                id
            }
        };
        loop {
            match self.scan.run(table, limits, &mut reader)? {
                Stop::End => break,
                Stop::Definition(id, at) => {
                    self.joined.extend_from_slice(&bytes[from..at]);
                    let defined = table.define(id, &mut reader, limits);
                    defined.map_err(Error::fatal)?;
                    if reader.is_done() {
                        // The value goes on in the next message.
                        return Ok(None);
                    }
                    // Or in this one, behind a count of what is left of it.
                    reader.uint()?;
                    from = reader.at();
                }
            }
        }
        if !reader.is_done() {
            return Err(Error::malformed("bytes behind the value", reader.at()));
        }
        self.id = None;
        if self.joined.is_empty() {
            return Ok(Some((id, place.behind(from))));
        }
        self.joined.extend_from_slice(&bytes[from..]);
        Ok(Some((id, Place::Joined)))
    }
}

impl Place<'_> {
    /// The same without so many bytes at the beginning.
    fn behind(self, bytes: usize) -> Self {
        match self {
            Self::Input(body) => Self::Input(&body[bytes..]),
            Self::Partial(from) => Self::Partial(from + bytes),
            Self::Joined => Self::Joined,
        }
    }
}

/// A value that has come. Dropping it is skipping it.
#[derive(Debug)]
pub struct Received<'a> {
    id: WireId,
    bytes: &'a [u8],
    known: &'a mut Known,
}

impl Received<'_> {
    /// What was sent.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape::new(self.known.table.defs(), self.id)
    }

    /// How many bytes the value has on the wire, without definitions.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The value as one of a type. It may be asked for again, as another type.
    ///
    /// # Errors
    /// If it is of another shape, or does not fit into the type, or is malformed, or passes a limit. The
    /// stream stands behind the value, whatever is wrong with it.
    pub fn decode<T: Decode>(&mut self) -> Result<T, Error> {
        let mut value = T::zero();
        self.decode_into(&mut value)?;
        Ok(value)
    }

    /// The same into a value that is there: fields that are not sent keep what they have, as in Go.
    ///
    /// # Errors
    /// As [`decode`](Self::decode). The value may then be half of each.
    pub fn decode_into<T: Decode>(&mut self, value: &mut T) -> Result<(), Error> {
        self.read(value).map_err(|error| error.of(T::go_name()))
    }

    fn read<T: Decode>(&mut self, value: &mut T) -> Result<(), Error> {
        let plan = plan::<T>(self.known, self.id)?;
        let known = &*self.known;
        if T::FIELDS > 0 && known.plans.has_nothing_in_common(plan) {
            return Err(Error::new(ErrorKind::NoFieldInCommon {
                expected: Shape::of::<T>().brief(),
                sent: self.shape().brief(),
            }));
        }
        let mut input = Input::new(self.bytes, known);
        single(self.id, &known.table, &mut input.reader)?;
        value.decode(plan, &mut input)?;
        input.done()
    }

    /// The value as a dynamic one, whatever it is.
    ///
    /// # Errors
    /// If it is malformed or passes a limit.
    pub fn to_value(&self) -> Result<Value, Error> {
        let read = || {
            let mut input = Input::new(self.bytes, self.known);
            single(self.id, &self.known.table, &mut input.reader)?;
            let value = input.value(self.id)?;
            input.done()?;
            Ok(value)
        };
        read().map_err(|error: Error| error.of(self.shape().name().to_owned()))
    }
}
