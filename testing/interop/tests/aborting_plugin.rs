//! A plugin that was built with `panic = "abort"`, as those for constrained places are: a handler that
//! panics ends the process, and hosts show that as the plugin's own panic.
#![cfg(unix)]

use outboard_interop::rust_host::{Peer, life};
use outboard_interop::scenarios::{self, Subject};
use outboard_interop::{aborting_plugin, go};

#[test]
fn handler_panic_under_a_go_host() {
    let Some(peers) = go() else { return };
    scenarios::life::handler_panic_aborts(&Subject {
        peers,
        command: vec![aborting_plugin().into()],
        put_note: "\n\nWritten from plugin-rust",
    });
}

#[test]
fn handler_panic_under_a_rust_host() {
    let plugin = aborting_plugin();
    let peer = || Peer::rust(plugin.to_str().expect("text"));
    life::handler_panic_aborts(&peer());
    life::handler_panic_aborts(&peer().over_stdio());
}
