//! The protocol's machines without any IO: small repeatable pieces of work for them.
//!
//! One piece runs many times in one process, so that instructions can be counted from outside as
//! the difference between two numbers of repetitions.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use outboard_core::broker::{Broker, BrokerAction, BrokerConfig, BrokerInput, BrokerMode};
use outboard_core::endpoint::Endpoint;
use outboard_core::grpc::{MessageReader, prefix};
use outboard_core::handshake::{HandshakeReader, HostExpectation, Progress, Protocol};
use outboard_core::hclog::{LogOptions, LogReader};
use outboard_core::rpc::{Metadata, OutMessage, SizeLimit};
use outboard_transport_stdio::wire::{
    CallStart, Event, Key, Mux, MuxConfig, OutBuf, Taken,
    frame::{Body, Frame, HEADER_LEN, Header},
};

use crate::Failure;

/// A piece of work.
pub type Work = Box<dyn FnMut() -> Result<(), Failure>>;

/// What there is to measure, by name.
pub const CASES: [&str; 6] = [
    "handshake line",
    "hclog record",
    "gRPC message 16 B",
    "stdio frame 16 B",
    "stdio call 16 B",
    "broker accept and dial",
];

/// The piece of work of this name.
///
/// # Errors
/// If there is none.
pub fn case(name: &str) -> Result<Work, Failure> {
    match name {
        "handshake line" => Ok(Box::new(handshake)),
        "hclog record" => Ok(hclog()),
        "gRPC message 16 B" => Ok(grpc_message()),
        "stdio frame 16 B" => Ok(stdio_frame()),
        "stdio call 16 B" => Ok(stdio_call()),
        "broker accept and dial" => Ok(broker()),
        _ => Err(format!("no such case: {name:?}; there are {CASES:?}").into()),
    }
}

/// Finds the line in what a plugin prints, and checks it.
fn handshake() -> Result<(), Failure> {
    let mut reader = HandshakeReader::new();
    let expectation = HostExpectation::new([1]).allowing([Protocol::Grpc]);
    match reader.push(black_box(b"1|1|unix|/tmp/plugin1234567890|grpc|\n"))? {
        Progress::Line { line, .. } => {
            black_box(expectation.check(line)?);
            Ok(())
        }
        Progress::NeedMore | Progress::AfterLine(_) => Err("the line was not found".into()),
    }
}

/// Reads a record as hclog's JSON writer makes them.
fn hclog() -> Work {
    let line = concat!(
        r#"{"@level":"info","@message":"serving","@module":"kv.store","#,
        r#""@timestamp":"2026-01-02T03:04:05.678901Z","path":"/var/lib/kv","size":4096}"#,
        "\n"
    );
    let now = Instant::now();
    let mut reader = LogReader::new(LogOptions::default());
    Box::new(move || {
        reader.handle_bytes(now, black_box(line.as_bytes()));
        let record = reader.poll_record().ok_or("there was no record")?;
        black_box(record);
        Ok(())
    })
}

/// Frames a message as gRPC does and reads it back.
fn grpc_message() -> Work {
    let mut reader = MessageReader::new(SizeLimit::of_server(1 << 20));
    Box::new(move || {
        let message = OutMessage::copy_from(black_box(&[7; 16]));
        let length = message.len();
        reader.push(message.with_prefix(&prefix(length)));
        let read = reader.next()?.ok_or("there was no message")?;
        black_box(read);
        Ok(())
    })
}

/// Encodes and decodes one frame of the stdio transport.
fn stdio_frame() -> Work {
    let mut wire = Vec::new();
    Box::new(move || {
        wire.clear();
        let frame = Frame::Message {
            stream: 1,
            opener: true,
            end: true,
            body: Body::Inline(black_box(&[7; 16])),
        };
        frame.encode(&mut wire);
        let (head, payload) = wire
            .split_first_chunk::<HEADER_LEN>()
            .ok_or("there was no header")?;
        black_box(Frame::decode(Header::decode(*head), payload)?);
        Ok(())
    })
}

/// A whole unary call between two machines of the stdio transport.
fn stdio_call() -> Work {
    let now = Instant::now();
    let mut caller = Mux::new(MuxConfig::default(), now);
    let mut server = Mux::new(MuxConfig::default(), now);
    let metadata = Metadata::new();
    let mut wire = OutBuf::default();
    Box::new(move || {
        let start = CallStart {
            path: "/bench.Bench/Echo".into(),
            channel: 0,
            timeout: None,
            metadata: &metadata,
            urgent: false,
        };
        let request = OutMessage::copy_from(black_box(&[7; 16]));
        let call = caller.open(start, Some(request), true)?;
        carry(&mut caller, &mut server, &mut wire)?;
        let key = loop {
            match server.poll_event().ok_or("no call arrived")? {
                Event::Opened(key, _) => break key,
                _earlier => {}
            }
        };
        let asked = message(&mut server, key)?;
        server.send(key, OutMessage::copy_from(&asked))?;
        server.finish(key, &metadata)?;
        server.release(key);
        carry(&mut server, &mut caller, &mut wire)?;
        while caller.poll_event().is_some() {}
        while server.poll_event().is_some() {}
        black_box(message(&mut caller, call)?);
        caller.release(call);
        Ok(())
    })
}

fn message(mux: &mut Mux, key: Key) -> Result<Bytes, Failure> {
    match mux.take_message(key) {
        Taken::Message(message) => Ok(message),
        Taken::Pending | Taken::End => Err("no message arrived".into()),
    }
}

fn carry(from: &mut Mux, to: &mut Mux, wire: &mut OutBuf) -> Result<(), Failure> {
    from.transmit(wire);
    while !wire.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let used = wire.slices(&mut slices);
        let mut count = 0;
        for slice in slices.iter().take(used) {
            to.receive(slice)?;
            count += slice.len();
        }
        wire.advance(count);
        from.transmit(wire);
    }
    Ok(())
}

/// One side accepts an id, announces it, and the other dials it; then the id is closed.
fn broker() -> Work {
    let now = Instant::now();
    let mut host = Broker::new(BrokerConfig::new(BrokerMode::Listeners));
    let mut plugin = Broker::new(BrokerConfig::new(BrokerMode::Listeners));
    for side in [&mut host, &mut plugin] {
        side.handle(now, BrokerInput::ControlOpened);
    }
    Box::new(move || {
        let id = plugin.next_id();
        let endpoint = Endpoint::Unix("/tmp/plugin1234567890".into());
        plugin.accept(now, id, Some(&endpoint))?;
        let info = plugin.poll_transmit().ok_or("nothing was announced")?;
        host.dial(now, id)?;
        host.handle_message(now, info);
        let Some(BrokerAction::Connect { endpoint, .. }) = host.poll_action() else {
            return Err("the host was not told to connect".into());
        };
        black_box(endpoint);
        plugin.close_id(now, id);
        while plugin.poll_action().is_some() {}
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_does_its_work_again_and_again() {
        for name in CASES {
            let mut work = case(name).expect("a case");
            for round in 0..3000 {
                work().unwrap_or_else(|error| panic!("{name}, round {round}: {error}"));
            }
        }
    }
}
