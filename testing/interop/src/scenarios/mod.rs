//! What is expected of a plugin under the Go host, whatever its language.
//!
//! Each function starts the plugin anew, has the Go host run one scenario and
//! asserts on the findings; each panics when an expectation is not met. The
//! plugin takes the modes of `go-plugin-peer` as its arguments.

use std::ffi::OsString;

use serde_json::Value;

use crate::{GoPeers, HostRun};

pub mod calls;
pub mod life;
pub mod output;
pub mod services;
pub mod tls;

/// The plugin under test.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The Go host that drives it.
    pub peers: &'a GoPeers,
    /// The command of the plugin; a mode is appended.
    pub command: Vec<OsString>,
    /// What its plain KV adds below a stored value.
    pub put_note: &'static str,
}

impl<'a> Subject<'a> {
    /// The Go plugin.
    #[must_use]
    pub fn go(peers: &'a GoPeers) -> Self {
        Self {
            peers,
            command: vec![peers.plugin.clone().into()],
            put_note: "\n\nWritten from plugin-go-grpc",
        }
    }

    /// Whether it is the Go plugin.
    #[must_use]
    pub fn is_go(&self) -> bool {
        self.command.first().map(OsString::as_os_str) == Some(self.peers.plugin.as_os_str())
    }

    /// The same driver with the plugin of this command.
    #[must_use]
    pub fn with_command(self, command: Vec<OsString>) -> Self {
        Self { command, ..self }
    }

    /// A run of the Go host on this plugin in a mode (and its arguments).
    #[must_use]
    pub fn run(&self, mode: &[&str]) -> HostRun {
        let mut command = self.command.clone();
        command.extend(mode.iter().map(OsString::from));
        HostRun::new(self.peers, &command)
    }
}

/// The plugin ended by itself when it was asked to.
#[track_caller]
fn assert_ended_gracefully(found: &Value) {
    let kill = &found["kill"];
    assert_eq!(kill["exited"], true, "{found:#}");
    assert_eq!(
        kill["forced"], false,
        "the host had to use force: {found:#}"
    );
}

/// The records of a list that have a level, in order.
fn with_level<'v>(records: &'v Value, level: &str) -> Vec<&'v Value> {
    records
        .as_array()
        .into_iter()
        .flatten()
        .filter(|record| record["@level"] == level)
        .collect()
}
