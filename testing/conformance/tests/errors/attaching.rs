//! Samples of the errors of attaching to a plugin that runs.

use std::collections::BTreeMap;

use outboard::{AttachError, NoRecord, Protocol, ReattachConfig};
use outboard_core::endpoint::Endpoint;
use outboard_core::version::IncompatibleVersion;

use super::samples::{Sample, fault, put, text};

pub(super) fn samples(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let address = r#"{"Addr":{"Network":"pigeon","String":"x"}}"#;
    let read = |text: &str| ReattachConfig::from_json(text).expect_err("no record");
    put(all, "ReattachError", ["", "{}", "7", address].map(read));
    let of = ReattachConfig::map_from_json(r#"{"it":{}}"#).expect_err("no record");
    put(all, "ReattachError", [of]);
    let attach = [
        AttachError::NoProcess { pid: 7 },
        AttachError::AnotherProcess {
            pid: 7,
            expected: text("1"),
            found: text("2"),
        },
        AttachError::NobodyListens(fault()),
        AttachError::OtherOwner {
            endpoint: Endpoint::Tcp(text("127.0.0.1:1")),
            expected: 1,
            found: 2,
        },
        AttachError::OtherProtocol {
            protocol: Protocol::NetRpc,
        },
        AttachError::Version(IncompatibleVersion::new(1, vec![2])),
        AttachError::NoIdentity,
        AttachError::NoCertificate,
        AttachError::Runner(fault()),
    ];
    put(all, "AttachError", attach);
    put(
        all,
        "NoRecord",
        [
            NoRecord::Pipes,
            NoRecord::Multiplexes,
            NoRecord::Memory,
            NoRecord::Exited,
        ],
    );
}
