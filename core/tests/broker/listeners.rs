//! One listener per id.

use outboard_core::broker::{
    BrokerAction, BrokerError, BrokerEvent, BrokerInput, BrokerMode, ConnInfo,
};
use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;

use crate::support::{MS, SECOND};
use crate::{actions, alone, announcement, events, sent};

#[test]
fn each_announcement_serves_one_dial() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    broker.handle_message(now, announcement(3, "/tmp/first"));
    broker.handle_message(now, announcement(3, "/tmp/second"));
    broker.dial(now, 3).unwrap();
    let endpoint = Endpoint::Unix("/tmp/first".into());
    assert_eq!(
        actions(&mut broker),
        [BrokerAction::Connect { id: 3, endpoint }]
    );
    assert_eq!(broker.poll_timeout(), None);
    broker.dial(now, 3).unwrap();
    assert_eq!(actions(&mut broker), []);
    assert_eq!(broker.ignored_messages(), 1);
    broker.handle_timeout(now + 5 * SECOND);
    assert!(matches!(
        events(&mut broker)[..],
        [BrokerEvent::DialFailed {
            id: 3,
            error: BrokerError::TimedOut { .. }
        }]
    ));
}

#[test]
fn announcements_expire() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    broker.handle_message(now, announcement(3, "/tmp/p"));
    broker.handle_timeout(now + 4999 * MS);
    assert_eq!(broker.pending(), 1);
    broker.handle_timeout(now + 5 * SECOND);
    assert_eq!((broker.pending(), broker.poll_timeout()), (0, None));
}

#[test]
fn bad_announcements_fail_their_dial_with_a_bounded_error() {
    let long = "x".repeat(1 << 20);
    let bad = [
        ConnInfo {
            network: "udp".to_owned(),
            ..announcement(1, "/tmp/p")
        },
        ConnInfo {
            network: String::new(),
            ..announcement(1, "")
        },
        ConnInfo {
            network: "tcp".to_owned(),
            ..announcement(1, "nowhere")
        },
        ConnInfo {
            network: long.clone(),
            ..announcement(1, "/tmp/p")
        },
        announcement(1, &long),
        announcement(1, ""),
    ];
    for message in bad {
        for dial_first in [false, true] {
            let (mut broker, now) = alone(BrokerMode::Listeners);
            if dial_first {
                broker.dial(now, 1).unwrap();
            }
            broker.handle_message(now, message.clone());
            if !dial_first {
                broker.dial(now, 1).unwrap();
            }
            let failed = events(&mut broker);
            assert!(
                matches!(
                    failed[..],
                    [BrokerEvent::DialFailed {
                        id: 1,
                        error: BrokerError::BadAnnouncement { .. }
                    }]
                ),
                "{failed:?}"
            );
            assert!(format!("{failed:?}").len() < 4096);
            assert_eq!(actions(&mut broker), []);
        }
    }
}

#[test]
fn failed_and_abandoned_listeners_are_cleaned_up() {
    let (mut broker, now) = alone(BrokerMode::Listeners);
    broker.accept(now, 1).unwrap();
    let fault = Fault::other("no descriptors left");
    let input = BrokerInput::ListenFailed {
        id: 1,
        fault: fault.clone(),
    };
    broker.handle(now, input);
    let error = BrokerError::Listen { id: 1, fault };
    assert_eq!(
        events(&mut broker),
        [BrokerEvent::AcceptFailed { id: 1, error }]
    );
    assert!(!broker.is_accepting(1));

    broker.accept(now, 2).unwrap();
    broker.close_id(now, 2);
    actions(&mut broker);
    let endpoint = Endpoint::Unix("/tmp/p".into());
    broker.handle(
        now,
        BrokerInput::Listening {
            id: 2,
            endpoint: endpoint.clone(),
        },
    );
    assert_eq!(
        actions(&mut broker),
        [BrokerAction::StopListening { id: 2 }]
    );
    assert_eq!(sent(&mut broker), []);

    broker.accept(now, 3).unwrap();
    broker.handle(now, BrokerInput::Listening { id: 3, endpoint });
    broker.close_id(now, 3);
    assert_eq!(sent(&mut broker), [], "closed before it was announced");
}
