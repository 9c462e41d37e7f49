//! Go's `time.Time`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::def::MarshalKind;
use crate::marshal::Marshal;

/// From the beginning of the year 1 to that of 1970.
const UNIX: i64 = 62_135_596_800;
const NANOS: u32 = 1_000_000_000;
/// Stands for UTC where the minutes of an offset do.
const UTC: i16 = -1;

/// A moment, as Go's `time.Time`: to the nanosecond, with the offset of the zone in which it was written
/// down. The name of the zone does not cross.
///
/// The zero value is Go's, the beginning of the year 1. Two times are equal if they are the same moment
/// with the same offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Time {
    /// Since the beginning of the year 1, UTC.
    seconds: i64,
    nanos: u32,
    /// Seconds east of UTC. None for UTC itself.
    offset: Option<i32>,
}

impl Time {
    /// A moment in UTC, by its seconds since 1970 and nanoseconds. Of the latter, what makes a second or
    /// more is left out.
    #[must_use]
    pub fn from_unix(seconds: i64, nanos: u32) -> Self {
        Self {
            seconds: seconds.wrapping_add(UNIX),
            nanos: nanos % NANOS,
            offset: None,
        }
    }

    /// The same moment in a zone so many seconds east of UTC. None is UTC itself.
    #[must_use]
    pub fn with_offset(self, offset: Option<i32>) -> Self {
        Self { offset, ..self }
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn unix(&self) -> i64 {
        self.seconds.wrapping_sub(UNIX)
    }

    /// Nanoseconds within the second.
    #[must_use]
    pub fn nanos(&self) -> u32 {
        self.nanos
    }

    /// Seconds east of UTC. None for UTC itself.
    #[must_use]
    pub fn offset(&self) -> Option<i32> {
        self.offset
    }

    /// Whether it is Go's zero time.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.seconds == 0 && self.nanos == 0
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => (i128::from(since.as_secs()), since.subsec_nanos()),
            Err(error) => {
                let until = error.duration();
                let seconds = -i128::from(until.as_secs());
                match until.subsec_nanos() {
                    0 => (seconds, 0),
                    nanos => (seconds - 1, NANOS - nanos),
                }
            }
        };
        let seconds = seconds.clamp(i64::MIN.into(), i64::MAX.into());
        Self::from_unix(i64::try_from(seconds).unwrap_or(i64::MAX), nanos)
    }
}

/// Fails for a moment that the system cannot express.
impl TryFrom<Time> for SystemTime {
    type Error = Time;

    fn try_from(time: Time) -> Result<Self, Time> {
        let nanos = Duration::from_nanos(time.nanos.into());
        let seconds = Duration::from_secs(time.unix().unsigned_abs());
        let moment = if time.unix() < 0 {
            UNIX_EPOCH.checked_sub(seconds)
        } else {
            UNIX_EPOCH.checked_add(seconds)
        };
        moment
            .and_then(|moment| moment.checked_add(nanos))
            .ok_or(time)
    }
}

impl Marshal for Time {
    const KIND: MarshalKind = MarshalKind::Gob;
    const NAME: &'static str = "Time";

    fn zero() -> Self {
        Self::default()
    }

    fn is_left_out(&self) -> bool {
        *self == Self::default()
    }

    fn marshal(&self, out: &mut Vec<u8>) -> Result<(), String> {
        let (minutes, seconds) = match self.offset {
            None => (UTC, 0),
            Some(offset) => {
                let minutes = i16::try_from(offset / 60).ok();
                let minutes = minutes.filter(|minutes| *minutes != UTC);
                let minutes = minutes.ok_or_else(|| format!("an offset of {offset} seconds"))?;
                (minutes, (offset % 60) as i8)
            }
        };
        out.push(if seconds == 0 { 1 } else { 2 });
        out.extend_from_slice(&self.seconds.to_be_bytes());
        out.extend_from_slice(&self.nanos.to_be_bytes());
        out.extend_from_slice(&minutes.to_be_bytes());
        if seconds != 0 {
            out.push(seconds as u8);
        }
        Ok(())
    }

    fn unmarshal(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (of_offset, bytes) = match bytes {
            [1, bytes @ ..] => (0, bytes),
            [2, bytes @ .., of_offset] => (i32::from(*of_offset as i8), bytes),
            _ => return Err("bytes of no version that is known".to_owned()),
        };
        let Ok([a, b, c, d, e, f, g, h, i, j, k, l, m, n]) = <[u8; 14]>::try_from(bytes) else {
            return Err(format!("{} bytes behind the version", bytes.len()));
        };
        let nanos = u32::from_be_bytes([i, j, k, l]);
        if nanos >= NANOS {
            return Err(format!("{nanos} nanoseconds"));
        }
        let minutes = i16::from_be_bytes([m, n]);
        let offset = i32::from(minutes) * 60 + of_offset;
        *self = Self {
            seconds: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            nanos,
            offset: (minutes != UTC).then_some(offset),
        };
        Ok(())
    }
}

marshal!(Time);

#[cfg(test)]
mod tests {
    use super::*;

    fn through(time: Time) -> Time {
        let mut bytes = Vec::new();
        time.marshal(&mut bytes).expect("valid");
        let mut read = Time::from_unix(1, 1);
        read.unmarshal(&bytes).expect("valid");
        read
    }

    #[test]
    fn moments_cross() {
        let moment = Time::from_unix(1_700_000_000, 123_456_789);
        for offset in [
            None,
            Some(0),
            Some(3600),
            Some(-3600),
            Some(19_800),
            Some(1172),
            Some(-12_601),
        ] {
            let time = moment.with_offset(offset);
            assert_eq!(through(time), time);
            assert_eq!(time.unix(), 1_700_000_000);
        }
        assert_eq!(through(Time::default()), Time::default());
        assert!(
            moment
                .with_offset(Some(-60))
                .marshal(&mut Vec::new())
                .is_err()
        );
        assert!(
            moment
                .with_offset(Some(i32::MAX))
                .marshal(&mut Vec::new())
                .is_err()
        );
    }

    #[test]
    fn the_systems_time_crosses() {
        let half = Duration::from_millis(500);
        for time in [
            UNIX_EPOCH,
            UNIX_EPOCH + half,
            UNIX_EPOCH - half,
            UNIX_EPOCH - 2 * half,
        ] {
            let ours = Time::from(time);
            assert_eq!(SystemTime::try_from(ours), Ok(time));
        }
        assert_eq!(
            Time::from(UNIX_EPOCH - half),
            Time::from_unix(-1, 500_000_000)
        );
    }

    #[test]
    fn other_bytes_are_refused() {
        let mut too_many_nanos = [0xff; 15];
        too_many_nanos[0] = 1;
        for bytes in [
            &[][..],
            &[1],
            &[3; 15],
            &[1; 14],
            &[1; 16],
            &[2; 15],
            &too_many_nanos,
        ] {
            assert!(Time::default().unmarshal(bytes).is_err(), "{bytes:?}");
        }
    }
}
