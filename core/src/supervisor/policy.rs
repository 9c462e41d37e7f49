//! How a plugin is to be kept up, as its user says it.

use std::time::Duration;

/// How a plugin is kept up. Durations of [`Duration::MAX`] mean "no limit".
///
/// Unless something else is said: it is started at once, restarted after each crash, ten times within
/// five minutes at most, with pauses of up to 30 s; calls wait up to 30 s for the next process; it is not
/// asked whether it is well, and never stopped for want of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a policy does nothing by itself"]
pub struct Supervision {
    /// After which ends of its process the plugin is started again.
    pub restart: Restart,
    /// The pauses before that.
    pub backoff: Backoff,
    /// How many restarts are too many.
    pub budget: Budget,
    /// How the plugin is asked whether it is well, if it is.
    pub health: Option<HealthCheck>,
    /// What becomes of calls while no process is there.
    pub waiting: Waiting,
    /// How often a call of a method that is marked for it is made again after it was lost.
    pub retries: u32,
    /// Whether the plugin is started by the first call, and not before.
    pub lazy: bool,
    /// After how long without a call it is stopped, to be started again by the next one.
    pub idle: Option<Duration>,
    /// How many of the last failures are kept.
    pub kept: usize,
}

impl Supervision {
    /// The policy that its documentation tells.
    pub const fn new() -> Self {
        Self {
            restart: Restart::AfterCrash,
            backoff: Backoff::new(),
            budget: Budget::new(10, Duration::from_secs(300)),
            health: None,
            waiting: Waiting::UpTo(Duration::from_secs(30)),
            retries: 2,
            lazy: false,
            idle: None,
            kept: 8,
        }
    }

    /// After which ends of its process the plugin is started again: after a crash unless this is called.
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// With these pauses before each restart.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// With this many restarts within this time. One more is a crash loop: the plugin is not started again
    /// by itself. `u32::MAX` for any number.
    pub const fn budget(mut self, restarts: u32, within: Duration) -> Self {
        self.budget = Budget::new(restarts, within);
        self
    }

    /// Asks the plugin whether it is well. It is not asked unless this is called.
    pub const fn health(mut self, check: HealthCheck) -> Self {
        self.health = Some(check);
        self
    }

    /// What becomes of calls while no process is there: they wait up to 30 s unless this is called.
    pub const fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = waiting;
        self
    }

    /// How often a call that was lost with its process or connection is made again, if its method is marked
    /// for that in the `.proto` (`idempotency_level`): twice unless this is called. Others never are.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Whether the plugin is started by the first call. It is started at once unless this is called.
    pub const fn lazy(mut self, lazy: bool) -> Self {
        self.lazy = lazy;
        self
    }

    /// Stops the plugin when no call was in flight for this long; the next one starts it again. It is not
    /// stopped so unless this is called. Who has its broker uses it, and so does who has an instance over Go's
    /// net/rpc: it is not stopped meanwhile. A call in flight is looked for ten times a second at most, so
    /// that much later it may be stopped.
    pub const fn stop_when_idle(mut self, after: Duration) -> Self {
        self.idle = Some(after);
        self
    }

    /// How many of the last failures are kept, to be looked at: 8 unless this is called.
    pub const fn keep_failures(mut self, kept: usize) -> Self {
        self.kept = kept;
        self
    }

    /// Whether a call that failed is made once more: whether its method is `marked`, how often it was made
    /// again already, and whether the failure is that of a process or connection that went away.
    #[must_use]
    pub const fn tries_again(&self, marked: bool, before: u32, lost: bool) -> bool {
        marked && lost && before < self.retries
    }
}

impl Default for Supervision {
    fn default() -> Self {
        Self::new()
    }
}

/// After which ends of its process a plugin is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Restart {
    /// After none.
    Never,
    /// After a failed start, an exit with another status than 0, a signal, and where it was ended because it
    /// was not well or could not be reached.
    #[default]
    AfterCrash,
    /// After each that was not asked for, an exit with status 0 included.
    Always,
}

/// Pauses before restarts: any time from zero to a limit that doubles from restart to restart.
///
/// That is the "full jitter" of Amazon's Architecture Blog ("Exponential Backoff And Jitter", 2015): what
/// has crashed together is not started together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a policy does nothing by itself"]
pub struct Backoff {
    /// The longest that the first pause may be.
    pub first: Duration,
    /// What that grows to.
    pub longest: Duration,
    /// How long a process must have been up for the pauses to start over.
    pub starts_over_after: Duration,
    /// What the pauses are drawn by; `None` leaves it to the driver.
    pub seed: Option<u64>,
}

impl Backoff {
    /// Up to 100 ms at first, up to 30 s at last; starts over after 60 s.
    pub const fn new() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
            starts_over_after: Duration::from_secs(60),
            seed: None,
        }
    }

    /// With a first pause of at most this.
    pub const fn first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// With pauses that grow to at most this.
    pub const fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Starts over once a process was up for this long.
    pub const fn starts_over_after(mut self, after: Duration) -> Self {
        self.starts_over_after = after;
        self
    }

    /// Draws the pauses by this seed: the same one gives the same pauses. Each supervised plugin has one of
    /// its own unless this is called.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// How many restarts there may be within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// How many; `u32::MAX` for any number.
    pub restarts: u32,
    /// Within this time before the next.
    pub within: Duration,
}

impl Budget {
    /// So many within so long.
    #[must_use]
    pub const fn new(restarts: u32, within: Duration) -> Self {
        Self { restarts, within }
    }
}

/// How a plugin is asked whether it is well.
///
/// It is pinged in intervals: by its health service, or over Go's net/rpc by that protocol's ping. Where it
/// has the health service's `Watch`, it also tells by itself when it takes no calls any more, which counts
/// as a miss at once; the pings go on, since what hangs tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a policy does nothing by itself"]
pub struct HealthCheck {
    /// From the start of one ping to that of the next.
    pub every: Duration,
    /// How long an answer may take; no longer than until the next ping.
    pub within: Duration,
    /// How many misses in a row end the process: no answer in time, an error, or that it takes no calls.
    pub misses: u32,
}

impl HealthCheck {
    /// Every ten seconds, to be answered within five; three misses are too many.
    pub const fn new() -> Self {
        Self {
            every: Duration::from_secs(10),
            within: Duration::from_secs(5),
            misses: 3,
        }
    }

    /// Asks in this interval.
    pub const fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// An answer may take this long.
    pub const fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// So many misses in a row end the process; zero is taken for one.
    pub const fn misses(mut self, misses: u32) -> Self {
        self.misses = misses;
        self
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self::new()
    }
}

/// What becomes of calls while a plugin that has crashed is not up again.
///
/// Those that come before the first process, or after it was stopped for want of calls, wait for it in any
/// case, within the same limit if there is one: they are what starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// They wait for the next process, each this long at most, and no longer than its own deadline. One that is
    /// [made again](Supervision::retries) may wait as long once more. Where the process lives and only its
    /// connection is made again, calls wait for that, which has a limit of its own.
    UpTo(Duration),
    /// They fail at once.
    Fail,
}

impl Waiting {
    /// How long a call waits at most.
    #[must_use]
    pub const fn limit(self) -> Duration {
        match self {
            Self::UpTo(limit) => limit,
            Self::Fail => Duration::MAX,
        }
    }
}
