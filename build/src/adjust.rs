//! Brings descriptors into the form in which prost-build does the right thing with them.

use std::collections::BTreeMap;

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
