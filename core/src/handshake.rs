//! The handshake line.

/// The protocol a plugin serves, as the fifth field of the handshake line names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// `netrpc`: Go's net/rpc inside yamux; also what a line without the field means.
    NetRpc,
    /// `grpc`: gRPC over HTTP/2.
    Grpc,
    /// `stdio`: outboard's frames over the plugin's stdin and stdout. Only ever announced to a
    /// host that offered it.
    Stdio,
}
