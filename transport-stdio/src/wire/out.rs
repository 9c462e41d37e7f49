//! Bytes that wait to be written.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Messages shorter than this are copied behind their frame's header, so that many frames leave
/// in one write; longer ones are passed on as they are. About where a copy costs as much as
/// another entry in a vectored write.
pub(super) const COPY_BELOW: usize = 4_096;

/// Frames on their way out: what was encoded and not yet written. Owned by whoever does the IO,
/// filled by [`Mux::transmit`](super::Mux::transmit).
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
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces_len + self.tail.len() - self.written
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts what waits into `slices`, as far as they reach, and returns how many are used.
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
        }
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.pieces_len = 0;
        self.tail.clear();
        self.written = 0;
    }

    /// Where small frames are appended.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends a piece without copying it.
    pub(super) fn push(&mut self, piece: Bytes) {
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
            out.push(Bytes::from_static(b"f"));
            out.tail().extend_from_slice(b"gh");
            assert_eq!(out.len(), 8);
            out.advance(1);
            out.push(Bytes::from_static(b"ij"));
            out.tail().push(b'k');
            assert_eq!(drain(&mut out, step), b"bcdefghijk");
            assert_eq!(out.len(), 0);
        }
    }
}
