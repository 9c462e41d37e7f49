//! A library with an interface of its own, under every lint that its author may have chosen: clippy, which
//! is run with all targets, checks that none speaks of what the macro writes.
#![forbid(unsafe_code)]
#![deny(
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::renamed_function_params,
    clippy::unwrap_used,
    elided_lifetimes_in_paths,
    future_incompatible,
    missing_copy_implementations,
    missing_debug_implementations,
    missing_docs,
    rust_2018_idioms,
    single_use_lifetimes,
    unnameable_types,
    unreachable_pub,
    unused,
    unused_qualifications
)]
#![allow(clippy::redundant_pub_crate)] // It asks for what `unreachable_pub` forbids.

#[allow(
    warnings,
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    clippy::restriction,
    missing_copy_implementations,
    missing_debug_implementations
)]
#[path = "../stub/mod.rs"]
pub mod stub;

use outboard_netrpc_macros::interface;

use crate::stub::netrpc::Error;

/// Greets.
#[interface(crate = "crate::stub")]
pub trait Greeter {
    /// A greeting.
    ///
    /// # Errors
    /// If nobody is there.
    async fn greet(&self) -> Result<String, Error>;

    /// A greeting for somebody.
    ///
    /// # Errors
    /// If nobody is there.
    #[deprecated = "greet all"]
    async fn greet_one(&self, name: String) -> Result<String, Error>;

    /// Silence.
    ///
    /// # Errors
    /// If somebody speaks.
    async fn be_silent(&self, seconds: u64) -> Result<(), Error>;
}

mod hidden {
    use outboard_netrpc_macros::interface;

    use crate::stub::netrpc::Error;

    /// Seen by nobody.
    #[interface(crate = "crate::stub")]
    pub(crate) trait Inner {
        /// What it is.
        async fn what(&self) -> Result<u8, Error>;
    }

    #[interface(crate = "crate::stub")]
    trait Private {
        async fn what(&self) -> Result<u8, Error>;
    }

    #[derive(Debug, Clone, Copy)]
    struct It;

    impl Inner for It {
        async fn what(&self) -> Result<u8, Error> {
            Ok(1)
        }
    }

    impl Private for It {
        async fn what(&self) -> Result<u8, Error> {
            Ok(2)
        }
    }

    /// Both of them.
    pub(crate) fn both() -> impl std::fmt::Debug {
        (InnerServer::new(It), PrivateServer::new(It))
    }
}

/// What is hidden.
#[must_use]
pub fn describe() -> String {
    format!("{:?}", hidden::both())
}
