//! Two machines of the stdio transport joined by queues of bytes, under any operations: neither
//! breaks the protocol, and once both end their calls and read, all comes to rest.
#![no_main]

use std::collections::{BTreeSet, VecDeque};
use std::io::IoSlice;
use std::time::Instant;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use outboard_core::rpc::{Metadata, OutMessage, Status};
use outboard_transport_stdio::wire::{
    CallStart, Event, Key, Mux, MuxConfig, OutBuf, Settings, Taken,
};

#[derive(Arbitrary, Debug)]
enum Op {
    Open { first: Option<u16>, end: bool, name: u8 },
    Send { at: u8, len: u16 },
    End(u8),
    Read(u8),
    Release(u8),
    Headers(u8),
    Finish(u8),
    Fail(u8),
    Abort(u8),
    Write(u16),
    Take(u16),
}

struct Side {
    mux: Mux,
    out: OutBuf,
    calls: BTreeSet<Key>,
}

impl Side {
    fn pick(&self, at: u8, ours: bool) -> Option<Key> {
        let of_kind = || self.calls.iter().filter(|key| key.is_ours() == ours);
        let index = usize::from(at).checked_rem(of_kind().count())?;
        of_kind().nth(index).copied()
    }

    fn events(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened(key, _) => assert!(self.calls.insert(key)),
                Event::Cancelled(key) => {
                    self.calls.remove(&key);
                }
                Event::Readable(_) | Event::Writable(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn read(&mut self, key: Key) -> bool {
        match self.mux.take_message(key) {
            Taken::Message(_) => true,
            Taken::End if key.is_ours() && self.mux.result(key).is_some() => {
                self.mux.release(key);
                self.calls.remove(&key)
            }
            Taken::End | Taken::Pending => false,
        }
    }

    fn write(&mut self, pipe: &mut VecDeque<u8>, most: usize) -> bool {
        self.mux.transmit(&mut self.out);
        let mut slices = [IoSlice::new(&[]); 4];
        let used = self.out.slices(&mut slices);
        let before = pipe.len();
        let bytes = slices.iter().take(used).flat_map(|slice| slice.iter());
        pipe.extend(bytes.take(most));
        let count = pipe.len() - before;
        self.out.advance(count);
        self.events();
        count > 0
    }

    fn take(&mut self, pipe: &mut VecDeque<u8>, most: usize) -> bool {
        let bytes: Vec<u8> = pipe.drain(..most.min(pipe.len())).collect();
        self.mux.receive(&bytes).expect("the peer keeps the rules");
        self.events();
        !bytes.is_empty()
    }
}

/// Metadata that does not fit a frame, or none.
fn long(long: bool) -> Metadata {
    let mut metadata = Metadata::new();
    if long {
        metadata.insert_bin("pad-bin", vec![7; 20_000]).expect("valid");
    }
    metadata
}

fn message(len: u16) -> OutMessage {
    OutMessage::copy_from(&vec![7; usize::from(len)])
}

fuzz_target!(|input: (u8, Vec<(bool, Op)>)| {
    let (slots, ops) = input;
    let large_slots = usize::from(slots % 4) + 1;
    let config = MuxConfig {
        settings: Settings {
            max_streams: 16,
            max_methods: 16,
            max_head: 100_000,
            ..Settings::LEAST
        },
        large_slots,
        // Room for a few long heads.
        head_memory: 150_000,
        keepalive: None,
    };
    let side = || Side {
        mux: Mux::new(config, Instant::now()),
        out: OutBuf::default(),
        calls: BTreeSet::new(),
    };
    let mut sides = [side(), side()];
    let mut pipes = [VecDeque::new(), VecDeque::new()];
    for (second, op) in ops {
        let me = usize::from(second);
        let side = &mut sides[me];
        match op {
            Op::Open { first, end, name } => {
                let metadata = long(name % 3 == 0);
                let start = CallStart {
                    path: format!("/m/{name}").into(),
                    channel: u32::from(name % 2),
                    timeout: None,
                    metadata: &metadata,
                    urgent: name % 7 == 0,
                };
                let key = side.mux.open(start, first.map(message), end);
                side.calls.insert(key.expect("open"));
            }
            Op::Send { at, len } => {
                if let Some(key) = side.pick(at / 2, at % 2 == 0) {
                    let _ = side.mux.send(key, message(len));
                }
            }
            Op::End(at) => {
                if let Some(key) = side.pick(at, true) {
                    side.mux.end(key);
                }
            }
            Op::Read(at) => {
                if let Some(key) = side.pick(at / 2, at % 2 == 0) {
                    side.read(key);
                }
            }
            Op::Release(at) => {
                if let Some(key) = side.pick(at, true) {
                    side.mux.release(key);
                    side.calls.remove(&key);
                }
            }
            Op::Headers(at) => {
                if let Some(key) = side.pick(at, false) {
                    side.mux.headers(key, &long(at % 2 == 0)).expect("within the limits");
                }
            }
            Op::Finish(at) | Op::Fail(at) | Op::Abort(at) => {
                if let Some(key) = side.pick(at, false) {
                    match op {
                        Op::Fail(_) => {
                            let text = "no".repeat(usize::from(at % 4) * 5_000);
                            side.mux.fail(key, &Status::not_found(text));
                        }
                        Op::Abort(_) => {
                            let status = Status::aborted("no").with_metadata(long(at % 2 == 0));
                            side.mux.abort(key, &status);
                        }
                        _ => side.mux.finish(key, &long(at % 2 == 0)).expect("within the limits"),
                    }
                    side.calls.remove(&key);
                }
            }
            Op::Write(most) => {
                side.write(&mut pipes[me], most.into());
            }
            Op::Take(most) => {
                side.take(&mut pipes[1 - me], most.into());
            }
        }
        for side in &sides {
            assert!(side.mux.buffered() <= u64::from(Settings::LEAST.connection_window));
            assert!(side.mux.slots_used() <= large_slots);
            assert!(side.mux.heads_held() <= config.head_memory);
        }
    }
    loop {
        let mut moved = false;
        for me in 0..2 {
            let side = &mut sides[me];
            for key in side.calls.clone() {
                side.mux.end(key);
                let read = side.read(key);
                moved |= read;
                if !key.is_ours() && !read && side.mux.is_input_ended(key) {
                    side.calls.remove(&key);
                    side.mux.finish(key, &Metadata::new()).expect("small");
                }
            }
            moved |= side.write(&mut pipes[me], usize::MAX);
            moved |= side.take(&mut pipes[1 - me], usize::MAX);
        }
        if !moved {
            break;
        }
    }
    for side in &sides {
        assert!(side.calls.is_empty(), "calls hang");
        assert_eq!((side.mux.live_ours(), side.mux.live_theirs()), (0, 0));
        assert_eq!((side.mux.buffered(), side.mux.slots_used()), (0, 0));
    }
});
