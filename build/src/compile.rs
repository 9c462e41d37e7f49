//! The way from `.proto` files or descriptors to code.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use prost_build::{Config, Module};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use crate::adjust;
use crate::builder::{Attribute, Builder};
use crate::names::is_rust_name;
use crate::rename::{StandIns, join};
use crate::service::{Generator, Settings};
use crate::set::{self, Set};
use crate::source;
use crate::templates::ALLOW;
use crate::{Error, collisions, comments, descriptors};

pub(crate) fn protos(
    builder: Builder,
    protos: &[impl AsRef<Path>],
    includes: &[impl AsRef<Path>],
) -> Result<(), Error> {
    let out_dir = out_dir(&builder)?;
    let rerun_lines = builder.rerun_lines;
    let files = guarded(|| source::parse(protos, includes, rerun_lines))?;
    let encoded = BTreeMap::new();
    guarded(|| emit(builder, &out_dir, Set { files, encoded }))
}

pub(crate) fn descriptor_set_file(builder: Builder, file: &Path) -> Result<(), Error> {
    if builder.rerun_lines {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let bytes = fs::read(file).map_err(|source| Error::Read {
        path: file.to_owned(),
        source,
    })?;
    descriptor_set(builder, &bytes)
}

pub(crate) fn descriptor_set(builder: Builder, bytes: &[u8]) -> Result<(), Error> {
    let out_dir = out_dir(&builder)?;
    let set = guarded(|| set::read(bytes))?;
    guarded(|| emit(builder, &out_dir, set))
}

fn out_dir(builder: &Builder) -> Result<PathBuf, Error> {
    let given = builder.out_dir.clone();
    given
        .or_else(|| env::var_os("OUT_DIR").map(PathBuf::from))
        .ok_or(Error::NoOutDir)
}

/// Makes a panic an error: the code of others in between may not have thought of everything that
/// a descriptor can say.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What was being worked on is dropped with the panic.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::Panicked {
            message: message.unwrap_or("for an unknown reason").to_owned(),
        })
    })
}

fn emit(mut builder: Builder, out_dir: &Path, set: Set) -> Result<(), Error> {
    let Set { mut files, encoded } = set;
    check_settings(&builder.settings, &files)?;
    collisions::check(&files, &builder.settings)?;
    let descriptors = descriptors::by_package(&files, &encoded);
    files.iter_mut().for_each(comments::prepare);
    adjust::adjust(&mut files);
    let stand_ins = builder.settings.items.apply(&mut files);
    let modules = generate(&builder, files, &stand_ins)?;
    // Nothing is written before everything has turned out well.
    for (package, set) in descriptors {
        write(&out_dir.join(descriptors::file_name(&package)), &set)?;
    }
    for (module, text) in &modules {
        write(
            &out_dir.join(file_name(module)),
            allow_lints(text).as_bytes(),
        )?;
    }
    if let Some(name) = &builder.include_file {
        write(&out_dir.join(name), includes_of(&modules).as_bytes())?;
    }
    Ok(())
}

/// The code of each package.
fn generate(
    builder: &Builder,
    mut files: Vec<FileDescriptorProto>,
    stand_ins: &StandIns,
) -> Result<BTreeMap<Module, String>, Error> {
    let settings = &builder.settings;
    for file in &mut files {
        // prost-build panics over a file that has services but leads to no code at all.
        if service_names(file).all(|name| settings.is_external(&name)) {
            file.service.clear();
        }
    }
    let codegen = format!("{}::codegen", settings.crate_path);
    let mut config = Config::new();
    apply_attributes(&mut config, builder, stand_ins);
    for path in adjust::recursive_groups(&files) {
        config.boxed(path);
    }
    for (proto_path, rust_path) in &builder.external {
        config.extern_path(proto_path, rust_path);
    }
    config
        .prost_path(format!("{codegen}::prost"))
        .prost_types_path(format!("{codegen}::prost_types"))
        .type_attribute(".", ALLOW)
        .service_generator(Box::new(Generator::new(settings.clone())));
    let requests = files
        .into_iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let modules = config.generate(requests);
    let modules = modules.map_err(|error| Error::Generate {
        reason: error.to_string(),
    })?;
    let modules = modules.into_iter();
    Ok(modules
        .map(|(module, text)| (module, stand_ins.replace(text)))
        .collect())
}

fn apply_attributes(config: &mut Config, builder: &Builder, stand_ins: &StandIns) {
    let mut bytes = Vec::new();
    let mut skip_debug = Vec::new();
    for (path, attribute) in &builder.attributes {
        for path in stand_ins.paths(path) {
            match attribute {
                Attribute::Type(text) => config.type_attribute(path, text),
                Attribute::Message(text) => config.message_attribute(path, text),
                Attribute::Enum(text) => config.enum_attribute(path, text),
                Attribute::Field(text) => config.field_attribute(path, text),
                Attribute::Boxed => config.boxed(path),
                Attribute::Bytes => {
                    bytes.push(path);
                    continue;
                }
                Attribute::SkipDebug => {
                    skip_debug.push(path);
                    continue;
                }
            };
        }
    }
    // Each of these calls forgets the paths of the one before.
    config.bytes(bytes).skip_debug(skip_debug);
}

/// Refuses settings that fit nothing, and names that are none.
fn check_settings(settings: &Settings, files: &[FileDescriptorProto]) -> Result<(), Error> {
    let services: BTreeSet<String> = files.iter().flat_map(service_names).collect();
    let methods: BTreeSet<String> = files.iter().flat_map(method_names).collect();
    let mut items = BTreeSet::new();
    for file in files {
        add_messages(&mut items, file.package(), &file.message_type);
        add_enums(&mut items, file.package(), &file.enum_type);
    }
    if let Some(name) = settings
        .optional
        .iter()
        .find(|name| !services.contains(*name))
    {
        return Err(Error::Unknown {
            setting: "optional_methods",
            name: name.clone(),
        });
    }
    let given = [
        (
            "rename_service",
            settings.services.iter().collect::<Vec<_>>(),
            &services,
        ),
        ("rename_method", settings.methods.iter().collect(), &methods),
        ("rename_item", settings.items.iter().collect(), &items),
    ];
    for (setting, renamed, known) in given {
        for (full, name) in renamed {
            if !known.contains(full) {
                let name = full.clone();
                return Err(Error::Unknown { setting, name });
            }
            if !is_rust_name(name) {
                let name = name.clone();
                return Err(Error::BadName { setting, name });
            }
        }
    }
    Ok(())
}

fn service_names(file: &FileDescriptorProto) -> impl Iterator<Item = String> {
    let names = file.service.iter().map(|service| service.name());
    names.map(|name| join(file.package(), name))
}

fn method_names(file: &FileDescriptorProto) -> impl Iterator<Item = String> {
    file.service.iter().flat_map(|service| {
        let full = join(file.package(), service.name());
        service
            .method
            .iter()
            .map(move |method| join(&full, method.name()))
    })
}

fn add_messages(items: &mut BTreeSet<String>, scope: &str, messages: &[DescriptorProto]) {
    for message in messages {
        let full = join(scope, message.name());
        let fields = message.field.iter().map(|field| field.name());
        let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name());
        items.extend(fields.chain(oneofs).map(|name| join(&full, name)));
        add_messages(items, &full, &message.nested_type);
        add_enums(items, &full, &message.enum_type);
        items.insert(full);
    }
}

fn add_enums(items: &mut BTreeSet<String>, scope: &str, enums: &[EnumDescriptorProto]) {
    for descriptor in enums {
        let full = join(scope, descriptor.name());
        items.extend(
            descriptor
                .value
                .iter()
                .map(|value| join(&full, value.name())),
        );
        items.insert(full);
    }
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
