//! The ids under which one side serves.

/// Gives the ids under which one side serves: 1, 2, 3 and so on, from 1 again after the last. The
/// peer's ids are apart from these.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    last: u32,
}

impl Ids {
    /// The next one that is not `taken`.
    pub fn fresh(&mut self, taken: impl Fn(u32) -> bool) -> u32 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !taken(self.last) {
                return self.last;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_again_after_the_last_and_are_never_zero() {
        let mut ids = Ids { last: u32::MAX - 1 };
        assert_eq!([ids.fresh(|_| false), ids.fresh(|_| false)], [u32::MAX, 1]);
        assert_eq!(
            ids.fresh(|id| id < 5),
            5,
            "those that are taken are left out"
        );
    }
}
