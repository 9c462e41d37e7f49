//! A plugin under any operations.

use std::collections::BTreeMap;
use std::time::Duration;

use outboard_core::endpoint::Endpoint;
use outboard_core::env::PluginEnv;
use outboard_core::fault::Fault;
use outboard_core::handshake::{Location, Protocol};
use outboard_core::plugin::{Plugin, PluginAction, PluginConfig, PluginInput};

use super::steps::{Op, check_timer, epoch, step};

/// Applies `ops` to a plugin, ends it, and checks its rules.
pub fn plugin(seed: u8, ops: &[Op]) {
    let mut now = epoch();
    let env = PluginEnv::read_without_cookie(|name| match name {
        "PLUGIN_MULTIPLEX_GRPC" if seed & 1 != 0 => Some("true".into()),
        "OUTBOARD_TRANSPORTS" if seed & 2 != 0 => Some("stdio".into()),
        "PLUGIN_PROTOCOL_VERSIONS" if seed & 4 != 0 => Some("2,3".into()),
        _ => None,
    });
    let protocols = [Protocol::Grpc, Protocol::Stdio, Protocol::NetRpc];
    let offered = protocols[..usize::from(seed >> 3) % 4].to_vec();
    let mut config = PluginConfig::new(env, BTreeMap::from([(1, offered.clone()), (2, offered)]));
    config.announce = seed & 32 != 0;
    config.outlive_host = seed & 64 != 0;
    if seed & 128 != 0 {
        config.drain_timeout = Duration::ZERO;
        config.first_connection = Duration::ZERO;
        config.flush_patience = Duration::ZERO;
        config.abort_patience = Duration::ZERO;
        config.alone_limit = Duration::ZERO;
    }
    let mut plugin = Plugin::new(config, now);
    let mut record = Vec::new();
    for &[kind, a, b] in ops {
        match kind % 21 {
            0 | 1 => {
                let location = match a % 4 {
                    0 => Location::Stdio,
                    1 => Location::Endpoint(Endpoint::Tcp("127.0.0.1:1".into())),
                    2 => Location::Endpoint(Endpoint::Unix("/tmp/a|b".into())),
                    _ => Location::Endpoint(Endpoint::Unix("/tmp/p".into())),
                };
                plugin.handle(now, PluginInput::Listening(location));
            }
            2 if b > 200 => plugin.handle(now, PluginInput::ListenFailed(Fault::other("no"))),
            3 | 4 => plugin.handle(now, PluginInput::HandshakeWritten),
            5 if b > 200 => {
                plugin.handle(now, PluginInput::HandshakeWriteFailed(Fault::other("no")));
            }
            6 => plugin.handle(now, PluginInput::Accepted),
            7 => plugin.handle(now, PluginInput::ConnectionClosed),
            8 => plugin.handle(now, PluginInput::ShutdownCalled),
            9 => plugin.handle(now, PluginInput::HostGone),
            10 => plugin.handle(now, PluginInput::Interrupted),
            11 => plugin.handle(now, PluginInput::CallsIdle),
            16 => plugin.handle(now, PluginInput::Released),
            17 => plugin.handle(now, PluginInput::OutputSent),
            18 => plugin.handle(now, PluginInput::AllClosed),
            19 => plugin.handle(now, PluginInput::Terminated),
            12 if b > 128 => plugin.shutdown(now),
            13 if b > 200 => plugin.kill(now),
            14 => drain_plugin(&mut plugin, &mut record),
            15 => {
                now += step(a);
                plugin.handle_timeout(now);
                check_timer(plugin.poll_timeout(), now);
            }
            _ => {
                if let Some((at, _)) = plugin.poll_timeout() {
                    now = now.max(at);
                    plugin.handle_timeout(now);
                    check_timer(plugin.poll_timeout(), now);
                }
            }
        }
    }
    plugin.shutdown(now);
    // Nobody answers any more: the timers alone must end it.
    for _ in 0..4 {
        if let Some((at, _)) = plugin.poll_timeout() {
            now = now.max(at);
            plugin.handle_timeout(now);
            check_timer(plugin.poll_timeout(), now);
        }
    }
    drain_plugin(&mut plugin, &mut record);
    assert!(plugin.is_finished(), "{plugin:?}");
    assert_eq!(plugin.poll_timeout(), None);
    plugin.kill(now);
    plugin.handle(now, PluginInput::Accepted);
    drain_plugin(&mut plugin, &mut record);

    let ends = |action: &&PluginAction| matches!(action, PluginAction::Finish { .. });
    assert_eq!(record.iter().filter(ends).count(), 1, "{record:?}");
    assert!(record.last().is_some_and(|last| ends(&last)), "{record:?}");
    let count = |wanted: &PluginAction| record.iter().filter(|a| *a == wanted).count();
    for once in [
        PluginAction::RedirectStdio,
        PluginAction::Serve,
        PluginAction::StopListening,
        PluginAction::Drain,
        PluginAction::ReleaseStreams,
        PluginAction::ForceRelease,
        PluginAction::CloseOutput,
        PluginAction::CloseStanding,
        PluginAction::Abort,
    ] {
        assert!(count(&once) <= 1, "{record:?}");
    }
    let place = |wanted: &PluginAction| record.iter().position(|a| a == wanted);
    let stages = [
        PluginAction::Serve,
        PluginAction::Drain,
        PluginAction::ReleaseStreams,
        PluginAction::CloseOutput,
        PluginAction::CloseStanding,
        PluginAction::Abort,
    ];
    let places: Vec<_> = stages.iter().filter_map(place).collect();
    assert!(places.is_sorted(), "a stage overtakes another: {record:?}");
    let before = |early, late| place(&late).is_none() || place(&early).is_some();
    assert!(
        before(PluginAction::CloseOutput, PluginAction::CloseStanding)
            && before(PluginAction::CloseStanding, PluginAction::AnswerShutdown),
        "a stage is left out: {record:?}"
    );
}

fn drain_plugin(plugin: &mut Plugin, record: &mut Vec<PluginAction>) {
    record.extend(std::iter::from_fn(|| plugin.poll_action()));
    let events = std::iter::from_fn(|| plugin.poll_event()).count();
    assert!(events <= 4, "events pile up: {events}");
}
