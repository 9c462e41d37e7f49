//! The code of a service: trait, client, server.

use std::collections::{BTreeMap, BTreeSet};

use prost_build::{Comments, Method, Service, ServiceGenerator};
use prost_types::method_options::IdempotencyLevel;

use crate::descriptors;
use crate::names::camel;
use crate::rename::{Renames, join};
use crate::templates::{
    ALLOW, ARC_HEAD, ARM, ARMS, BLOCKING_ARM, BLOCKING_SERVER_HEAD, BLOCKING_TRAIT_DOC,
    CLIENT_HEAD, CLIENT_TAIL, DESCRIPTOR, METHOD, NO_ARMS, OPTIONAL_DOC, SAME_DESCRIPTOR,
    SERVER_DESCRIPTOR, SERVER_HEAD, SERVICE_HEAD, SERVICE_MIDDLE, TRAIT_DOC, TRAIT_HEAD,
    UNIMPLEMENTED,
};

/// What the user may choose.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) crate_path: String,
    pub(crate) clients: bool,
    pub(crate) servers: bool,
    /// Whether to generate blocking interfaces, too.
    pub(crate) blocking: bool,
    /// Rust names by full service name.
    pub(crate) services: BTreeMap<String, String>,
    /// Rust names by full method name, such as `acme.Kv.Get`.
    pub(crate) methods: BTreeMap<String, String>,
    /// Services whose methods may be left out, by full name.
    pub(crate) optional: BTreeSet<String>,
    /// Rust names of everything else.
    pub(crate) items: Renames,
    /// Proto paths whose code is elsewhere.
    pub(crate) external: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            crate_path: "::outboard".to_owned(),
            clients: true,
            servers: true,
            blocking: false,
            services: BTreeMap::new(),
            methods: BTreeMap::new(),
            optional: BTreeSet::new(),
            items: Renames::default(),
            external: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether the code of the package, type or service of this full name is elsewhere.
    pub(crate) fn is_external(&self, full_name: &str) -> bool {
        let given = self.external.iter().map(String::as_str);
        given.chain([".google.protobuf"]).any(|path| {
            let path = path.trim_start_matches('.');
            let rest = full_name.strip_prefix(path);
            rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The name of a service's trait.
    pub(crate) fn trait_name(&self, full_name: &str, proto: &str) -> String {
        let renamed = self.services.get(full_name);
        renamed.map_or_else(|| camel(proto), Clone::clone)
    }

    /// The name of a method, which prost-build calls `name`.
    pub(crate) fn method_name(&self, full_name: &str, name: &str) -> String {
        match self.methods.get(full_name) {
            Some(renamed) => renamed.clone(),
            None if HIDDEN.contains(&name) => format!("{name}_"),
            None => name.to_owned(),
        }
    }
}

/// Writes the code of services, as prost-build meets them.
#[derive(Debug)]
pub(crate) struct Generator {
    settings: Settings,
}

impl Generator {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, buf: &mut String) {
        let full_name = join(&service.package, &service.proto_name);
        if self.settings.is_external(&full_name) {
            return;
        }
        let name = self.settings.trait_name(&full_name, &service.proto_name);
        let mut code = Code {
            names: Names::of(name),
            flavour: Flavour::Async,
            krate: &self.settings.crate_path,
            settings: &self.settings,
            full_name,
            service: &service,
        };
        code.write(buf);
        if self.settings.blocking {
            let blocking = Names::of(blocking_name(&code.names.name));
            let plain = std::mem::replace(&mut code.names, blocking);
            code.flavour = Flavour::Blocking(plain);
            code.write(buf);
        }
    }
}

/// What a service's blocking trait is called, where its other one is called so.
pub(crate) fn blocking_name(name: &str) -> String {
    format!("{name}Blocking")
}

/// Names that an underscore keeps out of the way: methods of the client, and those that the
/// prelude gives every value, which a call in dot notation would find as well or instead.
pub(crate) const HIDDEN: [&str; 9] = [
    "channel",
    "clone",
    "from_channel",
    "into",
    "to_owned",
    "try_into",
    "with_metadata",
    "with_options",
    "with_timeout",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unary,
    ClientStreaming,
    ServerStreaming,
    Bidirectional,
}

impl Kind {
    fn of(method: &Method) -> Self {
        match (method.client_streaming, method.server_streaming) {
            (false, false) => Self::Unary,
            (true, false) => Self::ClientStreaming,
            (false, true) => Self::ServerStreaming,
            (true, true) => Self::Bidirectional,
        }
    }

    /// The variant of `MethodKind`.
    fn variant(self) -> &'static str {
        match self {
            Self::Unary => "Unary",
            Self::ClientStreaming => "ClientStreaming",
            Self::ServerStreaming => "ServerStreaming",
            Self::Bidirectional => "Bidirectional",
        }
    }

    /// What the functions for it in `outboard::codegen` end in.
    fn suffix(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ClientStreaming => "client_streaming",
            Self::ServerStreaming => "server_streaming",
            Self::Bidirectional => "bidirectional",
        }
    }
}

/// What an interface's code is called.
struct Names {
    /// The trait.
    name: String,
    client: String,
    server: String,
}

impl Names {
    fn of(name: String) -> Self {
        Self {
            client: format!("{name}Client"),
            server: format!("{name}Server"),
            name,
        }
    }
}

enum Flavour {
    Async,
    /// Beside the async one, which is called so.
    Blocking(Names),
}

struct Code<'a> {
    names: Names,
    flavour: Flavour,
    /// The path of the outboard crate.
    krate: &'a str,
    settings: &'a Settings,
    full_name: String,
    service: &'a Service,
}

impl Code<'_> {
    fn write(&self, buf: &mut String) {
        self.write_trait(buf);
        if self.settings.clients {
            self.write_client(buf);
        }
        if self.settings.servers {
            self.write_server(buf);
        }
    }

    /// Appends `template` with `{Trait}`, `{Client}`, `{Server}`, `{crate}` and what `more` names
    /// filled in.
    fn put(&self, buf: &mut String, template: &str, more: &[(&str, &str)]) {
        let mut text = template
            .replace("{Trait}", &self.names.name)
            .replace("{Client}", &self.names.client)
            .replace("{Server}", &self.names.server)
            .replace("{crate}", self.krate)
            .replace("{allow}", ALLOW);
        for (name, value) in more {
            text = text.replace(name, value);
        }
        buf.push_str(&text);
    }

    fn write_trait(&self, buf: &mut String) {
        comments(&self.service.comments, 0, buf);
        let both = match (self.settings.clients, self.settings.servers) {
            (true, true) => "Implemented by [`{Client}`], served by [`{Server}`].",
            (true, false) => "Implemented by [`{Client}`].",
            (false, true) => "Served by [`{Server}`].",
            (false, false) => "",
        };
        if !both.is_empty() {
            self.put(buf, &format!("///\n/// {both}\n"), &[]);
        }
        let doc = self.choose(TRAIT_DOC, BLOCKING_TRAIT_DOC);
        self.put(buf, doc, &[]);
        let optional = self.settings.optional.contains(&self.full_name);
        if optional {
            self.put(buf, OPTIONAL_DOC, &[]);
        }
        self.put(buf, TRAIT_HEAD, &[]);
        for method in &self.service.methods {
            comments(&method.comments, 1, buf);
            buf.push_str(&format!("    {}", self.signature(method)));
            if optional {
                let (argument, _) = self.argument(method);
                let path = format!("{:?}", self.path(method));
                let more = [
                    ("{argument}", argument),
                    ("{path}", &path),
                    ("{codegen}", &self.codegen()),
                ];
                self.put(buf, UNIMPLEMENTED, &more);
            } else {
                buf.push_str(";\n");
            }
        }
        buf.push_str("}\n");
        // So that one value can be shared between servers and other users.
        self.put(buf, ARC_HEAD, &[]);
        for method in &self.service.methods {
            let (argument, _) = self.argument(method);
            let call = format!(
                "<T_ as {}>::{}(&**self, {argument})",
                self.names.name,
                self.method_name(method)
            );
            self.write_body(buf, method, &call);
        }
        buf.push_str("}\n");
    }

    fn write_client(&self, buf: &mut String) {
        self.put(buf, CLIENT_HEAD, &[("{service}", &self.full_name)]);
        self.put(buf, "{allow}\nimpl {Trait} for {Client} {\n", &[]);
        for method in &self.service.methods {
            let kind = Kind::of(method);
            let (argument, _) = self.argument(method);
            let borrow = if kind == Kind::Unary { "&" } else { "" };
            let marked = if is_idempotent(method) {
                "idempotent_"
            } else {
                ""
            };
            let call = format!(
                "{0}::call_{marked}{1}({3}::codegen::Prost, &self.channel, {2:?}, {borrow}{argument})",
                self.codegen(),
                kind.suffix(),
                self.path(method),
                self.krate,
            );
            let call = match (kind, &self.flavour) {
                (Kind::Unary | Kind::ClientStreaming, _) | (_, Flavour::Blocking(_)) => call,
                (Kind::ServerStreaming | Kind::Bidirectional, Flavour::Async) => {
                    format!("::core::future::ready(::core::result::Result::Ok({call}))")
                }
            };
            self.write_body(buf, method, &call);
        }
        buf.push_str("}\n");
        self.put(buf, "{allow}\nimpl {crate}::Client for {Client} {\n", &[]);
        buf.push_str("    ");
        match &self.flavour {
            Flavour::Async => self.write_descriptor(buf),
            Flavour::Blocking(plain) => self.share_descriptor(buf, plain),
        }
        self.put(buf, CLIENT_TAIL, &[]);
    }

    fn write_server(&self, buf: &mut String) {
        let head = self.choose(SERVER_HEAD, BLOCKING_SERVER_HEAD);
        self.put(buf, head, &[("{service}", &self.full_name)]);
        buf.push_str("    ");
        match &self.flavour {
            Flavour::Blocking(plain) => self.share_descriptor(buf, plain),
            Flavour::Async if self.settings.clients => self.share_descriptor(buf, &self.names),
            Flavour::Async => self.write_descriptor(buf),
        }
        buf.push_str("}\n");
        self.put(buf, SERVICE_HEAD, &[]);
        self.write_dispatch(buf, true);
        self.put(buf, SERVICE_MIDDLE, &[]);
        self.write_dispatch(buf, false);
        buf.push_str("    }\n}\n");
    }

    /// The body of `Service::unary` or `Service::streaming`.
    fn write_dispatch(&self, buf: &mut String, unary: bool) {
        let message = if unary { "message" } else { "call" };
        let methods = self.service.methods.iter().enumerate();
        let methods = methods.filter(|(_, method)| (Kind::of(method) == Kind::Unary) == unary);
        let mut arms = String::new();
        for (index, method) in methods {
            let more = [
                ("{index}", &*index.to_string()),
                ("{kind}", Kind::of(method).suffix()),
                ("{message}", message),
                ("{method}", &self.method_name(method)),
            ];
            self.put(&mut arms, self.choose(ARM, BLOCKING_ARM), &more);
        }
        if arms.is_empty() {
            self.put(buf, NO_ARMS, &[("{message}", message)]);
        } else {
            self.put(buf, ARMS, &[("{arms}", &arms)]);
        }
    }

    fn write_body(&self, buf: &mut String, method: &Method, call: &str) {
        buf.push_str(&format!(
            "    {} {{\n        {call}\n    }}\n",
            self.signature(method)
        ));
    }

    /// The associated constant `SERVICE`, which the interface of these names has already.
    fn share_descriptor(&self, buf: &mut String, plain: &Names) {
        if self.settings.clients {
            self.put(buf, SAME_DESCRIPTOR, &[("{PlainClient}", &plain.client)]);
        } else {
            self.put(buf, SERVER_DESCRIPTOR, &[("{PlainServer}", &plain.server)]);
        }
    }

    /// The associated constant `SERVICE`.
    fn write_descriptor(&self, buf: &mut String) {
        let mut methods = String::new();
        for method in &self.service.methods {
            let more = [
                ("{method}", &*format!("{:?}", method.proto_name)),
                ("{path}", &format!("{:?}", self.path(method))),
                ("{kind}", Kind::of(method).variant()),
            ];
            self.put(&mut methods, METHOD, &more);
        }
        let file = descriptors::file_name(&self.service.package);
        let more = [
            ("{service}", &*format!("{:?}", self.full_name)),
            ("{file}", &format!("{file:?}")),
            ("{methods}", &methods),
        ];
        self.put(buf, DESCRIPTOR, &more);
    }

    fn method_name(&self, method: &Method) -> String {
        let full_name = join(&self.full_name, &method.proto_name);
        self.settings.method_name(&full_name, &method.name)
    }

    fn path(&self, method: &Method) -> String {
        format!("/{}/{}", self.full_name, method.proto_name)
    }

    /// The name and type of the method's argument.
    fn argument(&self, method: &Method) -> (&'static str, String) {
        if method.client_streaming {
            ("requests", self.stream_of(&method.input_type))
        } else {
            ("request", method.input_type.clone())
        }
    }

    fn stream_of(&self, message: &str) -> String {
        let module = self.choose("", "::blocking");
        format!("{}{module}::Streaming<{message}>", self.krate)
    }

    /// The path of the functions that the code is made of.
    fn codegen(&self) -> String {
        let module = self.choose("", "::blocking");
        format!("{}{module}::codegen", self.krate)
    }

    fn choose<'t>(&self, plain: &'t str, blocking: &'t str) -> &'t str {
        match self.flavour {
            Flavour::Async => plain,
            Flavour::Blocking(_) => blocking,
        }
    }

    fn signature(&self, method: &Method) -> String {
        let (argument, input) = self.argument(method);
        let output = if method.server_streaming {
            self.stream_of(&method.output_type)
        } else {
            method.output_type.clone()
        };
        let result = format!("::core::result::Result<{output}, {}::Status>", self.krate);
        let output = match self.flavour {
            Flavour::Async => {
                format!("impl ::core::future::Future<Output = {result}> + ::core::marker::Send")
            }
            Flavour::Blocking(_) => result,
        };
        let name = self.method_name(method);
        format!("fn {name}(&self, {argument}: {input}) -> {output}")
    }
}

/// Whether a call of the method may be made again where nobody knows whether it has been made. Streams are
/// not kept to be sent once more.
fn is_idempotent(method: &Method) -> bool {
    let marked = matches!(
        method.options.idempotency_level(),
        IdempotencyLevel::NoSideEffects | IdempotencyLevel::Idempotent
    );
    marked && Kind::of(method) == Kind::Unary
}

/// Writes comments as doc comments. Those that stand apart in the `.proto` are left out.
fn comments(comments: &Comments, depth: u8, buf: &mut String) {
    let attached = Comments {
        leading_detached: Vec::new(),
        ..comments.clone()
    };
    attached.append_with_indent(depth, buf);
}
