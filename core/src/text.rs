//! Small helpers for bytes that came from a peer and are shown to people or compared as text.

/// The first `max` bytes as text, with what is not UTF-8 replaced, and a note of how much is left
/// out. Evidence in errors stays bounded however much the peer sent.
pub(crate) fn excerpt(bytes: &[u8], max: usize) -> String {
    if bytes.len() <= max {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut end = max;
    // Step back to a character boundary; a UTF-8 character has at most three such bytes.
    while end > max.saturating_sub(3) && bytes[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    let shown = String::from_utf8_lossy(&bytes[..end]);
    format!("{shown}… ({} bytes in all)", bytes.len())
}

/// Drops Unicode white space at both ends, as Go's `strings.TrimSpace` does: bytes that are not
/// UTF-8 are no white space.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let Some(length) = (1..=4.min(bytes.len())).find(|&n| is_space(&bytes[..n])) {
        bytes = &bytes[length..];
    }
    while let Some(length) = (1..=4.min(bytes.len())).find(|&n| is_space(&bytes[bytes.len() - n..]))
    {
        bytes = &bytes[..bytes.len() - length];
    }
    bytes
}

fn is_space(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        let mut chars = text.chars();
        chars.next().is_some_and(char::is_whitespace) && chars.next().is_none()
    })
}

/// Go's `strconv.ParseBool`: these twelve spellings and no others.
pub(crate) fn parse_go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn excerpts_cut_at_characters() {
        assert_eq!(excerpt(b"short", 10), "short");
        assert_eq!(
            excerpt("ab\u{20ac}cd".as_bytes(), 4),
            "ab… (7 bytes in all)"
        );
        assert_eq!(excerpt(b"a\xffb", 10), "a\u{fffd}b");
    }

    proptest! {
        #[test]
        fn trimming_text_is_what_str_trim_does(text in "[ \t\u{a0}\u{2003}\u{85}a|é]*") {
            prop_assert_eq!(trim(text.as_bytes()), text.trim().as_bytes());
        }

        #[test]
        fn trimming_never_panics(bytes: Vec<u8>) {
            let once = trim(&bytes);
            prop_assert_eq!(trim(once), once);
        }

        #[test]
        fn excerpts_are_bounded(bytes: Vec<u8>, max in 0usize..64) {
            // Three bytes for each replaced one, and the note.
            prop_assert!(excerpt(&bytes, max).len() <= 3 * max + 48);
        }
    }
}
