//! Settings, and the way from `.proto` files to code.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use prost_build::{Config, Module};
use prost_types::FileDescriptorProto;

use crate::service::{Generator, Settings};
use crate::templates::ALLOW;
use crate::{Error, comments, descriptors};

/// Settings for code generation, to be changed and then [used](Builder::compile).
pub fn configure() -> Builder {
    Builder {
        messages: Config::new(),
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
    messages: Config,
    settings: Settings,
    out_dir: Option<PathBuf>,
    include_file: Option<String>,
    rerun_lines: bool,
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

    /// The Rust name of a service's trait, and the beginning of its client's and server's names.
    /// `service` is its full name, such as `acme.Kv`. On the wire nothing changes.
    pub fn rename_service(mut self, service: impl Into<String>, name: impl Into<String>) -> Self {
        self.settings.renamed.insert(service.into(), name.into());
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
        self.messages.extern_path(&proto_path, rust_path);
        self.settings.external.push(proto_path);
        self
    }

    /// Puts an attribute, such as a `derive`, on messages, enums and oneofs.
    pub fn type_attribute(mut self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.messages.type_attribute(path, attribute);
        self
    }

    /// Puts an attribute on messages.
    pub fn message_attribute(mut self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.messages.message_attribute(path, attribute);
        self
    }

    /// Puts an attribute on enums and oneofs.
    pub fn enum_attribute(mut self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.messages.enum_attribute(path, attribute);
        self
    }

    /// Puts an attribute on fields.
    pub fn field_attribute(mut self, path: impl AsRef<str>, attribute: impl AsRef<str>) -> Self {
        self.messages.field_attribute(path, attribute);
        self
    }

    /// Makes bytes fields `bytes::Bytes`, which need no copy when read, instead of `Vec<u8>`.
    pub fn bytes(mut self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.messages.bytes(paths);
        self
    }

    /// Puts a field into a `Box`.
    pub fn boxed(mut self, path: impl AsRef<str>) -> Self {
        self.messages.boxed(path);
        self
    }

    /// Leaves `Debug` of messages to you.
    pub fn skip_debug(mut self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.messages.skip_debug(paths);
        self
    }

    /// Whether to print the `rerun-if-changed` lines for cargo; they are by default.
    pub fn rerun_lines(mut self, yes: bool) -> Self {
        self.rerun_lines = yes;
        self
    }

    /// Generates the code; see [`compile`](crate::compile) for the arguments. Files that would
    /// not change are not written.
    ///
    /// # Errors
    /// [`Error`]
    pub fn compile(
        mut self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<(), Error> {
        let out_dir = self.out_dir.take();
        let out_dir = out_dir
            .or_else(|| env::var_os("OUT_DIR").map(PathBuf::from))
            .ok_or(Error::NoOutDir)?;
        let mut files = self.parse(protos, includes)?;
        for (package, set) in descriptors::by_package(&files) {
            write(&out_dir.join(descriptors::file_name(&package)), &set)?;
        }
        files.iter_mut().for_each(comments::prepare);
        let modules = self.generate(files)?;
        for (module, text) in &modules {
            write(
                &out_dir.join(file_name(module)),
                allow_lints(text).as_bytes(),
            )?;
        }
        if let Some(name) = &self.include_file {
            write(&out_dir.join(name), includes_of(&modules).as_bytes())?;
        }
        Ok(())
    }

    fn parse(
        &self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<Vec<FileDescriptorProto>, Error> {
        // protox's Debug text has the position in the file.
        let wrong = |error: protox::Error| Error::Proto {
            reason: format!("{error:?}"),
        };
        if self.rerun_lines {
            // Also for files that turn out to be wrong: correcting them must have an effect.
            for proto in protos {
                println!("cargo:rerun-if-changed={}", proto.as_ref().display());
            }
        }
        let mut compiler = protox::Compiler::new(includes).map_err(wrong)?;
        compiler
            .include_imports(true)
            .include_source_info(true)
            .open_files(protos)
            .map_err(wrong)?;
        if self.rerun_lines {
            for path in compiler.files().filter_map(|file| file.path()) {
                println!("cargo:rerun-if-changed={}", path.display());
            }
        }
        Ok(compiler.file_descriptor_set().file)
    }

    /// The code of each package.
    fn generate(
        &mut self,
        mut files: Vec<FileDescriptorProto>,
    ) -> Result<BTreeMap<Module, String>, Error> {
        let services: BTreeSet<String> = files.iter().flat_map(service_names).collect();
        if let Some(name) = self
            .settings
            .renamed
            .keys()
            .find(|n| !services.contains(*n))
        {
            return Err(Error::UnknownService { name: name.clone() });
        }
        for file in &mut files {
            // prost-build panics over a file that has services but leads to no code at all.
            if service_names(file).all(|name| self.settings.is_external(&name)) {
                file.service.clear();
            }
        }
        let generator = Generator::new(self.settings.clone());
        let taken = generator.names();
        let codegen = format!("{}::codegen", self.settings.crate_path);
        self.messages
            .prost_path(format!("{codegen}::prost"))
            .prost_types_path(format!("{codegen}::prost_types"))
            .type_attribute(".", ALLOW)
            .service_generator(Box::new(generator));
        let requests = files
            .into_iter()
            .map(|file| (Module::from_protobuf_package_name(file.package()), file))
            .collect();
        let modules = self.messages.generate(requests);
        let modules: BTreeMap<_, _> = modules
            .map_err(|error| Error::Generate {
                reason: error.to_string(),
            })?
            .into_iter()
            .collect();
        for (package, name, service) in taken.take() {
            let module = Module::from_protobuf_package_name(&package);
            let text = modules.get(&module).map_or("", String::as_str);
            if declarations(text).filter(|found| *found == name).count() > 1 {
                return Err(Error::NameTaken {
                    package,
                    name,
                    service,
                });
            }
        }
        Ok(modules)
    }
}

fn service_names(file: &FileDescriptorProto) -> impl Iterator<Item = String> {
    let scope = match file.package() {
        "" => String::new(),
        package => format!("{package}."),
    };
    let names = file.service.iter().map(|service| service.name());
    names.map(move |name| format!("{scope}{name}"))
}

/// The types and traits declared at the top level of generated code.
fn declarations(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub ")?;
        let rest = ["struct ", "enum ", "trait "]
            .iter()
            .find_map(|kind| rest.strip_prefix(kind))?;
        rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '#'))
            .next()
    })
}

/// Puts the attribute where prost-build's own settings cannot put it: on modules and
/// implementations.
fn allow_lints(text: &str) -> String {
    let mut allowed = String::with_capacity(text.len());
    let mut before = "";
    for line in text.lines() {
        let wants_it = line.starts_with("pub mod ") || line.starts_with("impl ");
        if wants_it && before != ALLOW {
            allowed.push_str(ALLOW);
            allowed.push('\n');
        }
        allowed.push_str(line);
        allowed.push('\n');
        before = line;
    }
    allowed
}

fn file_name(module: &Module) -> String {
    // What `include_proto!` documents for files without a package.
    module.to_file_name_or("_")
}

/// Includes of all modules, nested as their names are.
fn includes_of(modules: &BTreeMap<Module, String>) -> String {
    let mut text = String::from("// Generated by outboard-build; do not edit.\n");
    let mut open: Vec<&str> = Vec::new();
    let indent = |depth: usize| "    ".repeat(depth);
    for module in modules.keys() {
        let parts: Vec<&str> = module.parts().collect();
        while !parts.starts_with(&open) {
            open.pop();
            text.push_str(&format!("{}}}\n", indent(open.len())));
        }
        for part in parts.iter().skip(open.len()) {
            let depth = indent(open.len());
            open.push(part);
            let package = open.join(".");
            text.push_str(&format!("{depth}/// Package `{package}`.\n"));
            text.push_str(&format!("{depth}{ALLOW}\n{depth}pub mod {part} {{\n"));
        }
        let depth = indent(open.len());
        // A relative path starts at this file, wherever that is.
        text.push_str(&format!("{depth}include!({:?});\n", file_name(module)));
    }
    while open.pop().is_some() {
        text.push_str(&format!("{}}}\n", indent(open.len())));
    }
    text
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    fs::write(path, content).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}
