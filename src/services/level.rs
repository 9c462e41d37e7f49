//! `outboard.log.LogLevel`: what the host wants to be logged, while the plugin runs.

use bytes::Bytes;
use outboard_core::hclog::Level;
use outboard_core::rpc::{Call, CallContext, Service, ServiceDescriptor, Status};
use outboard_core::wire::log_level::{LOG_LEVEL, LevelSet, WantedLevel};

use crate::codegen::{Prost, StreamAnswer, UnaryAnswer, no_such_method, serve_unary};
use crate::log::level::Follower;

pub(super) struct LogLevel(Follower);

impl LogLevel {
    pub(super) fn new(follower: Follower) -> Self {
        Self(follower)
    }
}

impl Service for LogLevel {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &LOG_LEVEL
    }

    fn unary(&self, _method: usize, context: CallContext, message: Bytes) -> UnaryAnswer {
        let follower = self.0.clone();
        serve_unary(Prost, context, message, |wanted: WantedLevel| async move {
            let level = Level::from_name(&wanted.level).ok_or_else(|| {
                let found: String = wanted.level.chars().take(16).collect();
                Status::invalid_argument(format!(
                    "no log level is called {found:?}; expected trace, debug, info, warn or error"
                ))
            })?;
            let followed = follower.tell(level);
            Ok(LevelSet { followed })
        })
    }

    fn streaming(&self, method: usize, _: CallContext, _: Box<dyn Call>) -> StreamAnswer {
        no_such_method(&LOG_LEVEL, method)
    }
}
