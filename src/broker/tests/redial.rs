//! What was dialled, when its connection is lost.

use super::*;
use crate::codegen::Prost;

/// Loses the latest connection of this thread.
fn lose() {
    let end = ENDS.with_borrow_mut(Vec::pop).expect("there is one");
    end.send(Status::connection_lost("cut"))
        .expect("it is watched");
}

/// What was dialled, with `connects` connections to be had.
fn dialled(dir: &tempfile::TempDir, connects: usize) -> (Broker, Arc<Still>, Channel) {
    let (broker, runtime) = broker(dir.path());
    runtime.connects.store(connects, Ordering::Relaxed);
    let _outgoing = control(&broker).outgoing();
    control(&broker).received(announcement(dir, 7));
    let channel = broker.dial_channel(7).now_or_never();
    let channel = channel.expect("at once").expect("it connects");
    runtime.turn();
    (broker, runtime, channel)
}

fn asked(runtime: &Still) -> usize {
    for _ in 0..4 {
        runtime.turn();
    }
    runtime.asked.load(Ordering::Relaxed)
}

#[test]
fn what_was_dialled_is_dialled_again_while_anybody_holds_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, runtime, channel) = dialled(&dir, 9);
    assert_eq!(asked(&runtime), 1);
    lose();
    assert_eq!(asked(&runtime), 2);
    drop(channel);
    assert_eq!(asked(&runtime), 2, "nobody wants it any more");
    assert!(sockets_of(&broker).has_dialled_nothing());
    assert_eq!(runtime.tasks(), 0);
}

#[test]
fn what_was_dialled_is_not_dialled_again_once_the_broker_is_closed() {
    for lost_first in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        // The first try after a loss fails, and then there is a pause.
        let (broker, runtime, channel) = dialled(&dir, 1);
        if lost_first {
            lose();
            assert_eq!(asked(&runtime), 2);
        }
        broker.close();
        let asked_before = asked(&runtime);
        if !lost_first {
            lose();
        }
        assert_eq!(asked(&runtime), asked_before);
        assert_eq!(runtime.tasks(), 0, "it is settled");
        if lost_first {
            let head = CallHead::new("/a.B/C");
            let failed = channel.unary::<_, (), ()>(Prost, head, &()).now_or_never();
            let status = failed.expect("at once").expect_err("it is lost");
            assert!(
                status.message().contains("the broker is closed"),
                "{status}"
            );
        }
    }
}
