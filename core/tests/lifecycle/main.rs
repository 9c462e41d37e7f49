//! The lifecycle machines against each other and against every kind of misbehaviour.
#![allow(clippy::unwrap_used, reason = "tests")]

mod attached;
mod ending;
mod linking;
mod plugin_alone;
mod plugin_ending;
mod starting;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::host::{ExitReason, HostAction, HostEvent, StartError};
use outboard_core::plugin::{PluginAction, StopReason};

use support::{Pair, SECOND, World};

pub(crate) const LINE: &str = "1|1|unix|/tmp/plugin1|grpc|\n";

pub(crate) fn failed(pair: &Pair) -> &StartError {
    match &pair.outcome().1 {
        HostEvent::Failed(error) => error,
        other => panic!("expected a failed start, got {other:?}"),
    }
}

pub(crate) fn exited(pair: &Pair) -> (Duration, Exit, ExitReason) {
    match pair.outcome() {
        (at, HostEvent::Exited { exit, reason, .. }) => (*at, *exit, *reason),
        other => panic!("expected an exit, got {other:?}"),
    }
}

#[test]
fn a_healthy_run() {
    for chunk in [usize::MAX, 1, 7] {
        let mut pair = Pair::ready(World {
            chunk,
            ..World::default()
        });
        let accepted = pair.host.handshake().unwrap();
        assert_eq!(accepted.line.app_version(), 1);
        assert_eq!(pair.host.id(), Some("42"));
        assert_eq!(
            pair.host.poll_timeout(),
            None,
            "nothing is being waited for"
        );
        pair.shutdown();
        pair.run();
        pair.assert_over();
        let (at, exit, reason) = exited(&pair);
        assert_eq!((exit, reason), (Exit::Code(0), ExitReason::Shutdown));
        assert!(at < 2 * SECOND, "no grace was waited for: {at:?}");
        assert_eq!(pair.count(&HostAction::Kill), 0);
        let order: Vec<_> = pair.host_actions.iter().collect();
        assert!(
            matches!(
                order[..],
                [
                    HostAction::Launch,
                    HostAction::Connect { .. },
                    HostAction::CloseBroker,
                    HostAction::CallShutdown,
                    HostAction::Disconnect,
                    HostAction::Cleanup,
                ]
            ),
            "{order:?}"
        );
        let events: Vec<_> = pair.host_events.iter().map(|(_, event)| event).collect();
        assert!(
            matches!(
                events[..],
                [
                    HostEvent::Negotiated(_),
                    HostEvent::Ready,
                    HostEvent::Exited { .. },
                    HostEvent::Finished
                ]
            ),
            "{events:?}"
        );
        assert!(
            matches!(
                pair.plugin_actions[..],
                [
                    PluginAction::Listen(_),
                    PluginAction::WriteHandshake(_),
                    PluginAction::RedirectStdio,
                    PluginAction::Serve,
                    PluginAction::StopListening,
                    PluginAction::Drain,
                    PluginAction::ReleaseStreams,
                    PluginAction::CloseOutput,
                    PluginAction::CloseStanding,
                    PluginAction::AnswerShutdown,
                    PluginAction::Abort,
                    PluginAction::Finish {
                        code: 0,
                        reason: StopReason::Shutdown
                    },
                ]
            ),
            "{:?}",
            pair.plugin_actions
        );
    }
}
