//! The end of a plugin, stage by stage.

use std::time::Instant;

use outboard_core::plugin::{
    Plugin, PluginAction, PluginConfig, PluginInput, PluginTimer, StopReason,
};

use crate::plugin_alone::{actions, finish, plugin, serving};
use crate::support::{MS, SECOND, plugin_config};

/// One with a connection.
fn connected(config: PluginConfig) -> (Plugin, Instant) {
    let (mut plugin, now) = serving(config);
    plugin.handle(now, PluginInput::Accepted);
    (plugin, now)
}

/// One that was asked to end, after these answers to what it wants to know.
fn ending(answers: &[PluginInput]) -> (Plugin, Instant) {
    let (mut plugin, now) = connected(plugin_config(&[]));
    plugin.handle(now, PluginInput::ShutdownCalled);
    for answer in answers {
        plugin.handle(now, answer.clone());
    }
    actions(&mut plugin);
    (plugin, now)
}

const STAGES: [PluginInput; 3] = [
    PluginInput::CallsIdle,
    PluginInput::Released,
    PluginInput::OutputSent,
];

#[test]
fn each_stage_waits_for_the_one_before() {
    let (mut plugin, now) = connected(plugin_config(&[]));
    plugin.handle(now, PluginInput::ShutdownCalled);
    let asked = [PluginAction::StopListening, PluginAction::Drain];
    assert_eq!(actions(&mut plugin), asked);
    let begun: [&[PluginAction]; 3] = [
        &[PluginAction::ReleaseStreams],
        &[PluginAction::CloseOutput],
        &[PluginAction::CloseStanding, PluginAction::AnswerShutdown],
    ];
    for (stage, begun) in begun.iter().enumerate() {
        for answer in &STAGES {
            if *answer != STAGES[stage] {
                plugin.handle(now, answer.clone());
                assert_eq!(actions(&mut plugin), [], "{answer:?} in stage {stage}");
            }
        }
        plugin.handle(now, PluginInput::AllClosed);
        assert!(!plugin.is_finished(), "nothing was aborted yet");
        plugin.handle(now, STAGES[stage].clone());
        assert_eq!(actions(&mut plugin), *begun);
    }
    plugin.handle(now, PluginInput::ConnectionClosed);
    assert_eq!(actions(&mut plugin), [PluginAction::Abort]);
    plugin.handle(now, PluginInput::AllClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::Shutdown));
}

#[test]
fn all_stages_share_one_limit() {
    for reached in 0..=STAGES.len() {
        let (mut plugin, now) = connected(plugin_config(&[]));
        plugin.handle(now, PluginInput::ShutdownCalled);
        for answer in &STAGES[..reached] {
            plugin.handle(now + SECOND, answer.clone());
        }
        actions(&mut plugin);
        plugin.handle_timeout(now + 1499 * MS);
        assert!(!actions(&mut plugin).contains(&PluginAction::Abort));
        plugin.handle_timeout(now + 1500 * MS);
        assert_eq!(actions(&mut plugin), [PluginAction::Abort], "{reached}");
        plugin.handle(now + 1500 * MS, PluginInput::AllClosed);
        assert_eq!(finish(&mut plugin), (0, StopReason::Shutdown));
    }
}

#[test]
fn text_that_cannot_be_written_is_waited_for_a_little_while() {
    let (mut plugin, now) = ending(&STAGES[..1]);
    let flush = Some((now + 200 * MS, PluginTimer::Flush));
    assert_eq!(plugin.poll_timeout(), flush);
    plugin.handle_timeout(now + 200 * MS);
    assert_eq!(actions(&mut plugin), [PluginAction::ForceRelease]);
    // What was printed before is still read to its end.
    let drain = Some((now + 1500 * MS, PluginTimer::Drain));
    assert_eq!(plugin.poll_timeout(), drain);
    plugin.handle(now + 300 * MS, PluginInput::Released);
    assert_eq!(actions(&mut plugin), [PluginAction::CloseOutput]);
    // In time, nothing is forced.
    let (plugin, now) = ending(&STAGES[..2]);
    assert_eq!(
        plugin.poll_timeout(),
        Some((now + 1500 * MS, PluginTimer::Drain))
    );
}

#[test]
fn what_was_aborted_is_waited_for_a_little_while() {
    let (mut plugin, now) = connected(plugin_config(&[]));
    plugin.kill(now);
    assert_eq!(
        actions(&mut plugin),
        [PluginAction::StopListening, PluginAction::Abort]
    );
    let limit = Some((now + 200 * MS, PluginTimer::Abort));
    assert_eq!(plugin.poll_timeout(), limit);
    // Nothing that happens meanwhile counts any more.
    for late in [
        PluginInput::ConnectionClosed,
        PluginInput::ShutdownCalled,
        PluginInput::HostGone,
        PluginInput::Interrupted,
        PluginInput::CallsIdle,
    ] {
        plugin.handle(now, late);
    }
    plugin.kill(now + 100 * MS);
    plugin.shutdown(now + 100 * MS);
    assert_eq!(actions(&mut plugin), []);
    assert_eq!(plugin.poll_timeout(), limit);
    plugin.handle_timeout(now + 200 * MS);
    assert_eq!(finish(&mut plugin), (0, StopReason::Requested));
}

#[test]
fn what_a_broker_served_is_waited_for_without_a_connection_too() {
    let (mut plugin, now) = connected(plugin_config(&[]));
    plugin.handle(now, PluginInput::ConnectionClosed);
    plugin.shutdown(now);
    assert_eq!(
        actions(&mut plugin),
        [PluginAction::StopListening, PluginAction::Abort]
    );
    assert!(!plugin.is_finished());
}

#[test]
fn requests_to_end_are_answered_once_the_output_is_sent() {
    for reached in 0..STAGES.len() {
        let (mut plugin, now) = ending(&STAGES[..reached]);
        plugin.handle(now, PluginInput::ShutdownCalled);
        assert_eq!(actions(&mut plugin), [], "stage {reached}");
    }
    let (mut plugin, now) = ending(&STAGES);
    plugin.handle(now, PluginInput::ShutdownCalled);
    assert_eq!(actions(&mut plugin), [PluginAction::AnswerShutdown]);
}

#[test]
fn a_plugin_that_claimed_no_streams_has_none_to_give_back() {
    let mut config = plugin_config(&[]);
    config.announce = false;
    let (mut plugin, now) = connected(config);
    plugin.handle(now, PluginInput::ShutdownCalled);
    actions(&mut plugin);
    plugin.handle(now, PluginInput::CallsIdle);
    assert_eq!(actions(&mut plugin), [PluginAction::CloseOutput]);
    plugin.handle(now, PluginInput::OutputSent);
    assert_eq!(
        actions(&mut plugin),
        [PluginAction::CloseStanding, PluginAction::AnswerShutdown]
    );
}

#[test]
fn a_termination_drains_and_a_second_one_ends_at_once() {
    let (mut early, now) = plugin(plugin_config(&[]));
    early.handle(now, PluginInput::Terminated);
    assert_eq!(finish(&mut early), (143, StopReason::Terminated));

    for held in [true, false] {
        let mut config = plugin_config(&[]);
        config.held = held;
        let (mut plugin, now) = connected(config);
        plugin.handle(now, PluginInput::Terminated);
        let asked = [PluginAction::StopListening, PluginAction::Drain];
        assert_eq!(actions(&mut plugin), asked);
        // The host may ask, too, and changes nothing by it.
        plugin.handle(now, PluginInput::ShutdownCalled);
        assert_eq!(actions(&mut plugin), []);
        plugin.handle(now, PluginInput::Terminated);
        assert_eq!(actions(&mut plugin), [PluginAction::Abort]);
        plugin.handle(now, PluginInput::AllClosed);
        assert_eq!(finish(&mut plugin), (143, StopReason::Terminated));
    }
}

#[test]
fn a_termination_beside_the_hosts_own_request_cuts_nothing_off() {
    let (mut plugin, now) = ending(&[]);
    plugin.handle(now, PluginInput::Terminated);
    assert_eq!(actions(&mut plugin), []);
    plugin.handle(now, PluginInput::Terminated);
    assert_eq!(actions(&mut plugin), [PluginAction::Abort]);
    plugin.handle(now, PluginInput::AllClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::Shutdown));
}

/// Its host has waited as long as it does: what was finished until then has to do.
#[test]
fn a_termination_long_after_the_hosts_request_ends_it_at_once() {
    let (mut plugin, now) = ending(&[]);
    let sooner = now + SECOND - MS;
    plugin.handle(sooner, PluginInput::Terminated);
    assert_eq!(actions(&mut plugin), []);
    let (mut plugin, now) = ending(&[]);
    let later = now + SECOND;
    plugin.handle(later, PluginInput::Terminated);
    assert_eq!(actions(&mut plugin), [PluginAction::Abort]);
    plugin.handle(later, PluginInput::AllClosed);
    assert_eq!(finish(&mut plugin), (0, StopReason::Shutdown));
}

#[test]
fn the_end_at_once_overtakes_what_nobody_has_begun_with() {
    // A driver that is dropped before it has done anything makes no listener for it.
    let (mut unseen, now) = plugin(plugin_config(&[]));
    unseen.kill(now);
    let done = actions(&mut unseen);
    assert!(
        matches!(done[..], [PluginAction::Finish { .. }]),
        "{done:?}"
    );
    let (mut plugin, now) = connected(plugin_config(&[]));
    plugin.handle(now, PluginInput::ShutdownCalled);
    plugin.kill(now);
    assert_eq!(
        actions(&mut plugin),
        [PluginAction::StopListening, PluginAction::Abort]
    );
}
