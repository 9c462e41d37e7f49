//! What waits in one of two joined machines, for a slot or a number, and what it holds up.
#![allow(clippy::unwrap_used)]

#[path = "support/side.rs"]
mod side;

use std::collections::VecDeque;

use outboard_core::rpc::{Metadata, Status};
use outboard_transport_stdio::wire::{Key, MuxConfig, Settings};
use side::{Side, pad, settle};

/// Large even beside the longest frame.
const LARGE: usize = 200_000;

#[test]
fn a_reader_that_stalls_on_large_messages_does_not_hold_up_another() {
    for large_slots in [2, 8] {
        let config = MuxConfig {
            large_slots,
            ..MuxConfig::default()
        };
        let mut sides = [Side::new(config), Side::new(config)];
        sides[0].open(0, Some(LARGE), false);
        let stalled = *sides[0].ours.keys().next().unwrap();
        for _ in 0..20 {
            sides[0].send(stalled, LARGE);
        }
        settle(&mut sides);
        assert_eq!(sides[1].mux.slots_used(), 1, "one of each stream");
        sides[0].open(1, Some(LARGE), true);
        settle(&mut sides);
        let side = &mut sides[1];
        let other = *side.theirs.iter().find(|(_, n)| **n == 1).unwrap().0;
        side.read(other);
        assert_eq!(side.got[&(1, true)][0].len(), LARGE, "{large_slots} slots");
        // The stalled reader goes on and misses nothing.
        let reader = *side.theirs.iter().find(|(_, n)| **n == 0).unwrap().0;
        for _ in 0..21 {
            sides[1].read(reader);
            settle(&mut sides);
        }
        assert_eq!(sides[1].got[&(0, true)], sides[0].sent[&(0, true)]);
        assert_eq!(sides[1].mux.slots_used(), 0);
    }
}

#[test]
fn a_slot_is_free_again_however_its_message_ends() {
    let config = MuxConfig {
        large_slots: 1,
        ..MuxConfig::default()
    };
    type End = fn(&mut [Side; 2], Key);
    let ends: [(&str, End); 4] = [
        ("answered", |sides, key| {
            sides[1].mux.finish(key, &Metadata::new()).unwrap();
        }),
        ("aborted", |sides, key| {
            sides[1].mux.abort(key, &Status::aborted("no"));
        }),
        ("cancelled", |sides, _| {
            let key = *sides[0].ours.keys().next().unwrap();
            sides[0].mux.release(key);
        }),
        ("taken", |sides, key| sides[1].read(key)),
    ];
    for (name, end) in ends {
        // Whole, or cut short in the middle.
        for part in [usize::MAX, 150_000] {
            let mut sides = [Side::new(config), Side::new(config)];
            sides[0].open(0, Some(LARGE), false);
            let caller = *sides[0].ours.keys().next().unwrap();
            sides[0].send(caller, LARGE);
            let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
            let [a, b] = &mut sides;
            a.write(&mut there, usize::MAX, usize::MAX);
            b.take(&mut there, usize::MAX);
            b.write(&mut back, usize::MAX, usize::MAX);
            a.take(&mut back, usize::MAX);
            while a.write(&mut there, usize::MAX, usize::MAX) {}
            b.take(&mut there, part);
            assert_eq!(b.mux.slots_used(), 1);
            let key = *b.theirs.keys().next().unwrap();
            end(&mut sides, key);
            sides[1].take(&mut there, usize::MAX);
            settle(&mut sides);
            // The second message of the one that goes on has the slot now.
            let expected = usize::from(name == "taken");
            assert_eq!(sides[1].mux.slots_used(), expected, "{name}, {part}");
        }
    }
}

#[test]
fn an_error_in_the_middle_of_a_large_answer_frees_its_slot() {
    let config = MuxConfig {
        large_slots: 1,
        ..MuxConfig::default()
    };
    let mut sides = [Side::new(config), Side::new(config)];
    sides[0].open(0, None, true);
    settle(&mut sides);
    let server = *sides[1].theirs.keys().next().unwrap();
    sides[1].send(server, LARGE);
    let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
    let [a, b] = &mut sides;
    b.write(&mut back, usize::MAX, usize::MAX);
    a.take(&mut back, usize::MAX);
    a.write(&mut there, usize::MAX, usize::MAX);
    b.take(&mut there, usize::MAX);
    b.write(&mut back, usize::MAX, usize::MAX);
    a.take(&mut back, usize::MAX);
    assert_eq!(a.mux.slots_used(), 1, "half of it is here");
    b.mux.abort(server, &Status::aborted("no"));
    settle(&mut sides);
    // The call's result has come; nobody has looked at it yet.
    assert_eq!(sides[0].mux.slots_used(), 0);
}

#[test]
fn calls_beyond_the_peers_table_are_opened_in_turn() {
    let config = MuxConfig {
        settings: Settings {
            max_head: 1 << 20,
            ..Settings::LEAST
        },
        ..MuxConfig::default()
    };
    let mut sides = [Side::new(config), Side::new(config)];
    settle(&mut sides);
    // The last one is kept for urgent calls.
    let most = Settings::LEAST.max_streams - 1;
    let total = 4 * most;
    for number in 0..total {
        sides[0].open(number, Some(1), false);
        settle(&mut sides);
    }
    // Whatever is done to those that wait does not change their place.
    for key in sides[0].ours.keys().copied().collect::<Vec<_>>() {
        sides[0].send(key, 10);
        settle(&mut sides);
        sides[0].mux.end(key);
        settle(&mut sides);
    }
    for number in 0..total {
        assert!(sides[0].mux.queue_entries() <= total as usize);
        let last = sides[1].theirs.values().max().copied();
        assert_eq!(last, Some(number + most - 1));
        let side = &mut sides[1];
        let (&key, _) = side.theirs.iter().find(|(_, n)| **n == number).unwrap();
        side.theirs.remove(&key);
        side.mux.finish(key, &pad(number)).unwrap();
        settle(&mut sides);
        // One that comes now does not overtake them either.
        let side = &mut sides[0];
        let (&key, _) = side.ours.iter().find(|(_, n)| **n == number).unwrap();
        side.open(total + number, None, true);
        side.read(key);
        settle(&mut sides);
    }
}
