//! The host's side: the variables it sets, and how they join the others.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::{
    CLIENT_CERT, MAX_PORT, MIN_PORT, MULTIPLEX_GRPC, OUTBOARD_LOG_LEVEL, OUTBOARD_OUTPUT_DIR,
    OUTBOARD_TRANSPORTS, PROTOCOL_VERSIONS, SocketGroup, UNIX_SOCKET_DIR, UNIX_SOCKET_GROUP,
};
use crate::handshake::{Handshake, Protocol};
use crate::hclog::Level;

/// The port range when none is configured, as go-plugin's hosts send it.
const DEFAULT_PORTS: (u16, u16) = (10_000, 25_000);

/// The variables a host sets for one plugin.
///
/// The cookie, both ports and the version list are always set. The others appear only when their
/// feature is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEnv {
    handshake: Handshake,
    ports: (u16, u16),
    versions: Vec<i64>,
    multiplexing: bool,
    client_cert: Option<String>,
    socket_group: Option<SocketGroup>,
    socket_dir: Option<PathBuf>,
    transports: Vec<Protocol>,
    output_dir: Option<PathBuf>,
    log_level: Option<Level>,
}

impl HostEnv {
    /// Starts with the cookie and no version. Whether the cookie is usable is told by
    /// [`Handshake::check`].
    #[must_use]
    pub fn new(handshake: Handshake) -> Self {
        Self {
            handshake,
            ports: (0, 0),
            versions: Vec::new(),
            multiplexing: false,
            client_cert: None,
            socket_group: None,
            socket_dir: None,
            transports: Vec::new(),
            output_dir: None,
            log_level: None,
        }
    }

    /// The ports for plugins that listen on TCP. Both 0 means the default, 10000 to 25000. One of
    /// them alone is sent as it is, as go-plugin does; such a plugin then refuses a range whose
    /// end is 0.
    #[must_use]
    pub fn ports(mut self, min: u16, max: u16) -> Self {
        self.ports = (min, max);
        self
    }

    /// The versions of the interfaces the host can use.
    #[must_use]
    pub fn versions(mut self, versions: impl IntoIterator<Item = i64>) -> Self {
        self.versions = versions.into_iter().collect();
        self
    }

    /// Asks for multiplexed brokering.
    #[must_use]
    pub fn multiplexing(mut self, wanted: bool) -> Self {
        self.multiplexing = wanted;
        self
    }

    /// The host's certificate, PEM: turns on the exchange of TLS certificates.
    #[must_use]
    pub fn client_cert(mut self, pem: impl Into<String>) -> Self {
        self.client_cert = Some(pem.into());
        self
    }

    /// The group that may connect to the plugin's sockets.
    #[must_use]
    pub fn socket_group(mut self, group: SocketGroup) -> Self {
        self.socket_group = Some(group);
        self
    }

    /// The directory the plugin puts its sockets in.
    #[must_use]
    pub fn socket_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.socket_dir = Some(dir.into());
        self
    }

    /// Protocols offered in outboard's own way, best first. None, which is the default, leaves the
    /// variable out.
    #[must_use]
    pub fn transports(mut self, transports: impl IntoIterator<Item = Protocol>) -> Self {
        self.transports = transports.into_iter().collect();
        self
    }

    /// The directory with the pipes from which the host reads what the program prints.
    #[must_use]
    pub fn output_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.output_dir = Some(dir.into());
        self
    }

    /// The level from which on the plugin is to log.
    #[must_use]
    pub fn log_level(mut self, level: Level) -> Self {
        self.log_level = Some(level);
        self
    }

    /// What the host sets, and nothing else.
    #[must_use]
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        let (min, max) = match self.ports {
            (0, 0) => DEFAULT_PORTS,
            ports => ports,
        };
        let join = |items: Vec<String>| items.join(",");
        let versions = join(self.versions.iter().map(i64::to_string).collect());

        let mut set = vec![
            (
                self.handshake.cookie_key().into(),
                self.handshake.cookie_value().into(),
            ),
            (MIN_PORT.into(), min.to_string().into()),
            (MAX_PORT.into(), max.to_string().into()),
            (PROTOCOL_VERSIONS.into(), versions.into()),
        ];
        if self.multiplexing {
            set.push((MULTIPLEX_GRPC.into(), "true".into()));
        }
        if let Some(pem) = &self.client_cert {
            set.push((CLIENT_CERT.into(), pem.into()));
        }
        if let Some(group) = &self.socket_group {
            set.push((UNIX_SOCKET_GROUP.into(), group.to_string().into()));
        }
        if let Some(dir) = &self.socket_dir {
            set.push((UNIX_SOCKET_DIR.into(), dir.into()));
        }
        if !self.transports.is_empty() {
            let names = join(self.transports.iter().map(Protocol::to_string).collect());
            set.push((OUTBOARD_TRANSPORTS.into(), names.into()));
        }
        if let Some(dir) = &self.output_dir {
            set.push((OUTBOARD_OUTPUT_DIR.into(), dir.into()));
        }
        if let Some(level) = self.log_level {
            set.push((OUTBOARD_LOG_LEVEL.into(), level.name().into()));
        }
        set
    }

    /// The plugin's whole environment, sorted by name.
    ///
    /// A later one of these wins: the variables put on the command, the host's own environment
    /// (`inherited`, left out with `skip_host_env`), what the host sets. From the inherited part
    /// the variables of [`ALL`](super::ALL) are removed. The command's own are kept: somebody
    /// asked for them.
    #[must_use]
    pub fn merge(
        &self,
        command: impl IntoIterator<Item = (OsString, OsString)>,
        inherited: impl IntoIterator<Item = (OsString, OsString)>,
        skip_host_env: bool,
    ) -> Vec<(OsString, OsString)> {
        let inherited = inherited
            .into_iter()
            .filter(|(name, _)| !skip_host_env && !is_ours(name));
        let merged: BTreeMap<OsString, (OsString, OsString)> = command
            .into_iter()
            .chain(inherited)
            .chain(self.variables())
            .map(|(name, value)| (comparable(&name), (name, value)))
            .collect();
        merged.into_values().collect()
    }
}

fn is_ours(name: &OsStr) -> bool {
    let name = comparable(name);
    super::ALL.iter().any(|ours| name == *ours)
}

/// Names of variables do not depend on case on Windows.
fn comparable(name: &OsStr) -> OsString {
    if cfg!(windows) {
        name.to_ascii_uppercase()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
