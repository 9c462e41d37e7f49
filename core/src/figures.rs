//! What calls come to: numbers by method. No IO, and time is an argument; memory is bounded.

mod latency;

use std::collections::BTreeMap;
use std::time::Instant;

use crate::rpc::Code;

pub use self::latency::Latency;

/// How many methods are told apart, after which further ones are counted as one. Each takes about 5 KiB. (A
/// choice.)
pub const MAX_METHODS: usize = 128;

/// What the calls of one method came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodFigures {
    /// Its path, `/package.Service/Method`; empty for all methods that came when [`MAX_METHODS`] were known.
    pub path: String,
    /// Calls that were begun.
    pub begun: u64,
    /// How long those took that have ended, from their beginning on this side to their end.
    pub latency: Latency,
    /// Bytes of the requests, as encoded messages.
    pub bytes_sent: u64,
    /// Bytes of the answers.
    pub bytes_received: u64,
    by_code: [u64; Code::ALL.len()],
}

impl MethodFigures {
    fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            begun: 0,
            latency: Latency::new(),
            bytes_sent: 0,
            bytes_received: 0,
            by_code: [0; Code::ALL.len()],
        }
    }

    /// How many calls have ended with this code. Those that were given up count as
    /// [`Code::Cancelled`].
    #[must_use]
    pub fn ended_with(&self, code: Code) -> u64 {
        let index = usize::try_from(code.number()).unwrap_or_default();
        self.by_code.get(index).copied().unwrap_or_default()
    }

    /// How many calls have ended with another code than `OK`.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.latency.count() - self.ended_with(Code::Ok)
    }

    /// How many calls have begun and not ended.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.begun - self.latency.count()
    }
}

/// The calls of a connection, by method.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    methods: Vec<MethodFigures>,
    /// Where each is.
    places: BTreeMap<String, usize>,
    /// Where the last one that was begun is: the next is often the same.
    recent: usize,
}

/// A call that was begun.
#[derive(Debug)]
pub struct Begun {
    place: usize,
    at: Instant,
}

impl Calls {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A call of this method begins now.
    pub fn begin(&mut self, now: Instant, path: &str) -> Begun {
        let place = match self.methods.get(self.recent) {
            Some(recent) if recent.path == path => self.recent,
            _ => self.place(path),
        };
        self.recent = place;
        let method = &mut self.methods[place];
        method.begun += 1;
        Begun { place, at: now }
    }

    fn place(&mut self, path: &str) -> usize {
        if let Some(place) = self.places.get(path) {
            return *place;
        }
        let place = self.methods.len();
        // The one after the last is for all others.
        let name = match place {
            0..MAX_METHODS => path,
            MAX_METHODS => "",
            _ => return MAX_METHODS,
        };
        self.methods.push(MethodFigures::new(name));
        self.places.insert(name.to_owned(), place);
        place
    }

    /// So many bytes of a request were handed on.
    pub fn sent(&mut self, call: &Begun, bytes: usize) {
        self.methods[call.place].bytes_sent += bytes as u64;
    }

    /// So many bytes of an answer have come.
    pub fn received(&mut self, call: &Begun, bytes: usize) {
        self.methods[call.place].bytes_received += bytes as u64;
    }

    /// The call ends with this code.
    pub fn end(&mut self, now: Instant, call: Begun, code: Code) {
        let method = &mut self.methods[call.place];
        method
            .latency
            .record(now.saturating_duration_since(call.at));
        let index = usize::try_from(code.number()).unwrap_or_default();
        if let Some(count) = method.by_code.get_mut(index) {
            *count += 1;
        }
    }

    /// What they came to so far, by path.
    #[must_use]
    pub fn figures(&self) -> Vec<MethodFigures> {
        let mut figures = self.methods.clone();
        figures.sort_by(|one, other| one.path.cmp(&other.path));
        figures
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn path(number: usize) -> String {
        format!("/a.B/C{number:04}")
    }

    #[test]
    fn each_call_is_counted_once_under_its_method() {
        let mut calls = Calls::new();
        let began = Instant::now();
        let one = calls.begin(began, &path(1));
        let two = calls.begin(began, &path(2));
        let again = calls.begin(began, &path(1));
        calls.sent(&one, 10);
        calls.received(&two, 7);
        calls.end(began + Duration::from_millis(2), one, Code::Ok);
        calls.end(began + Duration::from_millis(5), two, Code::Aborted);
        let [first, second] = &calls.figures()[..] else {
            panic!("two methods")
        };
        assert_eq!((&*first.path, &*second.path), ("/a.B/C0001", "/a.B/C0002"));
        assert_eq!((first.begun, first.in_flight(), first.failed()), (2, 1, 0));
        assert_eq!((first.bytes_sent, first.bytes_received), (10, 0));
        assert_eq!((second.bytes_sent, second.bytes_received), (0, 7));
        assert_eq!((second.failed(), second.ended_with(Code::Aborted)), (1, 1));
        assert_eq!(second.latency.max(), Some(Duration::from_millis(5)));
        calls.end(began, again, Code::Cancelled);
        assert_eq!(calls.figures()[0].in_flight(), 0);
    }

    #[test]
    fn methods_beyond_the_limit_are_counted_as_one() {
        let mut calls = Calls::new();
        let now = Instant::now();
        for round in 1..=2_u64 {
            for number in 0..MAX_METHODS + 50 {
                let call = calls.begin(now, &path(number));
                calls.end(now, call, Code::Ok);
            }
            let figures = calls.figures();
            assert_eq!(figures.len(), MAX_METHODS + 1);
            assert_eq!((&*figures[0].path, figures[0].begun), ("", 50 * round));
            assert!(figures[1..].iter().all(|method| method.begun == round));
        }
    }
}
