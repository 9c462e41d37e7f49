//! `FileDescriptorSet`s as input.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::FileDescriptorProto;
use protox::prost_reflect::DescriptorPool;

use crate::Error;
use crate::editions;

/// `google.protobuf.FileDescriptorSet` with files that are not decoded.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EncodedSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) file: Vec<Vec<u8>>,
}

/// What a set contains.
pub(crate) struct Set {
    /// In a form that prost-build can take, imports first.
    pub(crate) files: Vec<FileDescriptorProto>,
    /// As they were given, by name: with options that the types of prost do not have.
    pub(crate) encoded: BTreeMap<String, Vec<u8>>,
}

fn wrong(reason: impl Into<String>) -> Error {
    let reason = reason.into();
    Error::DescriptorSet { reason }
}

pub(crate) fn read(bytes: &[u8]) -> Result<Set, Error> {
    let no_set = |error: prost::DecodeError| {
        wrong(format!(
            "{error}; expected an encoded google.protobuf.FileDescriptorSet, as `protoc \
             --include_imports --descriptor_set_out=FILE` and `buf build -o FILE.binpb` write it"
        ))
    };
    let set = EncodedSet::decode(bytes).map_err(no_set)?;
    if set.file.is_empty() {
        return Err(wrong("it contains no files"));
    }
    let mut files = Vec::new();
    let mut encoded = BTreeMap::new();
    for bytes in set.file {
        let mut file = FileDescriptorProto::decode(bytes.as_slice()).map_err(no_set)?;
        editions::resolve(&mut file, &bytes)?;
        // prost-build takes an empty name for one that is there.
        file.package = file.package.filter(|package| !package.is_empty());
        if encoded.insert(file.name().to_owned(), bytes).is_some() {
            return Err(wrong(format!("file {:?} is there twice", file.name())));
        }
        files.push(file);
    }
    let files = imports_first(files)?;
    check_shape(&files)?;
    validate(&files)?;
    Ok(Set { files, encoded })
}

fn imports_first(files: Vec<FileDescriptorProto>) -> Result<Vec<FileDescriptorProto>, Error> {
    let names: BTreeSet<String> = files.iter().map(|file| file.name().to_owned()).collect();
    for file in &files {
        if let Some(import) = file
            .dependency
            .iter()
            .find(|import| !names.contains(*import))
        {
            return Err(wrong(format!(
                "{:?} imports {import:?}, which the set does not contain; with protoc, add \
                 --include_imports",
                file.name()
            )));
        }
    }
    let mut ordered: Vec<FileDescriptorProto> = Vec::new();
    let mut done = BTreeSet::new();
    let mut waiting = files;
    while !waiting.is_empty() {
        let is_ready =
            |file: &FileDescriptorProto| file.dependency.iter().all(|i| done.contains(i));
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
        if ready.is_empty() {
            let names: Vec<&str> = rest.iter().map(FileDescriptorProto::name).collect();
            return Err(wrong(format!(
                "these files import each other: {}",
                names.join(", ")
            )));
        }
        done.extend(ready.iter().map(|file| file.name().to_owned()));
        ordered.extend(ready);
        waiting = rest;
    }
    Ok(ordered)
}

/// What must hold before anything walks through the descriptors: indices and references that a
/// compiler always fills in.
fn check_shape(files: &[FileDescriptorProto]) -> Result<(), Error> {
    for file in files {
        if !matches!(file.syntax(), "" | "proto2" | "proto3") {
            let syntax = file.syntax();
            return Err(wrong(format!(
                "{}: syntax {syntax:?} is not known",
                file.name()
            )));
        }
        for message in &file.message_type {
            check_message(file, message)?;
        }
        for method in file.service.iter().flat_map(|service| &service.method) {
            for name in [method.input_type(), method.output_type()] {
                check_reference(file, name)?;
            }
        }
    }
    Ok(())
}

fn check_message(
    file: &FileDescriptorProto,
    message: &prost_types::DescriptorProto,
) -> Result<(), Error> {
    use prost_types::field_descriptor_proto::Type;

    let place = || format!("{}: message {}", file.name(), message.name());
    if message.options.as_ref().is_some_and(|o| o.map_entry()) {
        let names: Vec<&str> = message.field.iter().map(|field| field.name()).collect();
        if names != ["key", "value"] {
            return Err(wrong(format!(
                "{}: an entry of a map has other fields",
                place()
            )));
        }
    }
    for field in &message.field {
        let is_reference = matches!(field.r#type(), Type::Message | Type::Group | Type::Enum);
        if field.r#type.is_none() || field.label.is_none() {
            let name = field.name();
            return Err(wrong(format!(
                "{}: field {name} has no type or label",
                place()
            )));
        }
        if is_reference {
            check_reference(file, field.type_name())?;
        }
        if let Some(index) = field.oneof_index
            && !usize::try_from(index).is_ok_and(|index| index < message.oneof_decl.len())
        {
            let name = field.name();
            return Err(wrong(format!("{}: field {name} is of no oneof", place())));
        }
    }
    message
        .nested_type
        .iter()
        .try_for_each(|nested| check_message(file, nested))
}

fn check_reference(file: &FileDescriptorProto, name: &str) -> Result<(), Error> {
    if name.starts_with('.') {
        return Ok(());
    }
    Err(wrong(format!("{}: {name:?} is no full name", file.name())))
}

/// Checks names, references, numbers and defaults.
fn validate(files: &[FileDescriptorProto]) -> Result<(), Error> {
    let mut files = files.to_vec();
    for file in &mut files {
        // The stricter rules of proto3 do not hold in editions, which are proto3 here. Without
        // it, nothing is lost: the set was made by a compiler.
        file.syntax = Some("proto2".to_owned());
        file.source_code_info = None;
    }
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files)
        .map_err(|error| wrong(format!("{error:?}")))
}

/// The encoded file without comments and positions.
pub(crate) fn without_source_info(file: &[u8]) -> Vec<u8> {
    use prost::encoding::{DecodeContext, decode_key, skip_field};

    const SOURCE_CODE_INFO: u32 = 9;
    let mut rest = file;
    let mut kept = Vec::with_capacity(file.len());
    while !rest.is_empty() {
        let before = rest;
        let Ok((tag, wire_type)) = decode_key(&mut rest) else {
            break;
        };
        if skip_field(wire_type, tag, &mut rest, DecodeContext::default()).is_err() {
            break;
        }
        if tag != SOURCE_CODE_INFO {
            kept.extend_from_slice(&before[..before.len() - rest.len()]);
        }
    }
    kept
}
