//! The user's writers for what a plugin prints.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

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

    pub(super) fn stdout(&self, bytes: &[u8]) {
        write(&self.stdout, bytes);
    }

    pub(super) fn stderr(&self, bytes: &[u8]) {
        write(&self.stderr, bytes);
    }
}

fn write(writer: &Writer, bytes: &[u8]) {
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(writer) = writer.as_mut() {
        // What a user's writer cannot take is the user's affair, as in go-plugin; the stream must
        // be read on in any case, or the plugin would block in its prints.
        let _ignored = writer.write_all(bytes).and_then(|()| writer.flush());
    }
}
