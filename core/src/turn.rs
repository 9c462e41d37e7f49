//! How much a task does before others get their turn.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::rt::Runtime;

/// The work that one poll of a task may do, limited by number and by time.
///
/// A peer decides how much there is to read, so without a limit it decides how long a thread is
/// kept: timers, deadlines and the other tasks of the thread wait meanwhile. So whatever is done in a
/// loop whose end another side decides is counted here, and when the turn is over the task gives the
/// thread back and is woken again.
///
/// Number and time are two limits, and either ends the turn. Counting costs nothing and is the same on
/// every machine: a unit is what a small frame costs, and a whole turn of them keeps a thread for well
/// under a millisecond in a release build. Where a piece runs code of the application, or costs
/// what cannot be told beforehand, time counts too, on the clock that the caller gives. Clocks are
/// asked as late as possible: a turn of one piece, which most are, asks none.
///
/// ```text
///          spend, step, lap             units or time used up
/// fresh ---------------------> begun ---------------------------> over
///   ^                            |                                  |
///   +--- nothing more to do -----+------------- give way -----------+
/// ```
///
/// # Examples
/// ```
/// use outboard_core::turn::Turn;
///
/// let mut turn = Turn::new();
/// let mut frames = 0;
/// while !turn.is_over() {
///     frames += 1;
///     turn.spend(Turn::FRAME);
/// }
/// assert_eq!(frames, 1024);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    limit: Limit,
    units: usize,
    time: Duration,
    /// Until when its time is counted; none before the clock was asked first.
    counted: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    units: usize,
    time: Duration,
}

/// What things cost, in units.
impl Turn {
    /// A frame, whatever is in it.
    pub const FRAME: usize = 1;
    /// A message taken from, or given to, a stream of messages; its bytes cost too.
    pub const MESSAGE: usize = 4;
    /// Starting the handler of a call: about as much as four frames.
    pub const HANDLER: usize = 4;
    /// Something that the driver hands on: a piece of output, an announcement of the broker.
    pub const EVENT: usize = 32;
    /// A new connection, a record for a hook, a round of a driver: some ten microseconds each.
    pub const ROUND: usize = 64;
    /// A read of whatever a process prints, which may be lines of one byte each: a hundred
    /// microseconds.
    pub const READ: usize = 256;
    /// How many bytes cost as much as a frame: copying them, in or out, takes about as long.
    pub const BYTES_PER_UNIT: usize = 512;

    /// What a turn has: a thousand small frames, or half a mebibyte.
    const UNITS: usize = 1024;
    /// How long it lasts where time is counted: rare enough to cost nothing beside the work, and some
    /// 20 wake-ups of a processor long. (A choice.)
    const TIME: Duration = Duration::from_micros(500);
}

impl Turn {
    /// A turn of the usual size.
    #[must_use]
    pub const fn new() -> Self {
        Self::of(Self::UNITS, Self::TIME)
    }

    /// How many pieces of this cost a turn of the usual size has room for.
    #[must_use]
    pub const fn pieces(cost: usize) -> usize {
        Self::UNITS / cost
    }

    /// A turn of so many units, and of so much time where that is counted.
    #[must_use]
    pub const fn of(units: usize, time: Duration) -> Self {
        Self {
            limit: Limit { units, time },
            units,
            time,
            counted: None,
        }
    }

    /// Work of this many units was done. One piece of work may be larger than what was left.
    #[inline]
    pub fn spend(&mut self, units: usize) {
        self.units = self.units.saturating_sub(units);
    }

    /// This many bytes were moved.
    #[inline]
    pub fn spend_bytes(&mut self, bytes: usize) {
        self.spend(bytes.div_ceil(Self::BYTES_PER_UNIT));
    }

    /// Begins to count time now, or goes on with it after something that does not count.
    #[inline]
    pub fn resume(&mut self, now: Instant) {
        self.counted = Some(now);
    }

    /// Counts the time since this or [`resume`](Self::resume) was called last, and tells it. Of the
    /// first call nothing is known before, so nothing counts.
    #[inline]
    pub fn lap(&mut self, now: Instant) -> Duration {
        let before = self.counted.replace(now).unwrap_or(now);
        let time = now.saturating_duration_since(before);
        self.time = self.time.saturating_sub(time);
        time
    }

    /// A piece of work of this many units was done, one of those whose time counts. Whether it was the
    /// last of this turn. The time of the first piece is not counted.
    #[inline]
    pub fn step(&mut self, units: usize, now: impl FnOnce() -> Instant) -> bool {
        self.spend(units);
        if self.units > 0 {
            self.lap(now());
        }
        self.is_over()
    }

    /// Whether it is somebody else's turn.
    #[must_use]
    #[inline]
    pub const fn is_over(&self) -> bool {
        self.units == 0 || !self.has_time()
    }

    /// Whether there is time left, whatever the number of pieces was.
    #[must_use]
    #[inline]
    pub const fn has_time(&self) -> bool {
        !self.time.is_zero()
    }

    /// The task has given its thread back, or is about to: the next turn is a whole one.
    #[inline]
    pub fn renew(&mut self) {
        *self = Self::of(self.limit.units, self.limit.time);
    }

    /// Gives the thread back, for a task of `runtime`: pending, and woken after the runtime has
    /// [looked at its events](Runtime::wake_after_io), so that timers and the streams of others are
    /// looked at first.
    pub fn give_way<T>(&mut self, runtime: &dyn Runtime, cx: &Context<'_>) -> Poll<T> {
        self.renew();
        runtime.wake_after_io(cx.waker());
        Poll::Pending
    }

    /// Gives the thread back, for a future that any executor may poll: pending, and woken at once.
    pub fn give_way_here<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.renew();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// For loops in `async` code, before each piece of work: ready, and this many units are spent; or,
    /// when the turn is over, pending once with the waker woken. Cancel-safe.
    pub fn poll_step(&mut self, units: usize, cx: &Context<'_>) -> Poll<()> {
        if self.is_over() {
            return self.give_way_here(cx);
        }
        self.spend(units);
        Poll::Ready(())
    }

    /// Asks for the next piece of work, which costs this many units and any time: pending once with the
    /// waker woken when the turn is over. Work that has to be waited for begins a new turn.
    pub fn poll_next<T>(
        &mut self,
        units: usize,
        cx: &mut Context<'_>,
        now: impl FnOnce() -> Instant,
        next: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.is_over() {
            return self.give_way_here(cx);
        }
        let next = next(cx);
        if next.is_pending() {
            self.renew();
        } else {
            self.step(units, now);
        }
        next
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn small() -> Turn {
        Turn::of(10, Turn::TIME)
    }

    #[test]
    fn frames_and_bytes_are_counted_together() {
        let mut turn = small();
        turn.spend(4 * Turn::FRAME);
        turn.spend_bytes(1);
        turn.spend_bytes(4 * Turn::BYTES_PER_UNIT);
        assert!(!turn.is_over(), "9 of 10: {turn:?}");
        turn.spend_bytes(0);
        assert!(!turn.is_over(), "nothing costs nothing");
        turn.spend(Turn::FRAME);
        assert!(turn.is_over());
    }

    #[test]
    fn one_piece_of_work_may_be_too_large() {
        let mut turn = Turn::new();
        turn.spend_bytes(usize::MAX);
        assert!(turn.is_over());
        turn.spend(1);
        assert!(turn.is_over());
        turn.renew();
        assert!(!turn.is_over());
    }

    #[test]
    fn small_frames_and_large_ones_end_a_turn() {
        let mut turn = Turn::new();
        let mut frames = 0;
        while !turn.is_over() {
            turn.spend(Turn::FRAME);
            frames += 1;
        }
        assert_eq!(frames, 1024);
        turn.renew();
        let mut bytes = 0;
        while !turn.is_over() {
            turn.spend_bytes(64 * 1024);
            bytes += 64 * 1024;
        }
        assert_eq!(bytes, 512 * 1024);
    }

    /// How many steps of this length are done in a turn of 200.
    fn steps(length: Duration) -> u32 {
        let mut now = Instant::now();
        let mut turn = Turn::of(200, Turn::TIME);
        for done in 1.. {
            now += length;
            if turn.step(1, || now) {
                return done;
            }
        }
        unreachable!("a turn without end")
    }

    #[test]
    fn a_turn_ends_by_number_or_by_time() {
        assert_eq!(steps(Duration::ZERO), 200);
        assert_eq!(steps(Duration::from_micros(1)), 200);
        assert_eq!(steps(Duration::from_micros(50)), 11);
        assert_eq!(steps(Duration::from_millis(10)), 2);
        let mut last = Turn::of(1, Turn::TIME);
        assert!(last.step(1, || unreachable!("no clock for the last")));
    }

    #[test]
    fn only_time_since_it_was_resumed_counts() {
        let mut now = Instant::now();
        let mut turn = Turn::new();
        for _ in 0..4 {
            now += Duration::from_secs(1);
            turn.resume(now);
            now += Duration::from_micros(100);
            assert_eq!(turn.lap(now), Duration::from_micros(100));
            assert!(!turn.is_over());
        }
        now += Duration::from_micros(100);
        turn.lap(now);
        assert!(turn.is_over());
        // A clock that goes back takes nothing and gives nothing.
        turn.renew();
        turn.resume(now);
        assert_eq!(turn.lap(now - Duration::from_secs(1)), Duration::ZERO);
        assert!(!turn.is_over());
    }

    #[test]
    fn who_has_done_enough_is_pending_once_and_woken() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let count = || woken.0.load(Ordering::SeqCst);
        let mut turn = small();
        for turns in 1..=3 {
            for _ in 0..2 {
                assert!(turn.poll_step(5, &cx).is_ready());
            }
            assert!(turn.poll_step(5, &cx).is_pending());
            assert_eq!(count(), turns);
        }
        let now = Instant::now();
        turn.renew();
        for turns in 4..=6 {
            for _ in 0..2 {
                let next = turn.poll_next(5, &mut cx, || now, |_| Poll::Ready(()));
                assert!(next.is_ready());
            }
            let next = turn.poll_next(5, &mut cx, || now, |_| -> Poll<()> { unreachable!() });
            assert!(next.is_pending());
            assert_eq!(count(), turns);
        }
    }

    #[test]
    fn work_that_is_waited_for_begins_a_new_turn() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut turn = small();
        let mut now = Instant::now();
        for _ in 0..100 {
            now += Turn::TIME;
            let next = turn.poll_next(5, &mut cx, || now, |_| Poll::Ready(()));
            assert!(next.is_ready());
            let next = turn.poll_next(5, &mut cx, || now, |_| Poll::<()>::Pending);
            assert!(next.is_pending());
        }
    }
}
