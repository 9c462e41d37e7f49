//! Plugins that run already, and those that are left running.

use outboard_core::endpoint::Endpoint;
use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::handshake::Protocol;
use outboard_core::host::{
    ExitReason, Host, HostAction, HostEvent, HostInput, Means, StartFailure, WhenDropped,
};

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

/// What is done to let go of a plugin that is up.
const LET_GO: [HostAction; 3] = [
    HostAction::CloseBroker,
    HostAction::Disconnect,
    HostAction::Release,
];

fn assert_released(events: &[HostEvent]) {
    assert!(
        matches!(
            events,
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
    assert_eq!(actions, LET_GO);
    assert_released(&events);
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

/// What is asked for, and reported, of a host that is attached and has come as far as this.
fn attached(
    means: Means,
    then: impl FnOnce(&mut Host, std::time::Instant),
) -> (Vec<HostAction>, Vec<HostEvent>) {
    let start = epoch();
    let mut config = host_config();
    config.means = means;
    let endpoint = Endpoint::Unix("/tmp/plugin1".into());
    let mut host = Host::attach(config, start, None, endpoint, Protocol::Grpc);
    host.poll_action();
    then(&mut host, start);
    (
        std::iter::from_fn(|| host.poll_action()).collect(),
        std::iter::from_fn(|| host.poll_event()).collect(),
    )
}

/// Nothing has said yet that it is the plugin.
#[test]
fn a_process_whose_socket_takes_no_connection_is_left_alone() {
    let (actions, events) = attached(Means::All, |host, start| {
        host.handle(start, HostInput::ConnectFailed(Fault::other("refused")));
        let (due, _) = host.poll_timeout().expect("it waits for an exit");
        host.handle_timeout(due);
    });
    assert_eq!(actions, [HostAction::Release]);
    assert!(
        matches!(&events[..], [HostEvent::Failed(error), HostEvent::Finished]
            if matches!(error.failure, StartFailure::Connect { .. })),
        "{events:?}"
    );
    for end in [Host::kill, Host::shutdown, Host::let_go, Host::detach] {
        let (actions, events) = attached(Means::All, end);
        assert_eq!(actions, [HostAction::Disconnect, HostAction::Release]);
        assert!(
            matches!(&events[..], [HostEvent::Failed(error), HostEvent::Finished]
                if error.failure == StartFailure::Cancelled),
            "{events:?}"
        );
    }
}

#[test]
fn one_that_is_spared_is_let_go_of_whatever_is_asked_for() {
    for end in [Host::kill, Host::shutdown, Host::let_go, Host::detach] {
        let (actions, events) = attached(Means::None, |host, start| {
            host.handle(start, HostInput::Connected);
            assert!(host.outlives_its_driver());
            end(host, start);
        });
        assert_eq!(actions, LET_GO);
        assert_eq!(events[0], HostEvent::Ready);
        assert_released(&events[1..]);
    }
}

/// What cannot be killed is asked all the same, and let go of where it does not end by that.
#[test]
fn one_that_may_only_be_asked_is_never_killed() {
    for end in [Host::kill, Host::let_go, Host::detach] {
        let (actions, events) = attached(Means::Asking, |host, start| {
            host.handle(start, HostInput::Connected);
            assert!(host.outlives_its_driver());
            end(host, start);
        });
        assert_eq!(actions, LET_GO);
        assert_released(&events[1..]);
    }
    let (actions, events) = attached(Means::Asking, |host, start| {
        host.handle(start, HostInput::Connected);
        host.shutdown(start);
        let (due, _) = host.poll_timeout().expect("the grace");
        host.handle_timeout(due);
    });
    assert_eq!(actions.last(), Some(&HostAction::Release));
    assert!(!actions.contains(&HostAction::Kill), "{actions:?}");
    assert_released(&events[1..]);
    // One that is seen to end has done as it was asked.
    let (_, events) = attached(Means::Asking, |host, start| {
        host.handle(start, HostInput::Connected);
        host.shutdown(start);
        host.handle(start, HostInput::Exited(Exit::Unknown));
    });
    assert!(
        matches!(
            events[1],
            HostEvent::Exited {
                reason: ExitReason::Shutdown,
                ..
            }
        ),
        "{events:?}"
    );
}

#[test]
fn detaching_leaves_it_whatever_is_done_with_what_is_dropped() {
    let (actions, _) = attached(Means::All, |host, start| {
        host.handle(start, HostInput::Connected);
        host.detach(start);
        host.kill(start);
    });
    assert_eq!(actions.last(), Some(&HostAction::Release));
}

#[test]
fn one_that_is_up_is_killed_if_that_is_asked_for() {
    let (actions, _) = attached(Means::All, |host, start| {
        host.handle(start, HostInput::Connected);
        host.kill(start);
    });
    assert_eq!(actions.last(), Some(&HostAction::Kill));
}
