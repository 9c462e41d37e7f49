//! The plugin machine without a host.

use std::time::Instant;

use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;
use outboard_core::handshake::{Location, Protocol};
use outboard_core::plugin::{
    ListenSpec, Plugin, PluginAction, PluginConfig, PluginError, PluginEvent, PluginInput,
    PluginTimer, SocketKind, StopReason,
};

use crate::support::{SECOND, epoch, plugin_config};

pub(crate) fn plugin(config: PluginConfig) -> (Plugin, Instant) {
    let now = epoch();
    (Plugin::new(config, now), now)
}

pub(crate) fn serving(config: PluginConfig) -> (Plugin, Instant) {
    let (mut plugin, now) = plugin(config);
    let location = if plugin.protocol() == Protocol::Stdio {
        Location::Stdio
    } else {
        Location::Endpoint(Endpoint::Unix("/tmp/p".into()))
    };
    plugin.handle(now, PluginInput::Listening(location));
    plugin.handle(now, PluginInput::HandshakeWritten);
    actions(&mut plugin);
    (plugin, now)
}

pub(crate) fn actions(plugin: &mut Plugin) -> Vec<PluginAction> {
    std::iter::from_fn(|| plugin.poll_action()).collect()
}

/// How it ends, once what it has aborted is gone.
pub(crate) fn finish(plugin: &mut Plugin) -> (i32, StopReason) {
    let mut done = actions(plugin);
    if done.last() == Some(&PluginAction::Abort) {
        assert!(!plugin.is_finished());
        plugin.handle(epoch(), PluginInput::AllClosed);
        done = actions(plugin);
    }
    match done.pop() {
        Some(PluginAction::Finish { code, reason }) => (code, reason),
        other => panic!("not finished: {other:?}"),
    }
}

#[test]
fn a_plugin_writes_the_line_it_negotiated() {
    let variables = [
        ("PLUGIN_PROTOCOL_VERSIONS", "3,1"),
        ("PLUGIN_MULTIPLEX_GRPC", "true"),
    ];
    let (mut plugin, now) = plugin(plugin_config(&variables));
    actions(&mut plugin);
    let endpoint = Endpoint::Unix("/tmp/p".into());
    plugin.handle(now, PluginInput::Listening(Location::Endpoint(endpoint)));
    let line = b"1|1|unix|/tmp/p|grpc||true\n".to_vec();
    assert_eq!(actions(&mut plugin), [PluginAction::WriteHandshake(line)]);
    assert!(plugin.multiplexing());
    assert!(plugin.choice().offered);
}

#[test]
fn a_driver_that_cannot_multiplex_does_not_say_so() {
    let mut config = plugin_config(&[("PLUGIN_MULTIPLEX_GRPC", "true")]);
    config.can_multiplex = false;
    let (mut plugin, now) = plugin(config);
    actions(&mut plugin);
    let endpoint = Endpoint::Unix("/tmp/p".into());
    plugin.handle(now, PluginInput::Listening(Location::Endpoint(endpoint)));
    let line = b"1|1|unix|/tmp/p|grpc|\n".to_vec();
    assert_eq!(actions(&mut plugin), [PluginAction::WriteHandshake(line)]);
    assert!(!plugin.multiplexing());
}

#[test]
fn certificates_are_announced_only_to_hosts_that_sent_theirs() {
    for sent in [false, true] {
        let variables = [("PLUGIN_CLIENT_CERT", "-----BEGIN")];
        let mut config = plugin_config(if sent { &variables } else { &[] });
        config.certificate = Some(vec![0x30; 60]);
        let (plugin, _) = serving(config);
        assert_eq!(plugin.line().unwrap().certificate().is_some(), sent);
    }
}

#[test]
fn a_plugin_that_cannot_start_says_why_and_exits_with_an_error() {
    let mut nothing = plugin_config(&[]);
    nothing.versions.clear();
    let mut empty = plugin_config(&[]);
    empty.versions.insert(1, Vec::new());
    let mut pipes = plugin_config(&[]);
    pipes.versions.insert(1, vec![Protocol::Stdio]);
    let mut ports = plugin_config(&[("PLUGIN_MIN_PORT", "x")]);
    ports.socket = SocketKind::Tcp;
    let mut given = plugin_config(&[("OUTBOARD_TRANSPORTS", "stdio")]);
    given.versions.insert(1, vec![Protocol::Stdio]);
    given.socket = SocketKind::Given;
    for (config, expected) in [
        (nothing, "no interfaces"),
        (empty, "no interfaces"),
        (pipes, "did not offer"),
        (ports, "port"),
        (given, "of no use"),
    ] {
        let (mut plugin, _) = plugin(config);
        let (code, StopReason::Failed(error)) = finish(&mut plugin) else {
            panic!("not failed");
        };
        assert_eq!(code, 1);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(plugin.is_finished());
    }
}

#[test]
fn a_listener_that_it_was_given_is_used_whatever_else_is_offered() {
    let mut config = plugin_config(&[
        ("OUTBOARD_TRANSPORTS", "stdio"),
        // Of no effect where no port is chosen.
        ("PLUGIN_MIN_PORT", "x"),
    ]);
    let both = vec![Protocol::Stdio, Protocol::Grpc];
    config.versions.insert(1, both);
    let (mut without, _) = plugin(config.clone());
    let listen = |spec| Some(PluginAction::Listen(spec));
    assert_eq!(without.poll_action(), listen(ListenSpec::Stdio));
    config.socket = SocketKind::Given;
    let (mut with, _) = plugin(config);
    assert_eq!(with.poll_action(), listen(ListenSpec::Given));
    assert_eq!(with.protocol(), Protocol::Grpc);
}

#[test]
fn a_failed_listener_or_line_ends_the_plugin() {
    let (mut one, now) = plugin(plugin_config(&[]));
    one.handle(now, PluginInput::ListenFailed(Fault::other("full")));
    assert!(matches!(
        finish(&mut one),
        (1, StopReason::Failed(PluginError::Listen(_)))
    ));

    let (mut two, now) = plugin(plugin_config(&[]));
    let endpoint = Endpoint::Unix("/tmp/p".into());
    two.handle(now, PluginInput::Listening(Location::Endpoint(endpoint)));
    two.handle(
        now,
        PluginInput::HandshakeWriteFailed(Fault::other("EPIPE")),
    );
    let actions = actions(&mut two);
    assert!(
        actions.contains(&PluginAction::StopListening),
        "{actions:?}"
    );
    assert!(matches!(
        actions.last(),
        Some(PluginAction::Finish { code: 1, .. })
    ));
}

#[test]
fn an_address_that_would_break_the_line_is_refused() {
    for path in ["/tmp/a|b/p", "/tmp/a\nb/p"] {
        let (mut plugin, now) = plugin(plugin_config(&[]));
        let endpoint = Endpoint::Unix(path.into());
        plugin.handle(now, PluginInput::Listening(Location::Endpoint(endpoint)));
        let (code, reason) = finish(&mut plugin);
        assert_eq!(code, 1);
        assert!(matches!(
            reason,
            StopReason::Failed(PluginError::UnprintableAddress { .. })
        ));
    }
}

#[test]
fn interrupts_are_counted_once_the_line_is_out_and_deadly_before() {
    let (mut early, now) = plugin(plugin_config(&[]));
    early.handle(now, PluginInput::Interrupted);
    assert_eq!(finish(&mut early), (130, StopReason::Interrupted));

    let (mut plugin, now) = serving(plugin_config(&[]));
    for _ in 0..3 {
        plugin.handle(now, PluginInput::Interrupted);
    }
    let events: Vec<_> = std::iter::from_fn(|| plugin.poll_event()).collect();
    assert!(
        matches!(
            events[..],
            [
                PluginEvent::Serving(_),
                PluginEvent::Interrupted { count: 3 }
            ]
        ),
        "{events:?}"
    );
    assert!(!plugin.is_finished());
}

#[test]
fn an_interrupt_ends_a_plugin_that_no_host_holds_and_a_second_one_at_once() {
    let mut config = plugin_config(&[]);
    config.held = false;
    let (mut idle, now) = serving(config.clone());
    idle.handle(now, PluginInput::Interrupted);
    assert_eq!(finish(&mut idle), (130, StopReason::Interrupted));

    let (mut busy, now) = serving(config);
    busy.handle(now, PluginInput::Accepted);
    busy.handle(now, PluginInput::Interrupted);
    let done = actions(&mut busy);
    assert!(
        matches!(done[..], [PluginAction::StopListening, PluginAction::Drain]),
        "{done:?}"
    );
    busy.handle(now, PluginInput::Interrupted);
    assert_eq!(actions(&mut busy), [PluginAction::Abort]);
    busy.handle(now, PluginInput::AllClosed);
    assert_eq!(finish(&mut busy), (130, StopReason::Interrupted));
}

#[test]
fn a_plugin_ends_with_its_host_unless_told_to_outlive_it() {
    let (mut plugin, now) = serving(plugin_config(&[]));
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::HostGone);
    let done = actions(&mut plugin);
    assert_eq!(done, [PluginAction::StopListening, PluginAction::Abort]);
    plugin.handle(now, PluginInput::AllClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::HostGone));

    let mut config = plugin_config(&[]);
    config.outlive_host = true;
    let (mut plugin, now) = serving(config);
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::HostGone);
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(actions(&mut plugin), []);
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::ShutdownCalled);
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::Shutdown));
}

#[test]
fn a_plugin_without_hosts_ends_when_its_time_is_over() {
    let mut config = plugin_config(&[]);
    (config.outlive_host, config.alone_limit) = (true, 10 * SECOND);
    let (mut plugin, now) = serving(config.clone());
    // Its own host may take its time.
    plugin.handle_timeout(now + 100 * SECOND);
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(plugin.poll_timeout(), None);
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::HostGone);
    assert_eq!(plugin.poll_timeout(), None, "somebody is connected");
    plugin.handle(now, PluginInput::ConnectionClosed);
    let due = Some((now + 10 * SECOND, PluginTimer::Alone));
    assert_eq!(plugin.poll_timeout(), due);
    // Another host in between begins it anew.
    plugin.handle(now + 9 * SECOND, PluginInput::Accepted);
    assert_eq!(plugin.poll_timeout(), None);
    let left = now + 20 * SECOND;
    plugin.handle(left, PluginInput::ConnectionClosed);
    plugin.handle_timeout(left + 9 * SECOND);
    assert!(!plugin.is_finished());
    plugin.handle_timeout(left + 10 * SECOND);
    assert_eq!(finish(&mut plugin), (0, StopReason::Alone));

    // One that no host has launched waits from the start.
    config.announce = false;
    let (mut plugin, now) = serving(config);
    plugin.handle_timeout(now + 10 * SECOND);
    assert_eq!(finish(&mut plugin), (0, StopReason::Alone));
}

#[test]
fn a_stdio_plugin_ends_when_its_stdin_does() {
    let mut config = plugin_config(&[("OUTBOARD_TRANSPORTS", "stdio")]);
    config.outlive_host = true;
    let (mut plugin, now) = serving(config);
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::HostGone));
}

#[test]
fn a_multiplexing_plugin_takes_one_connection_and_does_not_wait_for_ever() {
    let variables = [("PLUGIN_MULTIPLEX_GRPC", "1")];
    let (mut plugin, now) = serving(plugin_config(&variables));
    plugin.handle(now, PluginInput::Accepted);
    assert_eq!(actions(&mut plugin), [PluginAction::StopListening]);
    assert_eq!(plugin.poll_timeout(), None);
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::Disconnected));

    let (mut plugin, now) = serving(plugin_config(&variables));
    plugin.handle_timeout(now + 4 * SECOND);
    assert!(!plugin.is_finished());
    plugin.handle_timeout(now + 5 * SECOND);
    assert_eq!(finish(&mut plugin), (0, StopReason::NobodyConnected));
}

#[test]
fn a_plugin_in_a_test_prints_nothing() {
    let mut config = plugin_config(&[]);
    config.announce = false;
    let (mut plugin, now) = plugin(config);
    let endpoint = Endpoint::Unix("/tmp/p".into());
    plugin.handle(now, PluginInput::Listening(Location::Endpoint(endpoint)));
    let done = actions(&mut plugin);
    assert!(
        matches!(done[..], [PluginAction::Listen(_), PluginAction::Serve]),
        "{done:?}"
    );
    assert!(matches!(plugin.poll_event(), Some(PluginEvent::Serving(_))));
    plugin.shutdown(now);
    assert_eq!(finish(&mut plugin), (0, StopReason::Requested));
}

#[test]
fn draining_goes_on_until_the_last_connection_has_closed() {
    let (mut plugin, now) = serving(plugin_config(&[]));
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::Accepted);
    plugin.handle(now, PluginInput::ShutdownCalled);
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert!(!plugin.is_finished());
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::Shutdown));
}
