//! Package `outboard.log`: what a host wants its plugin to log. Beyond go-plugin's own.

use super::generated::descriptors;
use crate::rpc::{MethodDescriptor, MethodKind, ServiceDescriptor};

pub use super::generated::log_level::*;

/// Changes the level from which on a plugin logs. A plugin that does not have it answers UNIMPLEMENTED.
pub const LOG_LEVEL: ServiceDescriptor = ServiceDescriptor {
    name: "outboard.log.LogLevel",
    methods: &[MethodDescriptor {
        name: "Set",
        path: "/outboard.log.LogLevel/Set",
        kind: MethodKind::Unary,
    }],
    file_descriptor_set: descriptors::LOG_LEVEL,
};
