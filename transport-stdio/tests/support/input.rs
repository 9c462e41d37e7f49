//! Frames for a machine, and what it makes of them. Not among the modules of `support`, which needs a
//! runtime.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of this"
)]

use std::io::IoSlice;
use std::time::Instant;

use outboard_core::rpc::{Metadata, OutMessage};
use outboard_transport_stdio::wire::frame::{Body, Frame, OpenHead};
use outboard_transport_stdio::wire::{CallStart, Key, Mux, MuxConfig, OpenError, OutBuf, Settings};

pub fn mux() -> Mux {
    Mux::new(MuxConfig::default(), Instant::now())
}

/// A machine that has its peer's preface.
pub fn started() -> Mux {
    let mut mux = mux();
    mux.receive(&preface()).expect("valid");
    mux
}

pub fn preface() -> Vec<u8> {
    let mut bytes = Vec::new();
    Settings::LEAST.encode(&mut bytes);
    bytes
}

pub fn bytes(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

pub fn head(path: &str) -> OpenHead<'_> {
    OpenHead {
        path,
        ..OpenHead::default()
    }
}

pub fn open(stream: u32, end: bool, body: Body<'_>) -> Frame<'_> {
    Frame::Open {
        stream,
        end,
        head: head("/a/B"),
        body,
    }
}

pub fn message<'a>(stream: u32, end: bool, body: Body<'a>) -> Frame<'a> {
    Frame::Message {
        stream,
        opener: true,
        end,
        body,
    }
}

pub fn answer<'a>(stream: u32, body: Body<'a>) -> Frame<'a> {
    Frame::Message {
        stream,
        opener: false,
        end: false,
        body,
    }
}

pub fn chunk(stream: u32, end: bool, data: &[u8]) -> Frame<'_> {
    Frame::Chunk {
        stream,
        opener: true,
        end,
        data,
    }
}

pub fn flat(out: &mut OutBuf) -> Vec<u8> {
    let mut all = Vec::new();
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); 8];
        let used = out.slices(&mut slices);
        let bytes = slices.iter().take(used).flat_map(|s| s.to_vec());
        let before = all.len();
        all.extend(bytes);
        out.advance(all.len() - before);
    }
    all
}

pub fn transmitted(mux: &mut Mux) -> Vec<u8> {
    let mut out = OutBuf::default();
    mux.transmit(&mut out);
    flat(&mut out)
}

pub fn call(mux: &mut Mux, channel: u32) -> Result<Key, OpenError> {
    let start = CallStart {
        path: "/a/B".into(),
        channel,
        timeout: None,
        metadata: &Metadata::new(),
        urgent: false,
    };
    mux.open(start, Some(OutMessage::copy_from(b"hi")), true)
}

pub fn ours(mux: &mut Mux, frames: &[Frame<'_>]) -> Key {
    let key = call(mux, 0).expect("open");
    transmitted(mux);
    mux.receive(&bytes(frames)).expect("valid");
    key
}
