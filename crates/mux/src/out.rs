//! Bytes that wait to be written.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Pieces shorter than this, in bytes, are best copied behind their frame's header, so that many frames leave
/// in one write; longer ones are passed on as they are. About where a copy costs as much as
/// another entry in a vectored write.
pub const COPY_BELOW: usize = 4_096;

/// Bytes of small frames that were written are given up once there are so many, if no fewer wait: so that
/// what is never all written does not grow for ever.
const COMPACT: usize = 64 * 1024;

/// Frames on their way out: what was encoded and not yet written. Owned by whoever does the IO, filled
/// by the machine that has something to send.
#[derive(Debug, Default)]
pub struct OutBuf {
    /// Finished pieces; they go first.
    pieces: VecDeque<Bytes>,
    pieces_len: usize,
    /// Small frames, behind the pieces.
    tail: Vec<u8>,
    written: usize,
}

impl OutBuf {
    /// The number of bytes that wait.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces_len + self.tail.len() - self.written
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts what waits into `slices`, as far as they reach, and returns how many are used.
    #[inline]
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = self.tail.get(self.written..).unwrap_or_default();
        let all = self
            .pieces
            .iter()
            .map(AsRef::as_ref)
            .chain((!tail.is_empty()).then_some(tail));
        let mut used = 0;
        for (slot, bytes) in slices.iter_mut().zip(all) {
            *slot = IoSlice::new(bytes);
            used += 1;
        }
        used
    }

    /// Takes note that the first `count` bytes were written.
    #[inline]
    pub fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.pieces.front_mut() {
            let step = count.min(first.len());
            first.advance(step);
            self.pieces_len -= step;
            count -= step;
            if !first.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
        self.written = (self.written + count).min(self.tail.len());
        if self.written == self.tail.len() {
            self.tail.clear();
            self.written = 0;
        } else if self.written >= COMPACT && self.written * 2 >= self.tail.len() {
            self.tail.drain(..self.written);
            self.written = 0;
        }
    }

    /// Gives memory back that is larger than `keep`, if nothing waits.
    #[inline]
    pub fn shrink(&mut self, keep: usize) {
        if self.is_empty() && self.tail.capacity() > keep {
            self.tail = Vec::new();
        }
    }

    /// Forgets what waits.
    #[inline]
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.pieces_len = 0;
        self.tail.clear();
        self.written = 0;
    }

    /// Where small frames are appended. What is there already must stay.
    #[inline]
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends a piece: a copy if it is [short](COPY_BELOW), else as it is.
    #[inline]
    pub fn append(&mut self, piece: Bytes) {
        if piece.len() < COPY_BELOW {
            self.tail.extend_from_slice(&piece);
        } else {
            self.push(piece);
        }
    }

    /// Appends a piece without copying it. Worth it from [`COPY_BELOW`] on.
    #[inline]
    pub fn push(&mut self, piece: Bytes) {
        if self.tail.len() > self.written {
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            tail.advance(self.written);
            self.pieces_len += tail.len();
            self.pieces.push_back(tail);
        } else {
            self.tail.clear();
        }
        self.written = 0;
        self.pieces_len += piece.len();
        self.pieces.push_back(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(out: &mut OutBuf, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let used = out.slices(&mut slices);
            let flat: Vec<u8> = slices.iter().take(used).flat_map(|s| s.to_vec()).collect();
            let step = step.min(flat.len());
            all.extend_from_slice(flat.get(..step).expect("in range"));
            out.advance(step);
        }
        all
    }

    #[test]
    fn bytes_come_out_in_order_whatever_is_written() {
        for step in 1..12 {
            let mut out = OutBuf::default();
            out.tail().extend_from_slice(b"ab");
            out.push(Bytes::from_static(b"cde"));
            out.append(Bytes::from_static(b"f"));
            out.tail().extend_from_slice(b"gh");
            assert_eq!(out.len(), 8);
            out.advance(1);
            out.push(Bytes::from_static(b"ij"));
            out.tail().push(b'k');
            assert_eq!(drain(&mut out, step), b"bcdefghijk");
            assert_eq!(out.len(), 0);
        }
    }

    #[test]
    fn short_pieces_are_copied_and_long_ones_passed_on() {
        let mut out = OutBuf::default();
        out.append(Bytes::from(vec![1; COPY_BELOW - 1]));
        assert_eq!((out.pieces.len(), out.tail.len()), (0, COPY_BELOW - 1));
        out.append(Bytes::from(vec![2; COPY_BELOW]));
        assert_eq!((out.pieces.len(), out.tail.len()), (2, 0));
        let all = drain(&mut out, 1_000);
        assert_eq!(all, [vec![1; COPY_BELOW - 1], vec![2; COPY_BELOW]].concat());
    }
}
