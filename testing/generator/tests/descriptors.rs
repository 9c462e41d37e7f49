//! Service descriptors, generated or written by hand, say the same as the `.proto` they carry.

use outboard::Client;
use outboard::codegen::prost_types::FileDescriptorSet;
use outboard::codegen::{MethodKind, ServiceDescriptor};
use outboard_core::wire::{health, plugin, reflection};
use outboard_generator::counter::CounterClient;
use outboard_generator::kv::KvClient;
use outboard_generator::odd_cases::BareClient;
use outboard_generator::odd_cases::odd::{NamesClient, NothingClient, OnlyStreamsClient};
use outboard_generator::streamer::StreamerClient;
use prost::Message as _;

/// Name, path and kind.
type Method = (String, String, MethodKind);

/// Name and methods of each service in the descriptors that `service` carries.
fn declared(service: &ServiceDescriptor) -> Vec<(String, Vec<Method>)> {
    let set = FileDescriptorSet::decode(service.file_descriptor_set).expect("a set");
    let mut services = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            let name = name.trim_start_matches('.').to_owned();
            let methods = service.method.iter().map(|method| {
                let kind = match (method.client_streaming(), method.server_streaming()) {
                    (false, false) => MethodKind::Unary,
                    (true, false) => MethodKind::ClientStreaming,
                    (false, true) => MethodKind::ServerStreaming,
                    (true, true) => MethodKind::Bidirectional,
                };
                let path = format!("/{name}/{}", method.name());
                (method.name().to_owned(), path, kind)
            });
            let methods = methods.collect();
            services.push((name, methods));
        }
    }
    services
}

#[track_caller]
fn check(service: &ServiceDescriptor) {
    let methods = service.methods.iter();
    let methods = methods.map(|method| {
        let (name, path) = (method.name.to_owned(), method.path.to_owned());
        (name, path, method.kind)
    });
    let said = (service.name.to_owned(), methods.collect::<Vec<_>>());
    let declared = declared(service);
    assert!(declared.contains(&said), "{said:?} is not in {declared:?}");
}

#[test]
fn go_plugins_own_services() {
    for service in [
        &plugin::BROKER,
        &plugin::CONTROLLER,
        &plugin::STDIO,
        &health::HEALTH,
        &reflection::V1,
        &reflection::V1ALPHA,
    ] {
        check(service);
    }
}

#[test]
fn generated_services() {
    check(BareClient::SERVICE);
    check(CounterClient::SERVICE);
    check(KvClient::SERVICE);
    check(NamesClient::SERVICE);
    check(NothingClient::SERVICE);
    check(OnlyStreamsClient::SERVICE);
    check(StreamerClient::SERVICE);
}
