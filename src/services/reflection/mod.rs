//! `grpc.reflection.v1.ServerReflection` and its older twin `v1alpha`: what a server serves.
//!
//! Tools such as grpcurl ask for it. Source: the comments of the gRPC project's
//! `reflection.proto`, and grpc-go where they leave something open.

mod descriptor;
mod registry;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use futures_util::StreamExt as _;
use outboard_core::rpc::{
    Call, CallContext, Code, DuplicateService, Router, Service, ServiceDescriptor, Status,
    Streaming,
};
use outboard_core::wire::reflection::server_reflection_request::MessageRequest;
use outboard_core::wire::reflection::server_reflection_response::MessageResponse;
use outboard_core::wire::reflection::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse, V1, V1ALPHA,
};

use self::registry::Registry;
use crate::codegen::{
    Bytes, Prost, StreamAnswer, UnaryAnswer, no_such_method, serve_bidirectional,
};

/// The reflection service in one of its versions.
#[derive(Clone)]
pub struct Reflection {
    descriptor: &'static ServiceDescriptor,
    served: Arc<Served>,
}

struct Served {
    services: Vec<&'static ServiceDescriptor>,
    /// Made when first asked for: most plugins are never asked.
    registry: OnceLock<Registry>,
}

impl Reflection {
    /// Adds both versions to a server that has all its other services. They tell of those and of
    /// themselves, not of services added later.
    ///
    /// # Errors
    /// [`DuplicateService`] if the server has a reflection service.
    pub fn add_to(router: &mut Router) -> Result<(), DuplicateService> {
        let services = router.services().chain([&V1, &V1ALPHA]).collect();
        for service in Self::of(services) {
            router.add(Arc::new(service))?;
        }
        Ok(())
    }

    /// Both versions, v1 first, which tell of these services and no others.
    #[must_use]
    pub fn of(services: Vec<&'static ServiceDescriptor>) -> [Self; 2] {
        let served = Arc::new(Served {
            services,
            registry: OnceLock::new(),
        });
        [&V1, &V1ALPHA].map(|descriptor| Self {
            descriptor,
            served: Arc::clone(&served),
        })
    }
}

impl fmt::Debug for Reflection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.served.services.iter().map(|service| service.name);
        f.write_str("Reflection of ")?;
        f.debug_list().entries(services).finish()
    }
}

impl Service for Reflection {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.descriptor
    }

    fn unary(&self, method: usize, _context: CallContext, _message: Bytes) -> UnaryAnswer {
        no_such_method(self.descriptor, method)
    }

    fn streaming(&self, method: usize, context: CallContext, call: Box<dyn Call>) -> StreamAnswer {
        // Its only method.
        if method != 0 {
            return no_such_method(self.descriptor, method);
        }
        let served = Arc::clone(&self.served);
        serve_bidirectional(
            Prost,
            context,
            call,
            async move |requests: Streaming<ServerReflectionRequest>| {
                // A file goes over a stream once, unless it is asked for by itself.
                let mut sent = BTreeSet::new();
                let answers = requests.map(move |request| served.answer(request?, &mut sent));
                Ok(Streaming::try_from_stream(answers))
            },
        )
    }
}

impl Served {
    fn registry(&self) -> &Registry {
        self.registry.get_or_init(|| Registry::new(&self.services))
    }

    fn answer(
        &self,
        request: ServerReflectionRequest,
        sent: &mut BTreeSet<String>,
    ) -> Result<ServerReflectionResponse, Status> {
        let Some(question) = &request.message_request else {
            return Err(Status::invalid_argument(
                "the reflection request asks for nothing that this server knows",
            ));
        };
        Ok(ServerReflectionResponse {
            valid_host: request.host.clone(),
            message_response: Some(self.answer_to(question, sent)),
            original_request: Some(request),
        })
    }

    fn answer_to(&self, question: &MessageRequest, sent: &mut BTreeSet<String>) -> MessageResponse {
        let mut files = |file: Option<&str>, what: &dyn fmt::Display| match file {
            Some(file) => MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
                file_descriptor_proto: self.registry().with_imports(file, sent),
            }),
            None => not_found(what),
        };
        match question {
            MessageRequest::FileByFilename(name) => {
                let file = self.registry().file(name);
                files(file, &format_args!("file {name:?}"))
            }
            MessageRequest::FileContainingSymbol(name) => {
                let file = self.registry().file_of_symbol(name);
                files(file, &format_args!("symbol {name:?}"))
            }
            MessageRequest::FileContainingExtension(extension) => {
                let (of, number) = (&extension.containing_type, extension.extension_number);
                let file = self.registry().file_of_extension(of, number);
                files(file, &format_args!("extension {number} of {of:?}"))
            }
            MessageRequest::AllExtensionNumbersOfType(of) => {
                match self.registry().extensions_of(of) {
                    Some(extension_number) => {
                        MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                            base_type_name: of.clone(),
                            extension_number,
                        })
                    }
                    None => not_found(&format_args!("type {of:?}")),
                }
            }
            MessageRequest::ListServices(_) => {
                let names: BTreeSet<&str> = self.services.iter().map(|s| s.name).collect();
                let service = names.into_iter().map(|name| ServiceResponse {
                    name: name.to_owned(),
                });
                MessageResponse::ListServicesResponse(ListServiceResponse {
                    service: service.collect(),
                })
            }
        }
    }
}

fn not_found(what: &dyn fmt::Display) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse {
        error_code: Code::NotFound as i32,
        error_message: format!("this server has no {what}"),
    })
}
