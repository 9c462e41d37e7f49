//! Each rule of the document against a peer that breaks it.
#![allow(
    clippy::disallowed_methods,
    reason = "a test's first instant has to come from somewhere"
)]

mod malformed;
mod out_of_order;
mod parts;
mod prefaces;

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::time::Instant;

use outboard_core::rpc::OutMessage;

use self::malformed::malformed;
use self::out_of_order::out_of_order;
use self::parts::parts;
use self::prefaces::prefaces;
use super::frame::{Body, Frame, MAX_ENTRIES, OpenHead, StatusHead};
use super::{
    MAX_NAMES, Mux, MuxConfig, OpenError, OutBuf, PREFACE_LEN, Preface, Settings, Violation,
};

/// A match without a wildcard, so that a violation that is not listed does not compile, and the
/// list, so that one without a case fails.
macro_rules! variants {
    ($($name:ident)*) => {
        fn name(violation: &Violation) -> &'static str {
            match violation {
                $(Violation::$name { .. } => stringify!($name),)*
            }
        }
        const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

variants! {
    BadMagic Version BadSettings BadSetting FrameTooLarge UnknownFrame BadFlags UnknownBits
    Truncated TrailingBytes HeadTooLong NotText PathTooLong BadMetadata TooManyEntries
    WrongStream StreamBusy AfterEnd LateHeaders CreditExceeded
    CreditOverflow MessageInMessage ChunkNotGranted ChunkTooLong EmptyChunk EndInMessage
    GrantNotAsked AfterClose EndOfBytes NoParts NoNames NamesNotAnnounced TooManyNames
}

fn preface() -> Vec<u8> {
    let mut bytes = Vec::new();
    Settings::LEAST.encode(&mut bytes);
    bytes
}

fn bytes(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

/// A frame with any payload.
fn raw(kind: u8, stream: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [l0, l1, l2, _] = u32::try_from(payload.len()).expect("short").to_le_bytes();
    [&[l0, l1, l2, kind, stream, 0, 0, flags], payload].concat()
}

fn head(path: &str) -> OpenHead<'_> {
    OpenHead {
        path,
        ..OpenHead::default()
    }
}

fn open<'a>(stream: u32, end: bool, body: Body<'a>) -> Frame<'a> {
    open_with(stream, end, head("/a/B"), body)
}

fn open_with<'a>(stream: u32, end: bool, head: OpenHead<'a>, body: Body<'a>) -> Frame<'a> {
    Frame::Open {
        stream,
        end,
        head,
        body,
    }
}

fn message<'a>(stream: u32, end: bool, body: Body<'a>) -> Frame<'a> {
    Frame::Message {
        stream,
        opener: true,
        end,
        body,
    }
}

fn chunk(stream: u32, end: bool, data: &[u8]) -> Frame<'_> {
    Frame::Chunk {
        stream,
        opener: true,
        end,
        data,
    }
}

fn status(stream: u32) -> Frame<'static> {
    Frame::Status {
        stream,
        head: StatusHead::default(),
        body: Body::Absent,
    }
}

fn headers(stream: u32, metadata: &[u8]) -> Frame<'_> {
    Frame::Headers {
        stream,
        metadata,
        parts: false,
    }
}

fn call(mux: &mut Mux) -> Result<super::Key, OpenError> {
    mux.call("/a/B", OutMessage::copy_from(b"hi"))
}

fn transmitted(mux: &mut Mux) -> Vec<u8> {
    let mut out = OutBuf::default();
    mux.transmit(&mut out);
    let mut slices = [IoSlice::new(&[]); 8];
    let used = out.slices(&mut slices);
    slices.iter().take(used).flat_map(|s| s.to_vec()).collect()
}

/// A machine with one call of its own, stream 0, before it has the peer's preface.
fn fresh() -> Mux {
    let mut mux = Mux::new(MuxConfig::default(), Instant::now());
    call(&mut mux).expect("open");
    transmitted(&mut mux);
    mux
}

/// What a case is called, what the peer sends, and what this side makes of it.
type Case = (&'static str, Vec<u8>, fn(&Violation) -> bool);

#[test]
fn each_rule_of_the_document_has_its_violation() {
    let mut seen = BTreeSet::new();
    let started = || {
        let mut mux = fresh();
        mux.receive(&preface()).expect("valid");
        mux
    };
    let frames = malformed().into_iter().chain(out_of_order()).chain(parts());
    let cases = (prefaces().into_iter().map(|case| (fresh(), case)))
        .chain(frames.map(|case| (started(), case)));
    for (mut mux, (what, bytes, is_expected)) in cases {
        let violation = mux.receive(&bytes).expect_err(what);
        assert!(is_expected(&violation), "{what}: {violation:?}");
        // It sticks, and the peer is told.
        assert_eq!(mux.receive(&[0]), Err(violation.clone()));
        let told = transmitted(&mut mux);
        let told = String::from_utf8_lossy(&told);
        assert!(told.contains(&violation.to_string()), "{what}: {told}");
        assert_eq!(call(&mut mux), Err(OpenError::Closed));
        seen.insert(name(&violation));
    }
    // The bytes may end anywhere: only between frames it is no violation.
    let frame = bytes(&[Frame::Ping { content: [0; 8] }]);
    let all = [preface(), frame].concat();
    for end in 1..all.len() {
        let mut mux = fresh();
        let bytes = all.get(..end).expect("in range");
        mux.receive(bytes).expect("valid so far");
        let expected = if end == preface().len() {
            Ok(())
        } else {
            Err(Violation::EndOfBytes)
        };
        assert_eq!(mux.end_of_bytes(), expected, "{end}");
        seen.extend(expected.as_ref().err().map(name));
    }
    let missing: Vec<_> = ALL.iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "violations without a case: {missing:?}");
}
