//! How much of what a peer sends is dealt with before other tasks get their turn.

use std::time::{Duration, Instant};

use outboard_core::turn::Turn;

/// How long a turn reads. The last read is begun before this is over, and is sized to take no
/// longer, so a turn takes about twice this.
const TIME: Duration = Duration::from_micros(300);

/// How many bytes a turn reads however fast that is, and with a clock that stands still.
const MOST: usize = 4 << 20;

/// The most that is read at once. The buffer has to be initialised before each read, so this also
/// bounds what that costs when only a little arrives.
const LARGEST: usize = 64 << 10;

/// The least: some ten of the smallest frames.
const SMALLEST: usize = 128;

/// Limits what the task of a connection reads in one turn.
///
/// `h2` reads for as long as there is something to read, and what it costs to deal with a byte
/// differs by a factor of a thousand: a peer can send frames of nine bytes as fast as they are
/// thrown away. So the time is what is limited, and how much is read at once is set by what the last
/// bytes have cost. The first read of a turn is not timed: as a rule it is the only one, and then
/// the clock is never asked.
#[derive(Debug)]
pub(crate) struct ReadLimit {
    /// How much to read at once.
    step: usize,
    turn: Turn,
    reads: Reads,
}

#[derive(Clone, Copy, Debug)]
enum Reads {
    /// Nothing was read.
    None,
    /// One read has brought something.
    One,
    /// From the second read on: how much was read since, and how long that took.
    Timed { bytes: usize, taken: Duration },
}

impl ReadLimit {
    pub(crate) const fn new() -> Self {
        Self {
            step: LARGEST,
            turn: Turn::of(MOST / Turn::BYTES_PER_UNIT, TIME),
            reads: Reads::None,
        }
    }

    /// How much may be read now; `None` if this turn has read enough.
    pub(crate) fn next_read(&mut self, now: impl FnOnce() -> Instant) -> Option<usize> {
        if self.is_over() {
            return None;
        }
        if let Reads::Timed { bytes, taken } = &mut self.reads {
            *taken += self.turn.lap(now());
            self.step = affordable(*bytes, *taken);
        }
        (!self.is_over()).then_some(self.step)
    }

    /// So many bytes have been read, and will be dealt with before the next read.
    pub(crate) fn handle_read(&mut self, read: usize, now: impl FnOnce() -> Instant) {
        self.turn.spend_bytes(read);
        self.reads = match self.reads {
            Reads::None => Reads::One,
            Reads::One => {
                self.turn.resume(now());
                Reads::Timed {
                    bytes: read,
                    taken: Duration::ZERO,
                }
            }
            Reads::Timed { bytes, taken } => Reads::Timed {
                bytes: bytes + read,
                taken,
            },
        };
    }

    /// Whether this turn has read enough.
    pub(crate) fn is_over(&self) -> bool {
        self.turn.is_over()
    }

    /// The task has given the thread back, or is about to.
    pub(crate) fn end_turn(&mut self) {
        self.turn.renew();
        self.reads = Reads::None;
    }
}

/// How much can be dealt with in a turn's time if `bytes` took so long.
fn affordable(bytes: usize, taken: Duration) -> usize {
    let taken = taken.as_nanos().max(1);
    let bytes = bytes as u128 * TIME.as_nanos() / taken;
    usize::try_from(bytes).map_or(LARGEST, |bytes| bytes.clamp(SMALLEST, LARGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that always has more to read.
    struct Flood {
        limit: ReadLimit,
        now: Instant,
        /// What a byte costs.
        cost: Duration,
    }

    impl Flood {
        fn new(cost: Duration) -> Self {
            Self {
                limit: ReadLimit::new(),
                now: Instant::now(),
                cost,
            }
        }

        /// Reads until the turn is over; how much that was, and how long it took.
        fn turn(&mut self) -> (usize, Duration) {
            let (began, mut total) = (self.now, 0);
            while let Some(step) = self.limit.next_read(|| self.now) {
                assert!((SMALLEST..=LARGEST).contains(&step));
                self.limit.handle_read(step, || self.now);
                self.now += self.cost * u32::try_from(step).expect("small");
                total += step;
            }
            assert!(self.limit.is_over());
            assert_eq!(self.limit.next_read(|| self.now), None, "until its end");
            self.limit.end_turn();
            (total, self.now - began)
        }
    }

    #[test]
    fn a_turn_takes_about_a_millisecond_whatever_a_byte_costs() {
        for nanos in [5, 20, 100, 500, 2000] {
            let mut flood = Flood::new(Duration::from_nanos(nanos));
            // What it costs is found out in the first.
            flood.turn();
            for _ in 0..100 {
                let (bytes, time) = flood.turn();
                assert!(time <= 3 * TIME, "{nanos}: {time:?}");
                assert!(bytes >= 2 * SMALLEST, "{nanos}: {bytes}");
            }
        }
    }

    #[test]
    fn what_is_cheap_is_read_in_large_pieces_again_at_once() {
        let mut flood = Flood::new(Duration::from_nanos(500));
        flood.turn();
        assert!(flood.limit.step < 1024);
        flood.cost = Duration::ZERO;
        let (bytes, _) = flood.turn();
        assert_eq!(flood.limit.step, LARGEST);
        assert!(bytes >= MOST, "{bytes}");
        let (bytes, _) = flood.turn();
        assert!((MOST..MOST + LARGEST).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_single_read_asks_no_clock() {
        let mut limit = ReadLimit::new();
        for _ in 0..100 {
            let never = || -> Instant { panic!("the clock was asked") };
            assert_eq!(limit.next_read(never), Some(LARGEST));
            limit.handle_read(50, never);
            // `h2` looks again, and there is nothing.
            assert_eq!(limit.next_read(never), Some(LARGEST));
            limit.end_turn();
        }
    }
}
