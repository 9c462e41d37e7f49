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

/// What has to be gone, while it goes. In milliseconds each, and choices.
mod limits {
    /// For the caretakers of hosts among the descendants, which remove directories.
    pub(super) const CARE: u64 = 300;
    /// After the plugin's own end, until that is told although something of it is left.
    pub(super) const LINGER: u64 = 250;
    /// After the plugin's own end, until what cannot be killed is left alone.
    pub(super) const END: u64 = 5_000;
    /// Between two looks, at first and in the end: what ends is told, so that they are for what was missed
    /// while the list changed.
    pub(super) const PAUSES: [u64; 2] = [20, 320];
}

/// The killing of all that descends from the guard, as often as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sweep {
    begun: u64,
    /// When the plugin itself was seen to have ended.
    ended: Option<u64>,
    told: bool,
    pause: u64,
}

/// One time of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// Caretakers are left alone.
    pub(super) spares_caretakers: bool,
    /// The host is told that the plugin has ended although this goes on.
    pub(super) tells: bool,
    /// How long to wait for the end of a child until the next pass.
    pub(super) pause: u64,
}

impl Sweep {
    pub(super) const fn new(now: u64) -> Self {
        Self {
            begun: now,
            ended: None,
            told: false,
            pause: limits::PAUSES[0],
        }
    }

    /// What to do while there are children. Nothing more, if they cannot be killed and the plugin is not
    /// among them.
    pub(super) fn pass(&mut self, now: u64, plugin_ended: bool) -> Option<Pass> {
        let since = |begun: u64| now.saturating_sub(begun);
        let mut tells = false;
        if plugin_ended {
            let ended = *self.ended.get_or_insert(now);
            if since(ended) >= limits::END {
                return None;
            }
            tells = since(ended) >= limits::LINGER && !std::mem::replace(&mut self.told, true);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(limits::PAUSES[1]);
        Some(Pass {
            spares_caretakers: since(self.begun) < limits::CARE,
            tells,
            pause,
        })
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

    #[test]
    fn a_sweep_tells_of_a_plugin_that_has_ended_and_is_over_some_day() {
        let mut sweep = Sweep::new(7);
        let first = sweep.pass(7, false).expect("it begins");
        let wanted = Pass {
            spares_caretakers: true,
            tells: false,
            pause: limits::PAUSES[0],
        };
        assert_eq!(first, wanted);
        // For as long as the plugin itself cannot be killed.
        let late = 7 + 10 * limits::END;
        let pass = sweep.pass(late, false).expect("it goes on");
        assert!(!pass.spares_caretakers && !pass.tells && pass.pause > first.pause);
        assert!(!sweep.pass(late, true).expect("just now").tells);
        let mut told = 0;
        for now in late..late + limits::END {
            let pass = sweep.pass(now, true).expect("the time is not over");
            told += u32::from(pass.tells);
            assert_eq!(told, u32::from(now >= late + limits::LINGER), "{now}");
            assert!(pass.pause <= limits::PAUSES[1]);
        }
        assert_eq!(sweep.pass(late + limits::END, true), None);
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
