//! Foreign numbers and names, turned into gRPC's status codes.

use crate::rpc::Code;

/// The code for an HTTP status other than 200 in a response without `grpc-status`.
///
/// Source: the gRPC project's `http-grpc-status-mapping` document.
#[must_use]
pub fn code_from_http_status(status: u16) -> Code {
    match status {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// The code for a stream the peer reset with this HTTP/2 error code.
///
/// `CANCEL` (8) gives [`Code::Cancelled`]; if the call's deadline has passed, the caller of this
/// function makes [`Code::DeadlineExceeded`] of it. Source: the table "HTTP2 Transport Mapping" of
/// the gRPC protocol document, as grpc-go has it.
#[must_use]
pub fn code_from_reset(reason: u32) -> Code {
    match reason {
        // NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED,
        // FRAME_SIZE_ERROR, COMPRESSION_ERROR, CONNECT_ERROR, HTTP_1_1_REQUIRED
        0 | 1 | 2 | 4 | 5 | 6 | 9 | 10 | 13 => Code::Internal,
        // FLOW_CONTROL_ERROR, ENHANCE_YOUR_CALM
        3 | 11 => Code::ResourceExhausted,
        // REFUSED_STREAM
        7 => Code::Unavailable,
        // CANCEL
        8 => Code::Cancelled,
        // INADEQUATE_SECURITY
        12 => Code::PermissionDenied,
        _ => Code::Unknown,
    }
}

/// The code in a `grpc-status` header; [`Code::Unknown`] if it is no number or not one of gRPC's.
#[must_use]
pub fn parse_status_code(value: &[u8]) -> Code {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .map_or(Code::Unknown, Code::from_number)
}

/// Whether this `content-type` says gRPC: `application/grpc`, alone or followed by `+` or `;`.
#[must_use]
pub fn is_grpc_content_type(value: &[u8]) -> bool {
    const BASE: &[u8] = b"application/grpc";
    match value.split_at_checked(BASE.len()) {
        Some((base, rest)) => {
            base.eq_ignore_ascii_case(BASE) && matches!(rest.first(), None | Some(b'+' | b';'))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_statuses_map_as_the_document_says() {
        let expected = [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (429, Code::Unavailable),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (200, Code::Unknown),
            (415, Code::Unknown),
            (500, Code::Unknown),
        ];
        for (status, code) in expected {
            assert_eq!(code_from_http_status(status), code, "{status}");
        }
    }

    #[test]
    fn reset_codes_map_as_grpc_go_does() {
        let internal = [0, 1, 2, 4, 5, 6, 9, 10, 13];
        for reason in internal {
            assert_eq!(code_from_reset(reason), Code::Internal, "{reason}");
        }
        assert_eq!(code_from_reset(3), Code::ResourceExhausted);
        assert_eq!(code_from_reset(11), Code::ResourceExhausted);
        assert_eq!(code_from_reset(7), Code::Unavailable);
        assert_eq!(code_from_reset(8), Code::Cancelled);
        assert_eq!(code_from_reset(12), Code::PermissionDenied);
        assert_eq!(code_from_reset(14), Code::Unknown);
        assert_eq!(code_from_reset(u32::MAX), Code::Unknown);
    }

    #[test]
    fn status_numbers_parse() {
        assert_eq!(parse_status_code(b"0"), Code::Ok);
        assert_eq!(parse_status_code(b"12"), Code::Unimplemented);
        for bad in [&b""[..], b"x", b"-1", b"17", b"99999999999", b"\xff"] {
            assert_eq!(parse_status_code(bad), Code::Unknown, "{bad:?}");
        }
    }

    #[test]
    fn content_types_are_told_apart() {
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x",
            "Application/GRPC",
        ] {
            assert!(is_grpc_content_type(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "application/grpc-web",
            "application/grp",
            "text/html",
            "application/json",
        ] {
            assert!(!is_grpc_content_type(bad.as_bytes()), "{bad}");
        }
    }
}
