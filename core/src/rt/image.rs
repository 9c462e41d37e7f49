//! A program that is executed from an open file.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// An open file that is executed in place of whatever stands at the path of its program by then.
///
/// Cheap to clone; equal to its clones alone.
#[derive(Clone)]
pub struct OpenProgram {
    file: Arc<OwnedFd>,
    kept_open: bool,
}

impl OpenProgram {
    /// A program in `file`, close-on-exec and above the three standard descriptors. `kept_open` says
    /// that the system executes another program, which opens this one once more: a script's
    /// interpreter.
    #[must_use]
    pub fn new(file: OwnedFd, kept_open: bool) -> Self {
        Self {
            file: Arc::new(file),
            kept_open,
        }
    }

    /// Whether the process is to have the descriptor open under the same number, so that its path
    /// below `/proc/self/fd` leads to the program.
    #[must_use]
    pub fn is_kept_open(&self) -> bool {
        self.kept_open
    }
}

impl AsFd for OpenProgram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl PartialEq for OpenProgram {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }
}

impl Eq for OpenProgram {}

impl fmt::Debug for OpenProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenProgram").field(&self.file).finish()
    }
}
