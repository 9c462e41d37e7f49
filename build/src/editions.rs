//! Files with an edition, as prost-build can take them.
//!
//! The types of prost know nothing of editions and features: both are read from the encoded file
//! here and made into what a proto3 file would say, field by field.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use crate::Error;
use crate::adjust::can_pack;

/// `google.protobuf.FeatureSet`, as far as it changes what messages look like in Rust or on the
/// wire.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct FeatureSet {
    #[prost(int32, optional, tag = "1")]
    field_presence: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    repeated_field_encoding: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    message_encoding: Option<i32>,
}

const IMPLICIT: i32 = 2;
const LEGACY_REQUIRED: i32 = 3;
const EXPANDED: i32 = 2;
const DELIMITED: i32 = 2;

impl FeatureSet {
    /// With what is said at a deeper place.
    fn with(self, inner: Option<Self>) -> Self {
        let inner = inner.unwrap_or_default();
        Self {
            field_presence: inner.field_presence.or(self.field_presence),
            repeated_field_encoding: inner
                .repeated_field_encoding
                .or(self.repeated_field_encoding),
            message_encoding: inner.message_encoding.or(self.message_encoding),
        }
    }
}

/// Declares options that are looked at for their features alone, which have another number in
/// each.
macro_rules! options {
    ($($name:ident = $tag:literal;)*) => {
        $(#[derive(Clone, Copy, PartialEq, prost::Message)]
        struct $name {
            #[prost(message, optional, tag = $tag)]
            features: Option<FeatureSet>,
        })*
    };
}

options! {
    FileOptions = "50";
    MessageOptions = "12";
    FieldOptions = "21";
    OneofOptions = "1";
}

// Parts of google/protobuf/descriptor.proto.

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(message, repeated, tag = "4")]
    message_type: Vec<Message>,
    #[prost(message, optional, tag = "8")]
    options: Option<FileOptions>,
    #[prost(int32, optional, tag = "14")]
    edition: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(message, repeated, tag = "2")]
    field: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    nested_type: Vec<Self>,
    #[prost(message, optional, tag = "7")]
    options: Option<MessageOptions>,
    #[prost(message, repeated, tag = "8")]
    oneof_decl: Vec<Oneof>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Field {
    #[prost(message, optional, tag = "8")]
    options: Option<FieldOptions>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Oneof {
    #[prost(message, optional, tag = "2")]
    options: Option<OneofOptions>,
}

/// The editions that are known, by their number in descriptors. What they have in common is all
/// that matters here.
const KNOWN: [(i32, &str); 2] = [(1000, "2023"), (1001, "2024")];

/// Makes a file of an edition one of proto3; leaves others as they are.
pub(crate) fn resolve(file: &mut FileDescriptorProto, encoded: &[u8]) -> Result<(), Error> {
    if file.syntax() != "editions" {
        return Ok(());
    }
    let wrong = |reason: String| Error::DescriptorSet {
        reason: format!("{}: {reason}", file.name()),
    };
    let more: File = prost::Message::decode(encoded).map_err(|error| wrong(error.to_string()))?;
    let edition = more.edition.unwrap_or(0);
    if !KNOWN.iter().any(|(number, _)| *number == edition) {
        let known: Vec<&str> = KNOWN.iter().map(|(_, name)| *name).collect();
        return Err(wrong(format!(
            "edition {edition} of descriptor.proto's enum Edition is not known; known are {}",
            known.join(" and ")
        )));
    }
    file.syntax = Some("proto3".to_owned());
    let features = FeatureSet::default().with(more.options.and_then(|o| o.features));
    for (message, more) in file.message_type.iter_mut().zip(&more.message_type) {
        resolve_message(message, more, features);
    }
    Ok(())
}

fn resolve_message(message: &mut DescriptorProto, more: &Message, outer: FeatureSet) {
    let features = outer.with(more.options.and_then(|o| o.features));
    for (nested, more) in message.nested_type.iter_mut().zip(&more.nested_type) {
        resolve_message(nested, more, features);
    }
    if message.options.as_ref().is_some_and(|o| o.map_entry()) {
        // Maps are encoded in one way.
        return;
    }
    let entries: Vec<String> = {
        let nested = message.nested_type.iter();
        let entries =
            nested.filter(|nested| nested.options.as_ref().is_some_and(|o| o.map_entry()));
        entries.map(|entry| format!(".{}", entry.name())).collect()
    };
    for (field, more_field) in message.field.iter_mut().zip(&more.field) {
        let oneof = field.oneof_index.and_then(|index| {
            let oneof = more.oneof_decl.get(usize::try_from(index).ok()?)?;
            oneof.options?.features
        });
        let own = more_field.options.and_then(|o| o.features);
        let is_map = entries
            .iter()
            .any(|entry| field.type_name().ends_with(entry));
        resolve_field(field, features.with(oneof).with(own), is_map);
    }
}

fn resolve_field(field: &mut FieldDescriptorProto, features: FeatureSet, is_map: bool) {
    if field.r#type() == Type::Message && !is_map && features.message_encoding == Some(DELIMITED) {
        field.set_type(Type::Group);
    }
    if field.label() == Label::Repeated {
        if can_pack(field) {
            let options = field.options.get_or_insert_default();
            options.packed = Some(features.repeated_field_encoding != Some(EXPANDED));
        }
    } else if features.field_presence == Some(LEGACY_REQUIRED) {
        field.set_label(Label::Required);
    } else if field.oneof_index.is_none() {
        // Messages have presence in any case.
        let implicit = features.field_presence == Some(IMPLICIT);
        let is_message = matches!(field.r#type(), Type::Message | Type::Group);
        field.proto3_optional = (is_message || !implicit).then_some(true);
    }
}
