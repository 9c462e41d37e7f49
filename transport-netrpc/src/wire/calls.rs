//! Which calls of a stream wait for their answers.

use std::collections::BTreeMap;

use outboard_core::fault::Fault;

/// The calls of one stream, each with who waits for it.
///
/// A call that is given up is forgotten at once, and its answer, should that come, is skipped: a million
/// calls given up leave nothing behind. Answers come in any order.
///
/// ```text
///          begin()             answered()
/// (none) ───────────▶ Waiting ────────────▶ (none)
///                        ├── give_up() ───▶ (none), a late answer is skipped
///                        └── end() ───────▶ (none), it fails
/// ```
#[derive(Debug)]
pub struct Calls<W> {
    next: u64,
    waiting: BTreeMap<u64, W>,
    over: Option<Fault>,
}

/// Whom an answer is for.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered<W> {
    /// Them.
    For(W),
    /// A call that was given up, or has had its answer.
    Late,
    /// A call that nobody has made: the peer does not keep the protocol.
    Unasked,
}

impl<W> Default for Calls<W> {
    fn default() -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
            over: None,
        }
    }
}

impl<W> Calls<W> {
    /// A call with its number, which the request is to bear.
    ///
    /// # Errors
    /// Why there are no calls any more, once the stream has ended.
    pub fn begin(&mut self, waiter: W) -> Result<u64, (W, Fault)> {
        if let Some(over) = &self.over {
            return Err((waiter, over.clone()));
        }
        let seq = self.next;
        self.next += 1;
        self.waiting.insert(seq, waiter);
        Ok(seq)
    }

    /// Nobody waits for it any more. `None` if it has ended.
    pub fn give_up(&mut self, seq: u64) -> Option<W> {
        self.waiting.remove(&seq)
    }

    /// An answer has come.
    pub fn answered(&mut self, seq: u64) -> Answered<W> {
        match self.waiting.remove(&seq) {
            Some(waiter) => Answered::For(waiter),
            None if seq < self.next => Answered::Late,
            None => Answered::Unasked,
        }
    }

    /// No answer comes any more. Gives who waits, to be told; those who come later are told here. The
    /// first reason counts.
    pub fn end(&mut self, why: Fault) -> Vec<W> {
        self.over.get_or_insert(why);
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Why there are no calls any more, if so.
    #[must_use]
    pub fn over(&self) -> Option<&Fault> {
        self.over.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_any_order_and_once() {
        let mut calls = Calls::default();
        for (seq, who) in ["a", "b", "c"].into_iter().enumerate() {
            assert_eq!(calls.begin(who), Ok(seq as u64));
        }
        assert_eq!(calls.answered(2), Answered::For("c"));
        assert_eq!(calls.answered(0), Answered::For("a"));
        assert_eq!(calls.answered(0), Answered::Late, "a number that repeats");
        assert_eq!(calls.answered(3), Answered::Unasked);
        assert_eq!(calls.answered(u64::MAX), Answered::Unasked);
        assert_eq!(calls.answered(1), Answered::For("b"));
        assert_eq!(calls.waiting(), 0);
    }

    #[test]
    fn calls_given_up_leave_nothing_behind() {
        let mut calls = Calls::default();
        for _ in 0..1_000_000 {
            let seq = calls.begin(()).expect("it has not ended");
            assert_eq!(calls.give_up(seq), Some(()));
        }
        assert_eq!(calls.waiting(), 0);
        assert_eq!(calls.answered(17), Answered::Late);
        assert_eq!(calls.give_up(17), None);
    }

    #[test]
    fn the_end_is_told_to_those_who_wait_and_those_who_come() {
        let mut calls = Calls::default();
        calls.begin("a").expect("it has not ended");
        assert_eq!(calls.end(Fault::other("the plugin is gone")), ["a"]);
        assert!(calls.end(Fault::other("something later")).is_empty());
        let (who, why) = calls.begin("b").expect_err("it has ended");
        assert_eq!((who, why.to_string().as_str()), ("b", "the plugin is gone"));
    }
}
