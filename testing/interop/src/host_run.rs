//! Running the Go host.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;

use crate::{GoPeers, toolchain::run_to_end};

/// One run of the Go host against a plugin.
#[derive(Debug)]
pub struct HostRun {
    command: Command,
    plugin: Vec<OsString>,
}

/// What the Go host found.
#[derive(Debug)]
pub struct Report {
    /// The JSON object that it printed.
    pub found: Value,
    /// Everything that it printed on stderr.
    pub stderr: String,
}

impl HostRun {
    /// A run that starts `plugin`: a program and its arguments.
    #[must_use]
    pub fn new(peers: &GoPeers, plugin: &[OsString]) -> Self {
        Self {
            command: Command::new(&peers.host),
            plugin: plugin.to_vec(),
        }
    }

    /// Adds a flag of the host, for example `-versions=2,3`.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.command.arg(flag);
        self
    }

    /// Sets the working directory of the plugin.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.arg("-dir").arg(dir);
        self
    }

    /// Sets a variable of the plugin's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        let mut pair = OsString::from(format!("{name}="));
        pair.push(value.into());
        self.command.arg("-env").arg(pair);
        self
    }

    /// The host's command line for a scenario with `NAME=VALUE` parameters, for
    /// callers that start it themselves.
    #[must_use]
    pub fn command(mut self, scenario: &str, parameters: &[&str]) -> Command {
        self.command
            .arg(scenario)
            .args(parameters)
            .arg("--")
            .args(self.plugin);
        self.command
    }

    /// Runs a scenario and returns the report, whether the scenario held or not.
    ///
    /// # Panics
    /// When the host prints anything but one JSON object.
    #[must_use]
    pub fn report(self, scenario: &str, parameters: &[&str]) -> Report {
        // The host gives up by itself after one minute.
        let limit = Duration::from_secs(120);
        let Output { stdout, stderr, .. } =
            run_to_end(&mut self.command(scenario, parameters), limit);
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        let found = serde_json::from_slice(&stdout).unwrap_or_else(|error| {
            panic!(
                "the Go host's report on {scenario}: {error}\nstdout: {}\nstderr: {stderr}",
                String::from_utf8_lossy(&stdout)
            )
        });
        Report { found, stderr }
    }

    /// Runs a scenario that must hold, and returns its findings.
    ///
    /// # Panics
    /// When it does not hold; the message has the whole report.
    #[must_use]
    pub fn expect(self, scenario: &str, parameters: &[&str]) -> Value {
        let Report { found, stderr } = self.report(scenario, parameters);
        assert!(
            found["ok"] == true,
            "scenario {scenario} failed: {found:#}\nstderr: {stderr}"
        );
        found
    }
}
