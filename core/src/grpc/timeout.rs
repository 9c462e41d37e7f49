//! The `grpc-timeout` header: up to eight digits and a unit.

use std::time::Duration;

/// The most the digits of the header can say.
const MAX_DIGITS_VALUE: u128 = 99_999_999;

/// The most digits that are read: all that a u64 can have.
const MOST_DIGITS: usize = 20;

/// The units from fine to coarse, with their length in nanoseconds.
const UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60 * 1_000_000_000),
    ('H', 3_600 * 1_000_000_000),
];

/// Why a `grpc-timeout` header cannot be understood.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "malformed grpc-timeout {text:?}: expected 1 to 20 digits (8 are the most to send) and one of n, u, m, S, M, H"
)]
#[non_exhaustive]
pub struct TimeoutError {
    /// The beginning of the header's value.
    pub text: String,
}

/// A timeout as the header says it: in the finest unit whose number fits in eight digits, rounded
/// up so that the peer never gives up before this side does. More than the header can say (over
/// eleven thousand years) becomes the most it can say.
#[must_use]
pub fn format_timeout(timeout: Duration) -> String {
    let nanos = timeout.as_nanos();
    for (unit, length) in UNITS {
        let count = nanos.div_ceil(length);
        if count <= MAX_DIGITS_VALUE {
            return format!("{count}{unit}");
        }
    }
    format!("{MAX_DIGITS_VALUE}H")
}

/// The timeout in a header's value. White space around it and up to 20 digits, though gRPC allows
/// eight, are tolerated; what does not fit a [`Duration`] becomes [`Duration::MAX`].
///
/// # Errors
/// [`TimeoutError`] if the value is not digits and a unit, or longer than any number can be.
pub fn parse_timeout(value: &[u8]) -> Result<Duration, TimeoutError> {
    parse(value.trim_ascii()).ok_or_else(|| TimeoutError {
        // Enough to recognise it; the peer chose the length.
        text: String::from_utf8_lossy(value.get(..24).unwrap_or(value)).into_owned(),
    })
}

fn parse(value: &[u8]) -> Option<Duration> {
    let (&unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > MOST_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits
        .iter()
        .fold(0u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
    let (_, length) = UNITS
        .into_iter()
        .find(|(name, _)| *name == char::from(unit))?;
    // 20 digits times an hour in nanoseconds stay far below 2^128.
    let nanos = count * length;
    let Ok(seconds) = u64::try_from(nanos / 1_000_000_000) else {
        return Some(Duration::MAX);
    };
    let rest = u32::try_from(nanos % 1_000_000_000).unwrap_or_default();
    Some(Duration::new(seconds, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_finest_unit_that_fits_is_used() {
        let cases = [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_000), "100000u"),
            (Duration::from_nanos(100_000_001), "100001u"),
            (Duration::from_secs(1), "1000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_000), "1666667M"),
            (Duration::MAX, "99999999H"),
        ];
        for (timeout, text) in cases {
            assert_eq!(format_timeout(timeout), text);
        }
    }

    #[test]
    fn units_parse() {
        let cases = [
            ("1n", Duration::from_nanos(1)),
            ("2u", Duration::from_micros(2)),
            ("3m", Duration::from_millis(3)),
            ("4S", Duration::from_secs(4)),
            ("5M", Duration::from_secs(300)),
            ("6H", Duration::from_secs(21_600)),
            (" 7S ", Duration::from_secs(7)),
            ("000000001S", Duration::from_secs(1)),
            ("99999999999999999999H", Duration::MAX),
        ];
        for (text, timeout) in cases {
            assert_eq!(parse_timeout(text.as_bytes()), Ok(timeout), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let long = "9".repeat(10_000) + "S";
        let digits = "9".repeat(MOST_DIGITS + 1) + "S";
        for text in [
            "", "S", "1", "-1S", "1.5S", "1s", "1 S", "½S", &long, &digits,
        ] {
            let error = parse_timeout(text.as_bytes()).expect_err(text);
            assert!(error.text.len() <= 72, "the evidence is bounded");
            // What the error asks for is what is taken.
            assert!(error.to_string().contains("1 to 20 digits"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn printing_rounds_up_and_stays_close(nanos in any::<u64>()) {
            let timeout = Duration::from_nanos(nanos);
            let text = format_timeout(timeout);
            prop_assert!(text.len() <= 9);
            let parsed = parse_timeout(text.as_bytes()).expect("own output parses");
            prop_assert!(parsed >= timeout);
            // The next finer unit did not fit, so the error is below one part in 10^5.
            prop_assert!(parsed - timeout <= timeout / 100_000);
        }

        #[test]
        fn any_bytes_parse_or_not(bytes in any::<Vec<u8>>()) {
            let _ = parse_timeout(&bytes);
        }
    }
}
