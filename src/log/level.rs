//! The level that the host wants, which may change while the plugin runs.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use outboard_core::hclog::Level;
use outboard_core::lock::assert_unlocked;

/// What the program does itself when the level changes.
pub(crate) type Hook = Arc<dyn Fn(Level) + Send + Sync>;

/// The place of the wanted level in [`Level::ALL`], from 1 on; 0 as long as no host has said any.
static WANTED: AtomicU8 = AtomicU8::new(0);

/// Whether a subscriber has a layer that heeds it.
static FOLLOWED: AtomicBool = AtomicBool::new(false);

/// Has what filters the events of the whole program go by the level that is wanted now.
static RELOAD: OnceLock<Box<dyn Fn(Option<Level>) + Send + Sync>> = OnceLock::new();

/// The level from which on the plugin's host wants its log, as it said at the launch or has said since. `None` as
/// long as it has said none, and in a program that no host has launched.
///
/// [`Layer`](super::Layer) goes by it. A program with filters of its own is told of changes by
/// [`Plugin::on_log_level`](crate::Plugin::on_log_level).
#[must_use]
pub fn wanted_level() -> Option<Level> {
    let place = WANTED.load(Ordering::SeqCst);
    let place = usize::from(place).checked_sub(1)?;
    Level::ALL.get(place).copied()
}

/// This is the level that the process's host wants from now on.
pub(crate) fn want(level: Level) {
    let place = Level::ALL.iter().position(|known| *known == level);
    let place = place.and_then(|place| u8::try_from(place + 1).ok());
    WANTED.store(place.unwrap_or(0), Ordering::SeqCst);
    reload();
}

/// A layer heeds the level.
pub(super) fn follow() {
    FOLLOWED.store(true, Ordering::SeqCst);
}

/// This is called with the level whenever that has changed, and now.
pub(super) fn reload_with(reload_filter: impl Fn(Option<Level>) + Send + Sync + 'static) {
    let _only_one = RELOAD.set(Box::new(reload_filter));
    reload();
}

/// Of several that change the level at once, the last one to look sees the last change.
fn reload() {
    assert_unlocked("the program's subscriber");
    let Some(reload) = RELOAD.get() else { return };
    let mut level = wanted_level();
    loop {
        reload(level);
        let now = wanted_level();
        if now == level {
            return;
        }
        level = now;
    }
}

/// What heeds the level in one plugin.
#[derive(Clone, Default)]
pub(crate) struct Follower {
    hook: Option<Hook>,
    of_process: bool,
}

impl Follower {
    pub(crate) fn new(hook: Option<Hook>) -> Self {
        Self {
            hook,
            of_process: false,
        }
    }

    /// The plugin is what this process is for: its log is the process's.
    pub(crate) fn of_process(mut self, of_process: bool) -> Self {
        self.of_process = of_process;
        self
    }

    /// Tells what the program does itself alone.
    pub(crate) fn tell_hook(&self, level: Level) {
        if let Some(hook) = &self.hook {
            hook(level);
        }
    }

    /// Has all that is to heed the level do so. False if nothing is.
    pub(crate) fn tell(&self, level: Level) -> bool {
        if self.of_process {
            want(level);
        }
        self.tell_hook(level);
        self.hook.is_some() || self.of_process && FOLLOWED.load(Ordering::SeqCst)
    }
}
