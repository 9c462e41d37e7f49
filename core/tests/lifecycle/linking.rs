//! What happens to the connection of a plugin that is up.

use std::time::Duration;

use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::host::{ExitReason, HostAction, HostEvent, HostInput};

use crate::exited;
use crate::support::{MS, Pair, SECOND, World, host_config, plugin_config};

fn connects(pair: &Pair) -> usize {
    let is_connect = |action: &&HostAction| matches!(action, HostAction::Connect { .. });
    pair.host_actions.iter().filter(is_connect).count()
}

/// What the user learned after the plugin was ready.
fn told(pair: &Pair) -> Vec<&HostEvent> {
    let events = pair.host_events.iter().map(|(_, event)| event);
    events
        .skip_while(|event| **event != HostEvent::Ready)
        .skip(1)
        .collect()
}

#[test]
fn a_lost_connection_is_made_again_at_once() {
    let mut pair = Pair::ready(World::default());
    let before = pair.now - pair.start;
    pair.lose_connection();
    pair.run_for(SECOND);
    assert_eq!(told(&pair), [&HostEvent::Interrupted, &HostEvent::Restored]);
    let (at, _) = pair.host_events.last().unwrap();
    assert!(*at - before <= 5 * MS, "{at:?}");
    assert_eq!(connects(&pair), 2);
    assert_eq!(pair.host.poll_timeout(), None);
    pair.shutdown();
    pair.run();
    pair.assert_over();
    assert_eq!(exited(&pair).2, ExitReason::Shutdown);
    assert_eq!(pair.count(&HostAction::Kill), 0);
}

#[test]
fn a_retiring_connection_is_replaced_while_it_goes_on() {
    let mut pair = Pair::ready(World::default());
    pair.retire_connection();
    pair.run_for(SECOND);
    assert_eq!(told(&pair), [&HostEvent::Interrupted, &HostEvent::Restored]);
    assert_eq!(connects(&pair), 2);
    assert_eq!(pair.count(&HostAction::Disconnect), 0, "it has calls");
}

#[test]
fn a_plugin_that_cannot_be_reached_again_is_reported_with_the_reason() {
    let mut pair = Pair::ready(World::default());
    let before = pair.now - pair.start;
    pair.world.connect_fails = true;
    pair.lose_connection();
    pair.run_for(60 * SECOND);
    let (at, HostEvent::Disconnected { fault: Some(fault) }) = pair.host_events.last().unwrap()
    else {
        panic!("{:?}", pair.host_events);
    };
    assert_eq!(fault.message, "connection refused");
    assert!(*at - before >= 10 * SECOND && *at - before <= 10 * SECOND + 5 * MS);
    assert!((10..30).contains(&connects(&pair)), "{}", connects(&pair));
    assert!(pair.host.is_ready(), "its user decides");
}

#[test]
fn it_is_killed_if_the_host_says_so() {
    let mut config = host_config();
    config.end_unreachable = true;
    config.link.within = SECOND;
    let mut pair = Pair::with(World::default(), config, plugin_config(&[]));
    pair.run_for(SECOND);
    pair.world.never_connects = true;
    pair.lose_connection();
    pair.run();
    pair.assert_over();
    let (_, _, reason) = exited(&pair);
    assert_eq!(reason, ExitReason::Unreachable);
    assert_eq!(pair.count(&HostAction::Kill), 1);
    assert!(told(&pair).contains(&&HostEvent::Disconnected { fault: None }));
}

#[test]
fn a_shutdown_waits_for_the_connection_to_ask_over() {
    for retiring in [false, true] {
        let mut pair = Pair::ready(World::default());
        pair.world.connect_fails = true;
        if retiring {
            pair.retire_connection();
        } else {
            pair.lose_connection();
        }
        pair.run_for(500 * MS);
        pair.shutdown();
        pair.run_for(100 * MS);
        assert_eq!(pair.count(&HostAction::CallShutdown), 0);
        pair.world.connect_fails = false;
        pair.run();
        pair.assert_over();
        assert_eq!(exited(&pair).2, ExitReason::Shutdown, "{retiring}");
        assert_eq!(pair.count(&HostAction::CallShutdown), 1);
    }
}

#[test]
fn a_shutdown_tries_once_more_what_was_given_up() {
    for reachable in [false, true] {
        let mut pair = Pair::ready(World::default());
        pair.world.connect_fails = true;
        pair.lose_connection();
        pair.run_for(20 * SECOND);
        pair.world.connect_fails = !reachable;
        let before = pair.now - pair.start;
        pair.shutdown();
        pair.run();
        pair.assert_over();
        let (at, _, reason) = exited(&pair);
        if reachable {
            assert_eq!(reason, ExitReason::Shutdown);
        } else {
            assert_eq!(reason, ExitReason::NotAsked);
            assert!(at - before <= 2 * SECOND + 10 * MS, "{at:?}");
        }
    }
}

#[test]
fn a_crash_is_no_lost_connection() {
    let mut pair = Pair::ready(World::default());
    pair.crash(Exit::Code(3));
    pair.run();
    pair.assert_over();
    assert_eq!(exited(&pair).2, ExitReason::Crashed);
    let given_up = |event: &&HostEvent| matches!(event, HostEvent::Disconnected { .. });
    assert!(!told(&pair).iter().any(given_up));
}

#[test]
fn what_a_shutdown_does_to_the_connection_is_no_loss() {
    let mut pair = Pair::ready(World {
        ignores_shutdown: true,
        ..World::default()
    });
    pair.shutdown();
    pair.run_for(10 * MS);
    pair.host.handle(pair.now, HostInput::ConnectionRetiring);
    pair.host.handle(pair.now, HostInput::ConnectionLost);
    pair.run_for(SECOND);
    assert_eq!(connects(&pair), 1);
    pair.run();
    assert_eq!(exited(&pair).2, ExitReason::GraceExpired);
}

#[test]
fn the_pipes_of_a_plugin_cannot_be_made_again() {
    let variables = [("OUTBOARD_TRANSPORTS", "stdio")];
    let world = World::default();
    let mut pair = Pair::with(world, host_config(), plugin_config(&variables));
    pair.run_for(SECOND);
    assert!(pair.host.is_ready(), "{:?}", pair.host_events);
    // The plugin itself would end by this; here it lives on.
    pair.host.handle(pair.now, HostInput::ConnectionLost);
    pair.run_for(SECOND);
    let gone = HostEvent::Disconnected { fault: None };
    assert_eq!(told(&pair), [&gone]);
    assert_eq!(connects(&pair), 1);
    // It can be killed, and the grace is given in case it is on its way out.
    pair.shutdown();
    pair.run();
    assert_eq!(pair.count(&HostAction::CallShutdown), 0);
    assert!(pair.host.is_finished());
}

#[test]
fn nothing_is_made_again_without_a_limit_of_time() {
    let mut config = host_config();
    config.link.within = Duration::ZERO;
    let mut pair = Pair::with(World::default(), config, plugin_config(&[]));
    pair.run_for(SECOND);
    pair.lose_connection();
    pair.run_for(SECOND);
    assert_eq!(connects(&pair), 1);
    let gone = HostEvent::Disconnected { fault: None };
    assert_eq!(told(&pair).last(), Some(&&gone));
}

#[test]
fn a_connection_that_never_comes_back_is_told_as_that_unless_the_process_ends() {
    let gone = || HostInput::ConnectionGone(Fault::other("the session is over"));
    let mut pair = Pair::ready(World::default());
    // The attempt has the answer that is given here.
    pair.world.never_connects = true;
    pair.host.handle(pair.now, HostInput::ConnectionLost);
    pair.host.handle(pair.now, gone());
    pair.run_for(SECOND);
    let told = told(&pair);
    let [
        HostEvent::Interrupted,
        HostEvent::Disconnected { fault: Some(fault) },
    ] = told[..]
    else {
        panic!("unexpected: {told:?}");
    };
    assert_eq!(fault.message, "the session is over");

    let mut pair = Pair::ready(World::default());
    // The attempt has the answer that is given here.
    pair.world.never_connects = true;
    pair.host.handle(pair.now, HostInput::ConnectionLost);
    pair.host.handle(pair.now, gone());
    pair.crash(Exit::Code(3));
    pair.run();
    assert_eq!(exited(&pair).2, ExitReason::Crashed);
    let given_up = |event: &&HostEvent| matches!(event, HostEvent::Disconnected { .. });
    assert!(!self::told(&pair).iter().any(given_up));
}
