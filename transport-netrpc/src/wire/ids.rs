//! What tells the broker's streams apart.

/// The ids that one side gives, as go-plugin's `MuxBroker.NextId` does: each side counts from 1, and an id
/// belongs to the side that accepts on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrokerIds {
    last: u32,
}

impl BrokerIds {
    /// The next one that is not `taken`, of which not all may be. After 2^32 of them they begin anew; 0 is
    /// never given.
    pub fn next(&mut self, taken: impl Fn(u32) -> bool) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !taken(self.last) {
                return self.last;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_count_from_one_and_begin_anew() {
        let mut ids = BrokerIds::default();
        assert_eq!([ids.next(|_| false), ids.next(|_| false)], [1, 2]);
        assert_eq!(ids.next(|id| id == 3), 4);
        let mut ids = BrokerIds { last: u32::MAX };
        assert_eq!(ids.next(|_| false), 1);
    }
}
