//! Package `plugin`: the services between a go-plugin host and its plugin.

use super::generated::descriptors;
use crate::rpc::{MethodDescriptor, MethodKind, ServiceDescriptor};

pub use super::generated::plugin::*;

/// Tells the other side where brokered servers listen.
pub const BROKER: ServiceDescriptor = ServiceDescriptor {
    name: "plugin.GRPCBroker",
    methods: &[MethodDescriptor {
        name: "StartStream",
        path: "/plugin.GRPCBroker/StartStream",
        kind: MethodKind::Bidirectional,
    }],
    file_descriptor_set: descriptors::PLUGIN,
};

/// Asks the plugin to exit.
pub const CONTROLLER: ServiceDescriptor = ServiceDescriptor {
    name: "plugin.GRPCController",
    methods: &[MethodDescriptor {
        name: "Shutdown",
        path: "/plugin.GRPCController/Shutdown",
        kind: MethodKind::Unary,
    }],
    file_descriptor_set: descriptors::PLUGIN,
};

/// Mirrors the plugin's output to the host. The request is `google.protobuf.Empty`, which is `()`
/// in Rust.
pub const STDIO: ServiceDescriptor = ServiceDescriptor {
    name: "plugin.GRPCStdio",
    methods: &[MethodDescriptor {
        name: "StreamStdio",
        path: "/plugin.GRPCStdio/StreamStdio",
        kind: MethodKind::ServerStreaming,
    }],
    file_descriptor_set: descriptors::PLUGIN,
};

/// The metadata of a host that takes the plugin's log on this stream, too, and wants it told from what
/// the plugin prints: of outboard's hosts, where they have attached, so that they have no pipe for it.
/// Its value does not matter.
pub const STDIO_LOG_APART: &str = "outboard-log";

/// The channel of lines of the log, with their LF, in [`StdioData`]: beyond go-plugin's, and only for hosts that
/// have asked for it by [`STDIO_LOG_APART`]. Others get these lines on stderr's.
pub const STDIO_LOG: i32 = 3;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message as _;

    use super::conn_info::Knock;
    use super::stdio_data::Channel;
    use super::*;

    // The bytes were recorded from Go.
    #[test]
    fn announcements_have_the_bytes_of_go() {
        let info = ConnInfo {
            service_id: 1,
            network: "unix".to_owned(),
            address: "/tmp/plugin1".to_owned(),
            knock: None,
        };
        let bytes = b"\x08\x01\x12\x04\x75\x6e\x69\x78\x1a\x0c\x2f\x74\x6d\x70\x2f\x70\x6c\x75\x67\x69\x6e\x31";
        assert_eq!(info.encode_to_vec(), bytes);
        assert_eq!(ConnInfo::decode(&bytes[..]), Ok(info));
    }

    #[test]
    fn knocks_and_answers_have_the_bytes_of_go() {
        let knock = |knock, ack| ConnInfo {
            service_id: 1,
            knock: Some(Knock {
                knock,
                ack,
                error: String::new(),
            }),
            ..ConnInfo::default()
        };
        assert_eq!(
            knock(true, false).encode_to_vec(),
            [0x08, 0x01, 0x22, 0x02, 0x08, 0x01]
        );
        assert_eq!(
            knock(true, true).encode_to_vec(),
            [0x08, 0x01, 0x22, 0x04, 0x08, 0x01, 0x10, 0x01]
        );
        let refused = ConnInfo::decode(&b"\x08\x01\x22\x03\x1a\x01e"[..]).expect("valid");
        assert_eq!(refused.knock.expect("set").error, "e");
    }

    #[test]
    fn output_has_the_bytes_of_go() {
        let data = StdioData {
            channel: Channel::Stdout.into(),
            data: Bytes::from_static(b"hi\n"),
        };
        assert_eq!(
            data.encode_to_vec(),
            [0x08, 0x01, 0x12, 0x03, 0x68, 0x69, 0x0a]
        );
        assert_eq!((Channel::Invalid as i32, Channel::Stderr as i32), (0, 2));
    }

    #[test]
    fn an_empty_message_has_no_bytes() {
        assert_eq!(Empty {}.encode_to_vec(), Vec::<u8>::new());
    }
}
