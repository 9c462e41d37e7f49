//! Peers made by hand: a session of yamux whose streams a test reads and writes itself.
#![allow(dead_code)] // Each test uses a part.

use std::future::poll_fn;

use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_kit::pipe;
use outboard_yamux::{Config, Incoming, Opener, Role, session};

/// Room enough that no test waits for it.
const ROOM: usize = 64 * 1024;

/// A stream for a host, and the plugin's side of it.
pub(crate) fn raw_plugin(runtime: &SharedRuntime) -> (BoxByteStream, (Opener, Incoming)) {
    raw(runtime, Role::Server)
}

/// A stream for a plugin, and the host's side of it.
pub(crate) fn raw_host(runtime: &SharedRuntime) -> (BoxByteStream, (Opener, Incoming)) {
    raw(runtime, Role::Client)
}

fn raw(runtime: &SharedRuntime, role: Role) -> (BoxByteStream, (Opener, Incoming)) {
    let (near, far) = pipe(ROOM);
    let (opener, incoming, driver) = session(runtime, Box::new(far), Config::new(role));
    runtime.spawn(Box::pin(driver));
    (Box::new(near), (opener, incoming))
}

/// The next stream that the other side opens.
pub(crate) async fn accept(incoming: &mut Incoming) -> BoxByteStream {
    let stream = poll_fn(|cx| incoming.poll_accept(cx)).await;
    Box::new(stream.expect("a stream"))
}

/// Hexadecimal digits with spaces.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    assert_eq!(digits.len() % 2, 0);
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}
