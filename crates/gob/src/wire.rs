//! The primitives: how gob writes numbers and runs of bytes, and the reader of a message's bytes.

use crate::error::{Error, ErrorKind};

/// Writes an unsigned integer: one byte below 128, else the negated count of the bytes that follow and
/// those, the most significant first.
#[inline]
pub(crate) fn put_uint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else {
        put_long(out, value);
    }
}

fn put_long(out: &mut Vec<u8>, value: u64) {
    let (bytes, len) = long(value);
    // As many as there may be, and some are taken back: to copy a number of bytes that is known is quicker.
    out.extend_from_slice(&bytes);
    out.truncate(out.len() - bytes.len() + len);
}

/// An unsigned integer of 128 or more at the beginning of nine bytes, and how many it takes.
#[inline]
fn long(value: u64) -> ([u8; 9], usize) {
    let zeros = value.leading_zeros() / 8;
    let mut bytes = [0; 9];
    bytes[0] = (zeros as u8).wrapping_sub(8);
    bytes[1..].copy_from_slice(&(value << (8 * zeros)).to_be_bytes());
    (bytes, 9 - zeros as usize)
}

/// Writes a signed integer: its sign is the lowest bit.
#[inline]
pub(crate) fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Writes a float: its bits with the bytes reversed, so that round numbers are short.
#[inline]
pub(crate) fn put_float(out: &mut Vec<u8>, value: f64) {
    put_uint(out, value.to_bits().swap_bytes());
}

/// Writes a count and so many bytes.
#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// How many bytes the length of about so many bytes takes.
#[inline]
pub(crate) fn width(len: usize) -> usize {
    if len < 0x80 { 1 } else { long(len as u64).1 }
}

/// Puts the length of what begins at `from + left` in front of it, where so many bytes were left for it.
///
/// Nothing is moved where they were as many as it takes.
pub(crate) fn put_length(out: &mut Vec<u8>, from: usize, left: usize) {
    let len = out.len() - from - left;
    if len < 0x80 && left == 1 {
        out[from] = len as u8;
        return;
    }
    let (mut bytes, mut width) = ([len as u8; 9], 1);
    if len >= 0x80 {
        (bytes, width) = long(len as u64);
    }
    if width != left {
        let end = out.len();
        out.resize(end.max(from + width + len), 0);
        out.copy_within(from + left..end, from + width);
        out.truncate(from + width + len);
    }
    out[from..from + width].copy_from_slice(&bytes[..width]);
}

fn signed(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// What an unsigned integer at the beginning of `bytes` is and how many bytes it takes. `Ok(None)` when
/// it goes on behind them.
pub(crate) fn peek_uint(bytes: &[u8]) -> Result<Option<(u64, usize)>, Error> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    if first < 0x80 {
        return Ok(Some((u64::from(first), 1)));
    }
    let count = usize::from(first.wrapping_neg());
    if count > 8 {
        return Err(Error::malformed("an integer of more than eight bytes", 0));
    }
    let Some(rest) = bytes.get(1..=count) else {
        return Ok(None);
    };
    let value = rest
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    Ok(Some((value, 1 + count)))
}

/// Reads from the bytes of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    pub(crate) fn uint(&mut self) -> Result<u64, Error> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long(),
        }
    }

    fn long(&mut self) -> Result<u64, Error> {
        // Where there are bytes enough for any, they are read at once.
        if let Some((&[first, bytes @ ..], _)) = self.bytes[self.at..].split_first_chunk::<9>()
            && (0xf8..=0xff).contains(&first)
        {
            let count = usize::from(first.wrapping_neg());
            self.at += 1 + count;
            return Ok(u64::from_be_bytes(bytes) >> (64 - 8 * count));
        }
        match peek_uint(&self.bytes[self.at..]) {
            Ok(Some((value, width))) => {
                self.at += width;
                Ok(value)
            }
            Ok(None) => Err(self.truncated()),
            Err(_) => Err(Error::malformed(
                "an integer of more than eight bytes",
                self.at,
            )),
        }
    }

    #[inline]
    pub(crate) fn int(&mut self) -> Result<i64, Error> {
        self.uint().map(signed)
    }

    #[inline]
    pub(crate) fn float(&mut self) -> Result<f64, Error> {
        self.uint().map(|bits| f64::from_bits(bits.swap_bytes()))
    }

    /// A count of things of which each takes a byte or more. So it is no larger than what is there.
    #[inline]
    pub(crate) fn count(&mut self) -> Result<usize, Error> {
        let at = self.at;
        let count = self.uint()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.left() => Ok(count),
            _ => Err(Error::malformed("a count beyond the end", at)),
        }
    }

    /// A count and so many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let count = self.count()?;
        let bytes = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(bytes)
    }

    #[cold]
    fn truncated(&self) -> Error {
        Error::new(ErrorKind::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uint(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, value);
        out
    }

    #[test]
    fn integers_take_as_few_bytes_as_they_can() {
        assert_eq!(uint(0), [0]);
        assert_eq!(uint(127), [127]);
        assert_eq!(uint(128), [0xff, 128]);
        assert_eq!(uint(256), [0xfe, 1, 0]);
        assert_eq!(uint(u64::from(u32::MAX)), [0xfc, 255, 255, 255, 255]);
        assert_eq!(
            uint(u64::MAX),
            [0xf8, 255, 255, 255, 255, 255, 255, 255, 255]
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for shift in 0..64 {
            for value in [1 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let bytes = uint(value);
                assert_eq!(
                    peek_uint(&bytes).expect("valid"),
                    Some((value, bytes.len()))
                );
                for cut in 0..bytes.len() {
                    assert_eq!(peek_uint(&bytes[..cut]).expect("valid"), None);
                }
                for signed in [value as i64, (value as i64).wrapping_neg()] {
                    let mut out = Vec::new();
                    put_int(&mut out, signed);
                    assert_eq!(Reader::new(&out, 0).int().expect("valid"), signed);
                }
                let float = f64::from_bits(value);
                let mut out = Vec::new();
                put_float(&mut out, float);
                let read = Reader::new(&out, 0).float().expect("valid");
                assert_eq!(read.to_bits(), float.to_bits());
            }
        }
    }

    #[test]
    fn a_length_goes_in_front_of_what_it_counts() {
        let lens = [0_usize, 1, 127, 128, 255, 256, 70_000];
        for (len, left) in lens
            .into_iter()
            .flat_map(|len| [(len, 1), (len, 3), (len, width(len))])
        {
            let mut out = b"before".to_vec();
            out.extend(vec![0; left]);
            out.extend((0..len).map(|at| at as u8));
            put_length(&mut out, 6, left);
            let mut reader = Reader::new(&out, 6);
            let bytes = reader.bytes().expect("valid");
            assert!(bytes.iter().enumerate().all(|(at, byte)| at as u8 == *byte));
            assert_eq!((bytes.len(), reader.left()), (len, 0));
        }
    }

    #[test]
    fn what_is_no_integer_is_refused() {
        assert!(
            Reader::new(&[0xf7, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0)
                .uint()
                .is_err()
        );
        assert!(Reader::new(&[0x80], 0).uint().is_err());
        assert!(Reader::new(&[0xfe, 1], 0).uint().is_err());
        assert!(Reader::new(&[2, 1], 0).count().is_err());
        assert!(
            Reader::new(&[0xf8, 255, 255, 255, 255, 255, 255, 255, 255], 0)
                .count()
                .is_err()
        );
    }
}
