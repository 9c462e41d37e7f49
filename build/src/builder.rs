//! Settings.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::compile;
use crate::service::Settings;

/// Settings for code generation, to be changed and then [used](Builder::compile).
pub fn configure() -> Builder {
    Builder {
        external: Vec::new(),
        attributes: Vec::new(),
        settings: Settings::default(),
        out_dir: None,
        include_file: None,
        rerun_lines: true,
    }
}

/// Settings for code generation; made by [`configure`].
///
/// Where a method takes a `path`, that is a prost path: `"."` for everything, `".acme.kv"` for a
/// package, `".acme.kv.Entry.value"` for one thing, or a suffix such as `"Entry"`.
#[derive(Debug)]
#[must_use = "nothing is generated before `compile` is called"]
pub struct Builder {
    pub(crate) settings: Settings,
    /// Proto paths and Rust paths.
    pub(crate) external: Vec<(String, String)>,
    /// What is said of items by path.
    pub(crate) attributes: Vec<(String, Attribute)>,
    pub(crate) out_dir: Option<PathBuf>,
    pub(crate) include_file: Option<String>,
    pub(crate) rerun_lines: bool,
}

/// What can be said of items by path.
#[derive(Clone, Debug)]
pub(crate) enum Attribute {
    Type(String),
    Message(String),
    Enum(String),
    Field(String),
    Bytes,
    Boxed,
    SkipDebug,
}

impl Builder {
    /// Where the code goes; by default where cargo wants it, the build script's `OUT_DIR`.
    pub fn out_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(directory.into());
        self
    }

    /// Writes a file of this name too, which includes the code of all packages in modules of
    /// their names.
    pub fn include_file(mut self, name: impl Into<String>) -> Self {
        self.include_file = Some(name.into());
        self
    }

    /// The path of the `outboard` crate in the generated code, for crates that re-export it; by
    /// default `::outboard`.
    pub fn crate_path(mut self, path: impl Into<String>) -> Self {
        self.settings.crate_path = path.into();
        self
    }

    /// Whether to generate clients; they are by default.
    pub fn clients(mut self, yes: bool) -> Self {
        self.settings.clients = yes;
        self
    }

    /// Whether to generate servers; they are by default.
    pub fn servers(mut self, yes: bool) -> Self {
        self.settings.servers = yes;
        self
    }

    /// Whether to generate blocking interfaces beside the async ones; they are not by default. For a service
    /// `Greeter` these are the trait `GreeterBlocking`, `GreeterBlockingClient` and `GreeterBlockingServer`, for
    /// which outboard needs its feature `blocking`.
    pub fn blocking(mut self, yes: bool) -> Self {
        self.settings.blocking = yes;
        self
    }

    /// The Rust name of a service's trait, and the beginning of its client's and server's names.
    /// `service` is its full name, such as `acme.Kv`. On the wire nothing changes.
    pub fn rename_service(mut self, service: impl Into<String>, name: impl Into<String>) -> Self {
        self.settings.services.insert(service.into(), name.into());
        self
    }

    /// The Rust name of a method in the trait. `method` is its full name, such as `acme.Kv.Get`. On
    /// the wire nothing changes.
    pub fn rename_method(mut self, method: impl Into<String>, name: impl Into<String>) -> Self {
        self.settings.methods.insert(method.into(), name.into());
        self
    }

    /// Lets implementations of a service leave methods out, which then answer `UNIMPLEMENTED` with
    /// the method's name. `service` is its full name, such as `acme.Provider`.
    ///
    /// By default all methods of a trait are required, so that the compiler says what is missing
    /// when the `.proto` has grown. With this setting a method added to the `.proto` breaks no
    /// implementation; it fits services with many methods of which most are optional.
    pub fn optional_methods(mut self, service: impl Into<String>) -> Self {
        self.settings.optional.insert(service.into());
        self
    }

    /// The Rust name of a message, an enum, a value of an enum, a field or a oneof. `item` is its
    /// full name, such as `acme.Entry`, `acme.Entry.key` or, for a value, `acme.Kind.KIND_OLD`. On
    /// the wire nothing changes, and an enum's `as_str_name` still gives the name in the `.proto`.
    ///
    /// What follows the name follows the new one: the module with the types inside of a message,
    /// the type of a oneof, the variant of a oneof's field. Other settings still name the item as
    /// the `.proto` does.
    pub fn rename_item(mut self, item: impl Into<String>, name: impl Into<String>) -> Self {
        self.settings.items.insert(item.into(), name.into());
        self
    }

    /// Uses the Rust types under `rust_path` for the messages of `proto_path` (such as
    /// `.acme.common`) instead of generating them.
    pub fn extern_path(
        mut self,
        proto_path: impl Into<String>,
        rust_path: impl Into<String>,
    ) -> Self {
        let proto_path = proto_path.into();
        self.settings.external.push(proto_path.clone());
        self.external.push((proto_path, rust_path.into()));
        self
    }

    /// Puts an attribute, such as a `derive`, on messages, enums and oneofs.
    pub fn type_attribute(self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.said(path, Attribute::Type(attribute.as_ref().to_owned()))
    }

    /// Puts an attribute on messages.
    pub fn message_attribute(self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.said(path, Attribute::Message(attribute.as_ref().to_owned()))
    }

    /// Puts an attribute on enums and oneofs.
    pub fn enum_attribute(self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.said(path, Attribute::Enum(attribute.as_ref().to_owned()))
    }

    /// Puts an attribute on fields.
    pub fn field_attribute(self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.said(path, Attribute::Field(attribute.as_ref().to_owned()))
    }

    /// Makes bytes fields `bytes::Bytes`, which need no copy when read, instead of `Vec<u8>`.
    pub fn bytes(self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        paths
            .into_iter()
            .fold(self, |builder, path| builder.said(path, Attribute::Bytes))
    }

    /// Puts a field into a `Box`.
    pub fn boxed(self, path: impl AsRef<str>) -> Self {
        self.said(path, Attribute::Boxed)
    }

    /// Leaves `Debug` of messages to you.
    pub fn skip_debug(self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        paths.into_iter().fold(self, |builder, path| {
            builder.said(path, Attribute::SkipDebug)
        })
    }

    /// Whether to print the `rerun-if-changed` lines for cargo; they are by default.
    pub fn rerun_lines(mut self, yes: bool) -> Self {
        self.rerun_lines = yes;
        self
    }

    fn said(mut self, path: impl AsRef<str>, attribute: Attribute) -> Self {
        self.attributes.push((path.as_ref().to_owned(), attribute));
        self
    }

    /// Generates the code; see [`compile`](crate::compile) for the arguments. Files that would
    /// not change are not written.
    ///
    /// # Errors
    /// [`Error`]
    pub fn compile(
        self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<(), Error> {
        compile::protos(self, protos, includes)
    }

    /// Generates the code for the files in a descriptor set: the encoded
    /// `google.protobuf.FileDescriptorSet` in `file`, as other compilers write it. This is the way
    /// for what the parser here cannot read, which is files of an edition.
    ///
    /// ```text
    /// protoc --include_imports --include_source_info --descriptor_set_out=FILE ...
    /// buf build -o FILE.binpb
    /// ```
    ///
    /// Of an edition's features, presence and the encodings of messages and of repeated fields
    /// hold as they do in the `.proto`. In two respects prost knows one way alone, as it does for
    /// proto2: numbers that an enum does not know stay in the field, also where the enum is
    /// closed, and strings must be UTF-8, also where nothing verifies that.
    ///
    /// # Errors
    /// [`Error`]
    pub fn compile_descriptor_set(self, file: impl AsRef<Path>) -> Result<(), Error> {
        compile::descriptor_set_file(self, file.as_ref())
    }

    /// Generates the code for the files in a descriptor set that is in memory; see
    /// [`compile_descriptor_set`](Self::compile_descriptor_set).
    ///
    /// # Errors
    /// [`Error`]
    pub fn compile_descriptor_set_bytes(self, set: &[u8]) -> Result<(), Error> {
        compile::descriptor_set(self, set)
    }
}
