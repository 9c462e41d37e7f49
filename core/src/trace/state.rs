//! What tracing systems add to a trace for themselves.

/// The most members that a `tracestate` may have. Source: W3C Trace Context, "list".
pub const MAX_STATE_MEMBERS: usize = 32;

/// The longest key, and the longest value, in bytes.
const MAX_PART: usize = 256;

/// The members of a `tracestate`: keys with opaque values, at most [`MAX_STATE_MEMBERS`], the one of whoever made
/// the present span first. Bounded: some 16 KiB if all are as long as they may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceState {
    /// `key=value`, separated by commas, each valid, no key twice.
    text: String,
}

/// Why a text is no `tracestate`, or a key and value no member of one.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceStateError {
    /// More members than there may be.
    #[error("a tracestate has at most 32 members, this one more: all of it is ignored")]
    Members,
    /// A key that is none.
    #[error(
        "bad key in a tracestate: expected 1 to 256 of a-z, 0-9, '_', '-', '*', '/' and '@', a letter or digit \
         first; all of it is ignored"
    )]
    Key,
    /// A value that is none.
    #[error(
        "bad value in a tracestate: expected 1 to 256 printable ASCII characters without ',' and '=', no space \
         last; all of it is ignored"
    )]
    Value,
    /// A member without `=`.
    #[error("a member of a tracestate without '=': expected key=value; all of it is ignored")]
    NoValue,
}

crate::debug_as_text!(TraceStateError);

impl TraceState {
    /// No members. Does not allocate.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// Reads the values of all `tracestate` entries of a call, in their order. Empty members are left out; of
    /// several with one key the first counts, which is the newest.
    ///
    /// # Errors
    /// [`TraceStateError`]
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, TraceStateError> {
        let mut state = Self::new();
        let members = values.into_iter().flat_map(|value| value.split(','));
        let mut count = 0;
        for member in members {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            count += 1;
            if count > MAX_STATE_MEMBERS {
                return Err(TraceStateError::Members);
            }
            let (key, value) = member.split_once('=').ok_or(TraceStateError::NoValue)?;
            check(key, value)?;
            if state.get(key).is_none() {
                state.push(key, value);
            }
        }
        Ok(state)
    }

    /// The value under this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find_map(|(k, value)| (k == key).then_some(value))
    }

    /// Its members, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text
            .split(',')
            .filter_map(|member| member.split_once('='))
    }

    /// The same with this member first, in place of one with its key. Of 32 others the last is left out.
    ///
    /// # Errors
    /// [`TraceStateError::Key`], [`TraceStateError::Value`]
    pub fn with(&self, key: &str, value: &str) -> Result<Self, TraceStateError> {
        check(key, value)?;
        let mut state = Self::new();
        state.push(key, value);
        let others = self.iter().filter(|(other, _)| *other != key);
        for (key, value) in others.take(MAX_STATE_MEMBERS - 1) {
            state.push(key, value);
        }
        Ok(state)
    }

    /// As it travels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has no members. It does not travel then.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn push(&mut self, key: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.extend([key, "=", value]);
    }
}

fn check(key: &str, value: &str) -> Result<(), TraceStateError> {
    let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let later = |b: u8| first(b) || matches!(b, b'_' | b'-' | b'*' | b'/' | b'@');
    let is_key =
        key.len() <= MAX_PART && key.bytes().next().is_some_and(first) && key.bytes().all(later);
    if !is_key {
        return Err(TraceStateError::Key);
    }
    let printable = |b: u8| matches!(b, b' '..=b'~') && b != b',' && b != b'=';
    let is_value = (1..=MAX_PART).contains(&value.len())
        && value.bytes().all(printable)
        && !value.ends_with(' ');
    if is_value {
        Ok(())
    } else {
        Err(TraceStateError::Value)
    }
}
