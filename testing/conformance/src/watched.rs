//! Things to wait for, on any runtime.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// A value, and waiting until it is as wanted.
#[derive(Debug, Default)]
pub struct Watched<T>(Mutex<(T, Vec<Waker>)>);

impl<T> Watched<T> {
    /// Changes the value and wakes whoever waits for it.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state.0);
        let wakers = std::mem::take(&mut state.1);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Waits until `look` finds what it looks for. Cancel-safe.
    pub async fn until<R>(&self, mut look: impl FnMut(&mut T) -> Option<R>) -> R {
        poll_fn(|cx| {
            let mut state = self.lock();
            match look(&mut state.0) {
                Some(found) => Poll::Ready(found),
                None => {
                    state.1.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, (T, Vec<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has happened, to be read in order.
#[derive(Debug, Default)]
pub struct Notes(Watched<VecDeque<String>>);

impl Notes {
    /// Adds a note.
    pub fn add(&self, note: &str) {
        self.0.change(|notes| notes.push_back(note.to_owned()));
    }

    /// Takes the oldest note; waits for one. Cancel-safe.
    pub async fn next(&self) -> String {
        self.0.until(VecDeque::pop_front).await
    }
}

/// Collects what is written to it, for a host's writers and hooks. Clones share the bytes.
#[derive(Clone, Debug, Default)]
pub struct Sink(std::sync::Arc<Watched<Vec<u8>>>);

impl Sink {
    /// What gives hosts a writer that adds to these bytes.
    pub fn writer(&self) -> impl Fn() -> Self + Send + Sync + use<> {
        let this = self.clone();
        move || this.clone()
    }

    /// Waits until what came so far satisfies `wanted`, and gives it.
    pub async fn until(&self, mut wanted: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let look = |bytes: &mut Vec<u8>| wanted(bytes).then(|| bytes.clone());
        self.0.until(look).await
    }

    /// Waits until `text` is part of what came so far, and gives all of it.
    pub async fn until_contains(&self, text: &str) -> String {
        let found = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
        String::from_utf8_lossy(&self.until(found).await).into_owned()
    }

    /// What came so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.change(|bytes| bytes.clone())
    }
}

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.change(|all| all.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
