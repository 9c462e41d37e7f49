//! Starting a program as supervisors do that hand it sockets.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Becomes this program once more, with the same arguments and a socket that listens at `path` as its
/// descriptor 3. Comes back only if that fails.
#[must_use]
pub fn again(path: &Path) -> io::Error {
    let become_it = || -> io::Result<io::Error> {
        let listener = UnixListener::bind(path)?;
        let number = listener.as_raw_fd();
        // SAFETY: both calls take numbers alone. Whatever has the number 3 here is of no use any more:
        // the program is about to be replaced.
        let placed = unsafe {
            match number {
                3 => libc::fcntl(3, libc::F_SETFD, 0),
                _ => libc::dup2(number, 3),
            }
        };
        if placed == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env("LISTEN_PID", std::process::id().to_string())
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "suite.socket")
            .exec())
    };
    become_it().unwrap_or_else(|error| error)
}
