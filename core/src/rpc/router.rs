//! The table a server looks calls up in.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use super::{Extensions, MethodDescriptor, Pace, Service, ServiceDescriptor, Status};
use crate::lock::Watched;

/// Two services of one name were offered to one server.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "service {name} is offered twice; a server can hold each service once: \
     offer the second one through the broker"
)]
#[non_exhaustive]
pub struct DuplicateService {
    /// The name both have.
    pub name: &'static str,
}

impl DuplicateService {
    /// Both have this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name }
    }
}

/// The services of a server, and the way from a call's path to its handler.
#[derive(Clone, Default)]
pub struct Router {
    _watched: Watched,
    services: BTreeMap<&'static str, Arc<dyn Service>>,
    routes: HashMap<&'static str, Route>,
    /// The service behind each name that a plugin provides.
    provided: BTreeMap<String, &'static str>,
    extensions: Extensions,
}

/// Where a call goes.
#[derive(Clone)]
#[non_exhaustive]
pub struct Route {
    /// The service.
    pub service: Arc<dyn Service>,
    /// The index of the method in the service's descriptor.
    pub method: usize,
    /// The method.
    pub descriptor: &'static MethodDescriptor,
    /// How long its handlers take.
    pub pace: Arc<Pace>,
}

impl Router {
    /// A server without services.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service.
    ///
    /// # Errors
    /// [`DuplicateService`] if one of the same name is there already.
    pub fn add(&mut self, service: Arc<dyn Service>) -> Result<(), DuplicateService> {
        let descriptor = service.descriptor();
        if self.services.contains_key(descriptor.name) {
            return Err(DuplicateService {
                name: descriptor.name,
            });
        }
        for (method, descriptor) in descriptor.methods.iter().enumerate() {
            let service = Arc::clone(&service);
            self.routes.insert(
                descriptor.path,
                Route {
                    service,
                    method,
                    descriptor,
                    pace: Arc::default(),
                },
            );
        }
        self.services.insert(descriptor.name, service);
        Ok(())
    }

    /// Adds a service that is dispensed under `name`, for protocols in which names travel (stdio,
    /// Go's net/rpc). The last one of a name is the one dispensed.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn provide(
        &mut self,
        name: impl Into<String>,
        service: Arc<dyn Service>,
    ) -> Result<(), DuplicateService> {
        let descriptor = service.descriptor();
        self.add(service)?;
        self.provided.insert(name.into(), descriptor.name);
        Ok(())
    }

    /// What is provided under `name`.
    #[must_use]
    pub fn dispense(&self, name: &str) -> Option<&Arc<dyn Service>> {
        self.services.get(self.provided.get(name)?)
    }

    /// The names under which services are provided, in order.
    pub fn provided(&self) -> impl Iterator<Item = &str> {
        self.provided.keys().map(String::as_str)
    }

    /// Puts what `wrap` makes of it in the place of each service; it must be of the same descriptor.
    pub fn wrap_services(&mut self, wrap: impl Fn(Arc<dyn Service>) -> Arc<dyn Service>) {
        for service in self.services.values_mut() {
            *service = wrap(Arc::clone(service));
        }
        for route in self.routes.values_mut() {
            if let Some(wrapped) = self.services.get(route.service.descriptor().name) {
                route.service = Arc::clone(wrapped);
            }
        }
    }

    /// What calls of this server find in their context.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// What calls of this server find in their context.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The handler of `path`.
    ///
    /// # Errors
    /// [`Code::Unimplemented`](super::Code::Unimplemented) with a text that tells an unknown
    /// service from an unknown method, and names what there is instead.
    pub fn route(&self, path: &str) -> Result<&Route, Status> {
        self.routes.get(path).ok_or_else(|| self.unknown(path))
    }

    /// The services in the order of their names.
    pub fn services(&self) -> impl Iterator<Item = &'static ServiceDescriptor> {
        self.services.values().map(|service| service.descriptor())
    }

    fn unknown(&self, path: &str) -> Status {
        let split = path
            .strip_prefix('/')
            .and_then(|rest| rest.rsplit_once('/'));
        match split {
            Some((service, method)) if self.services.contains_key(service) => {
                let methods = self.services[service].descriptor().methods.iter();
                let present = Names(methods.map(|method| method.name));
                Status::unimplemented(format!(
                    "unknown method {method} for service {service}, which has {present}"
                ))
            }
            Some((service, _)) => {
                let present = Names(
                    self.services
                        .keys()
                        .copied()
                        .filter(|name| !is_common(name)),
                );
                Status::unimplemented(format!(
                    "unknown service {service}; the services here are {present}"
                ))
            }
            None => Status::unimplemented(format!(
                "malformed method name {path:?}: expected /SERVICE/METHOD"
            )),
        }
    }
}

/// Whether servers of all plugins may have this service, gRPC's own, go-plugin's and outboard's, so that its name
/// tells nobody anything.
#[must_use]
pub fn is_common(service: &str) -> bool {
    ["grpc.", "plugin.GRPC", "outboard.log."]
        .iter()
        .any(|common| service.starts_with(common))
}

/// Names for a message to people: a bounded number of bounded length, and how many there are more.
struct Names<I>(I);

/// Names shown, and bytes of them.
const MAX_NAMES: usize = 16;
const MAX_NAMES_SIZE: usize = 1024;

impl<'a, I: Iterator<Item = &'a str> + Clone> fmt::Display for Names<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.0.clone().peekable();
        if names.peek().is_none() {
            return f.write_str("none");
        }
        let mut size = 0;
        let fits = |name: &&str| {
            size += name.len();
            size <= MAX_NAMES_SIZE
        };
        let shown: Vec<&str> = self.0.clone().take(MAX_NAMES).take_while(fits).collect();
        f.write_str(&shown.join(", "))?;
        match names.count() - shown.len() {
            0 => Ok(()),
            more if shown.is_empty() => write!(f, "{more} with long names"),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.services.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::rpc::{Call, CallContext, OutMessage, Reply, StreamReply};
    use crate::rt::BoxFuture;
    use crate::wire::plugin;

    struct Of(&'static ServiceDescriptor);

    impl Service for Of {
        fn descriptor(&self) -> &'static ServiceDescriptor {
            self.0
        }

        fn unary(
            &self,
            _: usize,
            _: CallContext,
            _: Bytes,
        ) -> BoxFuture<'static, Result<Reply<OutMessage>, Status>> {
            unreachable!("nobody calls")
        }

        fn streaming(
            &self,
            _: usize,
            _: CallContext,
            _: Box<dyn Call>,
        ) -> BoxFuture<'static, Result<StreamReply, Status>> {
            unreachable!("nobody calls")
        }
    }

    fn router(services: impl IntoIterator<Item = &'static ServiceDescriptor>) -> Router {
        let mut router = Router::new();
        for service in services {
            router.add(Arc::new(Of(service))).expect("one of each name");
        }
        router
    }

    #[test]
    fn what_is_provided_is_found_by_its_name() {
        let mut router = Router::new();
        let service: Arc<dyn Service> = Arc::new(Of(&plugin::STDIO));
        router.provide("printer", service).expect("the only one");
        router.add(Arc::new(Of(&plugin::BROKER))).expect("another");
        assert_eq!(router.provided().collect::<Vec<_>>(), ["printer"]);
        let dispensed = router.dispense("printer").expect("it is provided");
        assert_eq!(dispensed.descriptor(), &plugin::STDIO);
        assert!(router.dispense(plugin::BROKER.name).is_none());
        let again: Arc<dyn Service> = Arc::new(Of(&plugin::STDIO));
        assert!(router.provide("again", again).is_err());
        assert!(router.dispense("again").is_none());
    }

    fn named(name: String) -> &'static ServiceDescriptor {
        Box::leak(Box::new(ServiceDescriptor {
            name: name.leak(),
            methods: &[],
            file_descriptor_set: &[],
        }))
    }

    fn text(router: &Router, path: &str) -> String {
        let error = router.route(path).map(|_| ()).expect_err("unknown");
        error.message().to_owned()
    }

    #[test]
    fn what_is_unknown_is_told_with_what_is_there() {
        let own = [&plugin::BROKER, &plugin::STDIO, &plugin::CONTROLLER];
        let some = router(own.into_iter().chain([
            named("b.B".into()),
            named("grpc.health.v1.Health".into()),
            named("a.A".into()),
        ]));
        assert_eq!(
            text(&some, "/c.C/Get"),
            "unknown service c.C; the services here are a.A, b.B"
        );
        assert_eq!(
            text(&some, "/plugin.GRPCStdio/Nope"),
            "unknown method Nope for service plugin.GRPCStdio, which has StreamStdio"
        );
        assert_eq!(
            text(&router(own), "/c.C/Get"),
            "unknown service c.C; the services here are none"
        );
        assert!(text(&some, "nothing").starts_with("malformed method name"));
    }

    #[test]
    fn the_names_in_an_error_are_few() {
        let many = router((0..100).map(|n| named(format!("s{n:03}"))));
        let told = text(&many, "/c.C/Get");
        assert!(told.ends_with(", s014, s015 and 84 more"), "{told}");
        let long = router((0..3).map(|n| named(format!("s{n}{}", "x".repeat(400)))));
        let told = text(&long, "/c.C/Get");
        assert!(told.ends_with("xxx and 1 more"), "{told}");
        assert!(told.len() < MAX_NAMES_SIZE + 100, "{}", told.len());
        let huge = router((0..3).map(|n| named(format!("s{n}{}", "x".repeat(4000)))));
        let told = text(&huge, "/c.C/Get");
        assert!(told.ends_with("are 3 with long names"), "{told}");
    }
}
