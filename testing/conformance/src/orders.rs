//! Orders to the process of a plugin that come over no connection: what it is to print and to log while no
//! host is there.

use std::fs::{read_to_string, remove_file, write};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{CWD, Mode, mkfifoat};

const DONE: &str = "done";

/// Who gives them: the name of a pipe that goes with this.
#[derive(Debug)]
pub struct Orders(PathBuf);

impl Orders {
    /// Makes the pipe in this directory.
    ///
    /// # Panics
    /// If that cannot be done.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let path = dir.join("orders");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("a pipe can be made");
        Self(path)
    }

    /// What [`obey`] is told.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Has so many lines said, and waits until they have been.
    ///
    /// # Panics
    /// If the pipe fails.
    pub fn give(&self, lines: usize, how: &str) {
        write(&self.0, format!("{lines} {how}")).expect("somebody obeys");
        let done = read_to_string(&self.0).expect("somebody answers");
        assert_eq!(done, DONE);
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        let _gone = remove_file(&self.0);
    }
}

/// Obeys the orders that come through this pipe, on a thread of its own.
pub fn obey(path: PathBuf) {
    thread::spawn(move || {
        let mut next = 0;
        loop {
            let obeyed = read_to_string(&path).and_then(|order| {
                let (lines, how) = order.split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
                let lines: usize = lines.parse().map_err(io::Error::other)?;
                (next..next + lines).for_each(|number| say(number, how));
                next += lines;
                write(&path, DONE)
            });
            if obeyed.is_err() {
                return;
            }
        }
    });
}

/// Says a line with this number: on stdout "out N", on stderr "err N", in the log "record N" where `how` is
/// "all"; with "log" in that alone.
fn say(number: usize, how: &str) {
    if how == "all" {
        println!("out {number}");
        // At once: its language writes the parts of a line one by one, and a record may come between.
        let _unread = io::stderr().write_all(format!("err {number}\n").as_bytes());
    }
    tracing::info!("record {number}");
}
