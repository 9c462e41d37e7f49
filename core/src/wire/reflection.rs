//! Packages `grpc.reflection.v1` and `grpc.reflection.v1alpha`: what a server serves.
//!
//! The two differ in nothing but the package, so one set of messages does for both.

use super::generated::descriptors;
use crate::rpc::{MethodDescriptor, MethodKind, ServiceDescriptor};

pub use super::generated::reflection::*;

/// Tells what a server serves.
pub const V1: ServiceDescriptor = ServiceDescriptor {
    name: "grpc.reflection.v1.ServerReflection",
    methods: &[MethodDescriptor {
        name: "ServerReflectionInfo",
        path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        kind: MethodKind::Bidirectional,
    }],
    file_descriptor_set: descriptors::REFLECTION_V1,
};

/// The same under its older name.
pub const V1ALPHA: ServiceDescriptor = ServiceDescriptor {
    name: "grpc.reflection.v1alpha.ServerReflection",
    methods: &[MethodDescriptor {
        name: "ServerReflectionInfo",
        path: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        kind: MethodKind::Bidirectional,
    }],
    file_descriptor_set: descriptors::REFLECTION_V1ALPHA,
};

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::server_reflection_request::MessageRequest;
    use super::server_reflection_response::MessageResponse;
    use super::*;

    #[test]
    fn questions_have_the_numbers_of_the_protocol() {
        let tag = |question| {
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(question),
            };
            request.encode_to_vec()[0] >> 3
        };
        let text = || "x".to_owned();
        assert_eq!(tag(MessageRequest::FileByFilename(text())), 3);
        assert_eq!(tag(MessageRequest::FileContainingSymbol(text())), 4);
        let extension = ExtensionRequest::default();
        assert_eq!(tag(MessageRequest::FileContainingExtension(extension)), 5);
        assert_eq!(tag(MessageRequest::AllExtensionNumbersOfType(text())), 6);
        assert_eq!(tag(MessageRequest::ListServices(text())), 7);
    }

    #[test]
    fn answers_have_the_numbers_of_the_protocol() {
        let tag = |answer| {
            let response = ServerReflectionResponse {
                message_response: Some(answer),
                ..ServerReflectionResponse::default()
            };
            response.encode_to_vec()[0] >> 3
        };
        let files = FileDescriptorResponse::default();
        assert_eq!(tag(MessageResponse::FileDescriptorResponse(files)), 4);
        let numbers = ExtensionNumberResponse::default();
        assert_eq!(
            tag(MessageResponse::AllExtensionNumbersResponse(numbers)),
            5
        );
        let services = ListServiceResponse::default();
        assert_eq!(tag(MessageResponse::ListServicesResponse(services)), 6);
        let error = ErrorResponse::default();
        assert_eq!(tag(MessageResponse::ErrorResponse(error)), 7);
    }
}
