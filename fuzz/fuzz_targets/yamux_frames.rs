//! The frames of yamux: what is read is written as it was, and any bytes, cut in two anywhere, do the same
//! to a session and never make it keep more than its windows.
#![no_main]

use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use outboard_yamux::machine::{Machine, Opened, Read};
use outboard_yamux::{Config, HEADER_LEN, Header, Role};

fuzz_target!(|input: (bool, usize, &[u8])| {
    let (client, cut, bytes) = input;
    if let Some((header, _)) = bytes.split_first_chunk::<HEADER_LEN>()
        && let Ok(decoded) = Header::decode(*header)
    {
        assert_eq!(decoded.encode(), *header);
    }
    let now = Instant::now();
    let run = |pieces: [&[u8]; 2]| {
        let role = if client { Role::Client } else { Role::Server };
        let mut config = Config::new(role);
        config.backlog = 8;
        let mut machine = Machine::new(config, now);
        // A few streams of this side, so that some frames are for them.
        let mut streams = Vec::new();
        for _ in 0..3 {
            if let Opened::Stream(handle, _) = machine.open(now) {
                streams.push(handle);
            }
        }
        machine.finish(now, streams[1]);
        machine.release(now, streams[2]);
        streams.pop();
        assert!(machine.accept(now).is_none());
        let result = pieces
            .into_iter()
            .try_for_each(|piece| machine.handle(now, Bytes::copy_from_slice(piece)));
        assert!(machine.live() <= 3 + 8 && machine.kept() <= 3 + 8);
        assert!(machine.buffered() <= bytes.len());
        assert!(machine.pending() <= 12 * (16_384 + 32));
        let mut out = vec![IoSlice::new(&[]); 4];
        let used = machine.poll_transmit(&mut out);
        let out: Vec<u8> = out[..used]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        while let Some((handle, _)) = machine.accept(now) {
            streams.push(handle);
        }
        let mut read = Vec::new();
        for handle in &streams {
            let mut target = [0; 4096];
            loop {
                match machine.read(now, *handle, &mut target) {
                    Read::Bytes(count) => read.extend_from_slice(&target[..count]),
                    Read::End => break read.push(1),
                    Read::Pending => break read.push(2),
                    Read::Failed(_) => break read.push(3),
                }
            }
        }
        let events: Vec<_> = std::iter::from_fn(|| machine.poll_event()).collect();
        for handle in streams {
            machine.release(now, handle);
        }
        assert_eq!(machine.buffered(), 0);
        let ended = machine.ended().map(ToString::to_string);
        (result, ended, out, read, events)
    };
    let (first, second) = bytes.split_at(cut.checked_rem(bytes.len()).unwrap_or(0));
    assert_eq!(run([bytes, &[]]), run([first, second]));
});
