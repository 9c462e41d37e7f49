//! Bytes on their way, in memory that grows with its use.

/// The first size; most connections never need more.
const FIRST: usize = 4 * 1024;

/// Bytes that come in at the back and leave at the front.
pub(crate) struct Buffer {
    /// Bytes from `head` to `tail`, room from there on.
    bytes: Vec<u8>,
    head: usize,
    tail: usize,
    most: usize,
}

impl Buffer {
    /// One that [`Buffer::grow`] keeps at `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            head: 0,
            tail: 0,
            most,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tail - self.head
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.head..self.tail]
    }

    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.head..self.tail]
    }

    pub(crate) fn room_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.tail..]
    }

    /// The room has `count` bytes more in it.
    pub(crate) fn fill(&mut self, count: usize) {
        self.tail += count;
        debug_assert!(self.tail <= self.bytes.len());
    }

    /// The first `count` bytes are done with.
    pub(crate) fn consume(&mut self, count: usize) {
        self.head += count;
        debug_assert!(self.head <= self.tail);
        if self.head == self.tail {
            self.head = 0;
            self.tail = 0;
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.most
    }

    /// Makes room to read into: more than last time if that was filled, up to the most.
    pub(crate) fn grow(&mut self) {
        let full = self.tail == self.bytes.len();
        self.compact();
        if full {
            let size = (self.bytes.len() * 4).clamp(FIRST, self.most);
            self.bytes.resize(size.max(self.tail), 0);
        }
    }

    /// Makes room for `count` bytes, whatever the most.
    pub(crate) fn reserve(&mut self, count: usize) {
        if self.bytes.len() - self.tail < count {
            self.compact();
            let size = (self.tail + count).next_multiple_of(FIRST);
            if self.bytes.len() < size {
                self.bytes.resize(size, 0);
            }
        }
    }

    fn compact(&mut self) {
        if self.head > 0 {
            self.bytes.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
    }
}

/// Plaintext that waits for its reader.
#[derive(Default)]
pub(crate) struct Plain {
    bytes: Vec<u8>,
    taken: usize,
}

impl Plain {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn take(&mut self, into: &mut [u8]) -> usize {
        let rest = &self.bytes[self.taken..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
        count
    }
}
