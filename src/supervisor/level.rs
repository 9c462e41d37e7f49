//! What a plugin that is kept up is to log, whichever process it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use futures_util::lock::Mutex;
use outboard_core::hclog::Level;

use crate::Status;
use crate::host::{Host, LevelAnswer, RunningPlugin};

/// The level that is wanted of the present process and of the next ones, once anybody has said one.
pub(super) struct WantedLevel {
    /// Its place in [`Level::ALL`], from 1 on.
    place: AtomicU8,
    /// Of whoever tells a process, so that what was wanted last is told last.
    telling: Mutex<()>,
}

impl WantedLevel {
    pub(super) fn new() -> Self {
        Self {
            place: AtomicU8::new(0),
            telling: Mutex::new(()),
        }
    }

    pub(super) fn set(&self, level: Level) {
        let place = Level::ALL.iter().position(|known| *known == level);
        let place = place.and_then(|place| u8::try_from(place + 1).ok());
        self.place.store(place.unwrap_or(0), Ordering::SeqCst);
    }

    pub(super) fn get(&self) -> Option<Level> {
        let place = self.place.load(Ordering::SeqCst);
        let place = usize::from(place).checked_sub(1)?;
        Level::ALL.get(place).copied()
    }

    /// Tells the process that `present` gives of the level that is wanted now. The next one is told at its launch.
    pub(super) async fn tell(
        &self,
        present: impl FnOnce() -> Option<Arc<RunningPlugin>>,
    ) -> Result<LevelAnswer, Status> {
        let _turn = self.telling.lock().await;
        let (Some(level), Some(plugin)) = (self.get(), present()) else {
            return Ok(LevelAnswer::Later);
        };
        let telling = plugin.set_log_level(level);
        drop(plugin);
        match telling.await {
            Err(status) if status.is_connection_lost() => Ok(LevelAnswer::Later),
            answered => answered,
        }
    }

    /// The host as it launches a process now.
    pub(super) fn on(&self, host: &Host) -> Host {
        let host = host.clone();
        match self.get() {
            Some(level) => host.log_level(level),
            None => host,
        }
    }
}
