//! Descriptor sets of all kinds.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FieldOptions, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    OneofDescriptorProto, ServiceDescriptorProto,
};

/// Names that meet in Rust or are words of it, and some that are none.
const NAMES: [&str; 40] = [
    "a", "A", "a_b", "aB", "AB", "a1b", "A1B", "a_1_b", "self", "Self", "E_SELF", "type", "Type",
    "crate", "_", "__", "_1", "1a", "E", "e", "Kv", "kv", "KvClient", "KvServer", "HTTPGet",
    "HttpGet", "clone", "clone_", "into", "T", "Option", "String", "set_a", "get_a", "a_one_of",
    "AOneOf", "p", "q", "", "a\"}\n",
];

fn name() -> impl Strategy<Value = String> {
    // The last two are wrong in any place, so they are rare.
    prop_oneof![
        60 => 0..NAMES.len() - 2,
        1 => 0..NAMES.len(),
    ]
    .prop_map(|index| NAMES[index].to_owned())
}

fn field() -> impl Strategy<Value = FieldDescriptorProto> {
    let oneof = prop_oneof![3 => Just(None), 1 => (0..3_i32).prop_map(Some)];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let default = proptest::option::weighted(0.1, "[a-z0-9\\\\\"-]{0,4}");
    // The target of a reference is set later, from the number.
    (
        name(),
        1..19_i32,
        1..4_i32,
        oneof,
        flags,
        default,
        0..1000_i32,
    )
        .prop_map(
            |(
                name,
                r#type,
                label,
                oneof_index,
                (optional, options, deprecated),
                default,
                target,
            )| {
                let label = if label == 2 && !optional { 1 } else { label };
                FieldDescriptorProto {
                    name: Some(name),
                    number: Some(target),
                    r#type: Some(r#type),
                    label: Some(if oneof_index.is_some() { 1 } else { label }),
                    oneof_index,
                    proto3_optional: (optional && oneof_index.is_none() && label == 1)
                        .then_some(true),
                    default_value: default,
                    options: options.then(|| FieldOptions {
                        deprecated: Some(deprecated),
                        ..FieldOptions::default()
                    }),
                    ..FieldDescriptorProto::default()
                }
            },
        )
}

fn enumeration() -> impl Strategy<Value = EnumDescriptorProto> {
    (name(), vec((name(), -1..4_i32), 0..5)).prop_map(|(name, values)| EnumDescriptorProto {
        name: Some(name),
        value: values
            .into_iter()
            .map(|(name, number)| EnumValueDescriptorProto {
                name: Some(name),
                number: Some(number),
                options: None,
            })
            .collect(),
        ..EnumDescriptorProto::default()
    })
}

fn message() -> impl Strategy<Value = DescriptorProto> {
    let parts = || {
        (
            name(),
            vec(field(), 0..5),
            vec(name(), 0..3),
            vec(enumeration(), 0..2),
        )
    };
    let make = |(name, field, oneofs, enum_type): (_, _, Vec<String>, _), nested_type| {
        let oneof = |name| OneofDescriptorProto {
            name: Some(name),
            options: None,
        };
        DescriptorProto {
            name: Some(name),
            field,
            oneof_decl: oneofs.into_iter().map(oneof).collect(),
            enum_type,
            nested_type,
            ..DescriptorProto::default()
        }
    };
    parts()
        .prop_map(move |parts| make(parts, Vec::new()))
        .prop_recursive(3, 8, 3, move |inner| {
            (parts(), vec(inner, 0..3)).prop_map(move |(parts, nested)| make(parts, nested))
        })
}

fn service() -> impl Strategy<Value = ServiceDescriptorProto> {
    let method = (
        name(),
        any::<bool>(),
        any::<bool>(),
        0..1000_usize,
        0..1000_usize,
    );
    (name(), vec(method, 0..4)).prop_map(|(name, methods)| ServiceDescriptorProto {
        name: Some(name),
        method: methods
            .into_iter()
            .map(
                |(name, client, server, input, output)| MethodDescriptorProto {
                    name: Some(name),
                    input_type: Some(input.to_string()),
                    output_type: Some(output.to_string()),
                    client_streaming: Some(client),
                    server_streaming: Some(server),
                    options: None,
                },
            )
            .collect(),
        options: None,
    })
}

fn file() -> impl Strategy<Value = FileDescriptorProto> {
    let package = prop_oneof![
        Just(""),
        Just("p"),
        Just("p.a"),
        Just("p.A"),
        Just("p.a_b"),
        Just("p.self"),
        Just("q")
    ];
    let syntax = prop_oneof![
        4 => Just("proto2"), 4 => Just("proto3"), 1 => Just("proto4"), 1 => Just("editions")
    ];
    let content = (
        vec(message(), 0..4),
        vec(enumeration(), 0..2),
        vec(service(), 0..2),
    );
    (package, syntax, content).prop_map(|(package, syntax, (messages, enums, service))| {
        FileDescriptorProto {
            package: Some(package.to_owned()),
            syntax: Some(syntax.to_owned()),
            message_type: messages,
            enum_type: enums,
            service,
            ..FileDescriptorProto::default()
        }
    })
}

/// Files as they come, with references to nothing and names used twice, or repaired so that most
/// are valid.
pub(crate) fn set() -> impl Strategy<Value = FileDescriptorSet> {
    (vec(file(), 1..3), prop::bool::weighted(0.8)).prop_map(|(mut file, repaired)| {
        for (index, file) in file.iter_mut().enumerate() {
            file.name = Some(format!("{index}.proto"));
            if index > 0 {
                file.dependency.push("0.proto".to_owned());
            }
        }
        if repaired {
            repair(&mut file);
        }
        FileDescriptorSet { file }
    })
}

fn repair(files: &mut [FileDescriptorProto]) {
    let mut types = Types::default();
    let mut taken = BTreeSet::new();
    for file in &mut *files {
        let scope = if file.package().is_empty() {
            String::new()
        } else {
            format!(".{}", file.package())
        };
        for part in scope.match_indices('.').map(|(at, _)| at).skip(1) {
            taken.insert(scope[..part].to_owned());
        }
        taken.insert(scope.clone());
        file.message_type
            .retain(|m| taken.insert(format!("{scope}.{}", m.name())));
        file.enum_type
            .retain(|e| taken.insert(format!("{scope}.{}", e.name())));
        file.service
            .retain(|s| taken.insert(format!("{scope}.{}", s.name())));
        for service in &mut file.service {
            let mut methods = BTreeSet::new();
            service
                .method
                .retain(|method| methods.insert(method.name().to_owned()));
        }
        repair_scope(
            &scope,
            &mut file.message_type,
            &mut file.enum_type,
            &mut taken,
            &mut types,
        );
        // Later files may be without an import of this one.
        refer_all(file, &types);
        if file.syntax() == "editions" {
            file.syntax = Some("proto3".to_owned());
        }
    }
}

#[derive(Default)]
struct Types {
    messages: Vec<String>,
    enums: Vec<String>,
}

fn repair_scope(
    scope: &str,
    messages: &mut [DescriptorProto],
    enums: &mut Vec<EnumDescriptorProto>,
    taken: &mut BTreeSet<String>,
    types: &mut Types,
) {
    for descriptor in &mut *enums {
        let mut numbers = BTreeSet::new();
        descriptor.value.retain(|value| {
            numbers.insert(value.number()) && taken.insert(format!("{scope}.{}", value.name()))
        });
        descriptor.value.sort_by_key(|value| value.number() != 0);
    }
    enums.retain(|descriptor| !descriptor.value.is_empty());
    types
        .enums
        .extend(enums.iter().map(|e| format!("{scope}.{}", e.name())));
    for message in messages {
        let full = format!("{scope}.{}", message.name());
        message
            .nested_type
            .retain(|m| taken.insert(format!("{full}.{}", m.name())));
        message
            .enum_type
            .retain(|e| taken.insert(format!("{full}.{}", e.name())));
        message
            .oneof_decl
            .retain(|o| taken.insert(format!("{full}.{}", o.name())));
        let mut json = BTreeSet::new();
        message.field.retain(|f| {
            json.insert(f.name().replace('_', "").to_lowercase())
                && taken.insert(format!("{full}.{}", f.name()))
        });
        let oneofs = i32::try_from(message.oneof_decl.len()).expect("few");
        for field in &mut message.field {
            field.oneof_index = field.oneof_index.filter(|index| *index < oneofs);
            field.default_value = None;
        }
        let used: BTreeSet<_> = message.field.iter().filter_map(|f| f.oneof_index).collect();
        if used.len() < message.oneof_decl.len() {
            message.oneof_decl.clear();
            message
                .field
                .iter_mut()
                .for_each(|field| field.oneof_index = None);
        }
        types.messages.push(full.clone());
        let enums = &mut message.enum_type;
        repair_scope(&full, &mut message.nested_type, enums, taken, types);
    }
}

fn refer_all(file: &mut FileDescriptorProto, types: &Types) {
    for message in &mut file.message_type {
        refer(message, types);
    }
    for service in &mut file.service {
        if types.messages.is_empty() {
            service.method.clear();
        }
        for method in &mut service.method {
            for name in [&mut method.input_type, &mut method.output_type] {
                let index: usize = name
                    .as_deref()
                    .unwrap_or_default()
                    .parse()
                    .expect("a number");
                *name = Some(types.messages[index % types.messages.len()].clone());
            }
        }
    }
}

fn refer(message: &mut DescriptorProto, types: &Types) {
    for (field, number) in message.field.iter_mut().zip(1..) {
        let target = usize::try_from(field.number.replace(number).unwrap_or(0)).unwrap_or(0);
        let known = match field.r#type() {
            Type::Message | Type::Group => &types.messages,
            Type::Enum => &types.enums,
            _ => continue,
        };
        match known.len() {
            0 => field.set_type(Type::Bool),
            count => field.type_name = Some(known[target % count].clone()),
        }
        if field.label() == Label::Required {
            // A message that requires itself can never be made.
            field.set_label(Label::Optional);
        }
    }
    message
        .nested_type
        .iter_mut()
        .for_each(|nested| refer(nested, types));
}
