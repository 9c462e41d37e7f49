//! What stands in front of each argument and each reply.

use outboard_gob::Gob;

/// In front of an argument: Go's `rpc.Request`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Gob)]
pub struct Request {
    /// The service, a dot, and the method.
    pub service_method: String,
    /// Counts the calls of a stream from 0; the answer bears the same.
    pub seq: u64,
}

/// In front of a reply: Go's `rpc.Response`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Gob)]
pub struct Response {
    /// That of the request.
    pub service_method: String,
    /// That of the request.
    pub seq: u64,
    /// Why there is no reply. [`Nothing`] stands in its place then. Empty if there is one, so that an
    /// error without a text cannot be told.
    pub error: String,
}

/// `struct{}`: what stands where there is no reply, and the reply of methods that have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Gob)]
pub struct Nothing {}

/// The one value of [`Nothing`].
pub const NOTHING: Nothing = Nothing {};

/// The two parts of a method's name, split at the last dot as in Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceMethod<'a> {
    /// What is in front of the dot.
    pub service: &'a str,
    /// What is behind it.
    pub method: &'a str,
}

impl<'a> ServiceMethod<'a> {
    /// `None` if there is no dot.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        let (service, method) = name.rsplit_once('.')?;
        Some(Self { service, method })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_the_last_dot() {
        let parse = |name| ServiceMethod::parse(name).map(|it| (it.service, it.method));
        assert_eq!(parse("Plugin.Greet"), Some(("Plugin", "Greet")));
        assert_eq!(parse("a.b.C"), Some(("a.b", "C")));
        assert_eq!(parse("."), Some(("", "")));
        assert_eq!(parse("Greet"), None);
    }
}
