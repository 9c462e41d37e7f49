//! What becomes of directories of this process if that is killed: on request a caretaker removes them
//! (Linux).

use std::io;
use std::path::Path;

/// There is nobody who would remove them.
#[derive(Debug, thiserror::Error)]
#[error("there is nobody to remove a directory if this process is killed: {0}")]
struct Careless(io::Error);

#[cfg(target_os = "linux")]
fn io_error(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Careless(error))
}

/// Whether it was for want of a caretaker that a directory could not be made.
pub(crate) fn is_careless(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Careless>())
}

/// Who is told of directories, if anybody is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Care {
    #[cfg(target_os = "linux")]
    caretaker: Option<outboard_unix::Caretaker>,
}

impl Care {
    /// The caretaker of this process, which begins now if there is none.
    ///
    /// # Errors
    /// The system's; `Unsupported` where there is no such thing.
    pub(crate) fn begin() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            let caretaker = outboard_unix::Caretaker::of_this_process().map_err(io_error)?;
            Ok(Self {
                caretaker: Some(caretaker),
            })
        }
        #[cfg(not(target_os = "linux"))]
        Err(io::Error::other(Careless(
            io::ErrorKind::Unsupported.into(),
        )))
    }

    /// A directory is about to be made there.
    pub(crate) fn expect(&self, path: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(caretaker) = &self.caretaker {
            return caretaker.expect(path).map_err(io_error);
        }
        let _nobody = path;
        Ok(())
    }

    /// It was made.
    pub(crate) fn keep(&self, path: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(caretaker) = &self.caretaker {
            return caretaker.keep(path).map_err(io_error);
        }
        let _nobody = path;
        Ok(())
    }

    /// It is gone, or another's.
    pub(crate) fn forget(&self, path: &Path) {
        #[cfg(target_os = "linux")]
        if let Some(caretaker) = &self.caretaker {
            return caretaker.forget(path);
        }
        let _nobody = path;
    }
}
