use proptest::prelude::*;

use super::*;

const ACTUAL: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];
const NOTHING: [u8; 4] = [1, 2, 3, 4];

fn mistake(expected: &[u8]) -> Option<Mistake> {
    let checked = Mismatch::check(&expected.into(), ACTUAL.into(), &NOTHING.into());
    let mismatch = checked.expect_err("they differ");
    assert_eq!(mismatch.actual, FileDigest::from(ACTUAL));
    assert_eq!(mismatch.expected.as_bytes(), expected);
    let told = mismatch.to_string();
    assert!(told.contains("deadbeef"), "{told}");
    assert!(told.contains(&mismatch.expected.to_string()), "{told}");
    mismatch.mistake
}

#[test]
fn the_same_digest_is_no_mismatch() {
    let same = Mismatch::check(&ACTUAL.into(), ACTUAL.into(), &NOTHING.into());
    assert_eq!(same, Ok(()));
    // Also of an empty file that is expected to be empty.
    let empty = Mismatch::check(&NOTHING.into(), NOTHING.into(), &NOTHING.into());
    assert_eq!(empty, Ok(()));
}

#[test]
fn a_digest_of_another_file_has_no_mistake_to_tell() {
    for at in 0..ACTUAL.len() {
        let mut other = ACTUAL;
        other[at] ^= 0x80;
        assert_eq!(mistake(&other), None);
    }
}

#[test]
fn the_digest_of_nothing_is_recognised_on_either_side() {
    assert_eq!(mistake(&NOTHING), Some(Mistake::ExpectsNothing));
    let empty = Mismatch::check(&ACTUAL.into(), NOTHING.into(), &NOTHING.into());
    let mistake = empty.expect_err("they differ").mistake;
    assert_eq!(mistake, Some(Mistake::FileIsEmpty));
}

#[test]
fn texts_are_recognised_in_either_encoding() {
    let hex = |fits| {
        let encoding = TextEncoding::Hex;
        Some(Mistake::Text { encoding, fits })
    };
    for text in ["deadbeef", "DEADBEEF", "deadbeef\n", "md4:deadbeef"] {
        assert_eq!(mistake(text.as_bytes()), hex(true), "{text}");
    }
    assert_eq!(mistake(b"deadbeee"), hex(false));
    let base64 = |fits| {
        let encoding = TextEncoding::Base64;
        Some(Mistake::Text { encoding, fits })
    };
    for text in ["3q2+7w==", "3q2+7w", "3q2-7w", "sha1-3q2+7w==", " 3q2-7w=="] {
        assert_eq!(mistake(text.as_bytes()), base64(true), "{text}");
    }
    assert_eq!(mistake(b"3q2+7g=="), base64(false));
}

#[test]
fn another_length_is_told() {
    for length in [1, 3, 5, 32] {
        let expected = vec![0xaa; length];
        let told = Some(Mistake::Length {
            expected: length,
            actual: 4,
        });
        assert_eq!(mistake(&expected), told);
    }
}

#[test]
fn digests_are_shown_and_read_in_hex() {
    let digest = FileDigest::from(ACTUAL);
    assert_eq!(digest.to_string(), "deadbeef");
    assert_eq!("deadbeef".parse(), Ok(digest.clone()));
    assert_eq!("DEADbeef".parse(), Ok(digest));
    let error = "abc".parse::<FileDigest>();
    assert_eq!(error, Err(FileDigestError::OddLength { length: 3 }));
    for (text, at, found) in [("sha256:ab", 0, 's'), ("ab  file", 2, ' '), ("aé", 1, 'é')] {
        let error = text.parse::<FileDigest>();
        assert_eq!(error, Err(FileDigestError::NotHex { at, found }));
    }
    assert!(
        "".parse::<FileDigest>()
            .is_ok_and(|digest| digest.is_empty())
    );
}

proptest! {
    #[test]
    fn whatever_is_shown_is_read_again(bytes in proptest::collection::vec(any::<u8>(), 1..70)) {
        let digest = FileDigest::from(bytes);
        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    /// Whatever is expected, it fits if it is the same, and not otherwise.
    #[test]
    fn only_the_same_fits(expected: Vec<u8>, actual: Vec<u8>, of_nothing: Vec<u8>) {
        let same = expected == actual;
        let checked = Mismatch::check(&expected.into(), actual.into(), &of_nothing.into());
        prop_assert_eq!(checked.is_ok(), same);
    }
}
