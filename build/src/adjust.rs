//! Brings descriptors into the form in which prost-build does the right thing with them.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

use crate::rename::join;

/// For each enum, by full name, the name that prost-build gives code for each of its values'
/// names: that of the first value of the same number.
type Values = BTreeMap<String, BTreeMap<String, String>>;

pub(crate) fn adjust(files: &mut [FileDescriptorProto]) {
    let mut values = Values::new();
    for file in &*files {
        enums(&mut values, file.package(), &file.enum_type);
        nested_enums(&mut values, file.package(), &file.message_type);
    }
    for file in files {
        let is_proto3 = file.syntax() == "proto3";
        for message in &mut file.message_type {
            adjust_message(message, is_proto3, &values);
        }
    }
}

fn nested_enums(values: &mut Values, scope: &str, messages: &[DescriptorProto]) {
    for message in messages {
        let full = join(scope, message.name());
        enums(values, &full, &message.enum_type);
        nested_enums(values, &full, &message.nested_type);
    }
}

fn enums(values: &mut Values, scope: &str, enums: &[EnumDescriptorProto]) {
    for descriptor in enums {
        let mut first = BTreeMap::new();
        let mut names = BTreeMap::new();
        for value in &descriptor.value {
            let name = first.entry(value.number()).or_insert_with(|| value.name());
            names.insert(value.name().to_owned(), (*name).to_owned());
        }
        values.insert(join(scope, descriptor.name()), names);
    }
}

fn adjust_message(message: &mut DescriptorProto, is_proto3: bool, values: &Values) {
    for nested in &mut message.nested_type {
        adjust_message(nested, is_proto3, values);
    }
    for field in &mut message.field {
        let of_enum = values.get(field.type_name().trim_start_matches('.'));
        if let Some(default) = &field.default_value
            && let Some(name) = of_enum.and_then(|names| names.get(default))
        {
            field.default_value = Some(name.clone());
        }
        // prost-build takes options that do not speak of packing for "not packed".
        if is_proto3
            && can_pack(field)
            && let Some(options) = &mut field.options
        {
            options.packed.get_or_insert(true);
        }
    }
}

/// Whether the field is repeated and its elements can stand in one record.
pub(crate) fn can_pack(field: &FieldDescriptorProto) -> bool {
    let whole = [Type::String, Type::Bytes, Type::Message, Type::Group];
    field.label() == Label::Repeated && !whole.contains(&field.r#type())
}

/// The fields of groups, by prost path, that must be boxed since a message contains itself through
/// them. prost-build sees this only where no group is on the way back.
pub(crate) fn recursive_groups(files: &[FileDescriptorProto]) -> Vec<String> {
    let mut messages = BTreeMap::new();
    for file in files {
        let scope = match file.package() {
            "" => String::new(),
            package => format!(".{package}"),
        };
        collect(&mut messages, &scope, &file.message_type);
    }
    let mut paths = Vec::new();
    for (full, message) in &messages {
        for field in singular(message).filter(|field| field.r#type() == Type::Group) {
            if !reaches(&messages, field.type_name(), full) {
                continue;
            }
            let index = field
                .oneof_index
                .and_then(|index| usize::try_from(index).ok());
            let oneof = index.and_then(|index| message.oneof_decl.get(index));
            match oneof.filter(|_| !field.proto3_optional()) {
                Some(oneof) => paths.push(format!("{full}.{}.{}", oneof.name(), field.name())),
                None => paths.push(format!("{full}.{}", field.name())),
            }
        }
    }
    paths
}

type Messages<'a> = BTreeMap<String, &'a DescriptorProto>;

fn collect<'a>(all: &mut Messages<'a>, scope: &str, messages: &'a [DescriptorProto]) {
    for message in messages {
        let full = format!("{scope}.{}", message.name());
        collect(all, &full, &message.nested_type);
        all.insert(full, message);
    }
}

/// The fields that are in a message itself and not in a vector.
fn singular(message: &DescriptorProto) -> impl Iterator<Item = &FieldDescriptorProto> {
    message.field.iter().filter(|field| {
        field.label() != Label::Repeated && matches!(field.r#type(), Type::Message | Type::Group)
    })
}

fn reaches(messages: &Messages<'_>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut waiting = vec![from];
    while let Some(name) = waiting.pop() {
        if name == to {
            return true;
        }
        let fields = messages
            .get(name)
            .into_iter()
            .flat_map(|message| singular(message));
        let next = fields.map(FieldDescriptorProto::type_name);
        waiting.extend(next.filter(|name| seen.insert(name)));
    }
    false
}
