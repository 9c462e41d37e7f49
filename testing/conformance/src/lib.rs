//! What the two sides of the conformance suite share: the axes it runs along and the service that
//! they poke each other with. The cases are in `tests/conformance`.
#![cfg(unix)]

pub mod activate;
pub mod axes;
pub mod blocking;
pub mod cut;
pub mod end;
pub mod fork;
pub mod orders;
pub mod probe;
pub mod process;
#[allow(missing_docs)]
pub mod proto;
pub mod sigpipe;
pub mod watched;

use outboard::Handshake;

/// The handshake of all hosts and plugins of the suite.
pub const HANDSHAKE: Handshake = Handshake::new(1, "SUITE_COOKIE", "a plugin of the suite");

/// Bounds what sleeps on purpose, so that a test that fails to kill it leaves nothing behind for good.
pub const FOREVER: std::time::Duration = std::time::Duration::from_secs(600);

/// The name under which the probe is dispensed.
pub const PROBE: &str = "probe";

/// The name under which the process service is dispensed.
pub const PROCESS: &str = "process";

/// What go-plugin's hosts ask the health service about.
pub const HEALTH_NAME: &str = "plugin";
