//! Rust host and Go plugin: go-plugin's plugins under an outboard host.
#![cfg(unix)]

use outboard_interop::{
    go,
    rust_host::{
        Peer, calls, checksum, few_streams, life, output, reconnect, refused, services, supervised,
        told, wrapped,
    },
};

/// One test per scenario.
macro_rules! scenarios {
    ($($module:ident: $($name:ident)*;)*) => {$($(
        #[test]
        fn $name() {
            if let Some(peers) = go() {
                $module::$name(&Peer::go(peers));
            }
        }
    )*)*};
}

scenarios! {
    checksum: checksum;
    services: kv negotiated version_zero incompatible_version counter broker brokered_age broker_timeout streamer
        streamer_broken;
    calls: large_message limit_of_the_plugin limit_of_the_host status long_status deadline cancel metadata
        sequential parallel streams unknown_method health interfaces;
    output: stdio last_mebibyte unwanted_output logs default_name raw_stderr odd_log_lines panic_lines long_lines unparsed flood
        stray_stdout;
    life: crash crash_by_panic shutdown shutdown_is_never_forced shutdown_ignored shutdown_in_call
        killed dropped runtime_dropped grandchild environment two_at_once;
    few_streams: few_streams few_streams_held few_streams_warning
        few_streams_one_connection;
    supervised: supervised supervised_idle;
    reconnect: connection_age connection_cut stream_ids;
    told: trace log_level;
    wrapped: wrapped_failed_start wrapped_killed;
    refused: dies_first cookie_mismatch ends_at_once bad_lines silent nobody_listens given_up;
}

#[test]
fn a_go_plugin_takes_over_from_a_rust_one_and_back() {
    if let Some(peers) = go() {
        let rust = Peer::rust(env!("CARGO_BIN_EXE_rust-plugin-peer"));
        supervised::swapped(&rust, &Peer::go(peers));
    }
}
