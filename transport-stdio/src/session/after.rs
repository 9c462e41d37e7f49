//! What is done about a change once the lock is released: code of others runs then, and only then.

use std::task::Waker;

use outboard_core::lock::assert_unlocked;
use outboard_core::rpc::guard::catch_panic;
use outboard_core::rpc::{LostHook, Metadata, MetadataValue, Status};
use outboard_core::rt::BoxByteStream;

use super::{Serves, Session, State};
use crate::wire::Violation;

/// What is put aside under the lock. It holds code of the user, or of the runtime, which is not to
/// run there, not even to be dropped.
#[derive(Default)]
pub(crate) struct Aside<S> {
    pub(crate) serving: S,
    pub(crate) hook: Option<LostHook>,
    pub(crate) io: Option<BoxByteStream>,
    /// To be told to the program's log, which is whatever the program made it.
    pub(crate) notes: Vec<Note>,
}

/// Something for the log.
pub(crate) enum Note {
    GoingAway(String),
    Violation(Violation),
}

impl Note {
    fn tell(&self) {
        match self {
            Self::GoingAway(text) => tracing::debug!(text, "the other side is going away"),
            Self::Violation(violation) => {
                tracing::warn!(%violation, "the other side broke the stdio protocol");
            }
        }
    }
}

impl<S: Serves> Aside<S> {
    fn dispose(self) {
        let Self {
            serving,
            hook,
            io,
            notes,
        } = self;
        notes.iter().for_each(Note::tell);
        serving.dispose();
        drop_foreign((hook, io));
    }
}

/// Drops what is not ours. A panic of it is its own affair: the panic hook has told of it, and
/// there is no call left to fail.
pub(crate) fn drop_foreign<T>(value: T) {
    let _ = catch_panic(|| drop(value));
}

impl<S: Serves> Session<S> {
    /// Runs `work` on the state and then, without the lock, wakes whoever is to be woken and drops
    /// what was put aside.
    ///
    /// `work` must not own anything of the user's: it would be dropped under the lock with it.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State<S>) -> T) -> T {
        let mut state = self.state.lock();
        let value = work(&mut state);
        if state.wakes.is_empty() && state.aside.is_none() && state.old_wakers.is_empty() {
            return value;
        }
        let mut wakes = std::mem::take(&mut state.wakes);
        let aside = state.aside.take();
        let old_wakers = std::mem::take(&mut state.old_wakers);
        drop(state);
        let has_woken = !wakes.is_empty();
        assert_unlocked("a waker");
        // First of all, so that nobody waits in vain if something else panics.
        wakes.drain(..).for_each(Waker::wake);
        drop(old_wakers);
        if let Some(aside) = aside {
            aside.dispose();
        }
        if has_woken {
            // The list's memory serves again.
            let mut state = self.state.lock();
            if state.wakes.is_empty() {
                state.wakes = wakes;
            }
        }
        value
    }
}

impl<S: Serves> State<S> {
    /// Where to put what is to be dropped, or told, after the lock.
    pub(crate) fn aside(&mut self) -> &mut Aside<S> {
        self.aside.get_or_insert_default()
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.aside().notes.push(note);
    }
}

/// A status that can be kept, and dropped, under the lock: its details and metadata may be bytes
/// with an owner of the user's, which this has no share in.
pub(crate) fn own(status: &Status) -> Status {
    let mut own = status.clone();
    if !status.details().is_empty() {
        own = own.with_details(bytes::Bytes::copy_from_slice(status.details()));
    }
    if status.metadata().is_empty() {
        return own;
    }
    let mut metadata = Metadata::new();
    for (name, value) in status.metadata().iter() {
        let name = name.to_owned();
        // What is metadata already is valid.
        let _ = match value {
            MetadataValue::Text(text) => metadata.insert(name, text),
            MetadataValue::Binary(bytes) => {
                metadata.insert_bin(name, bytes::Bytes::copy_from_slice(bytes))
            }
        };
    }
    own.with_metadata(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_status_is_the_same_status() {
        let mut metadata = Metadata::new();
        metadata.insert("k", "v").expect("valid");
        metadata.insert_bin("k-bin", vec![1, 2]).expect("valid");
        let status = Status::not_found("none")
            .with_details(vec![3])
            .with_metadata(metadata);
        assert_eq!(own(&status), status);
        let lost = Status::connection_lost("gone").with_details(vec![1]);
        assert_eq!(own(&lost), lost);
    }
}
