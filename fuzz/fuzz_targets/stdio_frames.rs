//! The frames of the stdio transport: what is read is written as it was, and any bytes, cut in
//! two anywhere, do the same to a connection.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use outboard_core::rpc::OutMessage;
use outboard_transport_stdio::wire::frame::{Frame, HEADER_LEN, Header};
use outboard_transport_stdio::wire::{Mux, MuxConfig, OutBuf, Settings, Violation};

fuzz_target!(|input: (bool, usize, &[u8])| {
    let (prefaced, cut, bytes) = input;
    if let Some((header, payload)) = bytes.split_first_chunk::<HEADER_LEN>() {
        let mut header = Header::decode(*header);
        header.len = u32::try_from(payload.len()).expect("short");
        match Frame::decode(header, payload) {
            Ok(Frame::Ignored { .. }) | Err(_) => {}
            Ok(frame) => {
                let mut again = Vec::new();
                frame.encode(&mut again);
                let (header, payload) = again.split_first_chunk::<HEADER_LEN>().expect("a header");
                assert_eq!(Frame::decode(Header::decode(*header), payload), Ok(frame));
            }
        }
    }
    let run = |pieces: [&[u8]; 2]| {
        let mut mux = Mux::new(MuxConfig::default(), Instant::now());
        // A call of this side, so that some frames are answers.
        mux.call("/m/ours", OutMessage::copy_from(b"ask"))
            .expect("opens");
        mux.transmit(&mut OutBuf::default());
        if prefaced {
            let mut preface = Vec::new();
            Settings::LEAST.encode(&mut preface);
            mux.receive(&preface).expect("valid");
        }
        let result = pieces.into_iter().try_for_each(|piece| mux.receive(piece));
        // What is shown of the rubbish depends on how much had come.
        let result = result.map_err(|violation| match violation {
            Violation::BadMagic { .. } => Violation::BadMagic { found: Vec::new() },
            other => other,
        });
        let events: Vec<_> = std::iter::from_fn(|| mux.poll_event()).collect();
        let mut out = OutBuf::default();
        mux.transmit(&mut out);
        assert!(out.len() < 200_000 && mux.buffered() <= 16 << 20);
        let rubbish = matches!(result, Err(Violation::BadMagic { .. }));
        (result, events, if rubbish { 0 } else { out.len() })
    };
    let (first, second) = bytes.split_at(cut.checked_rem(bytes.len()).unwrap_or(0));
    assert_eq!(run([bytes, &[]]), run([first, second]));
});
