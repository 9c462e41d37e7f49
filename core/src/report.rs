//! Errors as people read them.
//!
//! All public errors of outboard follow one rule. The `Display` form is one line of its own that
//! says what happened; where that is nothing but the cause, the cause is part of the line. What
//! `source` gives adds to the line and repeats none of it. And since a `main` that returns an error
//! prints its `Debug` form, that is the line with all that the sources add.

use std::error::Error;

/// An error and what its sources add, separated by colons.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Makes [`chain`](crate::report::chain) the `Debug` form of errors.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_as_text {
    ($($error:ty),+ $(,)?) => {
        $(
            impl ::std::fmt::Debug for $error {
                fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                    f.write_str(&$crate::report::chain(self))
                }
            }
        )+
    };
}

debug_as_text!(
    crate::broker::BrokerError,
    crate::endpoint::EndpointError,
    crate::env::CookieError,
    crate::env::PortError,
    crate::fault::Fault,
    crate::grpc::BadBinaryHeader,
    crate::grpc::FrameError,
    crate::grpc::TimeoutError,
    crate::handshake::CertificateError,
    crate::handshake::HandshakeError,
    crate::handshake::MisconfiguredHandshake,
    crate::handshake::MultiplexingRefusal,
    crate::handshake::StrayEnd,
    crate::handshake::UnknownProtocol,
    crate::host::Evidence,
    crate::host::StartError,
    crate::host::StartFailure,
    crate::plugin::PluginError,
    crate::reattach::ReattachError,
    crate::rpc::DuplicateService,
    crate::rpc::MetadataError,
    crate::rpc::TooLarge,
    crate::rpc::limits::MetadataTooLarge,
    crate::rpc::guard::Panicked,
    crate::tls::TlsFault,
    crate::version::IncompatibleVersion,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::plugin::PluginError;

    #[test]
    fn the_debug_form_is_the_text() {
        let error = PluginError::Listen(Fault::other("no room"));
        assert_eq!(format!("{error:?}"), chain(&error));
        assert_eq!(chain(&error).matches("no room").count(), 1, "{error:?}");
    }
}
