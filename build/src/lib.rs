//! Generates outboard interfaces from `.proto` files, in a build script, without `protoc`.
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), outboard_build::Error> {
//!     outboard_build::compile(&["proto/greeter.proto"], &["proto"])
//! }
//! ```
//!
//! ```text
//! // src/lib.rs
//! outboard::include_proto!("greeter");
//! ```
//!
//! For each message there is a struct, as [prost](https://docs.rs/prost) makes it; it names prost by
//! way of outboard, so a crate with generated code needs no dependency on prost or prost-types
//! (`outboard::prost` and `outboard::prost_types` are both). For each
//! service, such as `Greeter`, there are
//!
//! - the trait `Greeter`, with an async method per rpc that takes and returns plain messages;
//! - `GreeterClient`, which implements that trait by calling the other side of a channel;
//! - `GreeterServer`, which answers calls with any implementation of the trait.
//!
//! So code can be written against `impl Greeter`, and a struct in the same process, a plugin and
//! a test double do equally well. An implementation needs no macro:
//!
//! ```text
//! impl Greeter for Hello {
//!     async fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
//!         Ok(GreetReply { text: format!("hello {}", request.name) })
//!     }
//! }
//! ```
//!
//! How the kinds of rpc look (`S` is `outboard::Streaming`):
//!
//! | rpc | method |
//! | --- | --- |
//! | unary | `async fn f(&self, request: Req) -> Result<Resp, Status>` |
//! | client streaming | `async fn f(&self, requests: S<Req>) -> Result<Resp, Status>` |
//! | server streaming | `async fn f(&self, request: Req) -> Result<S<Resp>, Status>` |
//! | bidirectional | `async fn f(&self, requests: S<Req>) -> Result<S<Resp>, Status>` |
//!
//! # Blocking interfaces
//!
//! [`Builder::blocking`] adds, for programs without async, the trait `GreeterBlocking` whose methods are plain
//! functions, `GreeterBlockingClient` and `GreeterBlockingServer`. Messages are the same; streams are
//! `outboard::blocking::Streaming`, which are iterators.
//!
//! # Names
//!
//! Names follow Rust's habits (`rpc GetURL` is `get_url`); a method that would be a keyword is
//! written `r#type`. A method whose name every value or the client has a method for (`clone`,
//! `into`, `try_into`, `to_owned`, `channel`, `from_channel`, `with_metadata`, `with_options`,
//! `with_timeout`) gets
//! an underscore at the end, or it could not be called in the usual way. `google.protobuf.Empty`
//! is `()`, the other well-known types are those of `prost_types`.
//!
//! A `.proto` may have names that Rust cannot tell apart, such as the methods `GetFoo` and
//! `get_foo` or the enum values `KIND_OLD` and `Old` of an enum `Kind`. That is an [`Error`] which
//! names both and the setting that helps: [`Builder::rename_service`], [`Builder::rename_method`]
//! or [`Builder::rename_item`].
//!
//! # What is read
//!
//! Files of proto2 and proto3, in UTF-8 with or without a byte order mark. Files with an
//! `edition` are taken as another compiler's descriptor set:
//! [`Builder::compile_descriptor_set`].

#![cfg_attr(docsrs, feature(doc_cfg))]

mod adjust;
mod builder;
mod collisions;
mod comments;
mod compile;
mod descriptors;
mod editions;
mod error;
mod names;
mod rename;
mod scan;
mod service;
mod set;
mod source;
mod templates;

pub use self::builder::{Builder, configure};
pub use self::error::Error;

use std::path::Path;

/// Generates code for `protos` into the build script's `OUT_DIR`, with default settings.
///
/// `protos` are paths as seen from the package's directory; `includes` are the directories that
/// imports are looked for in, and each of `protos` must be in one of them. The well-known files of
/// `google/protobuf/` are brought along and win over copies in the directories. Tells cargo to run the
/// build script again when one of the files, imports included, changes.
///
/// # Errors
/// [`Error`], whose `Debug` text, which a failing `main` prints, names file, line and reason.
pub fn compile(protos: &[impl AsRef<Path>], includes: &[impl AsRef<Path>]) -> Result<(), Error> {
    configure().compile(protos, includes)
}
