//! Package `grpc.health.v1`: whether services answer calls.

use super::generated::descriptors;
use crate::rpc::{MethodDescriptor, MethodKind, ServiceDescriptor};

pub use super::generated::health::*;

/// Tells whether services answer calls. The indexes of its methods: [`CHECK`], [`LIST`],
/// [`WATCH`].
pub const HEALTH: ServiceDescriptor = ServiceDescriptor {
    name: "grpc.health.v1.Health",
    methods: &[
        MethodDescriptor {
            name: "Check",
            path: "/grpc.health.v1.Health/Check",
            kind: MethodKind::Unary,
        },
        MethodDescriptor {
            name: "List",
            path: "/grpc.health.v1.Health/List",
            kind: MethodKind::Unary,
        },
        MethodDescriptor {
            name: "Watch",
            path: "/grpc.health.v1.Health/Watch",
            kind: MethodKind::ServerStreaming,
        },
    ],
    file_descriptor_set: descriptors::HEALTH,
};

/// The index of `Check` in [`HEALTH`].
pub const CHECK: usize = 0;
/// The index of `List` in [`HEALTH`].
pub const LIST: usize = 1;
/// The index of `Watch` in [`HEALTH`].
pub const WATCH: usize = 2;

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::health_check_response::ServingStatus;
    use super::*;

    // The bytes were recorded from Go.
    #[test]
    fn a_ping_and_its_answer_have_the_bytes_of_go() {
        let request = HealthCheckRequest {
            service: "plugin".to_owned(),
        };
        assert_eq!(
            request.encode_to_vec(),
            [0x0a, 0x06, 0x70, 0x6c, 0x75, 0x67, 0x69, 0x6e]
        );
        let answer = HealthCheckResponse {
            status: ServingStatus::Serving.into(),
        };
        assert_eq!(answer.encode_to_vec(), [0x08, 0x01]);
    }

    #[test]
    fn the_list_is_a_map_from_names_to_answers() {
        let mut list = HealthListResponse::default();
        list.statuses.insert(
            "a".to_owned(),
            HealthCheckResponse {
                status: ServingStatus::NotServing.into(),
            },
        );
        assert_eq!(list.encode_to_vec(), b"\x0a\x07\x0a\x01a\x12\x02\x08\x02");
    }

    #[test]
    fn the_method_indexes_fit_the_descriptor() {
        let names = [CHECK, LIST, WATCH].map(|index| HEALTH.methods[index].name);
        assert_eq!(names, ["Check", "List", "Watch"]);
    }
}
