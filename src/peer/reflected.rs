//! What a server says it serves, by gRPC's reflection.

use outboard_core::rpc::{Channel, Code, Status, Streaming, is_common};
use outboard_core::wire::reflection::server_reflection_request::MessageRequest;
use outboard_core::wire::reflection::server_reflection_response::MessageResponse;
use outboard_core::wire::reflection::{
    ServerReflectionRequest, ServerReflectionResponse, V1, V1ALPHA,
};

use crate::codegen::{Prost, call_bidirectional};

/// The names of the services that are the plugin's own, sorted.
///
/// # Errors
/// The call's status: `UNIMPLEMENTED` where there is no reflection.
pub(super) async fn interfaces(channel: &Channel) -> Result<Vec<String>, Status> {
    let listed = match list(channel, V1.methods[0].path).await {
        // Servers of some years ago have it under its older name alone.
        Err(status) if status.code() == Code::Unimplemented => {
            list(channel, V1ALPHA.methods[0].path).await
        }
        listed => listed,
    };
    let mut names = listed?;
    names.retain(|name| !is_common(name));
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

async fn list(channel: &Channel, path: &'static str) -> Result<Vec<String>, Status> {
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers: Streaming<ServerReflectionResponse> =
        call_bidirectional(Prost, channel, path, Streaming::iter([question]));
    let answer = answers.message().await?;
    match answer.and_then(|answer| answer.message_response) {
        Some(MessageResponse::ListServicesResponse(list)) => Ok(list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect()),
        Some(MessageResponse::ErrorResponse(error)) => Err(Status::new(
            Code::from_number(error.error_code.unsigned_abs()),
            format!(
                "the plugin's reflection refused to list its services: {}",
                error.error_message
            ),
        )),
        _ => Err(Status::internal(
            "the plugin's reflection answered a request for its services with something else",
        )),
    }
}
