//! What a transport offers and what generated code asks for: the call model shared by gRPC over
//! HTTP/2, frames over pipes and whatever comes next. Traits and plain data; no transport is in
//! here.
//!
//! A *message* is the encoded bytes of one protobuf (or other) message. A *call* has a
//! [`CallHead`], messages in both directions, and ends in a [`Status`]. Of the four kinds
//! ([`MethodKind`]), unary has a path of its own everywhere ([`Connection::unary`],
//! [`Service::unary`]): it is what most calls are, and the place where microseconds count. The
//! three streaming kinds share one shape: a stream of messages each way.

mod call;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod calling;
mod channel;
mod codec;
mod explain;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod guard;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod keepalive;
pub mod limits;
mod message;
mod metadata;
mod pace;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod pump;
mod router;
mod service;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
pub mod serving;
mod single;
#[allow(clippy::exhaustive_enums, clippy::exhaustive_structs)]
mod size;
mod spin;
mod status;
mod streaming;
mod transport;

pub use self::call::{Call, CallHead, MessageStream, Reply, ended_call, single_request};
pub use self::channel::{CallOptions, Channel};
pub use self::codec::{Codec, DecodeError, Prost};
pub use self::explain::Explaining;
pub use self::keepalive::{Keepalive, KeepaliveAction, KeepaliveTimer};
pub use self::message::OutMessage;
pub use self::metadata::{Metadata, MetadataError, MetadataValue};
pub use self::pace::Pace;
pub use self::pump::{Gone, Outlet, Pump, Pumped};
pub use self::router::{DuplicateService, Route, Router, is_common};
pub use self::service::{
    CallContext, Extensions, MethodDescriptor, MethodKind, Service, ServiceDescriptor, StreamReply,
};
pub use self::single::Single;
pub use self::size::{Side, SizeLimit, TooLarge};
pub use self::spin::Spin;
pub use self::status::{Code, Status};
pub use self::streaming::{StreamSender, Streaming};
pub use self::transport::{
    CallFailure, Connection, ConnectionConfig, DEFAULT_MAX_MESSAGE_SIZE, DispenseFailure, LostHook,
    ServerConfig, Serving, SubChannels, Transport, Untaken,
};
