//! The user's writers for what a plugin prints.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outboard_core::rpc::guard::{Panicked, catch_panic};

type Writer = Mutex<Option<Box<dyn Write + Send>>>;

/// Where the two captured streams of a plugin go.
#[derive(Default)]
pub(super) struct SyncWriters {
    stdout: Writer,
    stderr: Writer,
}

impl SyncWriters {
    pub(super) fn set_stdout(&mut self, writer: Box<dyn Write + Send>) {
        self.stdout = Mutex::new(Some(writer));
    }

    pub(super) fn set_stderr(&mut self, writer: Box<dyn Write + Send>) {
        self.stderr = Mutex::new(Some(writer));
    }

    /// Whether anybody wants what the plugin prints.
    pub(super) fn is_wanted(&self) -> bool {
        [&self.stdout, &self.stderr]
            .iter()
            .any(|writer| lock(writer).is_some())
    }

    /// # Errors
    /// The writer panicked; it is dropped and gets nothing more.
    pub(super) fn stdout(&self, bytes: &[u8]) -> Result<(), Panicked> {
        write(&self.stdout, bytes)
    }

    /// # Errors
    /// As [`stdout`](Self::stdout).
    pub(super) fn stderr(&self, bytes: &[u8]) -> Result<(), Panicked> {
        write(&self.stderr, bytes)
    }
}

fn lock(writer: &Writer) -> MutexGuard<'_, Option<Box<dyn Write + Send>>> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(writer: &Writer, bytes: &[u8]) -> Result<(), Panicked> {
    let mut slot = lock(writer);
    let Some(mut writer) = slot.take() else {
        return Ok(());
    };
    // The stream must be read on in any case, or the plugin would block in its prints.
    *slot = catch_panic(move || {
        // What a user's writer cannot take is the user's affair, as in go-plugin.
        let _ignored = writer.write_all(bytes).and_then(|()| writer.flush());
        Some(writer)
    })?;
    Ok(())
}
