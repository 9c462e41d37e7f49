//! TLS of a plugin as the variables say that all peers know.

use std::convert::Infallible;
use std::error::Error;
use std::ffi::OsString;

use outboard::Plugin;
use outboard::tls::KeyKind;

use super::own;

/// The plugin with TLS as the environment says: of its own with `INTEROP_TLS_IDENTITY`,
/// `INTEROP_TLS_TRUST` and `INTEROP_TLS_VERSION`, and with a key of the kind `INTEROP_TLS_KEY` for AutoMTLS.
///
/// # Errors
/// If one of them makes no sense.
pub fn of_environment(mut plugin: Plugin) -> Result<Plugin, Box<dyn Error>> {
    if let Some(identity) = std::env::var_os("INTEROP_TLS_IDENTITY") {
        let trusted = std::env::var_os("INTEROP_TLS_TRUST");
        let trusted: OsString = trusted.ok_or("INTEROP_TLS_TRUST is missing")?;
        plugin = plugin.tls_provider(move || {
            let version = std::env::var("INTEROP_TLS_VERSION").ok();
            let tls = own(identity.as_ref(), trusted.as_ref(), version.as_deref());
            Ok::<_, Infallible>(tls)
        });
    }
    if let Ok(kind) = std::env::var("INTEROP_TLS_KEY") {
        plugin = plugin.identity_key(match kind.as_str() {
            "p256" => KeyKind::P256,
            "p384" => KeyKind::P384,
            "p521" => KeyKind::P521,
            "ed25519" => KeyKind::Ed25519,
            other => return Err(format!("unknown kind of key {other:?}").into()),
        });
    }
    Ok(plugin)
}
