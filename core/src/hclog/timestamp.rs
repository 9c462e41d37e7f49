//! Timestamps: reading hclog's, printing ours. Pure arithmetic on the proleptic Gregorian
//! calendar; no clock and no time zones but fixed offsets.

use std::fmt;
use std::time::Duration;

const SECONDS_PER_DAY: i64 = 86_400;

/// A point in time: seconds since 1970-01-01T00:00:00Z, without leap seconds, and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime {
    /// Whole seconds; negative before 1970.
    pub secs: i64,
    /// Nanoseconds after that second, below 1,000,000,000.
    pub nanos: u32,
}

/// Time since the epoch, as `SystemTime::duration_since(UNIX_EPOCH)` gives it.
impl From<Duration> for UnixTime {
    fn from(since_epoch: Duration) -> Self {
        Self {
            secs: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
            nanos: since_epoch.subsec_nanos(),
        }
    }
}

/// As hclog writes it, in UTC: `2026-11-20T17:26:56.193979Z`, always six fractional digits.
///
/// Years that do not have four digits are shown as the nearest that has: hosts read no others.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
        const FOUR_DIGITS: (i64, i64) = (-62_167_219_200, 253_402_300_799);

        let secs = self.secs.clamp(FOUR_DIGITS.0, FOUR_DIGITS.1);
        let (year, month, day) = civil_from_days(secs.div_euclid(SECONDS_PER_DAY));
        let second = secs.rem_euclid(SECONDS_PER_DAY);
        let micros = self.nanos.min(999_999_999) / 1000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
        )
    }
}

/// A timestamp as it stood in a log line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp {
    text: String,
    time: UnixTime,
}

impl Timestamp {
    /// Reads exactly `YYYY-MM-DDThh:mm:ss.ffffff` followed by `Z` or an offset `±hh:mm`, the one
    /// form go-plugin's hosts read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date_time, zone) = text.as_bytes().split_at_checked(26)?;
        let offset = match zone {
            b"Z" => 0,
            [sign @ (b'+' | b'-'), zone @ ..] => {
                let [hours, minutes] = numbers(zone, b"00:00")?;
                // Go takes offsets of 24 hours and 60 minutes, too.
                if hours > 24 || minutes > 60 {
                    return None;
                }
                let seconds = hours * 3600 + minutes * 60;
                if *sign == b'-' { -seconds } else { seconds }
            }
            _ => return None,
        };
        let [year, month, day, hour, minute, second, micros] =
            numbers(date_time, b"0000-00-00T00:00:00.000000")?;
        let valid = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !valid {
            return None;
        }
        let of_day = hour * 3600 + minute * 60 + second;
        Some(Self {
            text: text.to_owned(),
            time: UnixTime {
                secs: days_from_civil(year, month, day) * SECONDS_PER_DAY + of_day - offset,
                nanos: u32::try_from(micros).ok()? * 1000,
            },
        })
    }

    /// As it stood in the line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The point in time.
    #[must_use]
    pub fn time(&self) -> UnixTime {
        self.time
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Reads the groups of digits of `text`, which must look like `pattern`: a digit for each `0`, the
/// same byte for each other.
fn numbers<const N: usize>(text: &[u8], pattern: &[u8]) -> Option<[i64; N]> {
    if text.len() != pattern.len() {
        return None;
    }
    let mut found = [0; N];
    let mut group = 0;
    for (&byte, &wanted) in text.iter().zip(pattern) {
        match (wanted, byte) {
            (b'0', b'0'..=b'9') => {
                let number = found.get_mut(group)?;
                *number = *number * 10 + i64::from(byte - b'0');
            }
            (b'0', _) => return None,
            _ if byte == wanted => group += 1,
            _ => return None,
        }
    }
    Some(found)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// The two conversions count in years that begin in March, so that the leap day comes last, and in
// eras of 400 years, after which the calendar repeats (146,097 days). 719,468 days lie between
// 0000-03-01 and 1970-01-01.
const DAYS_PER_ERA: i64 = 146_097;
const DAYS_TO_EPOCH: i64 = 719_468;

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year.div_euclid(400) * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year
        - DAYS_TO_EPOCH
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_EPOCH;
    let of_era = days.rem_euclid(DAYS_PER_ERA);
    // The last day of 4, 100 and 400 years is taken out, so that every year has 365 days.
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year + days.div_euclid(DAYS_PER_ERA) * 400;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Option<(i64, u32)> {
        Timestamp::parse(text).map(|stamp| (stamp.time().secs, stamp.time().nanos))
    }

    #[test]
    fn the_form_of_go_plugin_is_read() {
        // `date -u -d 2026-11-20T17:26:56Z +%s`
        assert_eq!(
            time("2026-11-20T17:26:56.193979Z"),
            Some((1_795_195_616, 193_979_000))
        );
        assert_eq!(time("1970-01-01T02:00:00.000001+02:00"), Some((0, 1000)));
        assert_eq!(time("1969-12-31T23:30:00.000000-00:30"), Some((0, 0)));
        assert_eq!(time("2000-02-29T00:00:00.000000Z"), Some((951_782_400, 0)));
        assert_eq!(
            time("0001-01-01T00:00:00.000000Z"),
            Some((-62_135_596_800, 0))
        );
    }

    #[test]
    fn other_forms_are_not() {
        for bad in [
            "",
            "2026-11-20T17:26:56Z",
            "2026-11-20T17:26:56.193Z",
            "2026-11-20T17:26:56.193979123Z",
            "2026-11-20T17:26:56.193979",
            "2026-11-20T17:26:56.193979z",
            "2026-11-20T17:26:56.193979+0200",
            "2026-11-20T17:26:56.193979+25:00",
            "2026-11-20T17:26:56.193979ZZ",
            "2026-11-20 17:26:56.193979Z",
            "2026-13-20T17:26:56.193979Z",
            "2026-00-20T17:26:56.193979Z",
            "2026-11-31T17:26:56.193979Z",
            "2026-11-00T17:26:56.193979Z",
            "2026-02-29T17:26:56.193979Z",
            "1900-02-29T17:26:56.193979Z",
            "2026-11-20T24:00:00.000000Z",
            "2026-11-20T17:60:00.000000Z",
            "2026-11-20T17:26:60.000000Z",
            "+026-11-20T17:26:56.193979Z",
            "２026-11-20T17:26:56.193979Z",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn years_keep_four_digits() {
        let far = |secs| {
            UnixTime {
                secs,
                nanos: u32::MAX,
            }
            .to_string()
        };
        assert_eq!(far(i64::MAX), "9999-12-31T23:59:59.999999Z");
        assert_eq!(far(i64::MIN), "0000-01-01T00:00:00.999999Z");
    }

    #[test]
    fn durations_since_the_epoch_are_times() {
        let time = UnixTime::from(Duration::new(5, 6000));
        assert_eq!(time.to_string(), "1970-01-01T00:00:05.000006Z");
    }

    proptest! {
        #[test]
        fn printing_and_reading_agree(
            secs in -62_167_219_200i64..=253_402_300_799, micros in 0u32..1_000_000,
        ) {
            let time = UnixTime { secs, nanos: micros * 1000 };
            let stamp = Timestamp::parse(&time.to_string()).expect("our own form");
            prop_assert_eq!(stamp.time(), time);
        }

        #[test]
        fn any_text_is_judged(text in ".{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
