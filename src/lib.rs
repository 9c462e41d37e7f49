//! Placeholder

mod plugin;
mod sys;

#[cfg(all(unix, feature = "smol"))]
pub use outboard_runtime_smol::Smol;
#[cfg(feature = "tokio")]
pub use outboard_runtime_tokio::Tokio;

pub mod client;
pub mod codegen;
pub mod context;
pub mod services;

pub use self::client::Client;
pub use outboard_core::rpc::{
    CallOptions, Channel, Code, Metadata, MetadataError, MetadataValue, Status, StreamSender,
    Streaming,
};

/// Includes what `outboard-build` generated from the `.proto` files of a package, such as
/// `include_proto!("greeter")` for `package greeter;` or `include_proto!("acme.kv.v1")`. Files
/// without a package are `"_"`.
///
/// The code lands where the macro stands. Packages that use each other need the modules of their
/// names around them: `mod acme { pub mod kv { .. } }`.
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        ::core::include!(::core::concat!(
            ::core::env!("OUT_DIR"),
            "/",
            $package,
            ".rs"
        ));
    };
}
