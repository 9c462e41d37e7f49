//! What a machine and a simulated world are configured with.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outboard_core::env::PluginEnv;
use outboard_core::exit::Exit;
use outboard_core::handshake::{HostExpectation, Protocol};
use outboard_core::host::HostConfig;
use outboard_core::plugin::PluginConfig;

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

pub const SIGKILL: Exit = Exit::Signal {
    signal: 9,
    core_dumped: false,
};

pub const SIGTERM: Exit = Exit::Signal {
    signal: 15,
    core_dumped: false,
};

/// Some time. The tests never look at the real clock again.
pub fn epoch() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a clock needs a beginning")]
    Instant::now()
}

pub fn host_config() -> HostConfig {
    HostConfig::new(HostExpectation::new([1]).allowing([Protocol::Grpc, Protocol::Stdio]))
}

pub fn plugin_config(variables: &[(&str, &str)]) -> PluginConfig {
    let lookup = |name: &str| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).into())
    };
    let versions = BTreeMap::from([(1, vec![Protocol::Grpc, Protocol::Stdio])]);
    PluginConfig::new(PluginEnv::read_without_cookie(lookup), versions)
}

/// What the launched program is and how the world treats it.
#[derive(Clone, Debug)]
pub struct World {
    pub latency: Duration,
    /// `None`: it is the plugin machine. Else it prints these bytes at these times.
    pub prints: Option<Vec<(Duration, &'static str)>>,
    /// It ends by itself so long after its launch.
    pub ends: Option<(Duration, Exit)>,
    pub launch_fails: bool,
    pub never_launches: bool,
    pub connect_fails: bool,
    pub never_connects: bool,
    pub ignores_shutdown: bool,
    /// The plugin dies before its answer to the shutdown call is out.
    pub loses_answer: bool,
    /// A SIGTERM does not end it.
    pub ignores_terminate: bool,
    /// Nobody can send it one.
    pub cannot_be_told: bool,
    pub unkillable: bool,
    /// Something it started holds its pipes open for ever.
    pub grandchild: bool,
    /// What it prints comes on pipes of its own.
    pub direct_output: bool,
    /// How long its calls in flight last when it is asked to drain.
    pub drain_takes: Duration,
    pub listen_fails: bool,
    pub stdout_broken: bool,
    /// Its output comes in pieces of this many bytes.
    pub chunk: usize,
}

impl Default for World {
    fn default() -> Self {
        Self {
            latency: MS,
            prints: None,
            ends: None,
            launch_fails: false,
            never_launches: false,
            connect_fails: false,
            never_connects: false,
            ignores_shutdown: false,
            loses_answer: false,
            ignores_terminate: false,
            cannot_be_told: false,
            unkillable: false,
            grandchild: false,
            direct_output: false,
            drain_takes: Duration::ZERO,
            listen_fails: false,
            stdout_broken: false,
            chunk: usize::MAX,
        }
    }
}

/// A program that prints once and then lives until it is killed.
pub fn printing(text: &'static str) -> World {
    World {
        prints: Some(vec![(MS, text)]),
        ..World::default()
    }
}
