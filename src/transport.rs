//! What is behind a [`Transport`](crate::Transport), for those who wrap one or look into a
//! [`Channel`](crate::Channel). Whoever writes one builds it on `outboard-core`, which has the
//! routing, the deadlines and the panics of handlers.

pub use outboard_core::rpc::{
    CallFailure, Connection, ConnectionConfig, DispenseFailure, LostHook, Pace, Route,
    ServerConfig, Serving, SubChannels, Untaken,
};
pub use outboard_core::turn::Turn;
#[cfg(feature = "stdio")]
pub use outboard_transport_stdio::wire::{MuxConfig, Settings};
