//! The filter in front of `h2`: any bytes, cut anywhere, come out as when they come in one piece, in
//! no greater number, and with nothing left to replace.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unreachable_pub)]
#[path = "../../transport-h2/src/authority/mod.rs"]
mod authority;

use authority::Filter;

/// Small enough that inputs pass it.
const HEADER_LIST: u32 = 0;

fn drain(filter: &mut Filter, out: &mut Vec<u8>) {
    let mut target = [0; 5];
    loop {
        match filter.take(&mut target) {
            0 => return,
            count => out.extend_from_slice(&target[..count]),
        }
    }
}

/// What comes of these pieces, as a connection reads them.
fn pass(pieces: &[&[u8]]) -> Vec<u8> {
    let mut filter = Filter::new(HEADER_LIST);
    let mut out = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            if let Some(missing) = filter.missing() {
                assert!(missing > 0);
                let count = missing.min(rest.len());
                filter.fill(missing, |space| {
                    space[..count].copy_from_slice(&rest[..count]);
                    (count, ())
                });
                rest = &rest[count..];
            } else {
                let mut chunk = rest.to_vec();
                let count = filter.pass(&mut chunk);
                out.extend_from_slice(&chunk[..count]);
                rest = &[];
            }
            drain(&mut filter, &mut out);
        }
    }
    filter.end();
    drain(&mut filter, &mut out);
    out
}

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (cuts, frames) = input;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(frames);
    let whole = pass(&[&bytes]);
    assert!(whole.len() <= bytes.len());
    let (mut pieces, mut rest) = (Vec::new(), &bytes[..]);
    for cut in cuts {
        let (piece, later) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.push(piece);
        rest = later;
    }
    pieces.push(rest);
    assert_eq!(pass(&pieces), whole);
    assert_eq!(pass(&[&whole]), whole);
});
