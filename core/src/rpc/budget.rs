//! How much a connection's task does before others get their turn.

/// The work that one poll of a connection's task may do.
///
/// A peer decides how much there is to read, so without a limit it decides how long a thread is
/// kept: timers, deadlines and the other tasks of the thread wait meanwhile. A budget counts work
/// and no time, so that it costs nothing and is the same on every machine; its size is chosen such
/// that a thread is kept for well under a millisecond by a release build.
///
/// A task that has spent it asks its runtime to wake it again
/// [after a look at the events](crate::rt::Runtime::wake_after_io), not at once.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// What a frame costs, whatever is in it.
    pub const FRAME: usize = 1;
    /// What starting the handler of a call costs: about as much as four frames.
    pub const HANDLER: usize = 4;
    /// How many bytes cost as much as a frame: copying them, in or out, takes about as long.
    pub const BYTES_PER_UNIT: usize = 512;

    /// For one poll: a thousand small frames, or half a mebibyte.
    #[must_use]
    pub const fn for_poll() -> Self {
        Self::new(1024)
    }

    /// Of this many units.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        Self { left: units }
    }

    /// Work of this many units was done. One piece of work may be larger than what was left.
    pub fn spend(&mut self, units: usize) {
        self.left = self.left.saturating_sub(units);
    }

    /// This many bytes were moved.
    pub fn spend_bytes(&mut self, bytes: usize) {
        self.spend(bytes.div_ceil(Self::BYTES_PER_UNIT));
    }

    /// Whether it is somebody else's turn.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_bytes_are_counted_together() {
        let mut budget = Budget::new(10);
        budget.spend(4 * Budget::FRAME);
        budget.spend_bytes(1);
        budget.spend_bytes(4 * Budget::BYTES_PER_UNIT);
        assert!(!budget.is_spent(), "9 of 10: {budget:?}");
        budget.spend_bytes(0);
        assert!(!budget.is_spent(), "nothing costs nothing");
        budget.spend(Budget::FRAME);
        assert!(budget.is_spent());
    }

    #[test]
    fn one_piece_of_work_may_be_too_large() {
        let mut budget = Budget::for_poll();
        budget.spend_bytes(usize::MAX);
        assert!(budget.is_spent());
        budget.spend(1);
        assert!(budget.is_spent());
    }

    #[test]
    fn small_frames_and_large_ones_end_a_poll() {
        let mut budget = Budget::for_poll();
        let mut frames = 0;
        while !budget.is_spent() {
            budget.spend(Budget::FRAME);
            frames += 1;
        }
        assert_eq!(frames, 1024);
        let mut budget = Budget::for_poll();
        let mut bytes = 0;
        while !budget.is_spent() {
            budget.spend_bytes(64 * 1024);
            bytes += 64 * 1024;
        }
        assert_eq!(bytes, 512 * 1024);
    }
}
