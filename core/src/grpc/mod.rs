//! The parts of gRPC that need no IO: message framing, and the text forms of what travels in
//! HTTP/2 headers. A transport brings the bytes and the headers; nothing here knows HTTP/2 types.
//!
//! Sources: the gRPC project's "gRPC over HTTP2" protocol document, and the behaviour of grpc-go
//! where the document leaves a choice.

mod code;
mod frame;
mod header;
mod percent;
mod timeout;

pub use self::code::{
    code_from_http_status, code_from_reset, is_grpc_content_type, parse_status_code,
};
pub use self::frame::{FrameError, MessageReader, PREFIX_LEN, check_outgoing, prefix};
pub use self::header::{BadBinaryHeader, decode_binary, encode_binary, is_reserved_header};
pub use self::percent::{decode_message, encode_message};
pub use self::timeout::{TimeoutError, format_timeout, parse_timeout};
