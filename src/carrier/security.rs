//! What keeps a stream private: nothing, or TLS.

#[cfg(feature = "tls")]
use std::error::Error;
use std::fmt;
use std::sync::Arc;
#[cfg(feature = "tls")]
use std::{io, time::Duration};

#[cfg(feature = "tls")]
use futures_util::future::{Either, select};
use outboard_core::fault::Fault;
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::tls::TlsFault;
#[cfg(feature = "tls")]
use outboard_core::tls::TlsReason;
#[cfg(feature = "tls")]
use outboard_tls::{Tls, TlsError};

use super::accept::Prepare;
use super::clear::Clear;
use super::layers::Layers;

/// How long the calling side gives the two for their handshake: the accepting side's limit, and far
/// more than a busy machine takes. (A choice.)
#[cfg(feature = "tls")]
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How the streams between the two sides are secured, in either role. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Security {
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

#[cfg(feature = "tls")]
impl From<Tls> for Security {
    fn from(tls: Tls) -> Self {
        Self { tls: Some(tls) }
    }
}

impl Security {
    /// Whether streams are encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Becomes the calling side of a stream, on which `alpn` is agreed on.
    pub(super) fn connect(
        &self,
        runtime: &SharedRuntime,
        io: BoxByteStream,
        alpn: Option<&'static str>,
    ) -> BoxFuture<'static, Result<BoxByteStream, TlsFault>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let handshake = tls.connect(io, alpn);
            let limit = crate::time::sleep(runtime, HANDSHAKE_WITHIN);
            return Box::pin(async move {
                match select(handshake, limit).await {
                    Either::Left((Ok(io), _)) => Ok(io),
                    Either::Left((Err(error), _)) => Err(fault(&error)),
                    Either::Right(((), _)) => {
                        let late = Fault::new(
                            io::ErrorKind::TimedOut,
                            format_args!(
                                "the TLS handshake did not end within {HANDSHAKE_WITHIN:?}: the \
                                 other side may not speak TLS"
                            ),
                        );
                        Err(TlsFault::new(TlsReason::TimedOut, late))
                    }
                }
            });
        }
        let _unused = (runtime, alpn);
        Box::pin(std::future::ready(Ok(Clear::over(io))))
    }

    /// Whether this side has what it takes to accept streams, to be asked before it says that it does.
    ///
    /// # Errors
    /// If it has not.
    pub(crate) fn can_accept(&self) -> Result<(), Fault> {
        #[cfg(feature = "tls")]
        if self.tls.as_ref().is_some_and(|tls| !tls.can_accept()) {
            return Err(Fault::other(TlsError::NoServerConfig));
        }
        Ok(())
    }

    /// What is done with connections that a socket accepts; `None` if they are ready as they come.
    pub(crate) fn of_connections(&self, layers: Layers) -> Option<Arc<dyn Prepare>> {
        self.accept(layers).filter(|_| layers.secure_connections())
    }

    /// The same of the streams that a transport is over, where they come about.
    pub(crate) fn of_streams(&self, layers: Layers) -> Option<Arc<dyn Prepare>> {
        self.accept(layers).filter(|_| layers.secure_streams())
    }

    fn accept(&self, layers: Layers) -> Option<Arc<dyn Prepare>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Some(Arc::new(Handshake(tls.clone(), layers.alpn())));
        }
        let _unused = layers;
        None
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("secure", &self.is_secure())
            .finish()
    }
}

/// The accepting side of TLS.
#[cfg(feature = "tls")]
#[derive(Debug)]
struct Handshake(Tls, Option<&'static str>);

#[cfg(feature = "tls")]
impl Prepare for Handshake {
    fn prepare(&self, io: BoxByteStream) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        let handshake = self.0.accept(io, self.1);
        Box::pin(async move {
            handshake.await.map_err(|error| {
                let error: Box<dyn Error + Send + Sync> = Box::new(error);
                io::Error::other(error)
            })
        })
    }
}

/// What an error of TLS is to those who do not have it.
#[cfg(feature = "tls")]
pub(crate) fn fault(error: &TlsError) -> TlsFault {
    let reason = match error {
        TlsError::NotACertificate { .. } => TlsReason::NotACertificate,
        TlsError::OtherCertificate => TlsReason::OtherCertificate,
        TlsError::WrongKey => TlsReason::WrongKey,
        TlsError::PeerShowedNone => TlsReason::NoCertificate,
        TlsError::Expired => TlsReason::Expired,
        TlsError::NotYetValid => TlsReason::NotYetValid,
        TlsError::NotTrusted(_) => TlsReason::NotTrusted,
        TlsError::NoProtocol { .. } => TlsReason::NoProtocol,
        TlsError::NotTls { .. } => TlsReason::NotTls,
        TlsError::Refused { .. } => TlsReason::Refused,
        TlsError::Ended { .. } | TlsError::Truncated => TlsReason::Ended,
        _ => TlsReason::Other,
    };
    TlsFault::new(reason, Fault::other(crate::text::chain(error)))
}
