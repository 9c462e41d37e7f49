//! Cutting a byte stream into lines, with bounded memory.

/// The buffer of go-plugin's host, in bytes; a line fits if it and its LF do.
pub const DEFAULT_BUFFER: usize = 64 * 1024;

/// The smallest buffer, in bytes: that of Go's `bufio.Reader`.
pub const MIN_BUFFER: usize = 16;

/// Cuts stderr into lines, and lines that do not fit the buffer into pieces, exactly where
/// go-plugin's host does. Bytes may come in any portions; the pieces are the same.
#[derive(Clone, Debug)]
pub struct LineAssembler {
    held: Vec<u8>,
    capacity: usize,
    continuation: bool,
}

/// A line, or a piece of one that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The bytes, without LF, and without a CR before the LF.
    pub bytes: &'a [u8],
    /// Whether the line ends here, by its LF or the end of the stream.
    pub ends_line: bool,
    /// Whether this is the whole line. Pieces of a longer one are not parsed.
    pub whole: bool,
}

impl Piece<'_> {
    /// Appends what a sink for the raw bytes gets: everything the plugin wrote, except a CR before
    /// an LF, and with an LF added to a last line that has none.
    pub fn write_raw(&self, sink: &mut Vec<u8>) {
        sink.extend_from_slice(self.bytes);
        if self.ends_line {
            sink.push(b'\n');
        }
    }
}

impl LineAssembler {
    /// An assembler with a buffer of `capacity` bytes, at least [`MIN_BUFFER`].
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            held: Vec::new(),
            capacity: capacity.max(MIN_BUFFER),
            continuation: false,
        }
    }

    /// Takes the next bytes and hands each piece that is complete to `take`.
    pub fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(Piece<'_>)) {
        while !bytes.is_empty() {
            let room = self.capacity - self.held.len();
            let window = &bytes[..room.min(bytes.len())];
            if let Some(end) = memchr::memchr(b'\n', window) {
                let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
                bytes = rest;
                if self.held.is_empty() {
                    self.emit(line, true, &mut take);
                } else {
                    self.held.extend_from_slice(line);
                    self.emit_held(true, &mut take);
                }
            } else {
                self.held.extend_from_slice(window);
                bytes = &bytes[window.len()..];
                if self.held.len() == self.capacity {
                    self.emit_full(&mut take);
                }
            }
        }
    }

    /// Tells that the stream ended: what is held is the last line.
    pub fn finish(&mut self, mut take: impl FnMut(Piece<'_>)) {
        if !self.held.is_empty() || self.continuation {
            let held = std::mem::take(&mut self.held);
            take(Piece {
                bytes: &held,
                ends_line: true,
                whole: !self.continuation,
            });
            self.continuation = false;
        }
    }

    /// The beginning of a line whose end has not come.
    #[must_use]
    pub fn partial_line(&self) -> &[u8] {
        &self.held
    }

    /// The buffer is full and holds no LF.
    fn emit_full(&mut self, take: &mut impl FnMut(Piece<'_>)) {
        // A CR at the end waits for the LF that may follow it.
        let waiting = self.held.last() == Some(&b'\r');
        if waiting {
            self.held.pop();
        }
        self.emit_held(false, take);
        if waiting {
            self.held.push(b'\r');
        }
    }

    fn emit_held(&mut self, ends_line: bool, take: &mut impl FnMut(Piece<'_>)) {
        let mut held = std::mem::take(&mut self.held);
        self.emit(&held, ends_line, take);
        held.clear();
        self.held = held;
    }

    fn emit(&mut self, bytes: &[u8], ends_line: bool, take: &mut impl FnMut(Piece<'_>)) {
        let bytes = match bytes {
            [line @ .., b'\r'] if ends_line => line,
            bytes => bytes,
        };
        take(Piece {
            bytes,
            ends_line,
            whole: ends_line && !self.continuation,
        });
        self.continuation = !ends_line;
    }
}

impl Default for LineAssembler {
    fn default() -> Self {
        Self::new(DEFAULT_BUFFER)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (Vec<u8>, bool, bool);

    fn own(piece: Piece<'_>) -> Owned {
        (piece.bytes.to_vec(), piece.ends_line, piece.whole)
    }

    fn pieces<'a>(capacity: usize, portions: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
        let mut found = Vec::new();
        let mut assembler = LineAssembler::new(capacity);
        for portion in portions {
            assembler.push(portion, |piece| found.push(own(piece)));
            assert!(assembler.partial_line().len() < capacity.max(MIN_BUFFER));
        }
        assembler.finish(|piece| found.push(own(piece)));
        found
    }

    fn whole(line: &str) -> Owned {
        (line.as_bytes().to_vec(), true, true)
    }

    fn piece(bytes: &str, ends_line: bool) -> Owned {
        (bytes.as_bytes().to_vec(), ends_line, false)
    }

    #[test]
    fn lines_end_at_lf_or_cr_lf() {
        let found = pieces(64, [&b"one\ntwo\r\n\r\n\nr\re\r\r\n"[..]]);
        let expected = ["one", "two", "", "", "r\re\r"].map(whole);
        assert_eq!(found, expected);
    }

    #[test]
    fn the_last_line_needs_no_lf() {
        assert_eq!(pieces(64, [&b"a\nb"[..]]), ["a", "b"].map(whole));
        assert_eq!(pieces(64, [&b"b\r"[..]]), [whole("b\r")]);
        assert_eq!(pieces(64, [&b"a\n"[..]]), [whole("a")]);
        assert_eq!(pieces(64, [&b""[..]]), []);
    }

    #[test]
    fn a_line_fits_if_its_lf_does() {
        let fits = "x".repeat(15);
        assert_eq!(pieces(16, [format!("{fits}\n").as_bytes()]), [whole(&fits)]);
        let long = "x".repeat(16);
        assert_eq!(
            pieces(16, [format!("{long}\ny\n").as_bytes()]),
            [piece(&long, false), piece("", true), whole("y")]
        );
        let longer = "x".repeat(40);
        assert_eq!(
            pieces(16, [format!("{longer}\n").as_bytes()]),
            [
                piece(&longer[..16], false),
                piece(&longer[..16], false),
                piece(&longer[..8], true)
            ]
        );
    }

    #[test]
    fn a_cr_at_the_edge_of_the_buffer_still_belongs_to_its_lf() {
        let head = "x".repeat(15);
        assert_eq!(
            pieces(16, [format!("{head}\r\n").as_bytes()]),
            [piece(&head, false), piece("", true)]
        );
        assert_eq!(
            pieces(16, [format!("{head}\ry\n").as_bytes()]),
            [piece(&head, false), piece("\ry", true)]
        );
    }

    #[test]
    fn small_buffers_are_enlarged() {
        let line = "x".repeat(15);
        assert_eq!(pieces(0, [format!("{line}\n").as_bytes()]), [whole(&line)]);
    }

    #[test]
    fn the_default_buffer_is_that_of_go_plugin() {
        let mut assembler = LineAssembler::default();
        let mut line = vec![b'x'; 65_535];
        line.push(b'\n');
        let mut found = Vec::new();
        assembler.push(&line, |piece| found.push((piece.bytes.len(), piece.whole)));
        line.insert(0, b'x');
        assembler.push(&line, |piece| found.push((piece.bytes.len(), piece.whole)));
        assert_eq!(found, [(65_535, true), (65_536, false), (0, false)]);
    }

    /// Bytes in which line ends are frequent.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let byte =
            prop_oneof![3 => Just(b'x'), 1 => Just(b'\r'), 1 => Just(b'\n'), 1 => any::<u8>()];
        proptest::collection::vec(byte, 0..200)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_pieces(
            bytes in stream(), size in 1usize..20, capacity in 16usize..40,
        ) {
            let at_once = pieces(capacity, [&bytes[..]]);
            prop_assert_eq!(&pieces(capacity, bytes.chunks(size)), &at_once);
            prop_assert_eq!(&pieces(capacity, bytes.chunks(1)), &at_once);
        }

        #[test]
        fn the_raw_sink_gets_every_byte(bytes in stream(), capacity in 16usize..40) {
            let mut raw = Vec::new();
            let mut assembler = LineAssembler::new(capacity);
            assembler.push(&bytes, |piece| piece.write_raw(&mut raw));
            assembler.finish(|piece| piece.write_raw(&mut raw));

            let mut expected = Vec::new();
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                let line = match line {
                    [line @ .., b'\r', b'\n'] | [line @ .., b'\n'] => line,
                    line => line,
                };
                expected.extend_from_slice(line);
                expected.push(b'\n');
            }
            prop_assert_eq!(raw, expected);
        }
    }
}
