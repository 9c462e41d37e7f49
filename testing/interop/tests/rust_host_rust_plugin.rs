//! outboard on both sides, by the expectations that Go plugins meet.
#![cfg(unix)]

use outboard_interop::rust_host::{
    Peer, calls, checksum, life, output, reconnect, refused, services, told, wrapped,
};

/// One test per scenario.
macro_rules! scenarios {
    ($($module:ident: $($name:ident)*;)*) => {$($(
        #[test]
        fn $name() {
            $module::$name(&Peer::rust(env!("CARGO_BIN_EXE_rust-plugin-peer")));
        }
    )*)*};
}

scenarios! {
    checksum: checksum;
    services: kv negotiated version_zero incompatible_version counter broker broker_timeout streamer;
    calls: large_message limit_of_the_plugin limit_of_the_host status long_status deadline cancel metadata
        sequential parallel streams unknown_method health interfaces;
    output: stdio last_words unwanted_output logs default_name raw_stderr odd_log_lines panic_lines long_lines unparsed flood
        stray_stdout;
    life: crash crash_by_panic shutdown shutdown_is_never_forced shutdown_ignored shutdown_in_call shutdown_waits
        shutdown_with_stdout_locked
        killed dropped runtime_dropped grandchild environment two_at_once;
    reconnect: connection_cut stream_ids;
    told: trace log_level;
    wrapped: wrapped_failed_start wrapped_killed;
    refused: cookie_mismatch ends_at_once bad_lines silent nobody_listens given_up;
}

#[test]
fn no_program() {
    refused::no_program();
}
