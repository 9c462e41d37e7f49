//! What a plugin that cannot serve tells its host, where the standard streams are not claimed.

use std::io::Write as _;

use outboard_core::handshake::Refusal;

/// Tells the host on stdout why there will be no handshake line.
pub(crate) fn refuse(reason: &str) {
    let _unread = std::io::stdout()
        .lock()
        .write_all(&Refusal::new(reason).to_bytes());
}

/// Nobody asks for it there.
pub(crate) fn panicked(_message: &str) {}
