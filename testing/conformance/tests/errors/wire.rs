//! Samples of the errors of the stdio protocol, whose machine can be used by itself, of net/rpc, and of
//! the generator.

use std::collections::BTreeMap;
use std::time::Duration;

use outboard_build::Error as BuildError;
use outboard_core::rpc::limits;
use outboard_gob::Error as GobError;
use outboard_transport_netrpc as netrpc;
use outboard_transport_stdio::wire::{MetadataTooLarge, OpenError, SendError, Violation};

use crate::samples::{Sample, fault, io, put, text, too_large};

pub(super) fn stdio(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    use Violation as V;
    let metadata = || {
        let limit = limits::MetadataTooLarge::Entries { entries: 3 };
        [
            MetadataTooLarge::Limit(limit),
            MetadataTooLarge::Peer { len: 9, most: 8 },
        ]
    };
    let send = [SendError::TooLarge(too_large()), SendError::Gone];
    let open = [
        OpenError::GoingAway,
        OpenError::Closed,
        OpenError::PathTooLong(3),
    ];
    put(all, "OpenError", open);
    put(all, "OpenError", metadata().map(OpenError::Metadata));
    put(all, "OpenError", send.map(OpenError::Message));
    put(all, "SendError", send);
    put(all, "StdioMetadataTooLarge", metadata());
    let (kind, stream, len, most) = (7, 3, 9, 8);
    let violations = [
        V::BadMagic {
            found: b"hello".to_vec(),
        },
        V::Version { major: 2 },
        V::BadSettings { len: 5 },
        V::BadSetting {
            id: 1,
            value: 0,
            least: 1,
            most,
        },
        V::FrameTooLarge { kind, len: 9, most },
        V::UnknownFrame { kind },
        V::BadFlags { kind, flags: 1 },
        V::UnknownBits { kind, bits: 1 },
        V::Truncated { kind, missing: 1 },
        V::TrailingBytes { kind, extra: 1 },
        V::HeadTooLong { kind, len, most: 8 },
        V::NoParts { kind, stream },
        V::NotText { kind },
        V::PathTooLong { len },
        V::BadMetadata,
        V::TooManyEntries { most: 8 },
        V::NoNames { kind },
        V::NamesNotAnnounced,
        V::TooManyNames { most: 8 },
        V::WrongStream { kind, stream },
        V::StreamBusy { stream },
        V::AfterEnd { kind, stream },
        V::LateHeaders { stream },
        V::CreditExceeded {
            stream,
            cost: 9,
            left: 8,
            scope: "this stream",
        },
        V::CreditOverflow { stream },
        V::MessageInMessage { stream },
        V::ChunkNotGranted { stream },
        V::ChunkTooLong {
            stream,
            len,
            left: 8,
        },
        V::EmptyChunk { stream },
        V::EndInMessage { stream },
        V::GrantNotAsked { stream },
        V::AfterClose { kind },
        V::EndOfBytes,
    ];
    put(all, "Violation", violations);
}

pub(super) fn build(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let (path, reason) = (|| "a.proto".into(), || text("no luck today"));
    let errors = [
        BuildError::Proto { reason: reason() },
        BuildError::Generate { reason: reason() },
        BuildError::Encoding {
            path: path(),
            line: 1,
            byte: 1,
            reason: reason(),
        },
        BuildError::Edition {
            path: path(),
            line: 1,
            edition: text("2023"),
        },
        BuildError::DescriptorSet { reason: reason() },
        BuildError::NameTaken {
            place: text("the module a"),
            name: text("B"),
            items: [text("b"), text("B")],
            fix: None,
        },
        BuildError::NoName {
            item: text("the message a"),
            reason: reason(),
            fix: Some(text("rename_type(..)")),
        },
        BuildError::Unknown {
            setting: "rename_service",
            name: text("x"),
        },
        BuildError::BadName {
            setting: "rename_method",
            name: text("x y"),
        },
        BuildError::Panicked { message: reason() },
        BuildError::NoOutDir,
        BuildError::Read {
            path: path(),
            source: io(),
        },
        BuildError::Write {
            path: path(),
            source: io(),
        },
    ];
    put(all, "BuildError", errors);
}

pub(super) fn net_rpc(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    use netrpc::{BrokerError, CallError, DispenseError, Error};
    let gob = || -> GobError {
        let mut decoder = outboard_gob::Decoder::new();
        let mut value = decoder.next(&mut &[3, 4, 0, 2][..]).expect("a message");
        let value = value.as_mut().expect("it is whole");
        value.decode::<String>().expect_err("it is a number")
    };
    let (method, after) = (|| text("Plugin.Greet"), Duration::from_secs(5));
    let calls = || {
        [
            CallError::Answered {
                method: method(),
                text: text("nobody is there"),
            },
            CallError::Argument {
                method: method(),
                kind: "Person",
                error: gob(),
            },
            CallError::Reply {
                method: method(),
                kind: "Person",
                sent: text("string"),
                error: gob(),
            },
            CallError::Panicked {
                method: method(),
                kind: "Person",
                text: text("panicked: boom"),
            },
            CallError::Lost {
                method: method(),
                fault: fault(),
            },
            CallError::TimedOut {
                method: method(),
                after,
            },
        ]
    };
    put(all, "RpcCallError", calls());
    let (id, lost) = (3, || calls()[4].clone());
    put(
        all,
        "RpcError",
        [Error::new("nobody is there"), Error::Call(lost())],
    );
    let unreached = || BrokerError::Lost { id, fault: fault() };
    let broker = [
        BrokerError::AlreadyAccepting { id },
        BrokerError::NotDialled { id, after },
        BrokerError::Closed { id },
        BrokerError::NotAccepted { id, after },
        BrokerError::WrongId { id, found: 4 },
        unreached(),
    ];
    put(all, "RpcBrokerError", broker);
    let name = || text("greeter");
    let dispense = [
        DispenseError::Refused {
            name: name(),
            text: text("unknown plugin"),
        },
        DispenseError::Unanswered {
            name: name(),
            error: lost(),
        },
        DispenseError::Unreached {
            name: name(),
            error: unreached(),
        },
    ];
    put(all, "RpcDispenseError", dispense);
}
