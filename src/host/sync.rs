//! The user's writers for what a plugin prints.

use std::io::Write;

use futures_util::lock::Mutex;
use outboard_core::rpc::guard::{Panicked, catch_panic};

/// A user's writer runs under it and may take its time: so no thread waits for this lock, but a
/// task.
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

    /// Whether anybody wants what the plugin prints on its stdout, and on its stderr.
    pub(super) fn wanted(&self) -> [bool; 2] {
        // Somebody who writes has one.
        [&self.stdout, &self.stderr]
            .map(|writer| writer.try_lock().is_none_or(|writer| writer.is_some()))
    }

    /// # Errors
    /// The writer panicked; it is dropped and gets nothing more.
    pub(super) async fn stdout(&self, bytes: &[u8]) -> Result<(), Panicked> {
        write(&self.stdout, bytes).await
    }

    /// # Errors
    /// As [`stdout`](Self::stdout).
    pub(super) async fn stderr(&self, bytes: &[u8]) -> Result<(), Panicked> {
        write(&self.stderr, bytes).await
    }
}

async fn write(writer: &Writer, bytes: &[u8]) -> Result<(), Panicked> {
    let mut slot = writer.lock().await;
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
