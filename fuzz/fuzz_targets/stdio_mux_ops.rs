//! Two machines of the stdio transport joined by queues of bytes, under any operations and at any
//! times: neither breaks the protocol, what one says of itself and of a call arrives at the other as it
//! was, and once both end their calls and read, all comes to rest.
#![no_main]

use std::collections::{BTreeSet, VecDeque};
use std::io::IoSlice;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use outboard_core::rpc::{Keepalive, Metadata, OutMessage, Status};
use outboard_transport_stdio::wire::frame::MAX_HEAD;
use outboard_transport_stdio::wire::{
    CallStart, Event, Key, MAX_NAME, MAX_NAMES, Mux, MuxConfig, OpenError, OutBuf, PeerNames,
    Settings, Taken, close,
};

#[derive(Arbitrary, Debug)]
enum Op {
    Open {
        first: Option<u16>,
        end: bool,
        name: u8,
        timeout: Option<u32>,
        metadata: Vec<(u8, u8)>,
    },
    Send {
        at: u8,
        len: u16,
    },
    End(u8),
    Read(u8),
    Release(u8),
    Headers(u8),
    Finish(u8),
    Fail(u8),
    Abort(u8),
    Cancel(u8),
    Write(u16),
    Take(u16),
    /// Time passes for both.
    Wait(u16),
    GoAway(u8),
    Close {
        orderly: bool,
        text: u8,
    },
}

const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(200);

struct Side {
    mux: Mux,
    out: OutBuf,
    calls: BTreeSet<Key>,
    /// What the calls of this side began with, in the order of their beginning, until they arrive.
    begun: Vec<(String, u32, Option<Duration>, Metadata)>,
    /// What this side has said of itself, and heard of the other.
    goes: Option<String>,
    closed: Option<(u16, String)>,
    peer_goes: Option<String>,
    peer_closed: Option<(u16, String)>,
    /// The names that it tells, if it does.
    names: Option<Vec<String>>,
    /// When something came last.
    heard: Instant,
    now: Instant,
}

impl Side {
    fn pick(&self, at: u8, ours: bool) -> Option<Key> {
        let of_kind = || self.calls.iter().filter(|key| key.is_ours() == ours);
        let index = usize::from(at).checked_rem(of_kind().count())?;
        of_kind().nth(index).copied()
    }

    /// What `peer` began or said arrives as it was.
    fn events(&mut self, peer: &mut Self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened(key, offer) => {
                    assert!(self.calls.insert(key));
                    let offer = (
                        offer.path.to_string(),
                        offer.channel,
                        offer.timeout,
                        offer.metadata,
                    );
                    let begun = peer.begun.iter().position(|begun| *begun == offer);
                    peer.begun.swap_remove(begun.expect("as it was begun"));
                }
                Event::Cancelled(key) => {
                    self.calls.remove(&key);
                }
                Event::Readable(_) | Event::Writable(_) => {}
                Event::GoAway(text) => {
                    assert_eq!(peer.goes.as_ref(), Some(&text));
                    assert!(self.peer_goes.replace(text).is_none(), "it is said once");
                }
                Event::Closed(code, text) => {
                    assert_eq!(peer.closed.as_ref(), Some(&(code, text.clone())));
                    assert!(
                        self.peer_closed.replace((code, text)).is_none(),
                        "it is the last frame"
                    );
                }
                Event::Unresponsive => {
                    let quiet = self.now.duration_since(self.heard);
                    assert!(quiet >= TIMEOUT, "something came {quiet:?} ago");
                }
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

    fn wait(&mut self, peer: &mut Self, time: Duration) {
        self.now += time;
        if self.mux.poll_timeout().is_some_and(|at| at <= self.now) {
            self.mux.handle_timeout(self.now);
            self.events(peer);
        }
        let next = self.mux.poll_timeout();
        assert!(
            next.is_none_or(|at| at > self.now),
            "a timer that stays due"
        );
        assert!(
            next.is_none_or(|at| at <= self.now + INTERVAL),
            "or is forgotten"
        );
    }

    fn is_closed(&self) -> bool {
        self.closed.is_some() || self.peer_closed.is_some()
    }

    fn write(&mut self, peer: &mut Self, pipe: &mut VecDeque<u8>, most: usize) -> bool {
        self.mux.transmit(&mut self.out);
        let mut slices = [IoSlice::new(&[]); 4];
        let used = self.out.slices(&mut slices);
        let before = pipe.len();
        let bytes = slices.iter().take(used).flat_map(|slice| slice.iter());
        pipe.extend(bytes.take(most));
        let count = pipe.len() - before;
        self.out.advance(count);
        self.events(peer);
        count > 0
    }

    fn take(&mut self, peer: &mut Self, pipe: &mut VecDeque<u8>, most: usize) -> bool {
        let bytes: Vec<u8> = pipe.drain(..most.min(pipe.len())).collect();
        self.mux.receive(&bytes).expect("the peer keeps the rules");
        if !bytes.is_empty() {
            self.heard = self.now;
        }
        self.events(peer);
        !bytes.is_empty()
    }
}

/// Metadata that does not fit a frame, or none.
fn long(long: bool) -> Metadata {
    let mut metadata = Metadata::new();
    if long {
        metadata
            .insert_bin("pad-bin", vec![7; 20_000])
            .expect("valid");
    }
    metadata
}

fn message(len: u16) -> OutMessage {
    OutMessage::copy_from(&vec![7; usize::from(len)])
}

fuzz_target!(|input: (u8, [Option<Vec<String>>; 2], Vec<(bool, Op)>)| {
    let (slots, told, ops) = input;
    let large_slots = usize::from(slots % 4) + 1;
    let config = MuxConfig {
        settings: Settings {
            max_streams: 16,
            max_head: 100_000,
            ..Settings::LEAST
        },
        large_slots,
        // Room for a few long heads.
        head_memory: 150_000,
        keepalive: Some(Keepalive::new(INTERVAL, TIMEOUT)),
    };
    let now = Instant::now();
    let side = || Side {
        mux: Mux::new(config, now),
        out: OutBuf::default(),
        calls: BTreeSet::new(),
        begun: Vec::new(),
        goes: None,
        closed: None,
        peer_goes: None,
        peer_closed: None,
        names: None,
        heard: now,
        now,
    };
    let mut sides = [side(), side()];
    for (side, names) in sides.iter_mut().zip(told) {
        if let Some(names) = names {
            let fit = names.len() <= MAX_NAMES && names.iter().all(|name| name.len() <= MAX_NAME);
            if side.mux.tell_names(names.iter().map(String::as_str)) {
                assert!(fit);
                side.names = Some(names);
            } else {
                let size: usize = names.iter().map(|name| 1 + name.len()).sum();
                assert!(!fit || size > MAX_HEAD);
            }
        }
    }
    let mut pipes = [VecDeque::new(), VecDeque::new()];
    for (second, op) in ops {
        let me = usize::from(second);
        let (side, peer) = both(&mut sides, me);
        match op {
            Op::Open {
                first,
                end,
                name,
                timeout,
                metadata,
            } => {
                let mut sent = long(name % 3 == 0);
                for (key, value) in metadata {
                    sent.insert(format!("k{}", key % 8), &value.to_string())
                        .expect("valid");
                }
                let timeout = timeout.map(|micros| Duration::from_micros(micros.into()));
                let start = CallStart {
                    path: format!("/m/{name}").into(),
                    channel: u32::from(name % 2),
                    timeout,
                    metadata: &sent,
                    urgent: name % 7 == 0,
                };
                let (path, channel) = (start.path.to_string(), start.channel);
                let refused = side.peer_goes.is_some() && channel == 0;
                match side.mux.open(start, first.map(message), end) {
                    Ok(key) => {
                        assert!(!refused && !side.is_closed());
                        side.calls.insert(key);
                        side.begun.push((path, channel, timeout, sent));
                    }
                    Err(OpenError::GoingAway) => assert!(refused),
                    Err(OpenError::Closed) => assert!(side.is_closed()),
                    Err(other) => panic!("{other:?}"),
                }
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
                    side.mux
                        .headers(key, &long(at % 2 == 0))
                        .expect("within the limits");
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
                        _ => side
                            .mux
                            .finish(key, &long(at % 2 == 0))
                            .expect("within the limits"),
                    }
                    side.calls.remove(&key);
                }
            }
            Op::Cancel(at) => {
                if let Some(key) = side.pick(at, true) {
                    side.mux.cancel(key, Status::cancelled("enough"));
                    assert!(side.mux.result(key).is_some());
                }
            }
            Op::Write(most) => {
                side.write(peer, &mut pipes[me], most.into());
            }
            Op::Take(most) => {
                side.take(peer, &mut pipes[1 - me], most.into());
            }
            Op::Wait(millis) => {
                let time = Duration::from_millis(millis.into());
                side.wait(peer, time);
                peer.wait(side, time);
            }
            Op::GoAway(text) => {
                let text = "g".repeat(text.into());
                side.mux.go_away(&text);
                side.goes.get_or_insert(text);
            }
            Op::Close { orderly, text } => {
                let code = if orderly {
                    close::ORDERLY
                } else {
                    close::ABORTED
                };
                let text = "c".repeat(text.into());
                side.mux.close(code, &text);
                side.closed.get_or_insert((code, text));
            }
        }
        for (side, peer) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
            match side.mux.peer_names() {
                PeerNames::NotYet => {}
                PeerNames::Untold => assert_eq!(peer.names, None),
                PeerNames::Told(names) => assert_eq!(peer.names.as_deref(), Some(names)),
            }
            assert!(side.mux.buffered() <= u64::from(Settings::LEAST.connection_window));
            assert!(side.mux.slots_used() <= large_slots);
            assert!(side.mux.heads_held() <= config.head_memory);
        }
    }
    loop {
        let mut moved = false;
        for me in 0..2 {
            let (side, peer) = both(&mut sides, me);
            for key in side.calls.clone() {
                side.mux.end(key);
                let read = side.read(key);
                moved |= read;
                if !key.is_ours() && !read && side.mux.is_input_ended(key) {
                    side.calls.remove(&key);
                    side.mux.finish(key, &Metadata::new()).expect("small");
                }
            }
            moved |= side.write(peer, &mut pipes[me], usize::MAX);
            moved |= side.take(peer, &mut pipes[1 - me], usize::MAX);
        }
        if !moved {
            break;
        }
    }
    let [first, second] = &sides;
    for (side, peer) in [(first, second), (second, first)] {
        // What one says last is heard, whatever else there is to be sent.
        assert_eq!(side.closed, peer.peer_closed);
        if side.is_closed() {
            // Calls end with the connection: that is for who holds both to do.
            continue;
        }
        assert_eq!(side.goes, peer.peer_goes);
        assert_ne!(side.mux.peer_names(), PeerNames::NotYet);
        assert!(side.calls.is_empty(), "calls hang");
        assert_eq!((side.mux.live_ours(), side.mux.live_theirs()), (0, 0));
        assert_eq!((side.mux.buffered(), side.mux.slots_used()), (0, 0));
    }
});

/// One side and the other.
fn both(sides: &mut [Side; 2], me: usize) -> (&mut Side, &mut Side) {
    let [first, second] = sides;
    if me == 0 {
        (first, second)
    } else {
        (second, first)
    }
}
