//! What features of editions mean on the wire.

mod support;

use std::sync::Arc;

use outboard::codegen::Service as _;
use outboard::{Client as _, Status, Streaming};
use outboard_generator::edition_cases::editions::m::{Choice, Inner};
use outboard_generator::edition_cases::editions::{Closed, M, S, SClient, SServer};
use prost::Message as _;
use prost_types::{FileDescriptorSet, Timestamp};
use support::{block_on, channel_to};

/// A message with the field that is required.
fn message() -> M {
    let required = b"r".to_vec();
    M {
        required,
        ..M::default()
    }
}

#[test]
fn presence_is_that_of_the_feature() {
    let with = |m: M| m.encode_to_vec()[..].to_vec();
    // Required is sent also if empty, explicit if set, implicit if not empty.
    assert_eq!(with(M::default()), [26, 0]);
    let explicit = Some(0);
    let implicit = String::new();
    let m = M {
        explicit,
        implicit,
        ..message()
    };
    assert_eq!(with(m), [8, 0, 26, 1, b'r']);
    let inner = Inner {
        a: 0,
        b: Some(false),
    };
    assert_eq!(inner.encode_to_vec(), [16, 0]);
    let m = message();
    assert_eq!((m.closed(), m.defaulted()), (Closed::Two, -7));
}

#[test]
fn encodings_are_those_of_the_features() {
    let expanded = vec![1, 2];
    let packed = vec![1, 2];
    let m = M {
        expanded,
        packed,
        ..message()
    };
    assert_eq!(m.encode_to_vec(), [26, 1, b'r', 32, 1, 32, 2, 42, 2, 1, 2]);
    let inner = || Inner { a: 5, b: None };
    let m = M {
        // Start of group 6, end of group 6.
        delimited: Some(inner()),
        prefixed: Some(inner()),
        many: vec![inner()],
        choice: Some(Choice::Inner(inner())),
        again: Some(Box::new(message())),
        ..message()
    };
    let bytes = m.encode_to_vec();
    let expected = [
        &[26, 1, b'r'][..],
        &[51, 8, 5, 52],
        &[58, 2, 8, 5],
        &[67, 8, 5, 68],
        &[91, 8, 5, 92],
        &[0x83, 1, 26, 1, b'r', 0x84, 1],
    ];
    assert_eq!(bytes, expected.concat());
    assert_eq!(M::decode(bytes.as_slice()), Ok(m));
}

struct Back;

impl S for Back {
    async fn call(&self, m: M) -> Result<M, Status> {
        Ok(m)
    }
    async fn watch(&self, _: Streaming<Inner>) -> Result<Streaming<Timestamp>, Status> {
        Ok(Streaming::once(Timestamp::default()))
    }
}

#[test]
fn a_service_of_an_edition_is_served_and_described() {
    let server = Arc::new(SServer::new(Back));
    let set = server.descriptor().file_descriptor_set;
    let client = SClient::from_channel(channel_to([server]));
    assert_eq!(block_on(client.call(message())), Ok(message()));
    // The file as it is, for server reflection: with the edition, in field 14.
    let decoded = FileDescriptorSet::decode(set).expect("a set");
    let file = decoded.file.last().expect("a file");
    assert_eq!((file.name(), file.syntax()), ("editions.proto", "editions"));
    assert!(file.source_code_info.is_none());
    assert!(
        set.windows(3).any(|bytes| bytes == [14 << 3, 0xE8, 7]),
        "no edition 1000"
    );
}
