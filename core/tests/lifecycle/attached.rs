//! Plugins that run already, and those that are left running.

use outboard_core::endpoint::Endpoint;
use outboard_core::exit::Exit;
use outboard_core::handshake::Protocol;
use outboard_core::host::{ExitReason, Host, HostAction, HostEvent, HostInput, WhenDropped};

use crate::support::{epoch, host_config};

#[test]
fn an_attached_plugin_connects_without_a_handshake() {
    let start = epoch();
    let endpoint = Endpoint::Unix("/tmp/plugin1".into());
    let mut host = Host::attach(
        host_config(),
        start,
        Some("9".to_owned()),
        endpoint,
        Protocol::Grpc,
    );
    assert!(matches!(
        host.poll_action(),
        Some(HostAction::Connect { .. })
    ));
    host.handle(start, HostInput::Connected);
    assert_eq!(host.poll_event(), Some(HostEvent::Ready));
    host.shutdown(start);
    host.handle(start, HostInput::Exited(Exit::Unknown));
    let events: Vec<_> = std::iter::from_fn(|| host.poll_event()).collect();
    assert!(
        matches!(
            events[..],
            [
                HostEvent::Exited {
                    reason: ExitReason::Shutdown,
                    ..
                },
                HostEvent::Finished
            ]
        ),
        "{events:?}"
    );
}

/// A host that is up, and whose user lets go of it under this rule.
fn dropped(when_dropped: WhenDropped, asked: bool) -> (Vec<HostAction>, Vec<HostEvent>) {
    let start = epoch();
    let mut config = host_config();
    config.when_dropped = when_dropped;
    let endpoint = Endpoint::Unix("/tmp/plugin1".into());
    let mut host = Host::attach(config, start, None, endpoint, Protocol::Grpc);
    assert!(!host.outlives_its_driver(), "nothing is up yet");
    host.handle(start, HostInput::Connected);
    assert_eq!(
        host.outlives_its_driver(),
        when_dropped == WhenDropped::Release
    );
    if asked {
        host.shutdown(start);
    }
    std::iter::from_fn(|| host.poll_action()).for_each(drop);
    std::iter::from_fn(|| host.poll_event()).for_each(drop);
    host.let_go(start);
    host.let_go(start);
    (
        std::iter::from_fn(|| host.poll_action()).collect(),
        std::iter::from_fn(|| host.poll_event()).collect(),
    )
}

#[test]
fn what_nobody_holds_any_more_is_killed() {
    for asked in [false, true] {
        let (actions, events) = dropped(WhenDropped::Kill, asked);
        assert_eq!(actions.last(), Some(&HostAction::Kill));
        assert_eq!(events, []);
    }
}

#[test]
fn or_it_is_left_running_with_all_that_is_its_own() {
    let (actions, events) = dropped(WhenDropped::Release, false);
    let expected = [
        HostAction::CloseBroker,
        HostAction::Disconnect,
        HostAction::Release,
    ];
    assert_eq!(actions, expected);
    assert!(
        matches!(
            events[..],
            [
                HostEvent::Exited {
                    exit: Exit::Unknown,
                    reason: ExitReason::Released,
                    ..
                },
                HostEvent::Finished
            ]
        ),
        "{events:?}"
    );
    // One that was asked to end is on its way.
    let (actions, events) = dropped(WhenDropped::Release, true);
    assert_eq!((actions, events), (vec![], vec![]));
}

#[test]
fn one_that_is_not_up_yet_is_killed_in_any_case() {
    let start = epoch();
    let mut config = host_config();
    config.when_dropped = WhenDropped::Release;
    let mut host = Host::new(config, start);
    host.poll_action();
    host.handle(start, HostInput::Launched { id: None });
    host.let_go(start);
    assert_eq!(host.poll_action(), Some(HostAction::Kill));
}
