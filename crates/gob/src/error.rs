//! What can be wrong with a value or a stream, and where in the value.

use std::borrow::Cow;
use std::fmt;

use crate::limits::Limit;

/// The longest text of a key in a path.
const KEY: usize = 32;
/// How many pieces of a path are shown.
const PIECES: usize = 32;

/// Why something could not be decoded or encoded, and where in the value.
///
/// After an error of a value the stream stands behind it and can be used; after one for which
/// [`is_fatal`](Self::is_fatal) holds, it cannot.
#[derive(Clone, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq)]
struct Inner {
    kind: ErrorKind,
    root: Cow<'static, str>,
    /// From within to without.
    pieces: Vec<Piece>,
    is_fatal: bool,
}

/// What is wrong, of an [`Error`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are no gob.
    Malformed {
        /// What was found.
        what: &'static str,
        /// At which byte of the value or definition.
        at: usize,
    },
    /// The message ends within the value.
    Truncated,
    /// More than one of the [`Limits`](crate::Limits) allows.
    TooMuch {
        /// Which.
        limit: Limit,
        /// What it allows.
        allowed: u64,
        /// How much there is, or is announced.
        found: u64,
    },
    /// A type was used that the stream has not defined.
    UndefinedType {
        /// Its number on the wire.
        id: i64,
    },
    /// A type was defined that the stream, or gob itself, had already defined.
    DefinedTwice {
        /// Its number on the wire.
        id: i64,
    },
    /// The value that was sent is of another kind than the one that is wanted.
    Mismatch {
        /// What is wanted, in Go's words.
        expected: String,
        /// What was sent.
        sent: String,
    },
    /// Both are structs, and no field of one is in the other.
    NoFieldInCommon {
        /// What is wanted, in Go's words.
        expected: String,
        /// What was sent.
        sent: String,
    },
    /// The number does not fit into the type that is wanted.
    Overflow {
        /// The number.
        value: String,
        /// The type, in Go's words.
        into: &'static str,
    },
    /// A string that is no UTF-8, as Go allows. [`ByteString`](crate::ByteString) takes it.
    NotUtf8,
    /// A type that writes itself as bytes could not be made of them, or be written.
    Marshal {
        /// Which type.
        name: Cow<'static, str>,
        /// Why.
        reason: String,
    },
    /// `None` where gob has no way to say it: at the top, or as an element of a list or map.
    Nil,
    /// A struct behind an interface without the name that Go knows it by.
    Unnamed {
        /// Its shape.
        shape: String,
    },
    /// The registry has no type of this name.
    Unregistered {
        /// The name.
        name: String,
    },
    /// The registry has the name, or the type, already.
    RegisteredTwice {
        /// The name.
        name: String,
    },
}

#[derive(Clone, PartialEq)]
enum Piece {
    Field(Cow<'static, str>),
    Index(usize),
    Key(String),
}

impl Error {
    /// An error without a place; the levels around add to it.
    #[cold]
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            root: Cow::Borrowed(""),
            pieces: Vec::new(),
            is_fatal: false,
        }))
    }

    #[cold]
    pub(crate) fn malformed(what: &'static str, at: usize) -> Self {
        Self::new(ErrorKind::Malformed { what, at })
    }

    #[cold]
    pub(crate) fn too_much(limit: Limit, allowed: usize, found: u64) -> Self {
        Self::new(ErrorKind::TooMuch {
            limit,
            allowed: allowed as u64,
            found,
        })
    }

    #[cold]
    pub(crate) fn overflow(value: impl fmt::Display, into: &'static str) -> Self {
        let value = value.to_string();
        Self::new(ErrorKind::Overflow { value, into })
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether the stream cannot be used any more. Otherwise it stands behind the value.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.0.is_fatal
    }

    /// Where in the value, as `Person.Addresses[3].Street`. Empty where there is nothing to tell.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = self.0.root.to_string();
        let shown = self.0.pieces.len().saturating_sub(PIECES);
        for (at, piece) in self.0.pieces.iter().enumerate().rev() {
            if at < shown {
                path.push_str("...");
                break;
            }
            match piece {
                Piece::Field(name) if path.is_empty() => path.push_str(name),
                Piece::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Piece::Index(index) => path.push_str(&format!("[{index}]")),
                Piece::Key(key) => path.push_str(&format!("[{key}]")),
            }
        }
        path
    }

    /// The same, in this field of the value around.
    #[cold]
    #[must_use]
    pub fn in_field(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.0.pieces.push(Piece::Field(name.into()));
        self
    }

    /// The same, in this element of the list around.
    #[cold]
    #[must_use]
    pub fn at_index(mut self, index: usize) -> Self {
        self.0.pieces.push(Piece::Index(index));
        self
    }

    /// The same, in the elements of the list or map around.
    #[cold]
    #[must_use]
    pub(crate) fn in_elements(mut self) -> Self {
        self.0.pieces.push(Piece::Key(String::new()));
        self
    }

    /// The same, under this key of the map around.
    #[cold]
    #[must_use]
    pub fn at_key(mut self, key: &dyn fmt::Debug) -> Self {
        let text = brief(&format_args!("{key:?}"), KEY);
        self.0.pieces.push(Piece::Key(text));
        self
    }

    /// The same, of a value of this type.
    #[cold]
    #[must_use]
    pub(crate) fn of(mut self, root: impl Into<Cow<'static, str>>) -> Self {
        self.0.root = root.into();
        self
    }

    #[cold]
    #[must_use]
    pub(crate) fn fatal(mut self) -> Self {
        self.0.is_fatal = true;
        self
    }
}

/// What something shows, cut where it gets longer than so many bytes.
pub(crate) fn brief(what: &dyn fmt::Display, most: usize) -> String {
    let mut text = Bounded(String::new(), most);
    // It fails when it is full.
    let _ = fmt::write(&mut text, format_args!("{what}"));
    text.0
}

struct Bounded(String, usize);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if self.0.len() >= self.1 {
                self.0.push_str("...");
                return Err(fmt::Error);
            }
            self.0.push(char);
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        if path.is_empty() {
            f.write_str("gob: ")?;
        } else {
            write!(f, "gob: {path}: ")?;
        }
        match &self.0.kind {
            ErrorKind::Malformed { what, at } => write!(f, "{what} at byte {at}"),
            ErrorKind::Truncated => f.write_str("the message ends within the value"),
            ErrorKind::TooMuch {
                limit,
                allowed,
                found,
            } => write!(
                f,
                "{found} {}, of which {allowed} are allowed (Limits::{})",
                limit.of_what(),
                limit.name()
            ),
            ErrorKind::UndefinedType { id } => {
                write!(f, "type {id} is used, which the stream has not defined")
            }
            ErrorKind::DefinedTwice { id } => write!(f, "type {id} is defined for a second time"),
            ErrorKind::Mismatch { expected, sent } => write!(f, "expected {expected}, sent {sent}"),
            ErrorKind::NoFieldInCommon { expected, sent } => write!(
                f,
                "no field of what is expected is in what was sent: expected {expected}, sent {sent}"
            ),
            ErrorKind::Overflow { value, into } => write!(f, "{value} does not fit into {into}"),
            ErrorKind::NotUtf8 => {
                f.write_str("a string that is no UTF-8; a ByteString takes any bytes")
            }
            ErrorKind::Marshal { name, reason } => write!(f, "no {name}: {reason}"),
            ErrorKind::Nil => f.write_str(
                "nothing (None) where gob has no way to say it: at the top or in a list or map",
            ),
            ErrorKind::Unnamed { shape } => write!(
                f,
                "{shape} behind an interface needs the name that Go has registered: Value::named"
            ),
            ErrorKind::RegisteredTwice { name } => {
                write!(f, "{name:?}, or its type, is registered already")
            }
            ErrorKind::Unregistered { name } => {
                write!(f, "no type is registered by the name {name:?}")
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
