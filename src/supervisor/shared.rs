//! What the driver of a plugin that is kept up and its handles share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outboard_core::lock::{Mutex, Rank};

use super::board::Board;
use super::level::WantedLevel;
use super::tracked::Lease;
use crate::host::{RunningPlugin, ShutdownError};

/// What the driver and the handles share.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) board: Board,
    /// Starts that a handle has asked for, and the driver has not seen.
    asked: AtomicUsize,
    pub(super) log_level: WantedLevel,
    state: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    plugin: Option<Arc<RunningPlugin>>,
    /// What those hold who use the plugin beside its calls, until it drains.
    lease: Option<Lease>,
    /// Whether anybody has its broker.
    lent: bool,
    /// What was wrong about the end that the user asked for.
    judged: Option<ShutdownError>,
}

impl Shared {
    pub(super) fn new(name: String, board: Board) -> Self {
        Self {
            name,
            board,
            asked: AtomicUsize::new(0),
            log_level: WantedLevel::new(),
            state: Mutex::new(Rank::Driver, Present::default()),
        }
    }

    /// A start is asked for from now on.
    pub(super) fn ask_start(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    /// What one that was asked for has led to is on show.
    pub(super) fn start_seen(&self) {
        self.asked.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether one is asked for that does not show yet.
    pub(super) fn is_start_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst) > 0
    }

    /// The plugin, while it is up.
    pub(super) fn plugin(&self) -> Option<Arc<RunningPlugin>> {
        self.state.lock().plugin.clone()
    }

    /// The plugin, while it is up, with what is held by those who use it beside its calls.
    pub(super) fn leased(&self) -> (Option<Arc<RunningPlugin>>, Option<Lease>) {
        let state = self.state.lock();
        (state.plugin.clone(), state.lease.clone())
    }

    pub(super) fn set_plugin(&self, plugin: Option<Arc<RunningPlugin>>, lease: Option<Lease>) {
        let mut state = self.state.lock();
        state.lent = false;
        let before = std::mem::replace(&mut state.plugin, plugin);
        let held = std::mem::replace(&mut state.lease, lease);
        drop(state);
        drop((before, held));
    }

    /// The plugin, while it is up, for somebody who uses it in ways that nobody counts.
    pub(super) fn lend(&self) -> Option<Arc<RunningPlugin>> {
        let mut state = self.state.lock();
        state.lent = state.plugin.is_some();
        state.plugin.clone()
    }

    /// Whether anybody may use the plugin who makes no call.
    pub(super) fn is_used_beside(&self) -> bool {
        let state = self.state.lock();
        state.lent || state.lease.as_ref().is_some_and(Lease::is_held_beside)
    }

    pub(super) fn drop_lease(&self) {
        let held = self.state.lock().lease.take();
        drop(held);
    }

    pub(super) fn judged(&self) -> Option<ShutdownError> {
        self.state.lock().judged.clone()
    }

    pub(super) fn set_judged(&self, judged: Option<ShutdownError>) {
        let before = std::mem::replace(&mut self.state.lock().judged, judged);
        drop(before);
    }
}
