//! The plugin's side: reading what the host set.

use std::ffi::OsString;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};

use super::{
    CLIENT_CERT, MAX_PORT, MIN_PORT, MULTIPLEX_GRPC, OUTBOARD_LOG_LEVEL, OUTBOARD_OUTPUT_DIR,
    OUTBOARD_TRANSPORTS, PROTOCOL_VERSIONS, UNIX_SOCKET_DIR, UNIX_SOCKET_GROUP,
};
use crate::handshake::{Handshake, MisconfiguredHandshake, Protocol};
use crate::hclog::Level;
use crate::text::{excerpt, parse_go_bool};
use crate::version::Offered;

/// How much of a bad value an error quotes, in bytes.
const QUOTED: usize = 64;

/// What a host told its plugin through the environment. Missing and empty are the same for every
/// variable, as they are for Go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginEnv {
    offered: Offered,
    min_port: Option<String>,
    max_port: Option<String>,
    multiplex: Option<String>,
    client_cert: Option<String>,
    socket_group: Option<SocketGroup>,
    socket_dir: Option<PathBuf>,
    transports: Vec<Protocol>,
    output_dir: Option<PathBuf>,
    log_level: Option<Level>,
}

impl PluginEnv {
    /// Checks the cookie, then reads everything else. `lookup` gives a variable's value;
    /// `std::env::var_os` does.
    ///
    /// # Errors
    /// [`CookieError`]: print it to stderr and exit with [`CookieError::EXIT_CODE`], with nothing
    /// on stdout.
    pub fn read(
        handshake: &Handshake,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, CookieError> {
        handshake.check().map_err(CookieError::Misconfigured)?;
        let found = lookup(handshake.cookie_key());
        if found.is_none_or(|found| found != handshake.cookie_value()) {
            return Err(CookieError::NotLaunchedByHost);
        }
        Ok(Self::read_without_cookie(lookup))
    }

    /// Reads everything but the cookie: for plugins served inside a test, which nobody launched.
    #[must_use]
    pub fn read_without_cookie(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let os = |name| lookup(name).filter(|value| !value.is_empty());
        let text = |name| os(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            offered: Offered::parse(text(PROTOCOL_VERSIONS).as_deref()),
            min_port: text(MIN_PORT),
            max_port: text(MAX_PORT),
            multiplex: text(MULTIPLEX_GRPC),
            client_cert: text(CLIENT_CERT),
            socket_group: text(UNIX_SOCKET_GROUP).map(SocketGroup::from),
            socket_dir: os(UNIX_SOCKET_DIR).map(PathBuf::from),
            transports: text(OUTBOARD_TRANSPORTS)
                .map(|list| parse_transports(&list))
                .unwrap_or_default(),
            output_dir: os(OUTBOARD_OUTPUT_DIR).map(PathBuf::from),
            log_level: text(OUTBOARD_LOG_LEVEL).and_then(|name| Level::from_name(&name)),
        }
    }

    /// The versions the host offers.
    #[must_use]
    pub fn offered(&self) -> &Offered {
        &self.offered
    }

    /// One line for the log if the host offers items that are not integers.
    ///
    /// go-plugin prints this to stderr without a line break, which spoils the log line that
    /// follows; emit it as a log line of its own.
    #[must_use]
    pub fn invalid_note(&self) -> Option<String> {
        let invalid = self.offered.invalid();
        if invalid.is_empty() {
            return None;
        }
        Some(format!(
            "{PROTOCOL_VERSIONS} holds items that are not decimal integers, ignoring them: {invalid:?}"
        ))
    }

    /// The ports a plugin that listens on TCP may use. Others need not ask.
    ///
    /// # Errors
    /// [`PortError`] says which variable is wrong.
    pub fn ports(&self) -> Result<Ports, PortError> {
        let port = |variable, value: &Option<String>| {
            let Some(value) = value else { return Ok(0) };
            value.parse::<u16>().map_err(|source| PortError::NotAPort {
                variable,
                found: excerpt(value.as_bytes(), QUOTED),
                source,
            })
        };
        let (min, max) = (
            port(MIN_PORT, &self.min_port)?,
            port(MAX_PORT, &self.max_port)?,
        );
        match (min, max) {
            (0, 0) => Ok(Ports::Any),
            (min, max) if min > max => Err(PortError::EmptyRange { min, max }),
            (min, max) => Ok(Ports::Range { min, max }),
        }
    }

    /// Whether the host mentioned multiplexing at all, with whatever value: then, and only then,
    /// the handshake line has its seventh field.
    #[must_use]
    pub fn multiplexing_mentioned(&self) -> bool {
        self.multiplex.is_some()
    }

    /// Whether a plugin that serves `protocol` must multiplex.
    #[must_use]
    pub fn multiplexing_active(&self, protocol: Protocol) -> bool {
        protocol.multiplexes() && self.multiplex.as_deref().and_then(parse_go_bool) == Some(true)
    }

    /// The host's certificate, PEM, if TLS certificates are to be exchanged.
    #[must_use]
    pub fn client_cert(&self) -> Option<&str> {
        self.client_cert.as_deref()
    }

    /// The group that must be able to connect to the plugin's sockets.
    #[must_use]
    pub fn socket_group(&self) -> Option<&SocketGroup> {
        self.socket_group.as_ref()
    }

    /// The directory for the plugin's sockets; else the system's directory for temporary files.
    #[must_use]
    pub fn socket_dir(&self) -> Option<&Path> {
        self.socket_dir.as_deref()
    }

    /// Protocols the host offers in outboard's own way, best first; unknown names are left out.
    #[must_use]
    pub fn transports(&self) -> &[Protocol] {
        &self.transports
    }

    /// The directory with the pipes from which the host reads what the program prints, if it does:
    /// [`OUTPUT_STDOUT`](super::OUTPUT_STDOUT) and [`OUTPUT_STDERR`](super::OUTPUT_STDERR).
    #[must_use]
    pub fn output_dir(&self) -> Option<&Path> {
        self.output_dir.as_deref()
    }

    /// The level from which on the host wants the plugin to log, if it told one that there is.
    #[must_use]
    pub fn log_level(&self) -> Option<Level> {
        self.log_level
    }

    /// The names to remove from the environment of the programs that a plugin starts, so that they
    /// do not take the values for theirs.
    pub fn names_to_remove(handshake: &Handshake) -> impl Iterator<Item = &'static str> + use<> {
        super::ALL
            .into_iter()
            .chain(std::iter::once(handshake.cookie_key()))
    }
}

fn parse_transports(list: &str) -> Vec<Protocol> {
    let mut transports = Vec::new();
    for protocol in list.split(',').filter_map(|item| item.trim().parse().ok()) {
        if !transports.contains(&protocol) {
            transports.push(protocol);
        }
    }
    transports
}

/// Why a plugin refuses to run. The text is meant for a person at a terminal.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The plugin's author gave it no usable cookie.
    #[error(
        "This plugin is misconfigured: {0}.\n\
         This is a bug in the plugin. Please tell its author."
    )]
    Misconfigured(MisconfiguredHandshake),
    /// Nobody launched it as a plugin: the cookie is missing or another one.
    #[error(
        "This program is a plugin and does nothing on its own.\n\
         It is not meant to be run by hand.\n\
         Run the program that uses this kind of plugin; it will load this one by itself."
    )]
    NotLaunchedByHost,
}

impl CookieError {
    /// The status a plugin exits with, as go-plugin's do.
    pub const EXIT_CODE: i32 = 1;
}

/// Which ports a plugin may listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ports {
    /// Whatever the system gives (port 0).
    Any,
    /// The first that can be bound of these, both ends included.
    Range {
        /// The first to try.
        min: u16,
        /// The last to try.
        max: u16,
    },
}

impl Ports {
    /// The ports to try, in order; 0 stands for the system's choice.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        match self {
            Self::Any => 0..=0,
            Self::Range { min, max } => min..=max,
        }
    }
}

/// Why the host's port range is unusable.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// A value that is not a port number.
    #[error("expected a port number from 0 to 65535 in {variable}, found {found:?}")]
    NotAPort {
        /// The variable.
        variable: &'static str,
        /// Its value, shortened.
        found: String,
        /// What is wrong with it.
        source: ParseIntError,
    },
    /// The lowest port is above the highest.
    #[error(
        "{MIN_PORT} is {min} and above {MAX_PORT}, which is {max}; set both in the host, or neither"
    )]
    EmptyRange {
        /// The lowest port.
        min: u16,
        /// The highest port; 0 if it was not set.
        max: u16,
    },
}

/// A group: by number if the value is one, else by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketGroup {
    /// Its gid.
    Id(u32),
    /// Its name, to be looked up.
    Name(String),
}

impl From<String> for SocketGroup {
    fn from(value: String) -> Self {
        match value.parse() {
            Ok(gid) => Self::Id(gid),
            Err(_) => Self::Name(value),
        }
    }
}

impl std::fmt::Display for SocketGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(gid) => gid.fmt(f),
            Self::Name(name) => f.pad(name),
        }
    }
}

#[cfg(test)]
#[path = "plugin_tests.rs"]
mod tests;
