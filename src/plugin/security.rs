//! How a plugin secures the connections with its host.

#[cfg(feature = "tls")]
use std::time::SystemTime;

use outboard_core::env::PluginEnv;
#[cfg(feature = "tls")]
use outboard_tls::{Identity, KeyKind, Pinned, Tls};

use super::ServeError;
use crate::carrier::Security;

/// Makes the TLS of a plugin that has its own.
#[cfg(feature = "tls")]
pub(super) type Provider =
    Box<dyn FnOnce() -> Result<Tls, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// What the plugin's author wants.
#[derive(Default)]
pub(super) struct Wanted {
    #[cfg(feature = "tls")]
    pub(super) key: KeyKind,
    #[cfg(feature = "tls")]
    pub(super) own: Option<Provider>,
}

/// How connections are secured, and the plugin's certificate for its line, DER.
pub(super) type Secured = (Security, Option<Vec<u8>>);

impl Wanted {
    /// What a record of the plugin says of its connections.
    pub(super) fn kind(&self, env: &PluginEnv) -> outboard_core::reattach::Secured {
        use outboard_core::reattach::Secured::{AutoMtls, No};

        #[cfg(feature = "tls")]
        if self.own.is_some() {
            return outboard_core::reattach::Secured::Own;
        }
        if env.client_cert().is_some() {
            AutoMtls
        } else {
            No
        }
    }

    /// What is to be done for the host that launched this: its certificate counts unless the plugin has
    /// TLS of its own, as in go-plugin. Where that cannot be read, Go's plugins go on and refuse every
    /// connection; this one does not start.
    #[cfg(feature = "tls")]
    pub(super) fn answer(self, env: &PluginEnv) -> Result<Secured, ServeError> {
        if let Some(own) = self.own {
            let tls = own().map_err(ServeError::TlsProvider)?;
            return Ok((tls.into(), None));
        }
        let Some(host) = env.client_cert() else {
            return Ok(Secured::default());
        };
        let host = Pinned::from_pem(host).map_err(ServeError::HostCertificate)?;
        let identity = Identity::generate(self.key, SystemTime::now()).map_err(ServeError::Tls)?;
        let tls = Tls::pinned(&identity, &host).map_err(ServeError::Tls)?;
        Ok((tls.into(), Some(identity.der().to_vec())))
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn answer(self, env: &PluginEnv) -> Result<Secured, ServeError> {
        match env.client_cert() {
            Some(_) => Err(ServeError::TlsUnsupported),
            None => Ok(Secured::default()),
        }
    }
}
