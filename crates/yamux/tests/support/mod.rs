//! Machines by hand.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;
use outboard_yamux::machine::{Handle, Machine, Opened, Read, Wrote};
use outboard_yamux::{Config, HEADER_LEN, Header, Kind, Role};

pub(crate) fn machine(role: Role, now: Instant) -> Machine {
    Machine::new(Config::new(role), now)
}

/// Everything that is to be written.
pub(crate) fn sent(machine: &mut Machine, now: Instant) -> Vec<u8> {
    let mut all = Vec::new();
    while machine.pending() > 0 {
        let mut slices = [IoSlice::new(&[]); 4];
        let used = machine.poll_transmit(&mut slices);
        let before = all.len();
        for slice in slices.iter().take(used) {
            all.extend_from_slice(slice);
        }
        machine.written(now, all.len() - before);
    }
    all
}

/// The headers of frames, without the payloads.
pub(crate) fn headers(mut bytes: &[u8]) -> Vec<Header> {
    let mut all = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() {
        let header = Header::decode(*header).expect("a header");
        let payload = match header.kind {
            Kind::Data => header.len as usize,
            _ => 0,
        };
        all.push(header);
        bytes = rest.get(payload..).expect("a whole payload");
    }
    assert!(bytes.is_empty(), "half a header");
    all
}

pub(crate) fn frame(kind: Kind, flags: u16, stream: u32, len: u32) -> Vec<u8> {
    Header::new(kind, flags, stream, len).encode().to_vec()
}

pub(crate) fn data(flags: u16, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short");
    [&frame(Kind::Data, flags, stream, len), payload].concat()
}

pub(crate) fn give(machine: &mut Machine, now: Instant, bytes: impl Into<Bytes>) {
    let given = machine.handle(now, bytes.into());
    given.expect("it keeps the rules");
}

pub(crate) fn open(machine: &mut Machine, now: Instant) -> (Handle, u32) {
    match machine.open(now) {
        Opened::Stream(handle, id) => (handle, id),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn write(machine: &mut Machine, now: Instant, handle: Handle, bytes: &[u8]) -> usize {
    match machine.write(now, handle, &[IoSlice::new(bytes)], |_| 0) {
        Wrote::Bytes(count) => count,
        Wrote::Pending => 0,
        Wrote::Failed(error) => panic!("{error}"),
    }
}

pub(crate) fn read(machine: &mut Machine, now: Instant, handle: Handle) -> Vec<u8> {
    let mut all = vec![0; 1 << 20];
    let mut len = 0;
    while let Read::Bytes(count @ 1..) = machine.read(now, handle, &mut all[len..]) {
        len += count;
    }
    all.truncate(len);
    all
}
