//! The pauses before restarts.

use std::time::Duration;

use super::policy::Backoff;

/// Draws pauses from zero to a limit that doubles.
#[derive(Clone, Debug)]
pub(super) struct Pauses {
    backoff: Backoff,
    /// How many there were since it started over.
    drawn: u32,
    numbers: Numbers,
}

impl Pauses {
    pub(super) fn new(backoff: Backoff, seed: u64) -> Self {
        Self {
            backoff,
            drawn: 0,
            numbers: Numbers(backoff.seed.unwrap_or(seed)),
        }
    }

    pub(super) fn next(&mut self) -> Duration {
        let doublings = self.drawn.min(31);
        self.drawn = self.drawn.saturating_add(1);
        let limit = self.backoff.first.saturating_mul(1 << doublings);
        let limit = limit.min(self.backoff.longest).as_nanos();
        // More than that, and it is five centuries.
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let drawn = u128::from(self.numbers.next()) * (u128::from(limit) + 1);
        Duration::from_nanos((drawn >> 64) as u64)
    }

    /// A process that was up for this long has ended.
    pub(super) fn lived(&mut self, lived: Duration) {
        if lived >= self.backoff.starts_over_after {
            self.start_over();
        }
    }

    pub(super) fn start_over(&mut self) {
        self.drawn = 0;
    }
}

/// Numbers that look random and follow from the seed: splitmix64, of Steele, Lea and Flood ("Fast Splittable
/// Pseudorandom Number Generators", 2014). Any seed is a good one.
#[derive(Clone, Debug)]
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pauses(seed: u64) -> Pauses {
        let backoff = Backoff::new().first(100 * MS).longest(1600 * MS);
        Pauses::new(backoff, seed)
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The first numbers of the seed 1234567, as its authors' program gives them.
        let mut numbers = Numbers(1_234_567);
        let first = [(); 3].map(|()| numbers.next());
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn each_pause_is_within_a_limit_that_doubles_and_fills_it() {
        let limits = [100, 200, 400, 800, 1600, 1600, 1600];
        let mut sums = [Duration::ZERO; 7];
        let rounds = 2000;
        for seed in 0..rounds {
            let mut pauses = pauses(seed);
            for (sum, limit) in sums.iter_mut().zip(limits) {
                let pause = pauses.next();
                assert!(pause <= limit * MS, "{pause:?}");
                *sum += pause;
            }
        }
        // Full jitter: half of the limit on average.
        for (sum, limit) in sums.into_iter().zip(limits) {
            let average = sum / rounds as u32;
            assert!(average > limit * MS * 45 / 100, "{average:?} of {limit}");
            assert!(average < limit * MS * 55 / 100, "{average:?} of {limit}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses_and_the_policy_s_wins() {
        let ten = |mut pauses: Pauses| [(); 10].map(|()| pauses.next());
        assert_eq!(ten(pauses(7)), ten(pauses(7)));
        assert_ne!(ten(pauses(7)), ten(pauses(8)));
        let seeded = || Backoff::new().seed(3);
        let (one, other) = (Pauses::new(seeded(), 1), Pauses::new(seeded(), 2));
        assert_eq!(ten(one), ten(other));
    }

    #[test]
    fn a_process_that_was_up_for_long_starts_them_over() {
        let mut pauses = pauses(1);
        for _ in 0..6 {
            pauses.next();
        }
        pauses.lived(Duration::from_secs(59));
        assert_eq!(pauses.drawn, 6);
        pauses.lived(Duration::from_secs(60));
        assert!(pauses.next() <= 100 * MS);
    }

    #[test]
    fn limits_of_any_size_are_limits() {
        for longest in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let backoff = Backoff::new().first(Duration::MAX).longest(longest);
            let mut pauses = Pauses::new(backoff, 5);
            for _ in 0..100 {
                assert!(pauses.next() <= longest);
            }
        }
    }
}
