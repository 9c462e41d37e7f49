//! Keeps what a host is given, and lets a test wait for it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A growing list that can be waited on. Clones are the same list. As a list of bytes it is a
/// writer.
#[derive(Debug)]
pub struct Recorder<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    items: Mutex<Vec<T>>,
    grown: Notify,
}

impl<T: Clone> Recorder<T> {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            items: Mutex::new(Vec::new()),
            grown: Notify::new(),
        }))
    }

    /// Adds to the list.
    pub fn extend(&self, items: &[T]) {
        self.lock().extend_from_slice(items);
        self.0.grown.notify_waiters();
    }

    /// What is there now.
    #[must_use]
    pub fn now(&self) -> Vec<T> {
        self.lock().clone()
    }

    /// Waits until the list satisfies a condition, and returns it.
    pub async fn until(&self, condition: impl Fn(&[T]) -> bool) -> Vec<T> {
        loop {
            let grown = self.0.grown.notified();
            {
                let items = self.lock();
                if condition(&items) {
                    return items.clone();
                }
            }
            grown.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Default for Recorder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Recorder<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Recorder<u8> {
    /// What gives hosts a writer that adds to this.
    pub fn writer(&self) -> impl Fn() -> Self + Send + Sync + use<> {
        let this = self.clone();
        move || this.clone()
    }
}

impl io::Write for Recorder<u8> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
