//! What errors are made of: causes, and what was seen. The errors themselves are at the root of the
//! crate, beside what returns them.

pub use outboard_core::broker::BrokerError as BrokerFailure;
pub use outboard_core::checksum::{FileDigestError, Mismatch, Mistake, TextEncoding};
pub use outboard_core::diagnose::{
    ClosedDir, Contents, Executable, FileKind, Foreign, Format, Id, Ids, Notes, Script,
};
pub use outboard_core::env::{CookieError, PortError, Ports};
pub use outboard_core::fault::Fault;
pub use outboard_core::handshake::{
    CertificateError, HandshakeError, Location, MultiplexingRefusal, Refusal, StrayEnd,
};
pub use outboard_core::host::Hint;
pub use outboard_core::version::IncompatibleVersion;
