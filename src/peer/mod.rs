//! What is spoken to a plugin beside its interfaces: what it prints, whether it is well, its end, the
//! broker's control. Each protocol that has a way of its own for that is a file here.

mod grpc;
mod health;
mod level;
#[cfg(feature = "netrpc")]
mod netrpc;
mod reflected;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use outboard_core::backlog::Source;
use outboard_core::handshake::Protocol;
use outboard_core::hclog::Level;
use outboard_core::rpc::{Channel, Connection, DispenseFailure, Status, Streaming};
use outboard_core::rt::BoxFuture;
use outboard_core::wire::plugin::ConnInfo;

pub use self::health::Health;
pub use self::level::LevelAnswer;

use crate::client::Dispensed;

/// What a plugin prints, and may log, in pieces.
pub(crate) type Output = Pin<Box<dyn Stream<Item = Result<(Source, Bytes), Status>> + Send>>;

/// What a plugin says by itself of whether it takes calls.
pub(crate) type Watched = Pin<Box<dyn Stream<Item = Result<Health, Status>> + Send>>;

/// What came of asking a plugin to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It was asked: go-plugin's plugins die before they answer, so any outcome but one is this.
    Yes,
    /// It has nothing that could be asked.
    Unsupported,
}

/// The way of one protocol.
pub(crate) trait Peer: Send + Sync + fmt::Debug + 'static {
    /// What the plugin called `plugin` prints, over `on`, to its end. With `log` also what it logs and
    /// nobody reads elsewhere, told apart from that where the protocol and the plugin can; else it is on stderr.
    fn output(&self, plugin: &str, on: &Channel, log: bool) -> Output;

    /// Whether the plugin takes calls.
    fn health(&self, on: &Channel) -> BoxFuture<'static, Result<Health, Status>>;

    /// Whether the plugin takes calls, each time that changes. It ends, or fails, where the plugin does not
    /// tell.
    fn watch(&self, on: &Channel) -> Watched;

    /// The names of what the plugin says it provides, beside what all plugins have, sorted.
    fn interfaces(&self, on: &Channel) -> BoxFuture<'static, Result<Vec<String>, Status>>;

    /// Has the plugin log from this level on.
    fn set_log_level(
        &self,
        on: &Channel,
        level: Level,
    ) -> BoxFuture<'static, Result<LevelAnswer, Status>>;

    /// Asks the plugin to end. It does not wait for a stream that calls hold.
    fn shutdown(&self, on: &Channel) -> BoxFuture<'static, Asked>;

    /// Opens the broker's control, over which both sides announce what they serve.
    fn control(&self, on: &Channel, outgoing: Streaming<ConnInfo>) -> Streaming<ConnInfo>;

    /// What the plugin provides under `name`.
    ///
    /// # Errors
    /// The plugin's refusal, where the protocol knows the name. In gRPC it never travels; over stdio the
    /// plugin tells all its names. In both, all that a plugin provides shares one connection. In net/rpc
    /// the plugin makes an instance.
    fn dispense(
        &self,
        connection: &Arc<dyn Connection>,
        name: &str,
    ) -> BoxFuture<'static, Result<Dispensed, DispenseFailure>>;
}

/// The way of `protocol`.
pub(crate) fn of(protocol: Protocol) -> &'static dyn Peer {
    match protocol {
        #[cfg(feature = "netrpc")]
        Protocol::NetRpc => &netrpc::NetRpc,
        // Over stdio the same services are called as over gRPC.
        _ => &grpc::Grpc,
    }
}

#[cfg(all(test, feature = "log"))]
pub(crate) use self::grpc::printed;
