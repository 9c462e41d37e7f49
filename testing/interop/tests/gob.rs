//! `outboard-gob` with Go's `encoding/gob` on the other end of a stream: hundreds of values of many types,
//! which both ends make of one seed, in both directions; some skipped, some taken for what they are not,
//! and all of them read as dynamic values and sent on.

use std::io::Write as _;
use std::process::{Command, Stdio};

use outboard_gob::{Decoder, Encoder, Kind};
use outboard_interop::go;

#[path = "gob/made.rs"]
mod made;

use made::Source;

const COUNT: usize = 600;
const SEEDS: std::ops::Range<u64> = 1..9;

fn peer(what: &str, seed: u64) -> Option<Command> {
    let mut command = Command::new(&go()?.gob);
    command.args([what, &seed.to_string(), &COUNT.to_string()]);
    // Go takes an offset that is its own for its own zone.
    command.env("TZ", "UTC");
    Some(command)
}

/// What Go writes of a seed.
fn written(seed: u64) -> Option<Vec<u8>> {
    let output = peer("write", seed)?.output().expect("the peer runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}: {told}");
    Some(output.stdout)
}

/// Has Go read (`read`, `reread`) what it should be of a seed.
fn reads(how: &str, seed: u64, bytes: &[u8]) {
    let Some(mut command) = peer(how, seed) else {
        return;
    };
    let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut peer = command.spawn().expect("the peer starts");
    let mut stdin = peer.stdin.take().expect("piped");
    // It may give up in the middle, and says why.
    let sent = stdin.write_all(bytes);
    drop(stdin);
    let output = peer.wait_with_output().expect("the peer ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}: {told}");
    sent.expect("it read all");
}

/// Gives each value of a stream that comes in pieces of this size.
fn each(bytes: &[u8], piece: usize, mut take: impl FnMut(usize, outboard_gob::Received<'_>)) {
    let mut decoder = Decoder::new();
    let mut number = 0;
    for mut chunk in bytes.chunks(piece) {
        while let Some(received) = decoder.next(&mut chunk).expect("it is understood") {
            take(number, received);
            number += 1;
        }
    }
    assert!(decoder.is_between_values());
    assert_eq!(number, COUNT);
}

#[test]
fn what_go_writes_is_read() {
    for seed in SEEDS {
        let Some(bytes) = written(seed) else { return };
        for piece in [1, 61, 4096, bytes.len()] {
            let mut source = Source(seed);
            each(&bytes, piece, |number, mut received| {
                let value = source.value();
                if number % 5 == 3 {
                    // Skipped.
                    return;
                }
                if number % 5 == 4 {
                    let error = received.decode::<Vec<Vec<u64>>>();
                    error.expect_err("there is no such value");
                }
                let result = value.check(&mut received);
                result.unwrap_or_else(|error| panic!("seed {seed}, value {number}: {error}"));
            });
        }
    }
}

#[test]
fn go_reads_what_is_written() {
    for seed in SEEDS {
        let (mut source, mut encoder) = (Source(seed), Encoder::new());
        let mut bytes = Vec::new();
        for _ in 0..COUNT {
            let value = source.value();
            value.send(&mut encoder, &mut bytes).expect("it is sent");
        }
        reads("read", seed, &bytes);
    }
}

/// Without knowing their types: as dynamic values, of which the other end is to notice nothing.
#[test]
fn what_go_writes_is_sent_on() {
    for seed in SEEDS {
        let Some(bytes) = written(seed) else { return };
        let mut encoder = Encoder::new();
        let mut out = Vec::new();
        each(&bytes, 4096, |_, received| {
            let value = received.to_value().expect("it is read");
            let sent = match received.shape().kind() {
                Kind::Interface => encoder.encode(&value, &mut out),
                _ => encoder.encode_concrete(&value, &mut out),
            };
            sent.expect("it is sent");
        });
        reads("reread", seed, &bytes);
        reads("reread", seed, &out);
        let mut source = Source(seed);
        each(&out, 4096, |number, mut received| {
            let result = source.value().check(&mut received);
            result.unwrap_or_else(|error| panic!("seed {seed}, value {number}: {error}"));
        });
    }
}

/// The peer tells one seed from another: otherwise all of this proves nothing.
#[test]
#[should_panic = "value 0"]
fn go_notices_another_value() {
    let Some(bytes) = written(1) else {
        panic!("value 0 is not there, as Go is not");
    };
    reads("reread", 2, &bytes);
}
