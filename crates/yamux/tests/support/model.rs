//! Two machines joined by queues of bytes, and what must hold whatever is done to them.
//!
//! A side reads, writes, opens and accepts again only when the machine has said so, once it had to wait:
//! a machine that forgets somebody who waits comes to a standstill here.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_yamux::machine::{Event, Handle, Machine, Opened, Read, Wrote};
use outboard_yamux::{Config, Role};

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// A stream is opened.
    Open,
    /// A stream of the other side's is taken.
    Accept,
    /// So much is to be written on a stream.
    Write {
        at: u8,
        len: u32,
        straight: u16,
    },
    Read {
        at: u8,
        len: u32,
    },
    Finish(u8),
    Release(u8),
    /// Bytes leave the machine, and arrive at the other.
    Transmit(u16),
    Deliver(u16),
    /// Time passes for both.
    Wait(u16),
}

/// What is written is this over and over, so that any part can be compared at once.
const PERIOD: usize = 251;

fn pattern(from: u64, len: usize) -> &'static [u8] {
    static PATTERN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let pattern = PATTERN.get_or_init(|| (0..PERIOD as u8).cycle().take(100_000).collect());
    let from = (from % PERIOD as u64) as usize;
    &pattern[from..from + len.min(pattern.len() - PERIOD)]
}

/// A side of a stream.
#[derive(Debug)]
struct Known {
    handle: Handle,
    id: u32,
    /// What is to be written in all, and was.
    goal: u64,
    written: u64,
    read: u64,
    finished: bool,
    ended: bool,
    failed: bool,
    held: bool,
    waits_to_read: bool,
    waits_to_write: bool,
}

impl Known {
    fn new(handle: Handle, id: u32) -> Self {
        Self {
            handle,
            id,
            goal: 0,
            written: 0,
            read: 0,
            finished: false,
            ended: false,
            failed: false,
            held: true,
            waits_to_read: false,
            waits_to_write: false,
        }
    }

    /// Where its bytes begin in the pattern, which differs from stream to stream and side to side.
    fn start(id: u32, of: Role) -> u64 {
        u64::from(id) * 7 + u64::from(of == Role::Client) * 100
    }
}

struct Side {
    machine: Machine,
    streams: Vec<Known>,
    waits_to_open: bool,
    waits_to_accept: bool,
    ended: bool,
    /// What it has sent and the other has not received.
    pipe: VecDeque<u8>,
}

impl Side {
    fn pick(&mut self, at: u8) -> Option<&mut Known> {
        let held = self.streams.iter().filter(|known| known.held).count();
        let index = usize::from(at).checked_rem(held)?;
        self.streams
            .iter_mut()
            .filter(|known| known.held)
            .nth(index)
    }

    fn events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Readable(handle) | Event::Writable(handle) => {
                    let known = self.streams.iter_mut();
                    let known = known
                        .rev()
                        .find(|known| known.handle == handle && known.held);
                    let known = known.expect("somebody waits");
                    let waits = if let Event::Readable(_) = event {
                        &mut known.waits_to_read
                    } else {
                        &mut known.waits_to_write
                    };
                    assert!(std::mem::take(waits), "nobody asked for {event:?}");
                }
                Event::Incoming => assert!(std::mem::take(&mut self.waits_to_accept)),
                Event::Openable => assert!(std::mem::take(&mut self.waits_to_open)),
                Event::Ended => assert!(!std::mem::replace(&mut self.ended, true)),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Two sides.
pub struct Model {
    sides: [Side; 2],
    now: Instant,
    /// Whether a session may have ended by time.
    late: bool,
}

/// With small limits, so that they are met.
fn config(role: Role) -> Config {
    let mut config = Config::new(role);
    config.backlog = 4;
    config.max_streams = 12;
    config
}

impl Model {
    /// Two sides that have not said anything yet.
    pub fn new() -> Self {
        let now = Instant::now();
        let side = |role| Side {
            machine: Machine::new(config(role), now),
            streams: Vec::new(),
            waits_to_open: false,
            waits_to_accept: false,
            ended: false,
            pipe: VecDeque::new(),
        };
        Self {
            sides: [side(Role::Client), side(Role::Server)],
            now,
            late: false,
        }
    }

    /// Does something on one side. Whether anything came of it.
    pub fn step(&mut self, second: bool, op: Op) -> bool {
        let me = usize::from(second);
        let done = match op {
            Op::Open => self.open(me),
            Op::Accept => self.accept(me),
            Op::Write { at, len, straight } => {
                if let Some(known) = self.sides[me].pick(at)
                    && !known.finished
                    && !known.failed
                {
                    known.goal += u64::from(len);
                    let handle = known.handle;
                    self.write(me, handle, straight.into())
                } else {
                    false
                }
            }
            Op::Read { at, len } => {
                let known = self.sides[me].pick(at).map(|known| known.handle);
                known.is_some_and(|handle| self.read(me, handle, len as usize))
            }
            Op::Finish(at) => {
                let known = self.sides[me].pick(at).map(|known| known.handle);
                known.is_some_and(|handle| self.finish(me, handle))
            }
            Op::Release(at) => {
                let known = self.sides[me].pick(at).map(|known| known.handle);
                known.is_some_and(|handle| self.release(me, handle))
            }
            Op::Transmit(most) => self.transmit(me, most.into()),
            Op::Deliver(most) => self.deliver(me, most.into()),
            Op::Wait(millis) => {
                self.now += Duration::from_millis(millis.into());
                for side in &mut self.sides {
                    side.machine.handle_timeout(self.now);
                    let next = side.machine.poll_timeout();
                    assert!(
                        next.is_none_or(|at| at > self.now),
                        "a timer that stays due"
                    );
                    self.late |= side.machine.ended().is_some();
                }
                true
            }
        };
        for side in &mut self.sides {
            side.events();
            let over = side.machine.ended();
            assert!(over.is_none() || self.late, "{over:?}");
            // 12 streams of each side; the peer's never keep more than their windows.
            assert!(side.machine.live() <= 12 + side.streams.len());
            assert!(side.machine.pending() <= 128 * 1024 + 65_536 + 24_000);
        }
        done
    }

    fn known(&mut self, me: usize, handle: Handle) -> &mut Known {
        let known = self.sides[me].streams.iter_mut();
        let mut known = known.filter(|known| known.handle == handle && known.held);
        known.next().expect("it is held")
    }

    fn open(&mut self, me: usize) -> bool {
        let side = &mut self.sides[me];
        if side.waits_to_open {
            return false;
        }
        match side.machine.open(self.now) {
            Opened::Stream(handle, id) => {
                side.streams.push(Known::new(handle, id));
                true
            }
            Opened::Wait => {
                side.waits_to_open = true;
                false
            }
            Opened::Failed(error) => {
                assert!(side.machine.ended().is_some(), "{error}");
                false
            }
        }
    }

    fn accept(&mut self, me: usize) -> bool {
        let side = &mut self.sides[me];
        if side.waits_to_accept || side.machine.ended().is_some() {
            return false;
        }
        let Some((handle, id)) = side.machine.accept(self.now) else {
            side.waits_to_accept = true;
            return false;
        };
        side.streams.push(Known::new(handle, id));
        true
    }

    /// Writes what is to be written, once.
    fn write(&mut self, me: usize, handle: Handle, straight: usize) -> bool {
        let now = self.now;
        let (start, len) = {
            let role = self.sides[me].machine.role();
            let known = self.known(me, handle);
            let left = known.goal - known.written;
            if known.waits_to_write || left == 0 || known.failed || known.finished {
                return false;
            }
            (Known::start(known.id, role) + known.written, left as usize)
        };
        let bytes = pattern(start, len);
        let (first, second) = bytes.split_at(bytes.len() / 3);
        let side = &mut self.sides[me];
        let pipe = &mut side.pipe;
        let slices = [IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(second)];
        let wrote = side.machine.write(now, handle, &slices, |frame| {
            let all = frame.iter().flat_map(|slice| slice.iter());
            let before = pipe.len();
            pipe.extend(all.take(straight));
            pipe.len() - before
        });
        let over = side.machine.ended().is_some();
        let known = self.known(me, handle);
        match wrote {
            Wrote::Bytes(count) => {
                assert!((1..=65_536).contains(&count));
                known.written += count as u64;
                true
            }
            Wrote::Pending => {
                known.waits_to_write = true;
                false
            }
            Wrote::Failed(error) => {
                let reset = error.to_string().contains("reset");
                assert!(reset || over, "{error}");
                known.failed = true;
                true
            }
        }
    }

    fn read(&mut self, me: usize, handle: Handle, most: usize) -> bool {
        let now = self.now;
        let role = self.sides[1 - me].machine.role();
        let known = self.known(me, handle);
        if known.waits_to_read || known.ended || most == 0 {
            return false;
        }
        let (id, from) = (known.id, known.read);
        let peer = self.sides[1 - me].streams.iter().find(|peer| peer.id == id);
        let peer_knows = peer.is_some();
        let (peer_finished, peer_wrote, peer_held) = peer.map_or((false, 0, true), |peer| {
            (peer.finished, peer.written, peer.held)
        });
        let mut target = vec![0; most.min(90_000)];
        let read = self.sides[me].machine.read(now, handle, &mut target);
        let over = self.sides[me].machine.ended().is_some();
        let known = self.known(me, handle);
        match read {
            Read::Bytes(count) => {
                let expected = pattern(Known::start(id, role) + from, count);
                assert!(target[..count] == *expected, "stream {id} at {from}");
                known.read += count as u64;
                true
            }
            Read::End => {
                assert!(peer_finished || !peer_held, "nobody has said so");
                assert_eq!(known.read, peer_wrote, "an end before the end");
                known.ended = true;
                true
            }
            Read::Pending => {
                known.waits_to_read = true;
                false
            }
            Read::Failed(error) => {
                // Given up by the peer, or refused, or not finished by it in time.
                let text = error.to_string();
                let peer_may = !peer_held || !peer_knows || text.contains("did not finish");
                assert!(peer_may || over, "{error}");
                known.failed = true;
                known.ended = true;
                true
            }
        }
    }

    fn finish(&mut self, me: usize, handle: Handle) -> bool {
        let now = self.now;
        let known = self.known(me, handle);
        known.goal = known.written;
        let done = !std::mem::replace(&mut known.finished, true);
        // Twice is as good as once.
        self.sides[me].machine.finish(now, handle);
        done
    }

    fn release(&mut self, me: usize, handle: Handle) -> bool {
        let now = self.now;
        self.known(me, handle).held = false;
        self.sides[me].machine.release(now, handle);
        true
    }

    fn transmit(&mut self, me: usize, most: usize) -> bool {
        let side = &mut self.sides[me];
        let mut slices = [IoSlice::new(&[]); 3];
        let used = side.machine.poll_transmit(&mut slices);
        let before = side.pipe.len();
        let all = slices.iter().take(used).flat_map(|slice| slice.iter());
        side.pipe.extend(all.take(most));
        let count = side.pipe.len() - before;
        side.machine.written(self.now, count);
        count > 0
    }

    /// What this side has sent comes to the other.
    fn deliver(&mut self, me: usize, most: usize) -> bool {
        let pipe = &mut self.sides[me].pipe;
        let bytes: Bytes = pipe
            .drain(..most.min(pipe.len()))
            .collect::<Vec<_>>()
            .into();
        let some = !bytes.is_empty();
        let handled = self.sides[1 - me].machine.handle(self.now, bytes);
        handled.expect("this side keeps the rules");
        some
    }

    /// Both sides write, finish and read everything: all comes to an end.
    pub fn rest(mut self) {
        loop {
            let mut moved = false;
            for me in 0..2 {
                let second = me == 1;
                let handles: Vec<_> = self.sides[me]
                    .streams
                    .iter()
                    .filter(|known| known.held)
                    .map(|known| known.handle)
                    .collect();
                for handle in handles {
                    while self.write(me, handle, 0) {
                        moved = true;
                    }
                    while self.read(me, handle, 90_000) {
                        moved = true;
                    }
                    let known = self.known(me, handle);
                    if !known.finished && (known.written == known.goal || known.failed) {
                        moved |= self.finish(me, handle);
                    }
                }
                while self.step(second, Op::Accept) {
                    moved = true;
                }
                moved |= self.step(second, Op::Transmit(u16::MAX));
                moved |= self.step(second, Op::Deliver(u16::MAX));
            }
            // The connection of a side that is over is closed.
            let over = [0, 1].map(|me: usize| self.sides[me].machine.ended().is_some());
            if !moved && over[0] != over[1] {
                self.late = true;
                self.sides[usize::from(over[0])].machine.handle_end();
                self.sides.iter_mut().for_each(Side::events);
            } else if !moved {
                break;
            }
        }
        for (me, side) in self.sides.iter().enumerate() {
            assert_eq!((side.machine.pending(), side.pipe.len()), (0, 0));
            let over = side.machine.ended().is_some();
            assert!(!over || self.late);
            for known in side.streams.iter().filter(|known| known.held) {
                assert!(known.ended, "{me} waits for ever: {known:?}");
            }
            if over {
                continue;
            }
            assert!(!side.waits_to_open, "streams were acknowledged");
            assert_eq!(side.machine.live(), 0, "{:?}", side.streams);
            for known in side.streams.iter().filter(|known| known.held) {
                let peer = self.sides[1 - me].streams.iter();
                let peer = peer
                    .filter(|peer| peer.held)
                    .find(|peer| peer.id == known.id);
                if let Some(peer) = peer.filter(|_| !known.failed) {
                    assert_eq!(peer.written, known.read);
                    assert!(peer.failed || peer.written == peer.goal);
                }
            }
        }
        for side in &mut self.sides {
            for known in side.streams.iter().filter(|known| known.held) {
                side.machine.release(self.now, known.handle);
            }
            assert_eq!((side.machine.kept(), side.machine.buffered()), (0, 0));
        }
    }
}
