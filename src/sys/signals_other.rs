//! Where no signal ends a process: what [`files`](super::files) needs all the same.

use std::sync::{Mutex, PoisonError, TryLockError};

/// There are none.
pub(super) const ENDING: [i32; 0] = [];

pub(super) fn before_end(_hook: fn()) {}

#[derive(Debug)]
pub(super) struct Caught;

impl Caught {
    pub(super) fn new(_signals: &'static [i32]) -> Self {
        Self
    }
}

#[derive(Debug)]
pub(super) struct Shared<T>(Mutex<T>);

impl<T> Shared<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `None` if the lock is held.
    pub(super) fn try_with<R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        match self.0.try_lock() {
            Ok(mut value) => Some(look(&mut value)),
            Err(TryLockError::Poisoned(error)) => Some(look(&mut error.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
