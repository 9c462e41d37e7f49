//! Which of the broker's streams goes to whom: go-plugin's `MuxBroker`, with its faults taken out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outboard_core::timer::Timers;

/// How many streams wait for somebody who accepts on their ids. Each waits for [`Boxes::PATIENCE`] at most,
/// so this bounds a flood and no ordinary use. (A choice; go-plugin has no bound.)
const MAX_KEPT: usize = 256;

/// The streams that have said which id they are for, and those who accept on ids.
///
/// Whoever dials an id opens a stream and writes the id; whoever accepts on it writes it back, and then the
/// stream is theirs. Either may come first, and waits for five seconds, as in go-plugin.
///
/// ```text
///  a stream:   arrived() ── somebody accepts ──────────▶ Take
///                 └── nobody yet ──▶ Kept ── accept(), serve() ──▶ theirs
///                                     └── 5 s ──▶ closed, the dialler reads an end
///  an id:      accept() ──▶ Waiting ── arrived() ──▶ (gone)      serve() ──▶ Served ── stop() ──▶ (gone)
///                              └── 5 s ──▶ timed out
/// ```
///
/// A second stream for an id that has one already is closed: go-plugin drops it without closing, and its
/// dialler waits for ever.
#[derive(Debug)]
pub struct Boxes<S> {
    accepts: BTreeMap<u32, Accept>,
    kept: BTreeMap<u32, S>,
    timers: Timers<BoxTimer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accept {
    /// One stream is waited for.
    Once,
    /// All that come.
    Served,
}

/// What is waited for; see [`Boxes::poll_timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BoxTimer {
    /// Somebody who accepts on this id, for a stream that is there.
    Accept(u32),
    /// A stream for this id, on which somebody accepts.
    Stream(u32),
}

/// What is to be done with a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<S> {
    /// Somebody accepts on its id.
    Take(S),
    /// It waits.
    Kept,
    /// There is one for this id already, or there are too many: close it.
    Refuse(S),
}

impl<S> Default for Boxes<S> {
    fn default() -> Self {
        Self {
            accepts: BTreeMap::new(),
            kept: BTreeMap::new(),
            timers: Timers::default(),
        }
    }
}

impl<S> Boxes<S> {
    /// How long either waits for the other: 5 s, as in go-plugin.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// Waits for one stream for this id; gives it if it is there.
    ///
    /// # Errors
    /// If somebody accepts on it already: a mistake of the caller.
    pub fn accept(&mut self, now: Instant, id: u32) -> Result<Option<S>, AlreadyAccepting> {
        if self.accepts.contains_key(&id) {
            return Err(AlreadyAccepting { id });
        }
        let kept = self.take_kept(id);
        if kept.is_none() {
            self.accepts.insert(id, Accept::Once);
            self.timers.arm(BoxTimer::Stream(id), now, Self::PATIENCE);
        }
        Ok(kept)
    }

    /// Takes all streams for this id until [`stop`](Self::stop); gives the one that is there.
    ///
    /// # Errors
    /// If somebody accepts on it already: a mistake of the caller.
    pub fn serve(&mut self, id: u32) -> Result<Option<S>, AlreadyAccepting> {
        if self.accepts.contains_key(&id) {
            return Err(AlreadyAccepting { id });
        }
        self.accepts.insert(id, Accept::Served);
        Ok(self.take_kept(id))
    }

    /// Nobody accepts on this id any more.
    pub fn stop(&mut self, id: u32) {
        self.accepts.remove(&id);
        self.timers.disarm(BoxTimer::Stream(id));
    }

    /// A stream has said that it is for this id.
    pub fn arrived(&mut self, now: Instant, id: u32, stream: S) -> Arrival<S> {
        match self.accepts.get(&id) {
            Some(Accept::Served) => Arrival::Take(stream),
            Some(Accept::Once) => {
                self.stop(id);
                Arrival::Take(stream)
            }
            None if self.kept.contains_key(&id) || self.kept.len() >= MAX_KEPT => {
                Arrival::Refuse(stream)
            }
            None => {
                self.kept.insert(id, stream);
                self.timers.arm(BoxTimer::Accept(id), now, Self::PATIENCE);
                Arrival::Kept
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, and what is being waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, BoxTimer)> {
        self.timers.next()
    }

    /// What has waited for too long by `now`: streams to be closed, and ids on which nobody has come.
    pub fn handle_timeout(&mut self, now: Instant) -> (Vec<S>, Vec<u32>) {
        let (mut streams, mut ids) = (Vec::new(), Vec::new());
        while let Some(kind) = self.timers.pop_expired(now) {
            match kind {
                BoxTimer::Accept(id) => streams.extend(self.kept.remove(&id)),
                BoxTimer::Stream(id) => {
                    self.accepts.remove(&id);
                    ids.push(id);
                }
            }
        }
        (streams, ids)
    }

    /// Whether somebody accepts on this id.
    #[must_use]
    pub fn is_accepting(&self, id: u32) -> bool {
        self.accepts.contains_key(&id)
    }

    /// Gives up all; gives the streams that wait.
    pub fn close(&mut self) -> Vec<S> {
        self.accepts.clear();
        self.timers.clear();
        std::mem::take(&mut self.kept).into_values().collect()
    }

    fn take_kept(&mut self, id: u32) -> Option<S> {
        self.timers.disarm(BoxTimer::Accept(id));
        self.kept.remove(&id)
    }
}

/// Somebody accepts on the id already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyAccepting {
    /// The id.
    pub id: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn either_may_come_first() {
        let now = Instant::now();
        let mut boxes = Boxes::default();
        assert_eq!(boxes.accept(now, 1), Ok(None));
        assert!(boxes.is_accepting(1));
        assert_eq!(boxes.arrived(now, 1, "a"), Arrival::Take("a"));
        assert!(!boxes.is_accepting(1), "each accept takes one");
        assert_eq!(boxes.arrived(now, 1, "b"), Arrival::Kept);
        assert_eq!(boxes.accept(now, 1), Ok(Some("b")));
        assert_eq!(boxes.poll_timeout(), None);
    }

    #[test]
    fn what_waits_in_vain_does_so_for_five_seconds() {
        let now = Instant::now();
        let mut boxes = Boxes::default();
        assert_eq!(boxes.arrived(now, 1, "a"), Arrival::Kept);
        assert_eq!(boxes.arrived(now, 1, "b"), Arrival::Refuse("b"));
        assert_eq!(boxes.accept(now + SECOND, 2), Ok(None));
        assert_eq!(boxes.accept(now, 2), Err(AlreadyAccepting { id: 2 }));
        let at = |boxes: &Boxes<_>| boxes.poll_timeout().map(|(at, kind)| (at - now, kind));
        assert_eq!(at(&boxes), Some((5 * SECOND, BoxTimer::Accept(1))));
        assert_eq!(boxes.handle_timeout(now + 5 * SECOND), (vec!["a"], vec![]));
        assert_eq!(at(&boxes), Some((6 * SECOND, BoxTimer::Stream(2))));
        assert_eq!(boxes.handle_timeout(now + 6 * SECOND), (vec![], vec![2]));
        assert!(!boxes.is_accepting(2));
        assert_eq!(boxes.poll_timeout(), None);
    }

    #[test]
    fn what_is_served_takes_all_that_come_until_it_is_stopped() {
        let now = Instant::now();
        let mut boxes = Boxes::default();
        assert_eq!(boxes.arrived(now, 7, 0), Arrival::Kept);
        assert_eq!(boxes.serve(7), Ok(Some(0)));
        assert_eq!(boxes.arrived(now, 7, 1), Arrival::Take(1));
        assert_eq!(boxes.arrived(now, 7, 2), Arrival::Take(2));
        assert_eq!(boxes.poll_timeout(), None, "it waits for ever");
        boxes.stop(7);
        assert_eq!(boxes.arrived(now, 7, 3), Arrival::Kept);
        assert_eq!(boxes.close(), [3]);
        assert_eq!(boxes.poll_timeout(), None);
    }

    #[test]
    fn a_flood_of_ids_that_nobody_wants_is_bounded() {
        let now = Instant::now();
        let mut boxes = Boxes::default();
        let kept = (0..1000).filter(|id| boxes.arrived(now, *id, ()) == Arrival::Kept);
        assert_eq!(kept.count(), MAX_KEPT);
        let (closed, _) = boxes.handle_timeout(now + 5 * SECOND);
        assert_eq!(closed.len(), MAX_KEPT);
    }
}
