//! A plugin that a test launches itself, without a host.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use outboard_core::handshake::HandshakeLine;

/// A plugin launched by hand, which ends with this.
#[derive(Debug)]
pub struct Launched {
    child: Child,
    /// Where it listens.
    pub socket: PathBuf,
}

impl Launched {
    /// Launches this program with an argument and variables, and gives the line that it prints.
    ///
    /// # Panics
    /// If it prints none.
    #[must_use]
    pub fn new(program: &str, mode: &str, variables: &[(&str, &str)]) -> (Self, HandshakeLine) {
        let mut child = Command::new(program)
            .arg(mode)
            .env("BASIC_PLUGIN", "hello")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a plugin");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut text = String::new();
        let _ = stdout.read_line(&mut text).expect("a line");
        // Its end would be taken for the host's.
        child.stdout = Some(stdout.into_inner());
        let line = HandshakeLine::parse(text.trim_end()).expect("a line");
        let endpoint = line.location().endpoint().expect("an address");
        let socket = endpoint.socket_file().expect("a file").to_owned();
        (Self { child, socket }, line)
    }

    /// Waits until its process has ended.
    ///
    /// # Panics
    /// If that cannot be waited for.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it is a child")
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
