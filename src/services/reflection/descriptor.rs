//! What reflection reads of `google/protobuf/descriptor.proto`: names and nothing else. The decoder
//! skips the rest, which keeps thousands of bytes of code out of every plugin.

use bytes::Bytes;
use prost::Message;

/// A `FileDescriptorSet` with its files left encoded.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EncodedFiles {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) file: Vec<Bytes>,
}

/// A `FileDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FileNames {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) package: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) dependency: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) messages: Vec<MessageNames>,
    #[prost(message, repeated, tag = "5")]
    pub(super) enums: Vec<Group>,
    #[prost(message, repeated, tag = "6")]
    pub(super) services: Vec<Group>,
    #[prost(message, repeated, tag = "7")]
    pub(super) extensions: Vec<Extension>,
}

/// A `DescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MessageNames {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) fields: Vec<Named>,
    #[prost(message, repeated, tag = "3")]
    pub(super) nested: Vec<Self>,
    #[prost(message, repeated, tag = "4")]
    pub(super) enums: Vec<Group>,
    #[prost(message, repeated, tag = "6")]
    pub(super) extensions: Vec<Extension>,
    #[prost(message, repeated, tag = "8")]
    pub(super) oneofs: Vec<Named>,
}

/// An `EnumDescriptorProto` with its values, or a `ServiceDescriptorProto` with its methods.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Group {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) members: Vec<Named>,
}

/// Anything of which only the name matters.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Named {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// A `FieldDescriptorProto` that extends a message.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Extension {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) extendee: String,
    #[prost(int32, tag = "3")]
    pub(super) number: i32,
}
