//! Two machines joined by queues of bytes, under random operations.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;
use outboard_core::rpc::{Metadata, OutMessage, Status};
use outboard_transport_stdio::wire::{
    CallStart, Event, Key, Mux, MuxConfig, OutBuf, Settings, Taken, close,
};
use proptest::prelude::*;

/// One side with its record of what it sent and got, by the call's number.
struct Side {
    mux: Mux,
    out: OutBuf,
    /// Calls of this side: number, and whether this side is done sending.
    ours: BTreeMap<Key, u32>,
    theirs: BTreeMap<Key, u32>,
    sent: BTreeMap<(u32, bool), Vec<Bytes>>,
    got: BTreeMap<(u32, bool), Vec<Bytes>>,
    finished: Vec<u32>,
    results: BTreeMap<u32, bool>,
    cancelled: Vec<u32>,
}

fn message(number: u32, index: usize, len: usize) -> OutMessage {
    let mut bytes: Vec<u8> = (0..len).map(|i| (i as u32 ^ number) as u8).collect();
    if let Some(first) = bytes.first_mut() {
        *first = index as u8;
    }
    OutMessage::copy_from(&bytes)
}

/// For every third call too much for a frame.
fn pad(number: u32) -> Metadata {
    let mut metadata = Metadata::new();
    if number.is_multiple_of(3) {
        let value = vec![number as u8; 15_000];
        metadata.insert_bin("pad-bin", value).unwrap();
    }
    metadata
}

/// For every third call with a text that is too long for a frame.
fn failure(number: u32) -> Status {
    let length = if number % 3 == 1 { 20_000 } else { 2 };
    Status::not_found("no".repeat(length)).with_metadata(pad(number))
}

impl Side {
    fn new(config: MuxConfig) -> Self {
        Self {
            mux: Mux::new(config, Instant::now()),
            out: OutBuf::default(),
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
            sent: BTreeMap::new(),
            got: BTreeMap::new(),
            finished: Vec::new(),
            results: BTreeMap::new(),
            cancelled: Vec::new(),
        }
    }

    fn open(&mut self, number: u32, first: Option<usize>, end: bool) {
        let first = first.map(|len| message(number, 0, len));
        if let Some(first) = &first {
            let bytes = Bytes::copy_from_slice(first.as_slice());
            self.sent.entry((number, true)).or_default().push(bytes);
        }
        let mut metadata = Metadata::new();
        metadata.insert("number", &number.to_string()).unwrap();
        metadata.extend(&pad(number));
        let start = CallStart {
            path: format!("/test/M{}", number % 20).into(),
            channel: number % 3,
            timeout: None,
            metadata: &metadata,
            urgent: false,
        };
        let key = self.mux.open(start, first, end).unwrap();
        self.ours.insert(key, number);
    }

    fn send(&mut self, key: Key, len: usize) {
        let number = *self
            .ours
            .get(&key)
            .or_else(|| self.theirs.get(&key))
            .unwrap();
        let list = self.sent.entry((number, key.is_ours())).or_default();
        let message = message(number, list.len(), len);
        let bytes = Bytes::copy_from_slice(message.as_slice());
        if self.mux.send(key, message).is_ok() {
            list.push(bytes);
        }
    }

    /// Reads one message of a call, and the result if that is next.
    fn read(&mut self, key: Key) {
        let Some(&number) = self.ours.get(&key).or_else(|| self.theirs.get(&key)) else {
            return;
        };
        // Named by who sent them: the opener or the other side.
        match self.mux.take_message(key) {
            Taken::Message(bytes) => self
                .got
                .entry((number, !key.is_ours()))
                .or_default()
                .push(bytes),
            Taken::Pending => {}
            Taken::End if key.is_ours() => {
                if let Some(result) = self.mux.result(key) {
                    match result {
                        Ok(trailers) => assert_eq!(*trailers, pad(number)),
                        Err(status) => assert_eq!(*status, failure(number)),
                    }
                    self.results.insert(number, result.is_ok());
                    self.mux.release(key);
                    self.ours.remove(&key);
                }
            }
            Taken::End => {}
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened(key, offer) => {
                    let number = offer.metadata.get("number").unwrap().parse().unwrap();
                    assert_eq!(&*offer.path, format!("/test/M{}", number % 20));
                    assert_eq!(offer.channel, number % 3);
                    let padded = offer.metadata.get_bin("pad-bin");
                    assert_eq!(padded, pad(number).get_bin("pad-bin"));
                    assert!(self.theirs.insert(key, number).is_none());
                }
                Event::Cancelled(key) => {
                    if let Some(number) = self.theirs.remove(&key) {
                        self.cancelled.push(number);
                    }
                }
                Event::Readable(_) | Event::Writable(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// Moves up to `count` bytes into the pipe.
    fn write(&mut self, pipe: &mut VecDeque<u8>, capacity: usize, count: usize) -> bool {
        self.mux.transmit(&mut self.out);
        let room = capacity.saturating_sub(pipe.len()).min(count);
        let mut slices = [IoSlice::new(&[]); 4];
        let used = self.out.slices(&mut slices);
        let bytes: Vec<u8> = slices
            .iter()
            .take(used)
            .flat_map(|slice| slice.iter().copied())
            .take(room)
            .collect();
        self.out.advance(bytes.len());
        pipe.extend(&bytes);
        self.events();
        !bytes.is_empty()
    }

    fn take(&mut self, pipe: &mut VecDeque<u8>, count: usize) -> bool {
        let bytes: Vec<u8> = pipe.drain(..count.min(pipe.len())).collect();
        self.mux.receive(&bytes).unwrap();
        self.events();
        !bytes.is_empty()
    }
}

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
            max_methods: 16,
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

/// Moves what there is until nothing moves.
fn settle(sides: &mut [Side; 2]) {
    let [a, b] = sides;
    loop {
        let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
        let mut moved = a.write(&mut there, usize::MAX, usize::MAX);
        moved |= b.take(&mut there, usize::MAX);
        moved |= b.write(&mut back, usize::MAX, usize::MAX);
        moved |= a.take(&mut back, usize::MAX);
        if !moved {
            return;
        }
    }
}

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
