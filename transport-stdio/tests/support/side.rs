//! A machine with a record of what it has sent and got. Not among the modules of `support`, which needs
//! a runtime.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of this"
)]

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;
use outboard_core::rpc::{Metadata, OutMessage, Status};
use outboard_transport_stdio::wire::{CallStart, Event, Key, Mux, MuxConfig, OutBuf, Taken};

/// One side with its record of what it sent and got, by the call's number.
pub struct Side {
    pub mux: Mux,
    pub out: OutBuf,
    /// Calls of this side: number, and whether this side is done sending.
    pub ours: BTreeMap<Key, u32>,
    pub theirs: BTreeMap<Key, u32>,
    pub sent: BTreeMap<(u32, bool), Vec<Bytes>>,
    pub got: BTreeMap<(u32, bool), Vec<Bytes>>,
    pub finished: Vec<u32>,
    pub results: BTreeMap<u32, bool>,
    pub cancelled: Vec<u32>,
}

pub fn message(number: u32, index: usize, len: usize) -> OutMessage {
    let mut bytes: Vec<u8> = (0..len).map(|i| (i as u32 ^ number) as u8).collect();
    if let Some(first) = bytes.first_mut() {
        *first = index as u8;
    }
    OutMessage::copy_from(&bytes)
}

/// For every third call too much for a frame.
pub fn pad(number: u32) -> Metadata {
    let mut metadata = Metadata::new();
    if number.is_multiple_of(3) {
        let value = vec![number as u8; 15_000];
        metadata.insert_bin("pad-bin", value).unwrap();
    }
    metadata
}

/// For every third call with a text that is too long for a frame.
pub fn failure(number: u32) -> Status {
    let length = if number % 3 == 1 { 20_000 } else { 2 };
    Status::not_found("no".repeat(length)).with_metadata(pad(number))
}

impl Side {
    pub fn new(config: MuxConfig) -> Self {
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

    pub fn open(&mut self, number: u32, first: Option<usize>, end: bool) {
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

    pub fn send(&mut self, key: Key, len: usize) {
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
    pub fn read(&mut self, key: Key) {
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
    pub fn write(&mut self, pipe: &mut VecDeque<u8>, capacity: usize, count: usize) -> bool {
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

    pub fn take(&mut self, pipe: &mut VecDeque<u8>, count: usize) -> bool {
        let bytes: Vec<u8> = pipe.drain(..count.min(pipe.len())).collect();
        self.mux.receive(&bytes).unwrap();
        self.events();
        !bytes.is_empty()
    }
}

/// Moves what there is until nothing moves.
pub fn settle(sides: &mut [Side; 2]) {
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
