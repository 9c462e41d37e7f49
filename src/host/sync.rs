//! The user's writers for what a plugin prints.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use futures_util::lock::Mutex;
use outboard_core::rpc::guard::{Panicked, catch_panic};

use super::Host;

/// A writer of the user's.
pub(super) type BoxWriter = Box<dyn Write + Send>;

/// What makes a writer of the user's for each plugin that is started, so that those of two plugins
/// need not wait for each other.
pub(super) type MakeWriter = Arc<dyn Fn() -> BoxWriter + Send + Sync>;

pub(super) fn each<W: Write + Send + 'static>(
    make: impl Fn() -> W + Send + Sync + 'static,
) -> MakeWriter {
    Arc::new(move || Box::new(make()))
}

impl Host {
    /// Where to write what the plugin prints on its stdout: what `make` gives, which is called once
    /// for each start, such as [`std::io::stdout`] or `move || recorder.clone()`. It is thrown away if
    /// this is not called. The writer is used on a task of the runtime, so it should not block for
    /// long; its errors are ignored. A plugin whose output it does not keep up with has to wait with
    /// its prints, or, where they come over the connection, loses some after a while.
    ///
    /// Whatever ends the plugin, the writer gets what it has written by then; see
    /// [`last_output_within`](Self::last_output_within). From one in Go, or without a
    /// [directory of its own](Self::private_socket_dir), it gets what was sent by then.
    ///
    /// Plugins of one host that print at once each have a writer of their own, and none waits for
    /// another's. Where the writers lead to one place, such as a terminal, pieces of what the plugins
    /// print come there as they were printed and read, not in whole lines: a writer that is to keep
    /// lines together holds on to the part of one that has no end yet. A writer that panics gets
    /// nothing more, and is that plugin's alone.
    pub fn sync_stdout<W>(mut self, make: impl Fn() -> W + Send + Sync + 'static) -> Self
    where
        W: Write + Send + 'static,
    {
        self.sync_stdout = Some(each(make));
        self
    }

    /// Where to write what the plugin prints on its stderr; see [`sync_stdout`](Self::sync_stdout).
    /// Its log is not part of it.
    pub fn sync_stderr<W>(mut self, make: impl Fn() -> W + Send + Sync + 'static) -> Self
    where
        W: Write + Send + 'static,
    {
        self.sync_stderr = Some(each(make));
        self
    }

    /// How long the writers of what the plugin prints may take for the last of it once its process
    /// has ended, before the rest is dropped, counted and logged. 5 s if this is not called; writers
    /// that keep up need none of it.
    ///
    /// Within it, [`shutdown`](crate::RunningPlugin::shutdown), [`kill`](crate::RunningPlugin::kill)
    /// and [`exited`](crate::RunningPlugin::exited) wait for the writers.
    pub fn last_output_within(mut self, within: Duration) -> Self {
        self.settings.last_output_within = within;
        self
    }
}

/// A user's writer runs under it and may take its time: so no thread waits for this lock, but a
/// task.
type Writer = Mutex<Option<BoxWriter>>;

/// Where the two captured streams of a plugin go.
pub(super) struct SyncWriters {
    stdout: Writer,
    stderr: Writer,
}

impl SyncWriters {
    /// Writers of one plugin.
    ///
    /// # Panics
    /// As what makes them.
    pub(super) fn new(stdout: Option<&MakeWriter>, stderr: Option<&MakeWriter>) -> Self {
        Self {
            stdout: Mutex::new(stdout.map(|make| make())),
            stderr: Mutex::new(stderr.map(|make| make())),
        }
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
