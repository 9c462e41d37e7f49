//! A histogram of times in a fixed amount of memory.

use std::fmt;
use std::time::Duration;

/// How many buckets there are between a power of two and the next: a time is told to one part in so many.
const STEPS: u64 = 16;

/// The power of two of `STEPS`.
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// The last power of two in nanoseconds, more than half an hour; longer times are in the last bucket.
const LAST_BIT: u32 = 41;

const BUCKETS: usize = (LAST_BIT - STEP_BITS + 2) as usize * STEPS as usize;

/// How long things took: how many, the shortest and the longest, and the rest to a sixteenth. It takes 5 KiB
/// whatever is recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct Latency {
    buckets: Box<[u64]>,
    count: u64,
    /// In nanoseconds, as all of it.
    sum: u128,
    shortest: u64,
    longest: u64,
}

impl Latency {
    /// One without any time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into(),
            count: 0,
            sum: 0,
            shortest: u64::MAX,
            longest: 0,
        }
    }

    /// Adds a time. One of more than 584 years counts as that.
    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.shortest = self.shortest.min(nanos);
        self.longest = self.longest.max(nanos);
    }

    /// Adds all times of another one, as if they had been recorded here.
    pub fn merge(&mut self, other: &Self) {
        for (own, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.shortest = self.shortest.min(other.shortest);
        self.longest = self.longest.max(other.longest);
    }

    /// How many times were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The shortest, exactly; `None` if there is none, as for the others.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.shortest))
    }

    /// The longest, exactly.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.longest))
    }

    /// The mean, exactly.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let mean = self.sum.checked_div(u128::from(self.count))?;
        Some(Duration::from_nanos(
            u64::try_from(mean).unwrap_or(u64::MAX),
        ))
    }

    /// A time that so many of a hundred did not exceed, such as 50.0 for the median or 99.9: never less than
    /// the exact one, and at most a sixteenth more, up to half an hour. What is below 0 or above 100 counts as that.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let share = percent.clamp(0.0, 100.0) / 100.0;
        // Numbers that a float cannot tell apart are not to be told apart here.
        let wanted = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let place = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        let last = if place + 1 == BUCKETS {
            self.longest
        } else {
            (lowest(place + 1) - 1).min(self.longest)
        };
        Some(Duration::from_nanos(last))
    }

    /// The buckets that are not empty, for histograms elsewhere: the shortest time that each can hold, and how many
    /// are in it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let all = self.buckets.iter().enumerate();
        all.filter(|(_, count)| **count > 0)
            .map(|(place, count)| (Duration::from_nanos(lowest(place)), *count))
    }
}

/// Where a time is counted.
fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let bit = nanos.ilog2();
    if bit > LAST_BIT {
        return BUCKETS - 1;
    }
    let step = (nanos >> (bit - STEP_BITS)) % STEPS;
    (u64::from(bit - STEP_BITS + 1) * STEPS + step) as usize
}

/// The shortest time that is counted there.
fn lowest(place: usize) -> u64 {
    let (row, step) = (place as u64 / STEPS, place as u64 % STEPS);
    match row {
        0 => step,
        row => (STEPS + step) << (row - 1),
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latency")
            .field("count", &self.count)
            .field("median", &self.percentile(50.0))
            .field("p99", &self.percentile(99.0))
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(times: &[u64]) -> Latency {
        let mut latency = Latency::new();
        for nanos in times {
            latency.record(Duration::from_nanos(*nanos));
        }
        latency
    }

    #[test]
    fn without_times_there_is_nothing_to_tell() {
        let none = Latency::new();
        assert_eq!((none.min(), none.max(), none.mean()), (None, None, None));
        assert_eq!(none.percentile(50.0), None);
        assert_eq!(none.buckets().count(), 0);
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for place in 0..BUCKETS {
            assert_eq!(bucket(lowest(place)), place);
            if place > 0 {
                assert_eq!(bucket(lowest(place) - 1), place - 1);
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_longest_time_there_is_does_no_harm() {
        let mut latency = Latency::new();
        latency.record(Duration::MAX);
        latency.record(Duration::MAX);
        let longest = Some(Duration::from_nanos(u64::MAX));
        assert_eq!(
            (latency.percentile(50.0), latency.mean()),
            (longest, longest)
        );
    }

    /// Times of all sizes.
    fn times() -> impl Strategy<Value = Vec<u64>> {
        let time = (0_u32..42, any::<u64>()).prop_map(|(bits, nanos)| nanos & ((1 << bits) - 1));
        prop::collection::vec(time, 1..200)
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_times_or_a_little_more(mut all in times(), percent in 0.0..=100.0_f64) {
            let latency = of(&all);
            all.sort_unstable();
            let wanted = ((all.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, all.len());
            let exact = all[wanted - 1];
            let told = latency.percentile(percent).expect("there are times").as_nanos() as u64;
            prop_assert!(told >= exact && told <= exact + exact / STEPS, "{told} for {exact}");
            prop_assert_eq!(latency.min(), Some(Duration::from_nanos(all[0])));
            prop_assert_eq!(latency.max(), Some(Duration::from_nanos(all[all.len() - 1])));
            prop_assert_eq!(latency.percentile(100.0), latency.max());
        }

        #[test]
        fn merged_is_as_recorded_in_one(one in times(), other in times()) {
            let mut merged = of(&one);
            merged.merge(&of(&other));
            let both = [one, other].concat();
            prop_assert_eq!(&merged, &of(&both));
            let counted: u64 = merged.buckets().map(|(_, count)| count).sum();
            prop_assert_eq!(counted, both.len() as u64);
        }
    }
}
