//! Binary header values, and the header names that are not the application's.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Writes no padding and reads it with or without, as the gRPC document asks. Bits left over in
/// the last digit are ignored, as Go's decoder does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A `-bin` header whose value is not base64.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed binary header: expected standard base64, with or without padding")]
#[non_exhaustive]
pub struct BadBinaryHeader {}

/// The value of a `-bin` header: standard base64 without padding.
#[must_use]
pub fn encode_binary(value: &[u8]) -> String {
    BASE64.encode(value)
}

/// The bytes in one value of a `-bin` header.
///
/// A peer may have joined several values with commas; split at those first.
///
/// # Errors
/// [`BadBinaryHeader`] if the value is not base64.
pub fn decode_binary(value: &[u8]) -> Result<Vec<u8>, BadBinaryHeader> {
    BASE64
        .decode(value.trim_ascii())
        .map_err(|_| BadBinaryHeader {})
}

/// Whether this header belongs to the protocol and is therefore neither sent as metadata nor
/// given to the application: gRPC's own (`grpc-…`, `content-type`, `te`, `user-agent`), HTTP/2's
/// pseudo headers, and those HTTP/2 forbids (RFC 9113, section 8.2.2).
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    name.starts_with("grpc-")
        || name.starts_with(':')
        || matches!(
            name,
            "content-type"
                | "te"
                | "user-agent"
                | "content-length"
                | "host"
                | "connection"
                | "keep-alive"
                | "proxy-connection"
                | "transfer-encoding"
                | "upgrade"
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_is_optional_when_reading() {
        assert_eq!(encode_binary(&[0, 255]), "AP8");
        for text in ["AP8", "AP8=", " AP8= "] {
            assert_eq!(decode_binary(text.as_bytes()), Ok(vec![0, 255]), "{text}");
        }
        // The last digit has two bits too many.
        assert_eq!(decode_binary(b"AP9"), Ok(vec![0, 255]));
        assert_eq!(decode_binary(b""), Ok(vec![]));
        for bad in ["A", "!!!!", "AP8==="] {
            assert!(decode_binary(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn protocol_headers_are_reserved() {
        for name in ["grpc-status", "te", "connection", "content-type", ":path"] {
            assert!(is_reserved_header(name), "{name}");
        }
        for name in ["authorization", "x-grpc", "trace-bin"] {
            assert!(!is_reserved_header(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(decode_binary(encode_binary(&bytes).as_bytes()), Ok(bytes));
        }

        #[test]
        fn any_value_decodes_or_not(bytes in any::<Vec<u8>>()) {
            let _ = decode_binary(&bytes);
        }
    }
}
