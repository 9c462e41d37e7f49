//! The percent coding of `grpc-message`.

use std::borrow::Cow;

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// A status text as the `grpc-message` header carries it: UTF-8 bytes from 0x20 to 0x7e except
/// `%` as they are, all others as `%XX` in upper case.
#[must_use]
pub fn encode_message(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_literal) {
        return Cow::Borrowed(text);
    }
    let most = text.bytes().filter(|byte| !is_literal(*byte)).count();
    let mut encoded = String::with_capacity(text.len() + 2 * most);
    for byte in text.bytes() {
        if is_literal(byte) {
            encoded.push(char::from(byte));
        } else {
            let digit = |value: u8| char::from(DIGITS[usize::from(value & 0xf)]);
            encoded.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
    Cow::Owned(encoded)
}

/// The text in a `grpc-message` header. Total: a `%` without two hexadecimal digits stays as it
/// is, and bytes that are not UTF-8 become U+FFFD, so that a broken text hides no status.
#[must_use]
pub fn decode_message(value: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            decoded.push(high << 4 | low);
            rest = after;
            continue;
        }
        decoded.push(byte);
    }
    match String::from_utf8(decoded) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

fn is_literal(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'%'
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_must_be_is_encoded() {
        assert_eq!(encode_message("plain text ~!"), "plain text ~!");
        assert_eq!(encode_message("50% ä\n"), "50%25 %C3%A4%0A");
        assert_eq!(encode_message("\u{7f}"), "%7F");
    }

    #[test]
    fn broken_sequences_pass_through() {
        assert_eq!(decode_message(b"%"), "%");
        assert_eq!(decode_message(b"%2"), "%2");
        assert_eq!(decode_message(b"%zz%41"), "%zzA");
        assert_eq!(decode_message(b"%%41"), "%A");
        assert_eq!(decode_message(b"%c3%a4"), "ä");
        assert_eq!(decode_message(b"%ff\xfe"), "\u{fffd}\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_text_survives(text in any::<String>()) {
            let encoded = encode_message(&text);
            prop_assert!(encoded.bytes().all(|b| (0x20..=0x7e).contains(&b)));
            prop_assert_eq!(decode_message(encoded.as_bytes()), text);
        }

        #[test]
        fn any_bytes_decode(bytes in any::<Vec<u8>>()) {
            let _ = decode_message(&bytes);
        }
    }
}
