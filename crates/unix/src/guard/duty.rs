//! What a guard does when, as a decision without system calls. Times are milliseconds of any clock that
//! only goes forward.

/// What a host tells its guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Send SIGTERM to the plugin.
    Terminate,
    /// Kill the plugin and all that descends from it.
    Kill,
    /// Let all go on when the host is gone.
    Release,
}

impl Order {
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Terminate => b'T',
            Self::Kill => b'K',
            Self::Release => b'R',
        }
    }

    pub(super) const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'T' => Some(Self::Terminate),
            b'K' => Some(Self::Kill),
            b'R' => Some(Self::Release),
            _ => None,
        }
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    HostGone,
    Told(Order),
    PluginEnded,
    /// Nothing but that time has passed.
    Nothing,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait for what happens next.
    Wait,
    /// Send SIGTERM to the plugin, and wait.
    Terminate,
    /// Kill all that descends from the guard, and end.
    Sweep,
}

/// How long a plugin may take to end by itself when its host is gone: enough for one that removes its
/// socket and says goodbye, and with the killing well below the second in which nothing is to be left.
/// (A choice.)
pub(super) const PARTING: u64 = 300;

/// ```text
///   Watching ── HostGone (not released) ──▶ Parting ── time is over ──▶ Over
///       └──────────── PluginEnded, Kill ───────┴─────────────────────────▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Duty {
    state: State,
    released: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Watching,
    /// The host is gone, and the plugin has until then.
    Parting(u64),
    Over,
}

impl Duty {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Watching,
            released: false,
        }
    }

    pub(super) fn handle(&mut self, now: u64, seen: Seen) -> Step {
        let over = match (self.state, seen) {
            (State::Over, _) => return Step::Wait,
            (_, Seen::PluginEnded | Seen::Told(Order::Kill)) => true,
            (State::Parting(limit), _) => now >= limit,
            (State::Watching, _) => false,
        };
        if over {
            self.state = State::Over;
            return Step::Sweep;
        }
        match (self.state, seen) {
            (State::Watching, Seen::HostGone) if !self.released => {
                self.state = State::Parting(now.saturating_add(PARTING));
                Step::Terminate
            }
            (State::Watching, Seen::Told(Order::Terminate)) => Step::Terminate,
            (State::Watching, Seen::Told(Order::Release)) => {
                self.released = true;
                Step::Wait
            }
            _ => Step::Wait,
        }
    }

    /// How long to wait for something to happen; without end if there is no limit.
    pub(super) fn patience(&self, now: u64) -> Option<u64> {
        match self.state {
            State::Parting(limit) => Some(limit.saturating_sub(now)),
            State::Watching | State::Over => None,
        }
    }

    /// Whether the host is still of interest.
    pub(super) fn watches(&self) -> bool {
        self.state == State::Watching && !self.released
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOLD: [Order; 3] = [Order::Terminate, Order::Kill, Order::Release];

    #[test]
    fn orders_have_their_byte() {
        for order in TOLD {
            assert_eq!(Order::of(order.byte()), Some(order));
        }
        assert_eq!(Order::of(0), None);
    }

    #[test]
    fn a_host_that_is_gone_gives_the_plugin_a_moment() {
        let mut duty = Duty::new();
        assert_eq!((duty.patience(5), duty.watches()), (None, true));
        assert_eq!(duty.handle(5, Seen::HostGone), Step::Terminate);
        assert_eq!((duty.patience(5), duty.watches()), (Some(PARTING), false));
        assert_eq!(duty.handle(6, Seen::HostGone), Step::Wait);
        assert_eq!(duty.handle(5 + PARTING - 1, Seen::Nothing), Step::Wait);
        assert_eq!(duty.patience(5 + PARTING - 1), Some(1));
        assert_eq!(duty.handle(5 + PARTING, Seen::Nothing), Step::Sweep);
        assert_eq!(duty.patience(9999), None);
    }

    #[test]
    fn what_ends_takes_everything_along() {
        let mut ended = Duty::new();
        assert_eq!(ended.handle(0, Seen::PluginEnded), Step::Sweep);
        let mut killed = Duty::new();
        assert_eq!(
            killed.handle(0, Seen::Told(Order::Terminate)),
            Step::Terminate
        );
        assert_eq!(killed.handle(0, Seen::Told(Order::Kill)), Step::Sweep);
    }

    #[test]
    fn what_is_released_goes_on_without_its_host_and_ends_as_ever() {
        let mut duty = Duty::new();
        assert_eq!(duty.handle(0, Seen::Told(Order::Release)), Step::Wait);
        assert_eq!(duty.handle(0, Seen::HostGone), Step::Wait);
        assert!(!duty.watches());
        assert_eq!(duty.handle(0, Seen::PluginEnded), Step::Sweep);
    }

    proptest! {
        /// Whatever comes in whatever order: it sweeps once at most, and a host that is gone is always
        /// followed by that within the time, unless it had let go before.
        #[test]
        fn it_sweeps_once_and_in_time(seen in proptest::collection::vec((0_u8..6, 0_u64..200), 0..40)) {
            let mut duty = Duty::new();
            let (mut now, mut sweeps, mut released, mut gone) = (0, 0, false, None);
            for (kind, pause) in seen {
                now += pause;
                let seen = match kind {
                    0 => Seen::HostGone,
                    1 => Seen::PluginEnded,
                    kind @ 2..=4 => Seen::Told(TOLD[usize::from(kind) - 2]),
                    _ => Seen::Nothing,
                };
                released |= gone.is_none() && seen == Seen::Told(Order::Release);
                if seen == Seen::HostGone && !released && sweeps == 0 {
                    gone.get_or_insert(now);
                }
                if duty.handle(now, seen) == Step::Sweep {
                    sweeps += 1;
                }
                if sweeps == 0 && let Some(gone) = gone {
                    prop_assert!(now < gone + PARTING);
                    prop_assert_eq!(duty.patience(now), Some(gone + PARTING - now));
                }
            }
            prop_assert!(sweeps <= 1);
        }
    }
}
