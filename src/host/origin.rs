//! How a plugin came to be a host's, and the record of it for other hosts.

use std::fmt;

use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::Protocol;
use outboard_core::reattach::{ReattachConfig, Secured};

use super::security::Secure;

/// Why there is no record of a plugin that another host could attach by.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoRecord {
    /// It talks over its own pipes, which only its parent has.
    #[error("the plugin is connected by its own pipes, which no other host can have")]
    Pipes,
    /// It takes one connection, which is this host's.
    #[error(
        "the plugin multiplexes, and takes no connection but this host's: no other host can attach to \
         it. Start it without Host::multiplex if others are to"
    )]
    Multiplexes,
    /// It is in its host's own process, in memory.
    #[error(
        "the plugin is in this process, and connected in memory, where no other host can reach it"
    )]
    Memory,
    /// It has ended.
    #[error("the plugin has ended")]
    Exited,
}

outboard_core::debug_as_text!(NoRecord);

/// How a plugin came to be this host's, for the record of it.
pub(super) enum Origin {
    /// By this record.
    Attached(ReattachConfig),
    /// It is in this process.
    Memory,
    /// This host has launched it.
    Launched {
        /// Where it listens, as this side calls it.
        endpoint: Option<Endpoint>,
        multiplexes: bool,
        secured: Secured,
        /// The one of its line.
        certificate: Option<Vec<u8>>,
    },
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attached(_) => "Attached",
            Self::Memory => "Memory",
            Self::Launched { .. } => "Launched",
        })
    }
}

impl Origin {
    pub(super) fn record(
        &self,
        protocol: Protocol,
        version: i64,
        process: Option<(String, Option<u32>)>,
    ) -> Result<ReattachConfig, NoRecord> {
        let (endpoint, secured, certificate) = match self {
            Self::Attached(record) => return Ok(record.clone()),
            Self::Memory => return Err(NoRecord::Memory),
            Self::Launched {
                multiplexes: true, ..
            } => return Err(NoRecord::Multiplexes),
            Self::Launched { endpoint: None, .. } => return Err(NoRecord::Pipes),
            Self::Launched {
                endpoint: Some(endpoint),
                secured,
                certificate,
                ..
            } => (endpoint.clone(), *secured, certificate.clone()),
        };
        let mut record = ReattachConfig::new(protocol, endpoint);
        record.version = Some(version);
        let (id, pid) = process.unzip();
        let pid = pid.flatten();
        record.pid = pid;
        record.id = id.filter(|_| pid.is_none());
        record.owner = owner(&record.endpoint);
        record.secured = Some(secured);
        record.certificate = certificate;
        #[cfg(unix)]
        {
            record.started = pid.and_then(outboard_unix::started);
        }
        Ok(record)
    }
}

impl Secure {
    pub(super) fn kind(&self) -> Secured {
        match self {
            Self::Clear => Secured::No,
            #[cfg(feature = "tls")]
            Self::Own(_) => Secured::Own,
            #[cfg(feature = "tls")]
            Self::AutoMtls(_) => Secured::AutoMtls,
        }
    }
}

/// The user to whom a socket belongs, where it has a file.
#[cfg(unix)]
pub(super) fn owner(endpoint: &Endpoint) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata(endpoint.socket_file()?).ok()?;
    Some(meta.uid())
}

#[cfg(not(unix))]
pub(super) fn owner(_: &Endpoint) -> Option<u32> {
    None
}
