//! gRPC's way: services of go-plugin's own, and the standard one for health.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::ready;
use futures_util::stream::{self, TryStreamExt as _};
use outboard_core::backlog::Source;
use outboard_core::hclog::Level;
use outboard_core::rpc::{Channel, Code, Connection, DispenseFailure, Status, Streaming};
use outboard_core::rt::BoxFuture;
use outboard_core::wire::health::{
    CHECK, HEALTH, HealthCheckRequest, HealthCheckResponse, WATCH,
    health_check_response::ServingStatus,
};
use outboard_core::wire::log_level::{LOG_LEVEL, LevelSet, WantedLevel};
use outboard_core::wire::plugin::{
    BROKER, CONTROLLER, ConnInfo, Empty, STDIO, STDIO_LOG, STDIO_LOG_APART, StdioData, stdio_data,
};

use super::{Asked, Health, LevelAnswer, Output, Peer, Watched};
use crate::client::Dispensed;
use crate::codegen::{Prost, call_bidirectional, call_server_streaming};
use crate::services::health::HealthService;

/// How long a plugin may take to say that it has heard of a level. (A choice.)
const LEVEL_SET_WITHIN: Duration = Duration::from_secs(10);

/// What go-plugin's gRPC hosts call.
#[derive(Debug)]
pub(super) struct Grpc;

impl Peer for Grpc {
    fn output(&self, plugin: &str, on: &Channel, log: bool) -> Output {
        let mut head = on.head(STDIO.methods[0].path);
        if log && let Err(error) = head.metadata.insert(STDIO_LOG_APART, "1") {
            return Box::pin(stream::once(ready(Err(Status::internal(
                error.to_string(),
            )))));
        }
        let stream = on.streaming(Prost, head, Streaming::once(Empty {}));
        printed(plugin.to_owned(), stream)
    }

    fn health(&self, on: &Channel) -> BoxFuture<'static, Result<Health, Status>> {
        let channel = on.clone();
        Box::pin(async move {
            let request = HealthCheckRequest {
                service: HealthService::PLUGIN.to_owned(),
            };
            // Calls that take all the room there is do not make a plugin unwell.
            let mut head = channel.head(HEALTH.methods[CHECK].path);
            head.urgent = true;
            let answer = channel.unary::<_, _, HealthCheckResponse>(Prost, head, &request);
            Ok(said(&answer.await?.message))
        })
    }

    fn watch(&self, on: &Channel) -> Watched {
        let request = HealthCheckRequest {
            service: HealthService::PLUGIN.to_owned(),
        };
        let path = HEALTH.methods[WATCH].path;
        let answers: Streaming<HealthCheckResponse> =
            call_server_streaming(Prost, on, path, request);
        Box::pin(answers.map_ok(|answer| said(&answer)))
    }

    fn interfaces(&self, on: &Channel) -> BoxFuture<'static, Result<Vec<String>, Status>> {
        let channel = on.clone();
        Box::pin(async move { super::reflected::interfaces(&channel).await })
    }

    fn set_log_level(
        &self,
        on: &Channel,
        level: Level,
    ) -> BoxFuture<'static, Result<LevelAnswer, Status>> {
        let channel = on.clone();
        Box::pin(async move {
            let wanted = WantedLevel {
                level: level.name().to_owned(),
            };
            // Calls that take all the room there is do not keep it from being told.
            let mut head = channel.head(LOG_LEVEL.methods[0].path);
            head.urgent = true;
            // One that is stopped does not hold up who tells the next.
            head.timeout.get_or_insert(LEVEL_SET_WITHIN);
            let answer = channel.unary::<_, _, LevelSet>(Prost, head, &wanted);
            match answer.await {
                Ok(reply) if reply.message.followed => Ok(LevelAnswer::Followed),
                Ok(_) => Ok(LevelAnswer::NotFollowed),
                Err(status) if status.code() == Code::Unimplemented => Ok(LevelAnswer::Unsupported),
                Err(status) => Err(status),
            }
        })
    }

    fn shutdown(&self, on: &Channel) -> BoxFuture<'static, Asked> {
        let channel = on.clone();
        Box::pin(async move {
            let mut head = channel.head(CONTROLLER.methods[0].path);
            head.urgent = true;
            match channel.unary::<_, _, Empty>(Prost, head, &Empty {}).await {
                Err(status) if status.code() == Code::Unimplemented => Asked::Unsupported,
                Ok(_) | Err(_) => Asked::Yes,
            }
        })
    }

    fn control(&self, on: &Channel, outgoing: Streaming<ConnInfo>) -> Streaming<ConnInfo> {
        call_bidirectional(Prost, on, BROKER.methods[0].path, outgoing)
    }

    fn dispense(
        &self,
        connection: &Arc<dyn Connection>,
        name: &str,
    ) -> BoxFuture<'static, Result<Dispensed, DispenseFailure>> {
        let dispensed = connection.dispense(name);
        let connection = Arc::clone(connection);
        Box::pin(async move {
            let own = dispensed.await?;
            let channel = own.unwrap_or_else(|| Channel::new(connection));
            Ok(Dispensed::Channel(channel))
        })
    }
}

fn said(answer: &HealthCheckResponse) -> Health {
    match answer.status() {
        ServingStatus::Serving => Health::Serving,
        ServingStatus::NotServing => Health::NotServing,
        ServingStatus::Unknown | ServingStatus::ServiceUnknown => Health::Unknown,
    }
}

/// What comes on one stream of the stdio service.
pub(crate) fn printed(plugin: String, stream: Streaming<StdioData>) -> Output {
    Box::pin(stream.try_filter_map(move |data| {
        let on = match data.channel() {
            stdio_data::Channel::Stdout => Some(Source::Stdout),
            stdio_data::Channel::Stderr => Some(Source::Stderr),
            stdio_data::Channel::Invalid if data.channel == STDIO_LOG => Some(Source::Log),
            stdio_data::Channel::Invalid => {
                tracing::warn!(
                    target: "outboard",
                    plugin,
                    channel = data.channel,
                    "the plugin sent output of an unknown channel; it is dropped"
                );
                None
            }
        };
        let piece = on.map(|on| (on, data.data));
        ready(Ok(piece))
    }))
}
