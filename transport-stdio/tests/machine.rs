//! Two machines joined by queues of bytes, under random operations.
#![allow(clippy::unwrap_used)]

#[path = "support/side.rs"]
mod side;

use std::collections::{BTreeMap, VecDeque};

use outboard_transport_stdio::wire::{Key, MuxConfig, Settings, close};
use proptest::prelude::*;
use side::{Side, failure, pad};

#[derive(Clone, Debug)]
enum Op {
    Open(Option<usize>, bool),
    Send(usize, usize),
    End(usize),
    Read(usize),
    Release(usize),
    Headers(usize),
    Finish(usize),
    Fail(usize),
    Write(usize),
    Take(usize),
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..64usize, 2 => 0..20_000usize, 1 => 16_000..80_000usize]
}

fn op() -> impl Strategy<Value = (bool, Op)> {
    let op = prop_oneof![
        3 => (proptest::option::of(length()), any::<bool>()).prop_map(|(l, e)| Op::Open(l, e)),
        4 => (any::<usize>(), length()).prop_map(|(k, l)| Op::Send(k, l)),
        2 => any::<usize>().prop_map(Op::End),
        5 => any::<usize>().prop_map(Op::Read),
        1 => any::<usize>().prop_map(Op::Release),
        1 => any::<usize>().prop_map(Op::Headers),
        2 => any::<usize>().prop_map(Op::Finish),
        1 => any::<usize>().prop_map(Op::Fail),
        5 => (1..30_000usize).prop_map(Op::Write),
        5 => (1..30_000usize).prop_map(Op::Take),
    ];
    (any::<bool>(), op)
}

fn pick(map: &BTreeMap<Key, u32>, at: usize) -> Option<Key> {
    let index = at.checked_rem(map.len())?;
    map.keys().nth(index).copied()
}

fn run(ops: Vec<(bool, Op)>, capacity: usize, large_slots: usize) {
    let config = MuxConfig {
        settings: Settings {
            max_streams: 16,
            max_head: 1 << 20,
            ..Settings::LEAST
        },
        large_slots,
        head_memory: 1 << 30,
        keepalive: None,
    };
    let mut sides = [Side::new(config), Side::new(config)];
    // pipes[i] is what side i writes.
    let mut pipes = [VecDeque::new(), VecDeque::new()];
    let mut numbers = 0;
    let mut released = Vec::new();
    let mut failed = Vec::new();
    for (second, op) in ops {
        let me = usize::from(second);
        let side = &mut sides[me];
        match op {
            Op::Open(first, end) => {
                side.open(numbers, first, end);
                if end {
                    side.finished.push(numbers);
                }
                numbers += 1;
            }
            Op::Send(at, len) => {
                let map = if at % 2 == 0 {
                    &side.ours
                } else {
                    &side.theirs
                };
                if let Some(key) = pick(map, at / 2).filter(|key| side.mux.is_sending(*key)) {
                    side.send(key, len);
                }
            }
            Op::End(at) => {
                if let Some(key) = pick(&side.ours, at) {
                    side.finished.push(side.ours[&key]);
                    side.mux.end(key);
                }
            }
            Op::Read(at) => {
                let map = if at % 2 == 0 {
                    &side.ours
                } else {
                    &side.theirs
                };
                if let Some(key) = pick(map, at / 2) {
                    side.read(key);
                }
            }
            Op::Release(at) => {
                if let Some(key) = pick(&side.ours, at) {
                    released.push(side.ours.remove(&key).unwrap());
                    side.mux.release(key);
                }
            }
            Op::Headers(at) => {
                if let Some(key) = pick(&side.theirs, at) {
                    let number = side.theirs[&key];
                    // Headers come first or not at all.
                    if !side.sent.contains_key(&(number, false)) {
                        side.mux.headers(key, &pad(number)).unwrap();
                        side.sent.insert((number, false), Vec::new());
                    }
                }
            }
            Op::Finish(at) => {
                if let Some(key) = pick(&side.theirs, at) {
                    let number = side.theirs.remove(&key).unwrap();
                    side.mux.finish(key, &pad(number)).unwrap();
                }
            }
            Op::Fail(at) => {
                if let Some(key) = pick(&side.theirs, at) {
                    let number = side.theirs.remove(&key).unwrap();
                    failed.push(number);
                    side.mux.fail(key, &failure(number));
                }
            }
            Op::Write(count) => {
                side.write(&mut pipes[me], capacity, count);
            }
            Op::Take(count) => {
                side.take(&mut pipes[1 - me], count);
            }
        }
        for side in &sides {
            assert!(side.mux.buffered() <= u64::from(Settings::LEAST.connection_window));
            assert!(side.mux.slots_used() <= large_slots);
        }
    }
    // Both end what is open and read what is there until nothing moves.
    loop {
        let mut moved = false;
        for (me, side) in sides.iter_mut().enumerate() {
            let [a, b] = &mut pipes;
            let (mine, other) = if me == 0 { (a, b) } else { (b, a) };
            for key in side.ours.keys().copied().collect::<Vec<_>>() {
                let before = side.got.values().map(Vec::len).sum::<usize>() + side.results.len();
                side.mux.end(key);
                side.read(key);
                let after = side.got.values().map(Vec::len).sum::<usize>() + side.results.len();
                moved |= before != after;
            }
            for key in side.theirs.keys().copied().collect::<Vec<_>>() {
                let before = side.got.values().map(Vec::len).sum::<usize>();
                side.read(key);
                let after = side.got.values().map(Vec::len).sum::<usize>();
                moved |= before != after;
                if side.mux.is_input_ended(key) && before == after {
                    let number = side.theirs.remove(&key).unwrap();
                    side.mux.finish(key, &pad(number)).unwrap();
                }
            }
            moved |= side.write(mine, capacity, usize::MAX);
            moved |= side.take(other, usize::MAX);
        }
        if !moved {
            break;
        }
    }
    for side in &sides {
        assert_eq!((side.ours.len(), side.theirs.len()), (0, 0), "calls hang");
        assert_eq!((side.mux.live_ours(), side.mux.live_theirs()), (0, 0));
        assert_eq!((side.mux.buffered(), side.mux.slots_used()), (0, 0));
        assert_eq!(side.mux.heads_held(), 0);
        assert!(!side.mux.wants_transmit());
    }
    let [first, second] = &sides;
    for (from, to) in [(first, second), (second, first)] {
        for (call, got) in &to.got {
            let sent = from.sent.get(call).expect("what came was sent");
            assert_eq!(sent.get(..got.len()), Some(got.as_slice()), "{call:?}");
        }
        // Answers of calls that ended well arrived whole.
        for (number, ok) in &to.results {
            if *ok {
                let sent = from.sent.get(&(*number, false)).map_or(0, Vec::len);
                let got = to.got.get(&(*number, false)).map_or(0, Vec::len);
                assert_eq!(sent, got, "call {number}");
            } else {
                assert!(failed.contains(number), "call {number} failed by itself");
            }
        }
        for number in &to.cancelled {
            assert!(released.contains(number), "call {number} was not cancelled");
        }
    }
    // An orderly end.
    for side in &mut sides {
        side.mux.close(close::ORDERLY, "done");
        side.mux.transmit(&mut side.out);
        assert!(side.mux.is_close_sent());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is sent arrives, in order, and both sides come to rest; however small the pipe.
    #[test]
    fn what_is_sent_arrives_and_all_comes_to_rest(
        ops in proptest::collection::vec(op(), 0..120),
        capacity in prop_oneof![1..64usize, 1_000..100_000usize],
        large_slots in 1..=4usize,
    ) {
        run(ops, capacity, large_slots);
    }
}
